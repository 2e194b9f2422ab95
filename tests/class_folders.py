"""Made-up pictures in one folder a class with a table of numbers: bright ones are beaches, and earn more likes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.made_up import COMMON, own_word, picture

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
