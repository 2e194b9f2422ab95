"""Posts whose category is known, as pictures in one folder a class with a table of numbers beside them.

    python -m scripts.class_folders --data DATA --to work/classes/source

reads the trending lists (`training.data.sources.youtube`) and writes what `prepare --dataset folders` reads. Pictures
and titles belong to their owners: keep the folder to yourself.
"""

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

from engine.commands import outcome
from engine.errors import DataError
from engine.files import replacing_folder
from training.data.sources import load_dataset

TABLE = "table.csv"
# Of posts.parquet, what the table takes over; numbers known before publication are added.
TAKEN = ["likes", "comments", "views", "title", "group", "published_at"]


def class_folders(data: Path, target: Path, least: int) -> pd.DataFrame:
    """Write the folders and table.csv into `target`, in place of former ones; returns the table with `category`.

    Classes of fewer than `least` posts are left out, and so are posts whose likes are hidden. Raises DataError where
    something else is in `target`.
    """
    if target.exists() and not (target / TABLE).is_file() and any(target.iterdir()):
        raise DataError(f"{target} holds something else, which would be gone; give another folder with --to.")
    posts = pd.concat(load_dataset("youtube").read(data), ignore_index=True)
    posts = posts[posts["category"].notna() & posts["drop_reason"].isna()].drop_duplicates("post_id")
    posts = posts[posts["category"].map(posts["category"].value_counts()) >= least]
    table = posts[TAKEN].assign(
        file=posts["post_id"],
        category=posts["category"],
        title_characters=posts["title"].fillna("").str.len(),
        description_characters=posts["description"].fillna("").str.len(),
        tag_count=[len(tags) if isinstance(tags, list) else 0 for tags in posts["tags"]],
    )
    with replacing_folder(target) as folder:
        for category, post_id, image in zip(posts["category"], posts["post_id"], posts["image"], strict=True):
            place = folder / re.sub(r"[/\\]", " ", category)
            place.mkdir(exist_ok=True)
            (place / f"{post_id}.webp").write_bytes(image)
        table.drop(columns="category").to_csv(folder / TABLE, index=False)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the trending lists")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--least", type=int, default=15, help="posts that a class must have")
    given = parser.parse_args()
    print(class_folders(given.data, given.to, given.least)["category"].value_counts().to_string())


if __name__ == "__main__":
    sys.exit(outcome(main))
