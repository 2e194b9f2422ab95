"""The features of a whole file of posts, one row a post: what researchers take elsewhere.

`python -m engine features` is the command line of it.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from engine.addresses import Location
from engine.batch.rows import Row
from engine.batch.score import Engine, Summary, here, map_file, prepare, root_of
from engine.batch.table import Record, writable
from engine.errors import PostError
from engine.features.base import Feature
from engine.features.encoder_tokens import EncoderTokens
from engine.features.encoder_vector import EncoderVector
from engine.features.extractor import Extractor
from engine.posts import Post
from engine.prediction import View
from engine.predictor import Predictor

NO_VECTORS = "This model reads no pooled vectors of encoders, so --embeddings adds no columns; leave it out."


def chosen_features(predictor: Predictor, *, embeddings: bool = False) -> dict[str, Feature]:
    """The features of a bundle that fit into a table by name: columns, and vectors of encoders where asked for.

    Encoders' tokens are none: they are a vector for every part of a picture or text. Vectors that a guard alone reads
    are left out.
    """

    guarding = {guard.fit.feature for guard in predictor.guards.values()} - predictor.reads

    def fits(feature: Feature) -> bool:
        if not isinstance(feature, EncoderVector):
            return True
        return embeddings and feature.name not in guarding and not isinstance(feature, EncoderTokens)

    return {name: feature for name, feature in predictor.extractor.features.items() if fits(feature)}


def has_vectors(predictor: Predictor) -> bool:
    """Whether the model reads pooled vectors of encoders, which a table takes where they are asked for."""
    found = chosen_features(predictor, embeddings=True)
    return any(isinstance(feature, EncoderVector) for feature in found.values())


def column_names(feature: Feature) -> list[str]:
    """Names of a feature's columns in the table: its own, followed by that of the column where it has several."""
    one = len(feature.columns) == 1
    return [feature.name if one else f"{feature.name}.{column}" for column in feature.columns]


def write_features(
    predictor: Predictor,
    source: str | Location,
    target: str | Location,
    *,
    embeddings: bool = False,
    batch_size: int = 32,
    images_root: str | Location | None = None,
    progress: bool = False,
    engine: Engine = here,
) -> Summary:
    """Write to `target` (.parquet or .csv) the features of every row of `source` (.csv, .jsonl, .ndjson, .parquet).

    Columns are post_id, those of `column_names` for each feature, and `error`. A feature of a side that a post lacks is
    null there; a row that cannot be read has its `error` and does not stop the others. `target` appears only when it is
    complete. Raises DataError when a file as a whole is of no use.
    """
    features = chosen_features(predictor, embeddings=embeddings)
    numbers = [(name, pa.float32()) for feature in features.values() for name in column_names(feature)]
    schema = pa.schema([("post_id", pa.string()), *numbers, ("error", pa.string())])
    records_of = partial(_records, predictor, tuple(features), root_of(source, images_root))
    return map_file(records_of, source, target, schema, batch_size, progress=progress, engine=engine)


def _records(predictor: Predictor, names: Sequence[str], root: Location, rows: list[Row]) -> list[Record]:
    """For every row its features or its error; posts of the same sides are computed together."""
    extractor = Extractor(predictor.extractor.features, names)
    records: list[Record] = [{"post_id": writable(row.post_id), "error": None} for row in rows]
    posts: dict[int, Post] = {}
    views: dict[int, View] = {}
    for place, row in enumerate(rows):
        post = prepare(row, root, predictor.context)
        try:
            if isinstance(post, str):
                raise PostError(post)
            posts[place], views[place] = post, predictor.view_of(post)
        except PostError as error:
            records[place]["error"] = str(error)
    for view in set(views.values()):
        places = [place for place, found in views.items() if found == view]
        values = extractor.compute([posts[place] for place in places], view)
        for name, found in values.items():
            columns = column_names(extractor.features[name])
            for place, numbers in zip(places, found, strict=True):
                cells = (None if np.isnan(number) else float(number) for number in numbers)
                records[place] |= zip(columns, cells, strict=True)
    return records
