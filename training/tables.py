"""The tables of a work folder: what posts.parquet must look like, and how one process writes them whole."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from engine.errors import DataError
from engine.files import replacing, write_json
from engine.posts import MAX_DESCRIPTION, MAX_LATITUDE, MAX_LONGITUDE, MAX_TAG, MAX_TAGS, MAX_TITLE, fault_of_facts

ImageKind = Literal["bytes", "path"]

COUNTS = ("views", "likes", "comments", "shares", "favorites")
TEXTS = ("post_id", "title", "description", "category", "group", "source")
NUMBERS = ("latitude", "longitude", "popularity")
MAX_POST_ID = 200
# Of a published popularity, a log2: two to its power and the natural log of that must both be plain numbers.
LEAST_POPULARITY, MOST_POPULARITY = -16, 64

# Beyond 2^53 a float no longer holds every whole number, so a count read through one could be another count.
MAX_COUNT = 2**53

# Stands where a decoder met bytes that are no UTF-8: the text is not what was written.
UNDECODABLE = "\ufffd"


def _text(limit: int, *, decoded: bool = True, **column: Any) -> pandera.Column:
    checks = [pandera.Check.str_length(1, limit, error=f"not 1 to {limit:,} characters long")]
    if decoded:
        checks.append(pandera.Check(lambda texts: ~texts.str.contains(UNDECODABLE, regex=False), error="not UTF-8"))
    return pandera.Column("string", checks, **column)


def _tags_fit(tags: object) -> bool:
    return isinstance(tags, list) and len(tags) <= MAX_TAGS and all(map(_tag_fits, tags))


def _tag_fits(tag: object) -> bool:
    return isinstance(tag, str) and 0 < len(tag) <= MAX_TAG and UNDECODABLE not in tag


def _count() -> pandera.Column:
    checks = [pandera.Check.ge(0, error="a negative count"), pandera.Check.le(MAX_COUNT, error="too large for a count")]
    return pandera.Column("Int64", checks, nullable=True)


def _number(least: float, most: float) -> pandera.Column:
    check = pandera.Check.in_range(least, most, error=f"not between {least:g} and {most:g}")
    return pandera.Column("float64", check, nullable=True)


def _cells(fits: Callable[[Any], bool], error: str) -> pandera.Column:
    return pandera.Column(object, pandera.Check(fits, element_wise=True, error=error), nullable=True)


def _author_fits(facts: object) -> bool:
    if not isinstance(facts, list) or not facts:
        return False
    pairs = [pair for pair in facts if isinstance(pair, tuple) and len(pair) == 2]
    named = [(name, value) for name, value in pairs if isinstance(value, float) and str(name).isascii()]
    return len(named) == len(facts) and not fault_of_facts(named)


# Of posts.parquet and texts.parquet. Absent is null: never 0, never "".
POSTS = pandera.DataFrameSchema(
    {
        "post_id": _text(MAX_POST_ID),
        "title": _text(MAX_TITLE, nullable=True),
        "description": _text(MAX_DESCRIPTION, decoded=False, nullable=True),
        "tags": _cells(_tags_fit, "no tags as a post takes them"),
        "category": _text(MAX_TITLE, nullable=True),
        "group": _text(MAX_TITLE, nullable=True),
        "published_at": pandera.Column(pd.DatetimeTZDtype("us", "UTC"), nullable=True),
        "latitude": _number(-MAX_LATITUDE, MAX_LATITUDE),
        "longitude": _number(-MAX_LONGITUDE, MAX_LONGITUDE),
        "author": _cells(_author_fits, "no numbers known before publication"),
        "source": _text(MAX_TITLE),
        "image": _cells(lambda image: isinstance(image, bytes | str), "no bytes, no path"),
        **{name: _count() for name in COUNTS},
        "popularity": _number(LEAST_POPULARITY, MOST_POPULARITY),
    },
    strict=True,
)
POST_COLUMNS = tuple(POSTS.columns)

# Most rows of a row group: whoever reads with several threads reads as many groups at once, and leaves out those whose
# least and greatest values do not concern it.
ROW_GROUP = 122_880
# Of a folder that one process writes at a time.
LOCK = ".lock"

CLEANING_SCHEMA = pa.schema([("post_id", pa.string()), ("reason", pa.string()), ("detail", pa.string())])


def posts_schema(image: ImageKind) -> pa.Schema:
    """Arrow schema of a posts table whose pictures are file contents, or paths relative to the work folder."""
    fields = {name: pa.string() for name in TEXTS} | {name: pa.int64() for name in COUNTS}
    fields |= {name: pa.float64() for name in NUMBERS}
    fields |= {
        "tags": pa.list_(pa.string()),
        "published_at": pa.timestamp("us", tz="UTC"),
        "author": pa.map_(pa.string(), pa.float64()),
        "image": pa.binary() if image == "bytes" else pa.string(),
    }
    return pa.schema([(name, fields[name]) for name in POST_COLUMNS])


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The right to write a folder's files, of one process at a time; what a killed one left torn is removed first.

    Raises DataError when another process has it; one that is killed gives it up.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{folder} is a file; give the name of a folder.") from error
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DataError(f"Another process is writing {folder}; wait until it has finished.") from error
    try:
        for torn in folder.glob(".*.tmp"):
            torn.unlink()
        yield
    finally:
        lock.release()


class TableWriter:
    """One Parquet file being written, a row group per `append`, or several of `ROW_GROUP` rows."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self.schema, self._writer = writer.schema, writer

    def append(self, frame: pd.DataFrame) -> None:
        """Write the schema's columns of `frame`; an empty frame writes nothing."""
        if len(frame):
            columns = frame[self.schema.names]
            table = pa.Table.from_pandas(columns, schema=self.schema, preserve_index=False)
            self._writer.write_table(table, row_group_size=ROW_GROUP)


@contextmanager
def writing_table(path: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """A table to fill within the block; it stands at `path` after it, and after an error nothing does."""
    # A picture's file is compressed already; trying again only costs time.
    codecs = {name: "none" if name == "image" else "zstd" for name in schema.names}
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression=codecs) as writer:
        yield TableWriter(writer)


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema | None = None) -> None:
    """Write one Parquet file whole or not at all; types follow `schema`, or the frame's own."""
    with writing_table(path, schema or pa.Schema.from_pandas(frame, preserve_index=False)) as table:
        table.append(frame)


def replace_rows(path: Path, rows: pd.DataFrame) -> None:
    """Put `rows` into a table of a report, in place of what it holds of the same recipes and protocols.

    A table that does not say of which recipe its rows are is replaced.
    """
    keys = [name for name in ("recipe", "protocol") if name in rows]
    before = pd.read_parquet(path) if path.exists() else rows.iloc[:0]
    if not {*keys} <= {*before}:
        before = rows.iloc[:0]
    others = before[~pd.MultiIndex.from_frame(before[keys]).isin(pd.MultiIndex.from_frame(rows[keys]))]
    write_table(path, pd.concat([rows, others], ignore_index=True).sort_values(keys, kind="stable"))


def claim(folder: Path, made_from: Mapping[str, Any], what: str) -> None:
    """Say in settings.json what the parts in `folder` were made from, so that a later run may go on with them.

    `what` names them. Raises DataError, naming what differs, when the folder holds those of something else.
    """
    path = folder / "settings.json"
    wanted = json.loads(json.dumps(made_from))
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise DataError(f"{path} is damaged; remove {folder} and run the step again.") from error
    if found is None:
        write_json(path, wanted)
    elif found != wanted:
        other = [key for key in wanted if found.get(key) != wanted[key]] or ["settings"]
        raise DataError(f"{folder} holds {what} made from another {' and '.join(other)}; remove it to make it anew.")


def now() -> str:
    """The time, as reports and bundles have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def readable(path: Path) -> pa.Schema:
    """The schema of a table of a work folder. Raises DataError when it is no table that can be read."""
    try:
        return pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no Parquet file that can be read; run the step that writes it again.") from error
