"""Checks of a batch of posts that need no picture: types, limits, counts. A bad row is flagged, never repaired.

Flags are two columns: `drop_reason`, null for a row that is kept, and `drop_detail`. Details never quote a title: the
list of dropped posts may be published with a report.
"""

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandera.errors import SchemaErrors

from engine.errors import DataError
from engine.scoring import engagement_score
from training.tables import COUNTS, MAX_COUNT, NUMBERS, POST_COLUMNS, POSTS, TEXTS

OBJECTS = ("tags", "image", "author")
# How tables write "absent" in a column of numbers or dates.
ABSENT = ("", "nan", "none", "null", "na", "n/a")

# A separator of thousands, or of decimals: the one is a thousand times the other.
SEPARATED = re.compile(r"\s*[+-]?[1-9]\d{0,2}([.,]\d{3})+\s*")

Mask = npt.NDArray[np.bool_]


def clean(raw: pd.DataFrame, first_row: int = 0) -> pd.DataFrame:
    """A batch of a dataset as typed columns of posts.parquet plus `drop_reason` and `drop_detail`.

    `first_row` is the batch's place in the source, told where a row has no id. Raises DataError when the batch as a
    whole is not what `training.data.sources.base.Dataset` promises.
    """
    raw = raw.reset_index(drop=True)
    posts = pd.DataFrame(index=raw.index)
    flags = _Flags(raw)
    for column in POST_COLUMNS:
        posts[column] = _typed(raw, column, flags)
    violations = list(_violations(posts))
    # Whatever stands there is no id, so it is not listed as one.
    posts.loc[[row for row, column, _ in violations if column == "post_id"], "post_id"] = None
    for row, column, problem in violations:
        detail = problem if posts["post_id"].notna()[row] else f"{problem}, row {first_row + row:,} of the source"
        flags.set(posts.index == row, f"invalid {column}", detail)
    no_picture = posts["image"].isna().to_numpy() if "image" in raw else np.zeros(len(raw), dtype=bool)
    flags.set(no_picture & posts["title"].isna().to_numpy(), "missing title and picture")
    flags.set(no_picture, "missing picture")
    if "popularity" in raw:
        # Published in the place of counts.
        flags.set(posts["popularity"].isna().to_numpy(), "score unknown")
    else:
        score = engagement_score({name: posts[name].to_numpy(dtype=float, na_value=np.nan) for name in COUNTS})
        flags.set(posts["views"].astype("Float64").fillna(0.0).to_numpy(dtype=float) <= 0, "no views")
        flags.set(np.isnan(score), "score unknown")
    posts["drop_reason"], posts["drop_detail"] = flags.reason, flags.detail
    return posts


class _Flags:
    """First reason given to each row, and its detail."""

    def __init__(self, raw: pd.DataFrame) -> None:
        none = pd.Series(None, index=raw.index, dtype="string")
        self.reason = _cells(raw["drop_reason"]).astype("string") if "drop_reason" in raw else none.copy()
        self.detail = _cells(raw["drop_detail"]).astype("string") if "drop_detail" in raw else none.copy()

    def set(self, rows: Mask, reason: str, detail: str | None = None) -> None:
        new = rows & self.reason.isna().to_numpy()
        self.reason[new] = reason
        self.detail[new] = detail


def _storable(cell: object) -> object:
    """A cell whose text a table can hold: what is no UTF-8, bytes or halves of a character, becomes U+FFFD."""
    if isinstance(cell, str):
        cell = cell.encode(errors="surrogatepass")
    elif isinstance(cell, list):
        return [_storable(part) for part in cell]
    return cell.decode(errors="replace") if isinstance(cell, bytes) else cell


def _cells(column: pd.Series) -> pd.Series:
    """A column's cells as they are but storable; `map` would guess a type from them."""
    return pd.Series([_storable(cell) for cell in column.astype(object)], index=column.index, dtype=object)


def _sized(cell: object) -> object:
    """A cell as it is, but a whole number that no float holds as text, which is no number."""
    return f"{str(cell)[:40]}…" if isinstance(cell, int) and cell.bit_length() > 1000 else cell


def _unread(cell: str) -> str:
    """What is wrong with a cell that is not taken for a value."""
    if SEPARATED.fullmatch(cell):
        count = cell.strip()
        meanings = f"{count.replace('.', ',')} or {count.replace(',', '.')}"
        return f"{count!r} may mean {meanings}; write counts as digits alone"
    return f"{cell!r} cannot be read"


def _typed(raw: pd.DataFrame, column: str, flags: _Flags) -> pd.Series:
    """One column in its type of `POSTS`; what cannot be read as one becomes null, and its row is flagged."""
    if column in TEXTS:
        if column not in raw:
            return pd.Series(None, index=raw.index, dtype="string")
        text = _cells(raw[column]).astype("string").str.strip()
        return text.mask(text == "")
    if column not in raw:
        empty = {"published_at": "datetime64[us, UTC]"} | dict.fromkeys(OBJECTS, "object")
        empty |= dict.fromkeys(NUMBERS, "float64")
        return pd.Series(None, index=raw.index, dtype=empty.get(column, "Int64"))
    if column in OBJECTS:
        values = raw[column].astype(object) if column == "image" else _cells(raw[column])
        return values.where(values.notna(), None)
    given = _cells(raw[column]).map(_sized)
    given = given.mask(given.astype("string").str.strip().str.lower().isin(ABSENT).fillna(True).astype(bool), None)
    if column == "published_at":
        dates = given.astype("string")
        values = pd.to_datetime(dates, errors="coerce", utc=True, format="ISO8601").dt.as_unit("us")
        # "now" is no date of a post, and Python's calendar begins in the year 1.
        values = values.where(dates.str.match(r"\s*\d").fillna(False).astype(bool) & (values.dt.year >= 1))
    elif column in NUMBERS:
        values = pd.to_numeric(given, errors="coerce").astype("float64")
    else:
        unclear = given.map(lambda cell: isinstance(cell, str) and SEPARATED.fullmatch(cell) is not None).astype(bool)
        numbers = pd.to_numeric(given.mask(unclear, None), errors="coerce").astype("float64")
        values = numbers.where((numbers.abs() <= MAX_COUNT) & (numbers == numbers.round())).astype("Int64")
    for row in np.flatnonzero(given.notna().to_numpy() & values.isna().to_numpy()):
        flags.set(raw.index == row, f"invalid {column}", _unread(str(given[row])[:40]))
    return values


def _violations(posts: pd.DataFrame) -> Iterator[tuple[int, str, str]]:
    """(row, column, problem) for every value that breaks the schema."""
    try:
        POSTS.validate(posts, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        for row, column, check in zip(cases["index"], cases["column"], cases["check"], strict=True):
            if pd.isna(row):
                raise DataError(f"A batch of posts breaks the table's schema at {column}: {check}.") from error
            yield int(row), str(column), "missing" if check == "not_nullable" else str(check)
