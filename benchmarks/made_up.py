"""Posts made up for the benchmarks: titles of the length and pictures of the size that video platforms have."""

from functools import cache
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


@cache
def photographs() -> list[Image.Image]:
    """Those that come with scikit-image: what is drawn by chance the guard turns away, and answers otherwise."""
    from skimage import data

    return [Image.fromarray(photograph()) for photograph in (data.coffee, data.astronaut, data.chelsea, data.rocket)]


def cut_out(generator: np.random.Generator, size: tuple[int, int] = SIZE) -> Image.Image:
    """Most of a photograph, at this size."""
    whole = photographs()[generator.integers(len(photographs()))]
    scale = generator.uniform(0.6, 1) * min(whole.width / size[0], whole.height / size[1])
    width, height = int(scale * size[0]), int(scale * size[1])
    left, top = (int(generator.integers(room + 1)) for room in (whole.width - width, whole.height - height))
    return whole.crop((left, top, left + width, top + height)).resize(size)


def picture(generator: np.random.Generator) -> bytes:
    """A JPEG, different from all others."""
    file = BytesIO()
    cut_out(generator).save(file, "JPEG", quality=85)
    return file.getvalue()


def write_posts(path: Path, count: int, seed: int = 0) -> Path:
    """A Parquet file of `count` posts, each with a title and its picture's bytes."""
    generator = np.random.default_rng(seed)
    titles = [" ".join(generator.choice(WORDS, generator.integers(3, 16))) for _ in range(count)]
    pq.write_table(pa.table({"title": titles, "image": [picture(generator) for _ in range(count)]}), path)
    return path
