"""A made-up dataset whose engagement can be learnt: bright pictures and the word “fastest” earn more likes.

Every title has a word of its own, so no two posts are of one group.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from training.data.prepare import prepare
from training.data.workspace import split

SYLLABLES = ("ka", "lo", "mi", "ru", "te", "vo", "sha", "nel", "bor", "dis", "fy", "gup")
COMMON = ("quiet", "fastest")


def read_table(path: Path) -> pd.DataFrame:
    """A table of a work folder, whole counts as Int64."""
    return pq.read_table(path).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


@contextmanager
def without_baselines() -> Iterator[None]:
    """Within the block `evaluate` leaves baselines and controls out, where nothing looks at them: they take longest."""
    with patch("training.evaluation.report._baselines", lambda run: iter(())):
        yield


@contextmanager
def guards_once() -> Iterator[None]:
    """Within the block bundles of one work folder share their guards, whatever the recipe."""
    from training.modeling.guard import fit_guards

    made: dict[frozenset[str], Any] = {}

    def once(matrix: Any, sides: Any) -> Any:
        key = frozenset(sides)
        if key not in made:
            made[key] = fit_guards(matrix, sides)
        return made[key]

    with patch("training.modeling.train.fit_guards", once):
        yield


def own_word(number: int) -> str:
    """A made-up word that no other number has."""
    parts = []
    for _ in range(3):
        number, rest = divmod(number, len(SYLLABLES))
        parts.append(SYLLABLES[rest])
    return "".join(parts)


def picture(brightness: float, generator: np.random.Generator) -> bytes:
    """A PNG of 48 × 32 pixels with a pattern of its own."""
    pattern = generator.integers(-60, 60, (4, 6, 3)).repeat(8, axis=0).repeat(8, axis=1)
    file = BytesIO()
    Image.fromarray(np.clip(pattern + 255 * brightness, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def raw_posts(count: int, seed: int = 0) -> pd.DataFrame:
    """Posts as the source's table has them."""
    generator = np.random.default_rng(seed)
    brightness = generator.uniform(0.2, 0.8, count)
    word = generator.integers(0, 2, count)
    views = generator.integers(10_000, 1_000_000, count)
    rate = 0.02 * np.exp(1.5 * (brightness - 0.5) + 0.8 * word + generator.normal(0, 0.15, count))
    return pd.DataFrame(
        {
            "post_id": [f"p{number}" for number in range(count)],
            "title": [f"{COMMON[kind]} {own_word(number)}" for number, kind in enumerate(word)],
            "views": views,
            "likes": (views * rate).astype(int),
            "comments": (views * rate / 20).astype(int),
            "image": [picture(value, generator) for value in brightness],
        }
    )


def write_source(folder: Path, rows: list[dict[str, Any]], titles: list[dict[str, Any]] | None = None) -> Path:
    """The source's tables in `folder`: posts and, where they are given, titles without pictures."""
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "posts.parquet", index=False)
    if titles is not None:
        table = pd.DataFrame(titles)
        table.drop(columns=[name for name in table if name.startswith("image")]).to_parquet(folder / "titles.parquet")
    return folder


def make_work(folder: Path, count: int = 280) -> Path:
    """A work folder with `count` posts, prepared and split."""
    source = folder / "source"
    source.mkdir()
    raw_posts(count).to_parquet(source / "posts.parquet")
    work = folder / "work"
    prepare("youtube", source, work)
    split(work)
    return work
