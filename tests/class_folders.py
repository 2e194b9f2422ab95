"""Made-up pictures by class: in one folder a class with a table of numbers, bright ones being beaches, which earn more
likes; or with a class of likes per view alone, the brighter the higher.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tests.made_up import COMMON, own_word, picture, raw_posts
from training.data.prepare import prepare

CLASSES = ("beach", "forest")


def table_of(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows of table.csv with `category` and `brightness` of the pictures to be drawn."""
    generator = np.random.default_rng(seed)
    brightness = generator.uniform(0.2, 0.8, count)
    followers = generator.integers(10, 100_000, count)
    likes = 200 * np.exp(2 * brightness + 0.3 * np.log(followers) + generator.normal(0, 0.2, count))
    return pd.DataFrame(
        {
            "file": [f"p{number:03d}.png" for number in range(count)],
            "likes": likes.astype(int),
            "comments": (likes / 20).astype(int),
            "followers": followers,
            "title": [f"{COMMON[number % 2]} {own_word(number)}" for number in range(count)],
            "category": np.where(brightness > 0.5, *CLASSES),
            "brightness": brightness,
        }
    )


def write(folder: Path, table: pd.DataFrame, **columns: Any) -> Path:
    """The folders and the table as the source has them; `columns` replace those of the table, None leaves one out."""
    generator = np.random.default_rng(1)
    for row in table.itertuples():
        (folder / str(row.category)).mkdir(parents=True, exist_ok=True)
        (folder / str(row.category) / str(row.file)).write_bytes(picture(row.brightness, generator))
    told = table.drop(columns=["category", "brightness"]).assign(**columns)
    told.drop(columns=[name for name, values in columns.items() if values is None]).to_csv(
        folder / "table.csv", index=False
    )
    return folder


def further_pictures(folder: Path, count: int = 280) -> Path:
    """A work folder with so many further pictures in three classes, beside a few posts; two of them look alike."""
    generator = np.random.default_rng(3)
    edges = np.array([0.0, 0.02, 0.05, 1.0])
    number = generator.integers(0, 3, count)
    images = [picture(0.2 + 0.3 * value, generator) for value in number]
    pixels, again = np.array(Image.open(BytesIO(images[0]))), BytesIO()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(again, "PNG")
    number[1], images[1] = number[0], again.getvalue()
    source = folder / "source"
    source.mkdir(parents=True)
    raw_posts(6).to_parquet(source / "posts.parquet")
    pd.DataFrame(
        {
            "post_id": [f"cover {place}" for place in range(count)],
            "image": images,
            "likes_per_view_low": edges[number],
            "likes_per_view_high": edges[number + 1],
        }
    ).to_parquet(source / "covers.parquet")
    prepare("youtube", source, folder / "work")
    return folder / "work"
