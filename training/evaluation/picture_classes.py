"""The `classify` step: what a picture alone tells of its class of likes per view, by a recipe's encoder and heads.

    python -m training classify --recipe vit_scratch_category_likes --work work/youtube --model models/youtube_system3

The pictures are the further ones of a work folder (`training.data.further`), of which nothing but that class is known:
no words, no counts. The category head learns the class and the score head its number, 0 for the lowest. Pictures that
look alike stand in one part; their channels are not known, so pictures of one channel may stand in several.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from engine.encoders import load_encoder
from engine.encoders.base import Encoder
from engine.errors import DataError
from engine.features.base import digest
from engine.intervals import RESAMPLES
from training.data.further import BOUNDS, PICTURES
from training.data.grouping import bind_posts
from training.data.splits import stratified_folds
from training.evaluation.categories import MAJORITY, category_metrics
from training.features.pictures import decoded_pictures
from training.metrics.bootstrap import rank_correlation
from training.modeling.heads import reading, seeing, untrained
from training.modeling.heads_network import HeadsData, HeadsTraining, PictureOf, predict_heads
from training.modeling.heads_trainer import figures_of, train_heads
from training.recipes.base import Heads, Recipe
from training.tables import replace_rows

Rows = npt.NDArray[np.int64]
# One fold in so many is for test, and one chooses the epoch.
FOLDS = 7
PARTS = {0: "test", 1: "validation"}
BATCH = 256


@dataclass(frozen=True)
class ClassedPictures:
    """The further pictures of a work folder. Raises DataError where it has none."""

    work: Path

    @cached_property
    def table(self) -> pd.DataFrame:
        path = self.work / PICTURES
        if not path.exists():
            raise DataError(f"{self.work} has no further pictures; prepare a dataset that comes with some, as youtube.")
        return pd.read_parquet(path, columns=["post_id", "file_hash", "phash", *BOUNDS])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes, the lowest first."""
        edges = self.table[[*BOUNDS]].drop_duplicates().sort_values(list(BOUNDS))
        return tuple(f"{low:.0%} to {high:.0%}" for low, high in edges.itertuples(index=False))

    @cached_property
    def number(self) -> Rows:
        """Place of each picture's class among them, (n,)."""
        low = self.table[BOUNDS[0]].to_numpy()
        return np.searchsorted(np.unique(low), low)

    @cached_property
    def groups(self) -> Rows:
        """Number of each picture's group, (n,): those that look alike."""
        return bind_posts(self.table.assign(title=None, group=None))

    @cached_property
    def part(self) -> npt.NDArray[np.str_]:
        folds = stratified_folds(self.number, self.groups, FOLDS, seed=0)
        return np.array([PARTS.get(int(fold), "train") for fold in folds])

    def rows(self, part: str) -> Rows:
        return np.flatnonzero(self.part == part)

    def pixels(self, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        return decoded_pictures(self.work, tuple(self.table["file_hash"]), size, PICTURES)

    def data(self, rows: Rows, picture: PictureOf, read: object) -> HeadsData:
        """Some of the pictures to learn from; `read` is what identifies what is seen of them."""
        learned = self.number[self.rows("train")]
        own = self.number[rows]
        facts = [self.table["file_hash"].iloc[rows].tolist(), own.tolist(), self.names, read]
        standard = (own - learned.mean()) / learned.std()
        return HeadsData(picture, None, own, standard, own.astype(np.float64), digest(facts))


def classify(work: Path, recipe: Recipe, model: Path, *, resamples: int = RESAMPLES) -> Path:
    """Train a recipe's heads on the further pictures of a work folder; their test figures go into a model's report.

    Rows of other recipes stay in its tables. Returns the report. Raises DataError when the recipe has no heads, the
    work folder no such pictures, or the model no report.
    """
    report = model / "report"
    if not (report / "report.json").exists():
        raise DataError(f"{report} holds no report; `ship` a model there first.")
    spec = next((member for member in recipe.members if isinstance(member, Heads)), None)
    if spec is None:
        raise DataError(f"The recipe {recipe.name} has no category head; take one such as vit_scratch_category_likes.")
    pictures = ClassedPictures(work)
    names, test = np.array(pictures.names), pictures.rows("test")
    config = HeadsTraining(**spec.settings)
    encoder: Any = load_encoder(recipe.encoders[spec.encoder], shared=False)
    pixels = pictures.pixels(encoder.size)
    vectors = _vectors(encoder, pixels) if config.tuning == "frozen" else None
    network = untrained(spec, config, encoder, pictures.names)

    def part(name: str) -> HeadsData:
        rows = pictures.rows(name)
        seen = seeing(encoder, pixels, rows) if vectors is None else reading(vectors, rows)
        return pictures.data(rows, seen, [encoder.identity, list(encoder.size)])

    folder = work / "runs" / recipe.name / "pictures"
    result = train_heads(network, config, part("train"), part("validation"), folder)
    _, logits, said = predict_heads(network, part("test"))
    true, groups = pictures.number[test], pictures.groups[test]
    found = pd.DataFrame({"category": names[true], "predicted_category": names[logits.argmax(dim=1).numpy()]})
    usual = found.assign(predicted_category=names[np.bincount(pictures.number[pictures.rows("train")]).argmax()])
    src = ("src", *rank_correlation(said.double().numpy(), true.astype(np.float64), groups, resamples), len(true))
    ranked = pd.DataFrame([src], columns=["metric", "value", "low", "high", "n"])
    own = [category_metrics(found, groups, resamples), ranked]
    height, width = encoder.size
    facts = {"size": f"{width}×{height}", "pictures": len(pictures.rows("train"))}
    tables = {
        "picture_classes": pd.concat(
            [
                *(table.assign(recipe=recipe.name) for table in own),
                category_metrics(usual, groups, resamples).assign(recipe=MAJORITY),
            ]
        ),
        "picture_confusion": found.value_counts().reset_index(name="count").assign(recipe=recipe.name),
        "picture_networks": pd.DataFrame([{"recipe": recipe.name, **figures_of(network, result), **facts}]),
    }
    for name, table in tables.items():
        replace_rows(report / f"{name}.parquet", table)
    return report


def _vectors(encoder: Encoder, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What an encoder makes of pictures (n, height, width, 3): (n, dim)."""
    parts = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    return np.concatenate([encoder.encode([Image.fromarray(one) for one in part]).numpy() for part in parts])
