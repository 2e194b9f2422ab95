"""Posts made up for the benchmarks: titles of the length and pictures of the size that video platforms have."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIZE = (320, 180)
WORDS = (
    "I tried the fastest quiet bread recipe car river morning painter mistake house cat galaxy espresso rocket why "
    "nobody tells you about how to build small things that last for 30 days and what went wrong with it"
).split()


def picture(generator: np.random.Generator) -> bytes:
    """A JPEG with large shapes and fine grain, which takes as long to decode as a photograph."""
    shapes = Image.fromarray(generator.integers(0, 256, (5, 8, 3), dtype=np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )
    grain = generator.normal(0, 12, (SIZE[1], SIZE[0], 1))
    file = BytesIO()
    Image.fromarray(np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def write_posts(path: Path, count: int, seed: int = 0) -> Path:
    """A Parquet file of `count` posts, each with a title and its picture's bytes."""
    generator = np.random.default_rng(seed)
    titles = [" ".join(generator.choice(WORDS, generator.integers(3, 16))) for _ in range(count)]
    pq.write_table(pa.table({"title": titles, "image": [picture(generator) for _ in range(count)]}), path)
    return path
