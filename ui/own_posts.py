"""Counts of one's own posts out of pasted text: one post a line, in whatever form a table or a person writes them."""

import csv
import re
from collections.abc import Sequence

import numpy as np

from engine.errors import PostError
from engine.scoring import engagement_score, log_score

MOST_POSTS, MOST_CHARACTERS = 200, 10_000
COLUMNS = ("views", "likes", "comments")
WRONG = "Line {number} was left out: {reason}."

Counts = tuple[int, int, int | None]

# No count begins with 0: in "12 000 480" spaces part thousands, and nobody can tell which.
_PLAIN = re.compile(r"0|[1-9]\d{0,11}")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([,.'’_\u00a0\u202f ])\d{3})(?:\1\d{3})*")
_SHORT = re.compile(r"(\d+(?:[.,]\d+)?)\s*([km])", re.IGNORECASE)
_WORD = re.compile(r"\s*(view|like|comment)s?$", re.IGNORECASE)


def counts_of(text: str) -> tuple[list[Counts], list[str]]:
    """Views, likes and comments (None where not given) of each line, and a sentence on each line that has none.

    Raises PostError for more than is read.
    """
    if len(text) > MOST_CHARACTERS:
        raise PostError(f"That is too long to read; paste at most {MOST_POSTS} posts.")
    lines = [(number, line.strip(" ")) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    order: Sequence[str] = COLUMNS
    if len(lines) > 1 and _is_header(lines[0][1]):
        order = _order(lines.pop(0)[1])
    if len(lines) > MOST_POSTS:
        raise PostError(f"Those are {len(lines)} posts; paste the latest {MOST_POSTS} at most.")
    found, told = [], []
    for number, line in lines:
        try:
            found.append(_counts(_cells(line), order))
        except ValueError as error:
            told.append(WRONG.format(number=number, reason=error))
    return found, told


def scores_of(counts: Sequence[Counts]) -> list[float]:
    """The log engagement score of each post, as the model's own is made."""
    table = np.array([[np.nan if count is None else count for count in row] for row in counts], dtype=np.float64)
    found: list[float] = log_score(engagement_score(dict(zip(COLUMNS, table.T, strict=True)))).tolist()
    return found


def _is_header(line: str) -> bool:
    """Whether a line has no number, or names its columns, as in "Views (28 days)"."""
    names_both = all(name[:-1] in line.lower() for name in COLUMNS[:2])
    return not re.search(r"\d", line) or (names_both and not any(map(_is_count, _cells(line))))


def _order(header: str) -> Sequence[str]:
    """What the columns are by their names; as it is asked for where they do not say."""
    names = [next((name for name in COLUMNS if name[:-1] in cell.lower()), "") for cell in _cells(header)]
    return names if "views" in names and "likes" in names else COLUMNS


def _cells(line: str) -> list[str]:
    """The cells of a line by the first separator that leaves counts alone, or else by the first that is in it.

    A comma before a space parts those that have one, and none parts what stands in quotes.
    """
    # "12000 views" is one cell, also where spaces part them.
    line = re.sub(r"(?<=[\dkm])\s+(?=(?:views?|likes?|comments?)\b)", "", line, flags=re.IGNORECASE).strip(",;|")
    if '"' in line:
        parted = [next(csv.reader([line], delimiter=mark, skipinitialspace=True)) for mark in "\t;|, "]
    else:
        parted = [re.split(separator, line) for separator in (r"\t", ";", r"\|", r",\s+", ",", r"\s+")]
    found = [[cell.strip().strip("\"'") for cell in cells] for cells in parted if len(cells) > 1] or [[line]]
    return next((cells for cells in found if all(map(_is_count, cells))), found[0])


def _is_count(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _counts(cells: Sequence[str], order: Sequence[str]) -> Counts:
    if len(cells) < 2:
        numbers = "one number" if re.search(r"\d", "".join(cells)) else "no number"
        raise ValueError(f"it has {numbers}, and views and likes are needed")
    said = [f"{word[1].lower()}s" if (word := _WORD.search(cell)) else "" for cell in cells]
    if all(said):
        order = said
    given = {
        name: _number(cell) for name, cell in zip(order, cells, strict=False) if name and (cell or name in order[:2])
    }
    views, likes, comments = (given.get(name) for name in COLUMNS)
    if views is None or likes is None:
        raise ValueError("views or likes are missing")
    if views < 1:
        raise ValueError("it has no views")
    if likes > views:
        raise ValueError("it has more likes than views; views come first")
    return views, likes, comments


def _number(cell: str) -> int:
    """A count: "12345", "12,345", "12.345", "12 345", "1.2k", "3M"."""
    plain = _WORD.sub("", cell).strip()
    if _PLAIN.fullmatch(plain):
        return int(plain)
    if _GROUPED.fullmatch(plain) and len(plain) <= 16:
        return int(re.sub(r"\D", "", plain))
    if (short := _SHORT.fullmatch(plain)) and len(plain) <= 12:
        return round(float(short[1].replace(",", ".")) * {"k": 1e3, "m": 1e6}[short[2].lower()])
    raise ValueError(f"“{cell[:20]}” is no count" if cell else "a count is missing")
