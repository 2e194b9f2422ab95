"""Rows of posts from a CSV, JSONL or Parquet file, one at a time and in order, whatever is wrong with some of them.

A row that cannot be read comes out with the sentence that says why, so the rows after it keep their places. Only the
columns of a post and of its context are taken; counts such as views or likes are never looked at.
"""

import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.addresses import Location
from engine.batch.text import LONG_LINE, TWICE, CsvRecords, known_names, open_text, read_header, read_lines, repeated
from engine.context import AUTHOR, context_of, is_context
from engine.context import COLUMNS as CONTEXT
from engine.errors import DataError, PostError
from engine.posts import SURROGATE

# Of a picture the first of its two names counts.
COLUMNS = ("post_id", "title", "tags", "description", "image", "picture")
KNOWN = (*COLUMNS, *CONTEXT)
NEEDED = ("title", "image", "picture")
INPUT_ENDINGS = (".csv", ".jsonl", ".ndjson", ".parquet")
# Up to here a float tells any two whole numbers apart.
WHOLE = 2**53
MALFORMED_JSON = "This line is not a JSON object; write one object a line."
REPEATED = "This line has more than one field named {}; keep one of them."


@dataclass(frozen=True)
class Row:
    """One row of the input: the parts of a post, its picture still a path or bytes, or the `error` of the row."""

    post_id: str
    title: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
    image: bytes | str | None = None
    # Fields of a `Post` by name.
    context: Mapping[str, Any] = field(default_factory=dict)
    # What is wrong with its context, an error only where the model reads one.
    odd_context: str = ""
    error: str = ""

    def __sizeof__(self) -> int:
        """With what it holds: engines that keep rows waiting go by it."""
        return object.__sizeof__(self) + sum(map(sys.getsizeof, vars(self).values()))


def count_rows(source: Location) -> int | None:
    """Number of rows where the file says it (Parquet), else None. Raises DataError."""
    if source.suffix.lower() != ".parquet":
        return None
    with _open_parquet(source) as file:
        return int(file.metadata.num_rows)


def read_rows(source: Location, batch_size: int = 32) -> Iterator[Row]:
    """Rows of `source`, read as they are asked for, `batch_size` at a time from Parquet.

    Raises DataError, with the first row asked for, when the file as a whole is of no use.
    """
    ending = source.suffix.lower()
    if not source.exists():
        raise DataError(f"{source} does not exist; check its name.")
    if not source.is_file():
        raise DataError(f"{source} is no file; give a file that ends in {', '.join(INPUT_ENDINGS)}.")
    if ending == ".csv":
        return _read_csv(source)
    if ending in (".jsonl", ".ndjson"):
        return _read_jsonl(source)
    if ending == ".parquet":
        return _read_parquet(source, batch_size)
    raise DataError(f"{source} has an ending that is not read; give a file that ends in {', '.join(INPUT_ENDINGS)}.")


def stand_in(number: int) -> str:
    """What a row is called that gives no post_id, by its number, counted from 1; the number alone may be another's."""
    return f"row {number}"


def make_row(cells: Mapping[str, object], number: int) -> Row:
    """The row made of raw cells; `number`, counted from 1, is that of `stand_in`."""
    post_id = stand_in(number)
    context, odd = {}, ""
    try:
        context = context_of(cells)
    except PostError as error:
        odd = str(error)
    try:
        post_id = _text(cells, "post_id") or post_id
        return Row(
            post_id=post_id,
            title=_text(cells, "title"),
            tags=read_tags(cells.get("tags")),
            description=_text(cells, "description"),
            image=read_image(cells.get("image", cells.get("picture"))),
            context=context,
            odd_context=odd,
        )
    except PostError as error:
        return Row(post_id, error=str(error))


def _is_read(column: str) -> bool:
    return column in COLUMNS or is_context(column)


def _named(given: Iterable[str]) -> list[str]:
    """The names of columns, those that are read as they are known; a number of the account is spelled as models do."""
    names = known_names(given, KNOWN)
    return [AUTHOR + name[len(AUTHOR) :] if name.lower().startswith(AUTHOR) else name for name in names]


def _require_usable(source: Location, columns: Sequence[str]) -> None:
    if name := repeated(columns, _is_read):
        raise DataError(TWICE.format(source, name))
    if not any(name in columns for name in NEEDED):
        found = ", ".join(columns[:10]) or "none"
        if not found.isprintable():
            raise DataError(f"{source} does not begin with columns' names in UTF-8; save the table as UTF-8.")
        raise DataError(f"{source} has no column named title or image (found: {found}); name at least one of them so.")


def _read_csv(source: Location) -> Iterator[Row]:
    with open_text(source) as handle:
        lines = read_lines(handle)
        try:
            delimiter, found = read_header(next(lines, "") or "", KNOWN)
        except csv.Error as error:
            raise DataError(f"{source} does not begin with a header line; write the columns' names first.") from error
        names = _named(found)
        _require_usable(source, names)
        for number, record in enumerate(CsvRecords(lines, delimiter, len(names)), start=1):
            if isinstance(record, str):
                yield Row(stand_in(number), error=record)
            else:
                yield make_row(dict(zip(names, record, strict=True)), number)


class _Fields(dict[str, Any]):
    """A JSON object that still knows which names stood there, twice where one did."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]


def _read_jsonl(source: Location) -> Iterator[Row]:
    with open_text(source) as handle:
        number, usable, named = 0, False, None
        for line in read_lines(handle):
            if line is not None and not line.strip():
                continue
            number += 1
            given = None
            # RecursionError: brackets nested by the thousand.
            with suppress(ValueError, RecursionError):
                given = json.loads(line or "", object_pairs_hook=_Fields)
            if not isinstance(given, _Fields):
                yield Row(stand_in(number), error=LONG_LINE if line is None else MALFORMED_JSON)
                continue
            if name := repeated(_named(given.names), _is_read):
                yield Row(stand_in(number), error=REPEATED.format(name))
                continue
            cells = _cells(given)
            named = named or list(cells)
            usable = usable or any(name in cells for name in NEEDED)
            yield make_row(cells, number)
        if named is not None and not usable:
            _require_usable(source, named)


def _open_parquet(source: Location) -> pq.ParquetFile:
    try:
        # Without pre-buffering, a column of pictures is read page by page instead of a row group at once.
        file = source if isinstance(source, Path) else source.open()
        return pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
    except UnicodeDecodeError as error:
        raise DataError(f"{source} has a column whose name is not UTF-8; rename it.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{source} cannot be read as Parquet; write it again.") from error


def _read_parquet(source: Location, batch_size: int) -> Iterator[Row]:
    with _open_parquet(source) as file:
        names = file.schema_arrow.names
        known = _named(names)
        _require_usable(source, known)
        columns = [name for name, is_of in zip(names, known, strict=True) if _is_read(is_of)]
        number = 0
        try:
            for batch in file.iter_batches(batch_size=batch_size, columns=columns, use_threads=False):
                for index in range(batch.num_rows):
                    number += 1
                    yield _parquet_row(batch, index, number)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{source} cannot be read as Parquet after row {number}; write it again.") from error


def _parquet_row(batch: pa.RecordBatch, index: int, number: int) -> Row:
    try:
        cells = {name: batch.column(name)[index].as_py() for name in batch.schema.names}
    except (ValueError, KeyError, OverflowError, pa.ArrowException):
        # Bytes that are not UTF-8, or a date beyond all calendars: Arrow notices only when the cell is taken out.
        return Row(stand_in(number), error="This row holds a value that cannot be read; write it again as UTF-8 text.")
    return make_row(_cells(cells), number)


def _cells(given: Mapping[str, object]) -> dict[str, object]:
    """Cells by the names that are known, whatever the case of their letters."""
    return dict(zip(_named(given), given.values(), strict=True))


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _valid(text: str, name: str) -> str:
    if found := SURROGATE.search(text):
        # As bytes that are no UTF-8 are read.
        if "\udc80" <= found[0] <= "\udcff":
            raise PostError(f"The {name} holds characters that are not UTF-8; save the file as UTF-8.")
        raise PostError(f"The {name} holds half of a character, as a cut emoji is; delete it.")
    return text.replace("\0", "").strip()


def _text(cells: Mapping[str, object], name: str) -> str:
    value = cells.get(name)
    if _missing(value):
        return ""
    if not isinstance(value, str | int | float):
        raise PostError(f"The {name} is neither text nor a number; write it as text.")
    if isinstance(value, float) and value.is_integer() and abs(value) <= WHOLE:
        # Where a cell is empty, spreadsheets and pandas make all whole numbers of its column floats.
        value = int(value)
    return _valid(str(value), name)


def read_tags(value: object) -> tuple[str, ...]:
    """Tags from a list, a JSON list as text, or text separated by | or, where there is none, by commas.

    Raises PostError where they are no list of texts.
    """
    if _missing(value):
        return ()
    if isinstance(value, str):
        value = _split_tags(value)
    if isinstance(value, list):
        value = [tag for tag in value if not _missing(tag)]
    if not isinstance(value, list) or not all(isinstance(tag, str | int | float) for tag in value):
        raise PostError("The tags are no list of texts; write them as a list, or separate them by | or commas.")
    return tuple(tag for tag in (_valid(str(tag), "list of tags") for tag in value) if tag)


def _split_tags(text: str) -> object:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            # Not JSON after all: a first tag may well begin with a bracket.
            pass
    return text.split("|" if "|" in text else ",")


def read_image(value: object) -> bytes | str | None:
    """A path or the bytes of a picture, None for none; of a struct {bytes, path} the bytes where there are any.

    Raises PostError for anything else.
    """
    if isinstance(value, dict):
        value = value["bytes"] if value.get("bytes") is not None else value.get("path")
    if _missing(value):
        return None
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _valid(value, "picture's path") or None
    raise PostError("The image is neither a path nor the bytes of a picture; give one of them.")
