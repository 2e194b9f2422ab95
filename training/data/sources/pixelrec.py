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
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar, TextIO

import pandas as pd

from engine.errors import DataError
from training.data.sources.base import BATCH_ROWS, SUFFIXES, Dataset, fit_tags, pick_columns

FOLDERS = ("cover", "image")

# Beside the columns of a row read from a table: what is wrong with it, or None.
MALFORMED = "(malformed)"
# The longest cell that is read, in characters.
MAX_CELL = 131_072

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
        candidates = sorted(path for path in source.glob("*.csv") if path.is_file())
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
            # Where a row is torn, a sentence may stand in the id's place, and the list of dropped posts is published.
            torn = posts["drop_detail"].notna() & posts["post_id"].str.contains(r"\s")
            posts["post_id"] = posts["post_id"].mask(torn, "")
            posts["drop_reason"] = posts["drop_detail"].mask(posts["drop_detail"].notna(), "malformed row")
            yield posts


def _cover(folders: list[Path], post_id: object) -> str | None:
    """Path of an item's cover; None where there is none, or where the id is no plain file name."""
    name = str(post_id).strip()
    if not name or Path(name).name != name:
        return None
    paths = (folder / f"{name}{suffix}" for folder in folders for suffix in SUFFIXES)
    # os.path.isfile calls a name that no file can have no file; Path.is_file raises OSError for one that is too long.
    return next((str(path.absolute()) for path in paths if os.path.isfile(path)), None)


def _open(path: Path) -> TextIO:
    """A table's text; bytes that are no UTF-8 are read as U+FFFD, which the posts' schema refuses in a title."""
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _header(path: Path) -> list[str]:
    with _open(path) as file:
        return next(_records(file), Record(1, [])).fields


def _rows(path: Path) -> Iterator[Row]:
    """Rows of a CSV file by column name, those that are no CSV or do not fit the header marked as MALFORMED."""
    header = _header(path)
    # Of the whole process: whoever else reads CSV in it may have set another.
    csv.field_size_limit(MAX_CELL)
    with _open(path) as file:
        for record in islice(_records(file), 1, None):
            problem = record.problem
            if problem is None and len(record.fields) != len(header):
                problem = f"{len(record.fields)} fields instead of {len(header)}"
            yield {
                **dict.fromkeys(header, ""),
                **dict(zip(header, record.fields, strict=False)),
                MALFORMED: problem and f"{problem}, line {record.line:,}",
            }


@dataclass(frozen=True)
class Record:
    """One record of a CSV file: the line where it starts, its fields, and what makes it no CSV."""

    line: int
    fields: list[str]
    problem: str | None = None


def _records(lines: Iterator[str]) -> Iterator[Record]:
    """The records of a CSV file, blank lines left out.

    Where quotes are wrong or a field is beyond Python's limit of 131,072 characters, one line is the record, and the
    next line starts another: a quote that is never closed would swallow all that follows.
    """
    ahead: deque[str] = deque()
    line = 1
    while True:
        taken: list[str] = []
        try:
            record = Record(line, next(csv.reader(_take(ahead, lines, taken), strict=True), []))
        except csv.Error as error:
            ahead.extendleft(reversed(taken[1:]))
            del taken[1:]
            record = Record(line, taken[0].split(","), str(error))
        if not taken:
            return
        if record.fields:
            yield record
        line += len(taken)


def _take(ahead: deque[str], lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    """Lines from `ahead` and then from the file, each noted in `taken`."""
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        taken.append(line)
        yield line


DATASET = PixelRec
