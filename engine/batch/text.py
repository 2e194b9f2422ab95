"""Lines of text files, and records of CSV, such that whatever is wrong with one of them stays its own affair."""

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import IO

from engine.addresses import Location
from engine.errors import DataError

MAX_LINE = 16_000_000
MAX_CELL = 1_000_000
# Of one record: no text has as many, and every unclosed quote is followed so far.
MAX_LINES = 2_000
LONG_LINE = f"This line has more than {MAX_LINE // 1_000_000} million characters; shorten it."
LONG_CELL = f"This line has a field of more than {MAX_CELL:,} characters; shorten it."
TWICE = "{} has more than one column named {}; keep one of them, or rename the others."
UNCLOSED = "This line opens a quote that nothing closes; close it, and double each quote inside a text."


def open_text(source: Location) -> IO[str]:
    """Text that is UTF-8 as it should be; other bytes survive as surrogates, to be refused row by row.

    Raises DataError when the file cannot be opened or is UTF-16.
    """
    try:
        with source.open("rb") as file:
            if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"{source} is encoded as UTF-16; save it as UTF-8.")
        return io.TextIOWrapper(source.open("rb"), encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise DataError(f"{source} cannot be opened ({error.strerror}); check its permissions.") from error


def read_lines(handle: IO[str]) -> Iterator[str | None]:
    """Lines of a text file with their ends; None in place of one above MAX_LINE."""
    while line := handle.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith(("\n", "\r")):
            while (rest := handle.readline(MAX_LINE)) and not rest.endswith(("\n", "\r")):
                pass
            yield None
        else:
            yield line


def known_names(given: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """The names of columns, those that are `wanted` as they are written there, whatever their case and spaces."""
    known = {name.lower(): name for name in wanted}
    found = [name.strip() for name in given]
    return [name if name in wanted else known.get(name.lower(), name) for name in found]


def repeated(names: Iterable[str], is_read: Callable[[str], bool]) -> str:
    """A column that is read and stands there more than once; "" where there is none."""
    return next((name for name, count in Counter(names).items() if count > 1 and is_read(name)), "")


def read_header(line: str, wanted: Sequence[str]) -> tuple[str, list[str]]:
    """Delimiter and column names of a CSV header; the delimiter is the one that gives most of the `wanted` names.

    Those are known as in `known_names`. Raises csv.Error.
    """
    readings = []
    for delimiter in (",", ";", "\t"):
        names = known_names(next(csv.reader([line], delimiter=delimiter), []), wanted)
        readings.append((len(set(names) & set(wanted)), delimiter, names))
    _, delimiter, names = max(readings, key=lambda reading: reading[0])
    return delimiter, names


class CsvRecords:
    """Records of CSV lines after the header: each a list of `width` fields, or the sentence that says what is wrong.

    A quoted field may go on over several lines, but an unclosed quote looks the same at first. Lines are taken for one
    record only when every field of them is either quoted as a whole or without quotes, which the lines after an
    unclosed quote hardly ever are, and when reading them apart gives no better sense; otherwise the first of them is
    broken alone. A record of several lines reaches no further than MAX_LINES and MAX_CELL characters.
    """

    def __init__(self, lines: Iterator[str | None], delimiter: str, width: int) -> None:
        csv.field_size_limit(max(MAX_CELL, csv.field_size_limit()))
        self.lines, self.delimiter, self.width = lines, delimiter, width
        self.ahead: deque[str | None] = deque()
        field = rf'(?:"(?:[^"]++|"")*+"|[^"\r\n{delimiter}]*+)'
        self.well_formed = re.compile(rf"{field}(?:{delimiter}{field})*+[\r\n]*+")

    def __iter__(self) -> Iterator[list[str] | str]:
        blank = 0
        while self._there(0):
            record, count = self._read(0)
            if count > 1 and self._begins(1) and not (isinstance(record, list) and self._begins(count)):
                record, count = UNCLOSED, 1
            for _ in range(count):
                self.ahead.popleft()
            if record:
                # With one column an empty line is a record, but at the end of a file.
                yield from ([""] for _ in range(blank))
                blank = 0
                yield record
            elif self.width == 1:
                blank += 1

    def _there(self, place: int) -> bool:
        """Whether there are more than `place` lines ahead."""
        while len(self.ahead) <= place:
            try:
                self.ahead.append(next(self.lines))
            except StopIteration:
                return False
        return True

    def _begins(self, place: int) -> bool:
        """Whether the next record from a line ahead on is sound and well formed; so is the end of the file."""
        while self._there(place):
            record, count = self._read(place)
            if record:
                text = "".join(line or "" for line in islice(self.ahead, place, place + count))
                return isinstance(record, list) and self.well_formed.fullmatch(text) is not None
            place += 1
        return True

    def _read(self, place: int) -> tuple[list[str] | str, int]:
        """The record that begins at a line ahead, or what is wrong with it, and how many lines it has; [] if blank."""
        if self.ahead[place] is None:
            return LONG_LINE, 1
        taken: list[str] = []
        complete = True

        def take() -> Iterator[str]:
            nonlocal complete
            length = 0
            while self._there(place + len(taken)) and (line := self.ahead[place + len(taken)]) is not None:
                length += len(line)
                if taken and (len(taken) == MAX_LINES or length > MAX_CELL):
                    break
                taken.append(line)
                yield line
            # Asked for more than there is, or may be.
            complete = False

        try:
            fields = next(csv.reader(take(), delimiter=self.delimiter))
        except csv.Error:
            return (LONG_CELL if len(taken) == 1 else UNCLOSED), 1
        if not complete or (len(taken) > 1 and not self.well_formed.fullmatch("".join(taken))):
            return UNCLOSED, 1
        if fields and len(fields) != self.width:
            found = f"{len(fields)} field{'s' * (len(fields) > 1)}"
            return f"This line has {found} where the header has {self.width}; check its quotes.", len(taken)
        return fields, len(taken)
