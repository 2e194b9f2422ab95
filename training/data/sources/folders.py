"""Pictures in one folder a class, and a table of numbers joined to them by file name.

A source is a folder with one folder for each class, named as the class is, and one CSV table beside them: a column
`file` (a picture's name, with or without its ending and its folder), `likes`, and whatever else is known of the posts.
Pictures and rows must fit one to one: a table that was shuffled or joined by place teaches nothing, so what does not
fit is refused as a whole, never guessed.

- The class is the post's category; the score is 1 + likes, for such tables hold no views to divide by.
- Title, description, account and time of publication are taken where the table has them.
- Any other column of numbers is known before publication, as the table's maker says by putting it there, and becomes a
  fact of the author: what the numeric branch of a recipe reads. A name that tells of reactions is refused. Views,
  comments, shares and favorites are kept as counts, which no model reads. Columns of words are left out. `prepare`
  names the facts and what was left out; a column without a name, such as the index that pandas writes, is refused.
- The licence is that of whoever made the pictures: `prepare` refers to them by path and copies none.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from engine.batch.text import open_text, read_header
from engine.errors import DataError
from engine.posts import fault_of_facts
from training.data.sources.base import BATCH_ROWS, SUFFIXES, Dataset, pick_columns

# What pandas calls a column whose header is empty.
NAMELESS = re.compile(r"\s*|Unnamed: \d+(\.\d+)?")


class Folders(Dataset):
    """Pictures by class with their likes."""

    name = "folders"
    description = "pictures in one folder a class"
    image = "path"
    score_formula = "likes as the table gives them: 1 + likes"
    notes = ("The categories are the folders that the pictures lie in.",)
    columns: ClassVar = {
        "post_id": ("file", "file_name", "filename", "image", "picture"),
        "likes": ("likes", "like_count"),
        "views": ("views", "view_count"),
        "comments": ("comments", "comment_count"),
        "shares": ("shares", "share_count"),
        "favorites": ("favorites", "favourites"),
        "title": ("title",),
        "description": ("description", "caption"),
        "group": ("group", "account", "channel"),
        "published_at": ("published_at", "date"),
    }
    required = ("post_id", "likes")

    def tables(self, source: Path) -> list[Path]:
        found = sorted(path for path in source.glob("*.csv") if path.is_file()) if source.is_dir() else []
        if len(found) != 1:
            named = f"several tables ({', '.join(path.name for path in found)})" if found else "no table"
            raise DataError(f"{source} holds {named}; give a folder with one CSV table and a folder for each class.")
        return found

    def folders(self, source: Path) -> list[Path]:
        found = [path for path in sorted(source.iterdir()) if path.is_dir() and any(_pictures(path))]
        if len(found) < 2:
            having = f"one class alone, {found[0].name}" if found else "no folder of pictures"
            raise DataError(f"{source} holds {having}; put the pictures of each class into a folder of its name.")
        return found

    def count(self, source: Path) -> int | None:
        return len(_read(self.tables(source)[0]))

    def remarks(self, source: Path) -> list[str]:
        path = self.tables(source)[0]
        table = _read(path)
        rest = table.drop(columns=list(pick_columns(self, table.columns, path).values()))
        facts = [str(name) for name in _numbers(rest, path)]
        words = [str(name) for name in rest if name not in facts]
        lines = {"columns taken as facts of the author": facts, "columns that are not read": words}
        return [f"{what}: {', '.join(names)}" for what, names in lines.items() if names]

    def read(self, source: Path) -> Iterator[pd.DataFrame]:
        path = self.tables(source)[0]
        table = _read(path)
        picked = pick_columns(self, table.columns, path)
        files = [_stem(cell) for cell in table[picked["post_id"]].fillna("")]
        pictures = [picture for folder in self.folders(source) for picture in sorted(_pictures(folder))]
        _fit(path, files, [picture.stem for picture in pictures])
        place = {picture.stem: picture for picture in pictures}
        for number, (cell, name) in enumerate(zip(table[picked["post_id"]], files, strict=True), start=1):
            lies, told = place[name].parent.name, Path(cell.strip()).parent.name
            if told not in ("", lies):
                raise DataError(
                    f"{path} names “{cell}” in row {number:,}, but that picture lies in {lies}; correct the folder, or "
                    "give the name alone."
                )
        posts = pd.DataFrame({column: table[name] for column, name in picked.items()})
        posts["post_id"], posts["source"] = files, self.name
        posts["category"] = [place[name].parent.name for name in files]
        posts["image"] = [str(place[name].absolute()) for name in files]
        likes = pd.to_numeric(posts["likes"], errors="coerce").to_numpy(dtype=np.float64)
        posts["popularity"] = np.log2(1 + np.where(likes >= 0, likes, np.nan))
        facts = _facts(table.drop(columns=list(picked.values())), path)
        posts["author"] = pd.Series(facts, index=posts.index, dtype=object)
        for start in range(0, len(posts), BATCH_ROWS):
            yield posts.iloc[start : start + BATCH_ROWS].reset_index(drop=True)


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _stem(cell: str) -> str:
    """A picture's name without its folder and its ending; other dots are part of the name."""
    path = Path(cell.strip())
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _read(path: Path) -> pd.DataFrame:
    wanted = [name for spellings in Folders.columns.values() for name in spellings]
    try:
        with open_text(path) as handle:
            delimiter, _ = read_header(handle.readline(), wanted)
        table = pd.read_csv(path, sep=delimiter, dtype="string", encoding="utf-8-sig")
    except (ValueError, OSError, csv.Error) as error:
        raise DataError(f"{path} is no CSV table that can be read; save it again as UTF-8.") from error
    if any(NAMELESS.fullmatch(str(name)) for name in table.columns):
        raise DataError(
            f"{path} has a column without a name, as pandas writes its index; write it with `index=False`, or name it."
        )
    return table


def _fit(path: Path, rows: Sequence[str], pictures: Sequence[str]) -> None:
    """Raises DataError where the names in the table and those of the pictures are not the same, each once."""
    for what, names in (("rows for", rows), ("pictures named", pictures)):
        doubled = [name for name, count in Counter(names).items() if count > 1]
        if doubled:
            raise DataError(
                f"{path} cannot be joined to the pictures: there are several {what} “{doubled[0]}”"
                f"{_others(doubled)}; leave one of each."
            )
    known = set(pictures), set(rows)
    for what, lacking in (
        ("no picture for the row", [name for name in rows if name not in known[0]]),
        ("no row for the picture", [name for name in pictures if name not in known[1]]),
    ):
        if lacking:
            raise DataError(
                f"{path} does not fit the pictures: there is {what} “{lacking[0]}”{_others(lacking)}; put the missing "
                "ones there, or remove the others."
            )


def _others(names: Sequence[str]) -> str:
    return f" and {len(names) - 1:,} more" if len(names) > 1 else ""


def _facts(table: pd.DataFrame, path: Path) -> list[list[tuple[str, float]] | None]:
    """The numbers of each row that are known before publication. Raises DataError as `_numbers` does."""
    known = pd.DataFrame(_numbers(table, path), index=table.index)
    facts = [
        [(str(name), float(value)) for name, value in row.items() if pd.notna(value)] for _, row in known.iterrows()
    ]
    return [row or None for row in facts]


def _numbers(table: pd.DataFrame, path: Path) -> dict[str, pd.Series]:
    """The columns of numbers by name. Raises DataError for a name that tells of reactions, and for a column in which
    something else stands among the numbers."""
    columns: dict[str, pd.Series] = {}
    for name in table.columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if numbers.notna().sum() == 0:
            continue
        if fault_of_facts([(str(name), 0.0)]):
            raise DataError(
                f"{path} has a column {name}, which may count reactions, and nobody knows those before a post is "
                "published; remove it, for `evaluate --demonstrate-leak` shows on the comments what it would feign."
            )
        wrong = table[name].notna() & numbers.isna()
        if wrong.any():
            raise DataError(
                f"{path} has “{table[name][wrong].iloc[0]}” among the numbers of {name}; correct it or leave it empty."
            )
        columns[str(name)] = numbers
    return columns


DATASET = Folders
