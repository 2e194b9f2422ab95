"""The tables of a work folder: what posts.parquet must look like, and how tables get there, whole or not at all.

Tables are written in row groups under temporary names and put in place together by `os.replace`, so a run that is
killed leaves either the former tables or the new ones, never a part of one.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DataError
from engine.posts import MAX_DESCRIPTION, MAX_TAG, MAX_TAGS, MAX_TITLE

ImageKind = Literal["bytes", "path"]

COUNTS = ("views", "likes", "comments", "shares", "favorites")
TEXTS = ("post_id", "title", "description", "category", "group", "source")
MAX_POST_ID = 200

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
    return isinstance(tags, list) and len(tags) <= MAX_TAGS and all(0 < len(tag) <= MAX_TAG for tag in tags)


def _count() -> pandera.Column:
    checks = [
        pandera.Check.ge(0, error="a negative count"),
        pandera.Check.le(MAX_COUNT, error="too large for a count"),
    ]
    return pandera.Column("Int64", checks, nullable=True)


# Of posts.parquet and texts.parquet. Absent is null: never 0, never "".
POSTS = pandera.DataFrameSchema(
    {
        "post_id": _text(MAX_POST_ID),
        "title": _text(MAX_TITLE, nullable=True),
        "description": _text(MAX_DESCRIPTION, decoded=False, nullable=True),
        "tags": pandera.Column(
            object, pandera.Check(_tags_fit, element_wise=True, error="no tags as a post takes them"), nullable=True
        ),
        "category": _text(MAX_TITLE, nullable=True),
        "group": _text(MAX_TITLE, nullable=True),
        "published_at": pandera.Column(pd.DatetimeTZDtype("us", "UTC"), nullable=True),
        "source": _text(MAX_TITLE),
        "image": pandera.Column(
            object,
            pandera.Check(lambda image: isinstance(image, bytes | str), element_wise=True, error="no bytes, no path"),
            nullable=True,
        ),
        **{name: _count() for name in COUNTS},
    },
    strict=True,
)
POST_COLUMNS = tuple(POSTS.columns)

CLEANING_SCHEMA = pa.schema([("post_id", pa.string()), ("reason", pa.string()), ("detail", pa.string())])


def posts_schema(image: ImageKind) -> pa.Schema:
    """Arrow schema of a posts table whose pictures are file contents, or paths relative to the work folder."""
    fields = {name: pa.string() for name in TEXTS} | {name: pa.int64() for name in COUNTS}
    fields |= {
        "tags": pa.list_(pa.string()),
        "published_at": pa.timestamp("us", tz="UTC"),
        "image": pa.binary() if image == "bytes" else pa.string(),
    }
    return pa.schema([(name, fields[name]) for name in POST_COLUMNS])


class TableWriter:
    """One Parquet file being written, a row group per `append`; made by `Staging.table`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        # A picture's file is compressed already; trying again only costs time.
        codecs = {name: "none" if name == "image" else "zstd" for name in schema.names}
        self._writer = pq.ParquetWriter(path, schema, compression=codecs)

    def append(self, frame: pd.DataFrame) -> None:
        """Write the schema's columns of `frame` as a row group; an empty frame writes nothing."""
        if len(frame):
            columns = frame[self.schema.names]
            self._writer.write_table(pa.Table.from_pandas(columns, schema=self.schema, preserve_index=False))
            self.rows += len(frame)

    def close(self) -> None:
        self._writer.close()


class Staging:
    """Files of one step, written under temporary names and put in place together when the block ends without error.

    The file named `last` is removed before the others are replaced and put in place after them, so its presence means
    that all belong together.
    """

    def __init__(self, folder: Path, last: str | None = None) -> None:
        self.folder = folder
        self.last = last
        self._tables: dict[str, TableWriter] = {}
        self._names: list[str] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def _temporary(self, name: str) -> Path:
        return self.folder / f".{name}.tmp"

    def table(self, name: str, schema: pa.Schema) -> TableWriter:
        """Start the table `name`."""
        self._tables[name] = TableWriter(self._temporary(name), schema)
        self._names.append(name)
        return self._tables[name]

    def json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write `content` as the JSON file `name`."""
        self._temporary(name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        self._names.append(name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for table in self._tables.values():
            table.close()
        if error is not None:
            for name in self._names:
                self._temporary(name).unlink(missing_ok=True)
            return
        if self.last:
            (self.folder / self.last).unlink(missing_ok=True)
        for name in sorted(self._names, key=lambda name: name == self.last):
            os.replace(self._temporary(name), self.folder / name)


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema | None = None) -> None:
    """Write one Parquet file whole or not at all; types follow `schema`, or the frame's own."""
    schema = schema or pa.Schema.from_pandas(frame, preserve_index=False)
    with Staging(path.parent) as staging:
        staging.table(path.name, schema).append(frame)


def claim(folder: Path, facts: Mapping[str, Any], what: str) -> None:
    """Say in settings.json what the parts in `folder` were made from, so that a later run may go on with them.

    `what` names them. Raises DataError when the folder holds those of something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    written = json.dumps(facts, indent=1, sort_keys=True)
    if path.exists() and path.read_text() != written:
        raise DataError(f"{folder} holds {what} of other posts or settings; remove it.")
    path.write_text(written)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table of a work folder, whole counts as Int64. Raises DataError when it is missing or lacks a column."""
    try:
        missing = [name for name in columns or () if name not in pq.read_schema(path).names]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; run the step that writes it again.")
        table = pq.read_table(path, columns=list(columns) if columns is not None else None)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; run the step that writes it first (`python -m training`).") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no Parquet file that can be read; run the step that writes it again.") from error
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def read_info(work: Path) -> dict[str, Any]:
    """What `prepare` wrote of its dataset (`dataset.json`). Raises DataError when it has not finished in `work`."""
    try:
        info = json.loads((work / "dataset.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{work} holds no prepared dataset; run `python -m training prepare` first.") from error
    except ValueError as error:
        raise DataError(f"{work / 'dataset.json'} is broken; run `python -m training prepare` again.") from error
    if not isinstance(info, dict):
        raise DataError(f"{work / 'dataset.json'} is broken; run `python -m training prepare` again.")
    return info
