"""Predictions written as a table, CSV or Parquet, of which there is either the whole or nothing.

Rows go to a hidden file beside the target, which takes the target's name only when it is complete.
"""

import csv
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DataError
from engine.prediction import Prediction

PROBABILITIES = ("p_very_low", "p_low", "p_average", "p_high", "p_very_high")
NUMBERS = (*PROBABILITIES, "expected_level", "score", "score_low", "score_high")
SCHEMA = pa.schema(
    [
        ("post_id", pa.string()),
        ("level", pa.string()),
        *((name, pa.float64()) for name in NUMBERS),
        ("abstain", pa.bool_()),
        ("error", pa.string()),
    ]
)
OUTPUT_ENDINGS = (".parquet", ".csv")
ROW_GROUP = 8192
# A spreadsheet runs a cell that begins with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

Record = dict[str, object]


def make_record(post_id: str, outcome: Prediction | str) -> Record:
    """One row of the table: a prediction, or the sentence that says why there is none."""
    # Bytes that were not UTF-8 in the input cannot be written as text.
    record: Record = dict.fromkeys(SCHEMA.names)
    record["post_id"] = post_id.encode(errors="replace").decode()
    if isinstance(outcome, str):
        record["error"] = outcome
        return record
    record |= zip(PROBABILITIES, outcome.probabilities, strict=True)
    record |= {name: getattr(outcome, name) for name in ("expected_level", "score", "score_low", "score_high")}
    return record | {"level": outcome.level_name, "abstain": outcome.abstain}


class Writer(Protocol):
    """One format: takes records in order; `close` writes what is left, `abandon` lets go of it."""

    def write(self, records: list[Record]) -> None: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class CsvWriter:
    """UTF-8 CSV with an empty cell for null."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.buffer = _TextBuffer()
        # The default line end, CR LF: with another, csv leaves a CR inside a cell unquoted.
        self.writer = csv.writer(self.buffer)
        self.writer.writerow(SCHEMA.names)

    def write(self, records: list[Record]) -> None:
        for record in records:
            self.writer.writerow([_cell(name, record[name]) for name in SCHEMA.names])
        self.file.write(self.buffer.take())

    def close(self) -> None:
        self.file.write(self.buffer.take())

    def abandon(self) -> None:
        self.buffer.take()


class _TextBuffer:
    """What csv.writer wrote since the last `take`, as UTF-8."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)

    def take(self) -> bytes:
        text = "".join(self.lines)
        self.lines.clear()
        return text.encode()


class ParquetWriter:
    """Parquet in row groups of `ROW_GROUP` rows."""

    def __init__(self, file: IO[bytes]) -> None:
        self.writer = pq.ParquetWriter(file, SCHEMA)
        self.records: list[Record] = []

    def write(self, records: list[Record]) -> None:
        self.records += records
        if len(self.records) >= ROW_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self.writer.close()

    def abandon(self) -> None:
        # Left to itself, the writer would write its footer when collected, to a file long closed, and complain.
        with suppress(OSError, ValueError, pa.ArrowException):
            self.writer.close()

    def _flush(self) -> None:
        self.writer.write_table(pa.Table.from_pylist(self.records, schema=SCHEMA))
        self.records.clear()


def check_target(source: Path, target: Path) -> None:
    """Raises DataError when the table cannot be written to `target`, or would replace its own input."""
    if target.suffix.lower() not in OUTPUT_ENDINGS:
        raise DataError(f"{target} has an ending that is not written; end it in {' or '.join(OUTPUT_ENDINGS)}.")
    if not target.parent.is_dir():
        raise DataError(f"The folder {target.parent} does not exist; make it first.")
    if target.exists() and not target.is_file():
        raise DataError(f"{target} exists and is no file; give another name.")
    if target.exists() and target.samefile(source):
        raise DataError(f"{target} is the input itself; give the output another name.")


@contextmanager
def open_table(target: Path) -> Iterator[Callable[[list[Record]], None]]:
    """A function that writes records to `target`, which appears only when the block ends well; else nothing is left.

    Raises DataError when the disk does not take the table.
    """
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with _disk_errors(target):
            file = part.open("xb")
        try:
            with _disk_errors(target):
                writer: Writer = ParquetWriter(file) if target.suffix.lower() == ".parquet" else CsvWriter(file)

            def write(records: list[Record]) -> None:
                with _disk_errors(target):
                    writer.write(records)

            try:
                yield write
                with _disk_errors(target):
                    writer.close()
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                writer.abandon()
                raise
        finally:
            with _disk_errors(target):
                file.close()
        with _disk_errors(target):
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error}); nothing was kept.") from error


def _cell(name: str, value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if name in ("post_id", "error") and str(value).startswith(FORMULA):
        return f"'{value}"
    return value
