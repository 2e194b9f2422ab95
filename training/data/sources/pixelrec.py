"""PixelRec (westlake-repl/PixelRec, https://arxiv.org/abs/2309.06789): covers of short videos with their counts.

A source is the folder of one published size (50K, 200K, 1M, …): its item table as CSV (`item_info.csv`: item_id,
view_number, comment_number, thumbup_number, share_number, coin_number, favorite_number, barrage_number, title, tag,
description) and one or more folders of covers named `<item_id>.jpg` (`cover`, or `cover1` and `cover2`, as they were
split for upload). The table is read row by row, so 1M items need no more memory than 50K.

- Item tables whose columns are called views, likes, comments, shares and favorites are read too, and where an English
  title stands beside the original (`title_en`), it is taken.
- `tag` is one category of about a hundred: it becomes both the category and the post's only tag. Coins and bullet
  comments (`barrage_number`) have no place in the scores and are left out. Neither author nor date is published, so
  `group` and `published_at` are null.
- A broken row or cover costs that post, not the run. PixelRec is for non-commercial research and its covers may not
  be passed on: `prepare` refers to them by path and copies none.
"""

import csv
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar

import pandas as pd

from engine.errors import DataError
from training.data.sources.base import BATCH_ROWS, Dataset, fit_tags, pick_columns

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FOLDERS = ("cover", "image")

# Beside the columns of a row read from a table: what is wrong with it, or None.
MALFORMED = "(malformed)"

Row = dict[str, object]


class PixelRec(Dataset):
    """Short-video covers with views, likes, comments, shares and favorites."""

    name = "pixelrec"
    description = "PixelRec's items"
    image = "path"
    columns: ClassVar = {
        "post_id": ("item_id", "item", "id"),
        "title": ("title_en", "title"),
        "description": ("description",),
        "category": ("tag", "tags", "category"),
        "views": ("view_number", "views", "view"),
        "likes": ("thumbup_number", "likes", "like_number", "thumbup"),
        "comments": ("comment_number", "comments", "comment"),
        "shares": ("share_number", "shares", "share"),
        "favorites": ("favorite_number", "favorites", "favourites", "favorite"),
    }
    required = ("post_id", "title", "views", "likes", "comments", "shares", "favorites")

    def tables(self, source: Path) -> list[Path]:
        candidates = sorted(source.glob("*.csv"))
        # The same folder holds the interactions, which have an item_id and no title.
        tables = [
            path for path in candidates if {"title", "title_en"} & {name.strip().lower() for name in _header(path)}
        ]
        if len(tables) == 1:
            return tables
        if tables:
            raise DataError(f"{source} holds several item tables ({', '.join(p.name for p in tables)}); leave one.")
        raise DataError(
            f"{source} holds no item table of PixelRec (item_info.csv, with a title and counts per item_id)."
        )

    def folders(self, source: Path) -> list[Path]:
        folders = [path for path in sorted(source.iterdir()) if path.is_dir() and path.name.lower().startswith(FOLDERS)]
        if not folders:
            raise DataError(f"{source} holds no folder of covers; unpack them into {source / 'cover'}.")
        return folders

    def read(self, source: Path) -> Iterator[pd.DataFrame]:
        table, folders = self.tables(source)[0], self.folders(source)
        picked = pick_columns(self, _header(table), table)
        rows = _rows(table)
        while batch := list(islice(rows, BATCH_ROWS)):
            raw = pd.DataFrame.from_records(batch)
            posts = pd.DataFrame({column: raw[name] for column, name in picked.items()})
            posts["tags"] = pd.Series([fit_tags([tag]) for tag in posts.get("category", [])], dtype=object)
            posts["source"] = self.name
            posts["image"] = pd.Series([_cover(folders, post_id) for post_id in posts["post_id"]], dtype=object)
            posts["drop_detail"] = raw[MALFORMED].astype("string")
            posts["drop_reason"] = posts["drop_detail"].mask(posts["drop_detail"].notna(), "malformed row")
            yield posts


def _cover(folders: list[Path], post_id: object) -> str | None:
    """Path of an item's cover; None where there is none, or where the id is no plain file name."""
    name = str(post_id).strip()
    if not name or Path(name).name != name:
        return None
    paths = (folder / f"{name}{suffix}" for folder in folders for suffix in SUFFIXES)
    return next((str(path.absolute()) for path in paths if path.is_file()), None)


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


def _rows(path: Path) -> Iterator[Row]:
    """Rows of a CSV file by column name, those whose fields do not fit the header marked as MALFORMED.

    Bytes that are no UTF-8 are read as U+FFFD, which the posts' schema refuses in a title.
    """
    # A description longer than Python's default of 131,072 characters would end the run instead of the post.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    header = _header(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        next(reader, None)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"{path} cannot be read as CSV at line {reader.line_num:,}: {error}.") from error
            if not fields:
                continue
            wrong = f"{len(fields)} fields instead of {len(header)}, line {reader.line_num:,}"
            yield {
                **dict.fromkeys(header, ""),
                **dict(zip(header, fields, strict=False)),
                MALFORMED: None if len(fields) == len(header) else wrong,
            }
