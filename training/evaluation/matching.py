"""The `align` step whole: train the alignment, then measure it on photos and covers that it never saw.

Beside it stand chance, and the linear alignment that canonical correlation finds on the frozen towers' vectors of the
very same training pairs. Test photos and the test covers' pairs choose nothing.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.encoders import load_encoder
from engine.features.similarity import Alignment
from engine.images import load_image
from training.data.pairs import Pairs, read_covers, read_photos
from training.data.workspace import Workspace
from training.metrics.retrieval import matching, recalls
from training.modeling.alignment import SIGNALS
from training.modeling.alignment import align as train
from training.modeling.towers import AlignmentConfig, Towers, material_of
from training.tables import write_table

Table = npt.NDArray[np.float32]
Vectors = tuple[Table, Table, npt.NDArray[np.int64]]
FIGURES = "matching.parquet"


def align(photos: Path, work: Path, covers: Path | None, *, epochs: int) -> Path:
    """The folder of the trained alignment; its figures lie beside the training's own files."""
    pairs = {"photos": read_photos(photos), "covers": read_covers(work, covers)}
    config = AlignmentConfig(epochs=epochs)
    folder = train(pairs["photos"], pairs["covers"], work / "alignment", work / SIGNALS, config)
    groups = Workspace(work).posts.set_index("post_id")["group_number"]
    figures = measure(folder, pairs, work / "alignment", groups)
    write_table(work / "alignment" / FIGURES, figures)
    return folder


def measure(folder: Path, pairs: Mapping[str, Pairs], kept: Path, groups: pd.Series) -> pd.DataFrame:
    """Figures of an alignment, of canonical correlation, and of chance, on test photos and test covers.

    `kept` is the folder of the training, which keeps what it read of every picture, `groups` the numbers of the groups
    of posts, by post_id. Rows of dataset, model, direction, metric, value, low, high, n.
    """
    covers = pairs["covers"]
    group = groups.reindex([covers.names[row] for row in covers.rows("test")]).to_numpy()
    rows: list[dict[str, Any]] = []
    for model, found in (("aligned", _aligned(folder, pairs)), ("cca", _correlated(pairs, kept))):
        rows += [{"dataset": "photos", "model": model, **row} for row in recalls(*found["photos"])]
        rows.append({"dataset": "covers", "model": model, **matching(*found["covers"][:2], group)})
    for row in [row for row in rows if row["model"] == "cca"]:
        chance = 0.5 if row["metric"] == "auc" else _chance(row, len(pairs["photos"].rows("test")))
        rows.append({**row, "model": "chance", "value": chance, "low": chance, "high": chance})
    return pd.DataFrame(rows)


def _chance(row: Mapping[str, Any], photos: int) -> float:
    """Recall of a random order of all photos, or of all their sentences, of which five are right."""
    depth = int(row["metric"].partition("@")[2])
    if row["direction"] == "text_to_image":
        return min(1.0, depth / photos)
    places = range(min(depth, 5 * photos))
    return 1 - float(np.prod([max(0.0, 1 - 5 / (5 * photos - place)) for place in places]))


def _aligned(folder: Path, pairs: Mapping[str, Pairs]) -> dict[str, Vectors]:
    """Vectors of the test pictures and sentences, as any visitor's are made."""
    image, text = load_encoder(f"aligned-image:{folder}"), load_encoder(f"aligned-text:{folder}")
    found = {}
    for kind, some in pairs.items():
        rows = some.rows("test")
        parts = [
            [load_image(some.images[row]) for row in rows[start : start + 64]] for start in range(0, len(rows), 64)
        ]
        texts = [some.texts[row] for row in rows]
        sentences, owner = [*chain.from_iterable(texts)], np.repeat(np.arange(len(rows)), [len(own) for own in texts])
        pictures = np.concatenate([image.encode(part).numpy() for part in parts])
        found[kind] = pictures, text.encode(sentences).numpy(), owner
    return found


def _correlated(pairs: Mapping[str, Pairs], kept: Path) -> dict[str, Vectors]:
    """The same by canonical correlation of the towers' pooled vectors, fitted on the training pairs."""
    towers = Towers(AlignmentConfig())
    vectors: dict[str, dict[str, Vectors]] = {"train": {}, "test": {}}
    for kind, some in pairs.items():
        material = material_of(towers, some, kept / f"{kind}.npy")
        for part, found in vectors.items():
            places, owner = material.sentences(some.rows(part))
            # Of all that the projections read, the pooled channels, of which roots were taken, and the sentence vector.
            pictures = material.pictures(some.rows(part))[:, : towers.image_encoder.token_dim].square()
            sentences = material.read[places, : towers.text_encoder.token_dim]
            found[kind] = pictures.numpy(), sentences.numpy(), owner
    train = vectors["train"].values()
    fitted = Alignment.fit(
        np.concatenate([pictures[owner] for pictures, _, owner in train]),
        np.concatenate([sentences for _, sentences, _ in train]),
    )
    return {kind: (*_mapped(fitted, *found[:2]), found[2]) for kind, found in vectors["test"].items()}


def _mapped(fitted: Alignment, image: Table, text: Table) -> tuple[Table, Table]:
    sides = (image - fitted.image_mean) @ fitted.image_map, (text - fitted.text_mean) @ fitted.text_map
    first, second = (side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in sides)
    return first, second
