"""Is what a report's tables say possible? Asked once, when the report is opened, and every page counts on the answer.

A level outside of 0 to 4 has no name and no colour, a post that is there twice counts twice, and a null is no number.
"""

from collections.abc import Collection, Iterator

import duckdb

from engine.scoring import LEVELS

TOP = len(LEVELS) - 1
PROBABILITIES = ("p_very_low", "p_low", "p_average", "p_high", "p_very_high")
LEVELED = ("level", "predicted_level", "set_low", "set_high")
NUMBERS = ("expected_level", "score", "score_low", "score_high")


def _any(condition: str, *columns: str) -> str:
    return " OR ".join(f"{column} {condition}" for column in columns)


def _repeated(table: str, *key: str) -> str:
    names = ", ".join(key)
    return f"({names}) IN (SELECT ({names}) FROM {table} GROUP BY {names} HAVING count(*) > 1)"


# Table, rows that cannot be, and what they are called. Of each table the first that applies is told.
CHECKS = (
    ("posts", _any("IS NULL", "post_id", "split", "random_split", "level", "score"), "nulls"),
    ("posts", _any(f"NOT BETWEEN 0 AND {TOP}", "level"), f"levels outside of 0 to {TOP}"),
    ("posts", "NOT isfinite(score)", "scores that are no numbers"),
    ("posts", _repeated("posts", "post_id"), "the same post more than once"),
    (
        "predictions",
        _any("IS NULL", "model", "view", "split", "post_id", "abstain", *LEVELED, *NUMBERS, *PROBABILITIES),
        "nulls",
    ),
    ("predictions", _any(f"NOT BETWEEN 0 AND {TOP}", *LEVELED), f"levels outside of 0 to {TOP}"),
    # NaN is greater than any number, infinity among them.
    ("predictions", _any("NOT BETWEEN 0 AND 1.001", *PROBABILITIES), "probabilities outside of 0 to 1"),
    ("predictions", _any(">= 'inf'::DOUBLE", *NUMBERS), "scores that are no numbers"),
    (
        "predictions",
        _repeated("predictions", "model", "view", "split", "post_id"),
        "the same post more than once under one model, view and split",
    ),
    ("guard", _any("IS NULL", "view", "origin", "kind", "metric", "n"), "nulls"),
    (
        "guard",
        "metric IN ('withheld', 'near_prior', 'abstained') AND coalesce(value, -1) NOT BETWEEN 0 AND 1",
        "shares outside of 0 to 1",
    ),
    ("predictions", "post_id NOT IN (SELECT post_id FROM posts)", "posts that posts.parquet lacks"),
)


def faults(connection: duckdb.DuckDBPyConnection, tables: Collection[str]) -> Iterator[tuple[str, str]]:
    """(table, what is wrong with its rows) for those of `tables` that are at fault, each once."""
    told: set[str] = set()
    for table, condition, name in CHECKS:
        needed = {table, "posts"} if "FROM posts" in condition else {table}
        if needed & told or not needed <= set(tables):
            continue
        try:
            row = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()
            count = row[0] if row else 0
            fault = f"holds {count:,} row{'' if count == 1 else 's'} with {name}" if count else None
        except duckdb.Error:
            fault = "cannot be read as Parquet"
        if fault:
            told.add(table)
            yield table, fault
