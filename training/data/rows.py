"""Posts in CSV, or in JSON with one object a line: cells as they stand, and of a broken row what is wrong with it."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from engine.batch.rows import MALFORMED_JSON
from engine.batch.text import LONG_LINE, CsvRecords, known_names, open_text, read_header, read_lines
from engine.errors import DataError

FLAGS = ["drop_reason", "drop_detail"]


def names_of(path: Path, wanted: Sequence[str]) -> list[str]:
    """The columns of a table, spelled as in `wanted`: those of a CSV header, or all that any JSON object has."""
    if path.suffix.lower() != ".csv":
        return list(dict.fromkeys(name for row in _records(path, wanted) if isinstance(row, dict) for name in row))
    with open_text(path) as handle:
        return _header(path, read_lines(handle), wanted)[1]


def read_rows(path: Path, wanted: Sequence[str], names: Sequence[str], most: int) -> Iterator[pd.DataFrame]:
    """Cells by `names`, at `most` so many rows a batch, with FLAGS where a row is none."""
    records = enumerate(_records(path, wanted), start=1)
    while rows := list(islice(records, most)):
        cells = [row if isinstance(row, dict) else {} for _, row in rows]
        batch = pd.DataFrame(cells, columns=list(names), dtype=object)
        flags = [
            (None, None) if isinstance(row, dict) else ("malformed row", f"{row} Row {number:,} of the table.")
            for number, row in rows
        ]
        batch[FLAGS] = pd.DataFrame(flags, dtype=object)
        yield batch


def _records(path: Path, wanted: Sequence[str]) -> Iterator[dict[str, Any] | str]:
    """The cells of each row by name, an empty one of CSV as None, or the sentence that says what is wrong with it."""
    with open_text(path) as handle:
        lines = read_lines(handle)
        if path.suffix.lower() == ".csv":
            delimiter, names = _header(path, lines, wanted)
            for record in CsvRecords(lines, delimiter, len(names)):
                cells = () if isinstance(record, str) else (cell or None for cell in record)
                yield record if isinstance(record, str) else dict(zip(names, cells, strict=True))
            return
        for line in lines:
            if line is None or line.strip():
                yield _object(line, wanted)


def _header(path: Path, lines: Iterator[str | None], wanted: Sequence[str]) -> tuple[str, list[str]]:
    try:
        return read_header(next(lines, "") or "", wanted)
    except csv.Error as error:
        raise DataError(f"{path} does not begin with a header line; write the columns' names first.") from error


def _object(line: str | None, wanted: Sequence[str]) -> dict[str, Any] | str:
    found = None
    # RecursionError: brackets nested by the thousand.
    with suppress(ValueError, RecursionError):
        found = json.loads(line or "")
    if isinstance(found, dict):
        return dict(zip(known_names(found, wanted), found.values(), strict=True))
    return LONG_LINE if line is None else MALFORMED_JSON
