"""Predictions, or features, written as a table, CSV or Parquet, of which there is either the whole or nothing."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.addresses import Location
from engine.errors import DataError
from engine.files import replacing
from engine.prediction import Prediction

PROBABILITIES = ("p_very_low", "p_low", "p_average", "p_high", "p_very_high")
NUMBERS = (*PROBABILITIES, "expected_level", "score", "score_low", "score_high")
SCHEMA = pa.schema(
    [
        ("post_id", pa.string()),
        ("level", pa.string()),
        *((name, pa.float64()) for name in NUMBERS),
        ("abstain", pa.bool_()),
        ("reason", pa.string()),
        ("error", pa.string()),
    ]
)
OUTPUT_ENDINGS = (".parquet", ".csv")
ROW_GROUP = 8192
# A spreadsheet runs a cell that begins so as a formula. A bare word after + or - calls nothing and is what ids look
# like (one YouTube id in 64 begins with -): changed, such a row could no longer be joined with its post. Where a comma
# parts no list, as in Germany, a cell begins behind each semicolon too, whatever quotes stand around it.
CALLS = r"(?:[=@\t\r]|[+-](?![\w-]*\Z))"
FORMULA = re.compile(rf'\A(?={CALLS})|(?<=;)(?="*{CALLS})')

Record = dict[str, object]


def writable(post_id: str) -> str:
    """An id as text can have it: bytes that were not UTF-8 in the input cannot be written."""
    return post_id.encode(errors="replace").decode()


def make_record(post_id: str, outcome: Prediction | str) -> Record:
    """One row of the table: a prediction, or the sentence that says why there is none."""
    record: Record = dict.fromkeys(SCHEMA.names)
    record["post_id"] = writable(post_id)
    if isinstance(outcome, str):
        record["error"] = outcome
        return record
    record |= zip(PROBABILITIES, outcome.probabilities, strict=True)
    record |= {name: getattr(outcome, name) for name in ("expected_level", "score", "score_low", "score_high")}
    return record | {"level": outcome.level_name, "abstain": outcome.abstain, "reason": outcome.reason or None}


class CsvWriter:
    """UTF-8 CSV with an empty cell for null."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self.file, self.names = file, schema.names
        self._write_rows([self.names])

    def write(self, records: list[Record]) -> None:
        self._write_rows([_cell(record.get(name)) for name in self.names] for record in records)

    def _write_rows(self, rows: Iterable[list[Any]]) -> None:
        lines = io.StringIO(newline="")
        # The default line end, CR LF: with another, csv leaves a CR inside a cell unquoted.
        csv.writer(lines).writerows(rows)
        self.file.write(lines.getvalue().encode())

    def close(self) -> None:
        """Write what is left, of which there is nothing."""

    def abandon(self) -> None:
        """Let go of what is left, of which there is nothing."""


class ParquetWriter:
    """Parquet in row groups of `ROW_GROUP` rows."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self.schema = schema
        self.writer = pq.ParquetWriter(file, schema)
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
        self.writer.write_table(pa.Table.from_pylist(self.records, schema=self.schema))
        self.records.clear()


def check_target(source: Location, target: Location) -> None:
    """Raises DataError when the table cannot be written to `target`, or would replace its own input."""
    if target.suffix.lower() not in OUTPUT_ENDINGS:
        raise DataError(f"{target} has an ending that is not written; end it in {' or '.join(OUTPUT_ENDINGS)}.")
    if isinstance(target, Path) and not target.parent.is_dir():
        raise DataError(f"The folder {target.parent} does not exist; make it first.")
    if target.exists() and not target.is_file():
        raise DataError(f"{target} exists and is no file; give another name.")
    same = target == source
    if isinstance(target, Path) and isinstance(source, Path) and target.exists():
        same = target.samefile(source)
    if same:
        raise DataError(f"{target} is the input itself; give the output another name.")


@contextmanager
def open_table(target: Location, schema: pa.Schema) -> Iterator[Callable[[list[Record]], None]]:
    """A function that writes records of a schema to `target`, which appears only when the block ends well.

    Raises DataError when the disk does not take the table.
    """
    of_block: BaseException | None = None
    try:
        with _filling(target) as temporary, temporary.open("wb") as file:
            is_parquet = target.suffix.lower() == ".parquet"
            writer = ParquetWriter(file, schema) if is_parquet else CsvWriter(file, schema)

            def write(records: list[Record]) -> None:
                try:
                    writer.write(records)
                except OSError as error:
                    raise _unwritable(target, error) from error

            try:
                yield write
            except BaseException as error:
                of_block = error
                raise
            else:
                writer.close()
            finally:
                writer.abandon()
    except OSError as error:
        if error is of_block:
            raise
        raise _unwritable(target, error) from error


@contextmanager
def _filling(target: Location) -> Iterator[Path]:
    """A file to fill within the block; it becomes `target` at the end, which is sent whole where it lies elsewhere."""
    if isinstance(target, Path):
        with replacing(target) as temporary:
            yield temporary
        return
    with TemporaryDirectory() as folder:
        temporary = Path(folder, target.name)
        yield temporary
        target.upload(temporary)


def _unwritable(target: Location, error: OSError) -> DataError:
    return DataError(f"{target} cannot be written ({error.strerror or error}); nothing was kept.")


def guard_formula(text: str) -> str:
    """The text of a CSV cell, with an apostrophe before what a spreadsheet would run as a formula."""
    return FORMULA.sub("'", text)


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return guard_formula(value) if isinstance(value, str) else value
