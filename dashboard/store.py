"""DuckDB over a report's Parquet files: one read-only connection per report, and a cached query function."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import duckdb
import pandas as pd
import streamlit as st

from dashboard.reports import Report
from engine.errors import DataError

# The condition that a post is one of those `listed`.
AMONG = """post_id IN (SELECT unnest(from_json(?, '["VARCHAR"]')))"""


@dataclass(frozen=True)
class Prepared:
    """Rows that many statements of a page read, as the table `name`: joined and filtered once, and kept in memory.

    Made of the tables `sources`; statements that read them see these too, and no others.
    """

    name: str
    sources: tuple[str, ...]
    sql: str
    parameters: tuple[object, ...] = ()


def quoted(text: str) -> str:
    """A string literal for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def connect(folder: Path, tables: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """An in-memory database with a view per table, able to read `folder` and nothing else.

    A post has its `place` among the rows of posts, by which a few are found without reading all.
    """
    connection = duckdb.connect()
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET threads = 2")
    for table in tables:
        path = quoted(str(folder / f"{table}.parquet"))
        place = ", file_row_number AS place" if table == "posts" else ""
        connection.execute(f'CREATE VIEW "{table}" AS SELECT *{place} FROM read_parquet({path})')
    connection.execute(f"SET allowed_directories = [{quoted(str(folder))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


@st.cache_resource(max_entries=8, show_spinner=False)
def _connection(folder: str, stamp: str, tables: tuple[str, ...]) -> duckdb.DuckDBPyConnection:
    return connect(Path(folder), tables)


# Of a report of a million posts the answers to one split take some tens of MB.
@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs={Prepared: hash})
def _prepared(folder: str, stamp: str, prepared: Prepared) -> duckdb.DuckDBPyConnection:
    connection = connect(Path(folder), prepared.sources)
    connection.execute(f'CREATE TABLE "{prepared.name}" AS {prepared.sql}', list(prepared.parameters))
    return connection


@st.cache_data(max_entries=1000, show_spinner=False, hash_funcs={Prepared: hash})
def _cached(
    folder: str,
    stamp: str,
    tables: tuple[str, ...],
    prepared: Prepared | None,
    sql: str,
    parameters: tuple[object, ...],
) -> pd.DataFrame:
    connection = _prepared(folder, stamp, prepared) if prepared else _connection(folder, stamp, tables)
    # A cursor of its own: sessions share the connection, and DuckDB connections are not for several threads.
    with connection.cursor() as cursor:
        return cursor.execute(sql, list(parameters)).df()


def query(
    report: Report, sql: str, parameters: Sequence[object] = (), prepared: Prepared | None = None
) -> pd.DataFrame:
    """Rows of a statement over the report's tables or those `prepared`, cached until a file of the report changes.

    Raises DataError with a sentence for the page when a table is damaged.
    """
    folder = str(report.folder.resolve())
    try:
        return _cached(folder, str(report.stamp), tuple(sorted(report.columns)), prepared, sql, tuple(parameters))
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise DataError(f"A table of the report in {report.folder} cannot be read: {first}") from error


def listed(posts: Iterable[str]) -> str:
    """Posts as one parameter, which the cache hashes at once, for `AMONG`."""
    return json.dumps(list(posts))


def scalar(report: Report, sql: str, parameters: Sequence[object] = (), prepared: Prepared | None = None) -> int:
    """The single whole number a counting statement gives."""
    return int(query(report, sql, parameters, prepared).to_numpy()[0, 0])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dicts from column name to value."""
    return cast(list[dict[str, Any]], table.to_dict("records"))


def by_metric(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The rows of a table by their metric, the first of each."""
    return {row["metric"]: row for row in reversed(records(table))}
