"""Is what a report's tables say possible? Asked once, when the report is opened, and every page counts on the answer.

A level outside of 0 to 4 has no name and no colour, a post that is there twice counts twice, and a null is no number.
"""

from collections.abc import Collection, Iterator
from itertools import combinations

import duckdb

from engine.batch.table import PROBABILITIES
from engine.scoring import LEVELS

TOP = len(LEVELS) - 1
LEVELED = ("level", "predicted_level", "set_low", "set_high")
FOREIGN = "post_id NOT IN (SELECT post_id FROM posts)"
# What may be wrong with the posts of a table, and the columns beside post_id that tell its rows apart.
AGAIN, LACKING = "the same post more than once", "posts that posts.parquet lacks"
# Of more there are too many choices of some of them.
MOST_SPLITS = 8
PARTS = {"predictions": ("model", "view", "split"), "signals": (), "embedding": ("stage", "dimensions")}
# Of bins by level or by interval of popularity, of which the first and the last are open.
BINS = f"""bin < 0 OR "by" NOT IN ('level', 'interval') OR "by" = 'level' AND bin > {TOP}
    OR bin_low >= bin_high AND NOT isnan(bin_low)"""
UNORDERED = "low > high"
NUMBERS = ("expected_level", "score", "score_low", "score_high")


def _any(condition: str, *columns: str) -> str:
    return " OR ".join(f'"{column}" {condition}' for column in columns)


def _repeated(table: str, *key: str) -> str:
    names = ", ".join(f'"{name}"' for name in key)
    return f"({names}) IN (SELECT ({names}) FROM {table} GROUP BY {names} HAVING count(*) > 1)"


# Table, rows that cannot be, and what they are called. Of each table the first that applies is told.
CHECKS = (
    ("posts", _any("IS NULL", "post_id", "split", "random_split", "level", "score"), "nulls"),
    ("posts", _any(f"NOT BETWEEN 0 AND {TOP}", "level"), f"levels outside of 0 to {TOP}"),
    ("posts", "NOT isfinite(score)", "scores that are no numbers"),
    ("posts", _repeated("posts", "post_id"), AGAIN),
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
        _repeated("predictions", *PARTS["predictions"], "post_id"),
        f"{AGAIN} under one model, view and split",
    ),
    ("guard", _any("IS NULL", "view", "origin", "kind", "metric", "n"), "nulls"),
    (
        "guard",
        "metric IN ('withheld', 'near_prior', 'abstained') AND coalesce(value, -1) NOT BETWEEN 0 AND 1",
        "shares outside of 0 to 1",
    ),
    ("predictions", FOREIGN, LACKING),
    ("signals", _any("IS NULL", "post_id", "level", "popularity", "interval", "removed"), "nulls"),
    ("signals", _any(f"NOT BETWEEN 0 AND {TOP}", "level"), f"levels outside of 0 to {TOP}"),
    ("signals", '"interval" < 0', "intervals that cannot be"),
    ("signals", "NOT isfinite(popularity)", "popularities that are no numbers"),
    ("signals", _repeated("signals", "post_id"), AGAIN),
    ("signals", FOREIGN, LACKING),
    ("consistency", _any("IS NULL", "signal", "by", "bin", "cleaning", "control", "value", "n"), "nulls"),
    ("consistency", BINS, "bins that cannot be"),
    ("consistency", UNORDERED, "intervals that end before they begin"),
    ("consistency", _repeated("consistency", "signal", "by", "bin", "cleaning", "control"), "a mean more than once"),
    ("trends", _any("IS NULL", "signal", "against", "cleaning", "control", "n"), "nulls"),
    ("trends", "abs(value) > 1 AND NOT isnan(value)", "correlations outside of -1 to 1"),
    ("trends", UNORDERED, "intervals that end before they begin"),
    ("trends", _repeated("trends", "signal", "against", "cleaning", "control"), "a trend more than once"),
    ("removal", _any("IS NULL", "by", "bin", "reason", "value", "n"), "nulls"),
    ("removal", BINS, "bins that cannot be"),
    ("removal", _any("NOT BETWEEN 0 AND 1", "value"), "shares outside of 0 to 1"),
    ("removal", UNORDERED, "intervals that end before they begin"),
    ("removal", _repeated("removal", "by", "bin", "reason"), "a share more than once"),
    ("verdicts", _any("IS NULL", "signal", "against", "verdict", "survives", "sentence"), "nulls"),
    ("verdicts", "verdict NOT IN ('grows', 'falls', 'none')", "verdicts of another kind"),
    ("verdicts", _repeated("verdicts", "signal", "against"), "a verdict more than once"),
    ("matching", _any("IS NULL", "dataset", "model", "direction", "metric", "value", "n"), "nulls"),
    ("matching", _any("NOT BETWEEN 0 AND 1", "value"), "shares outside of 0 to 1"),
    ("matching", UNORDERED, "intervals that end before they begin"),
    ("captions", _any("IS NULL", "dataset", "metric", "value", "n"), "nulls"),
    ("captions", "value NOT BETWEEN if(metric = 'difference', -1, 0) AND 1", "shares outside of 0 to 1"),
    ("captions", UNORDERED, "intervals that end before they begin"),
    ("caption_examples", _any("IS NULL", "dataset", "name", "caption"), "nulls"),
    ("adapter", _any("IS NULL", "stage", "side", "metric", "value", "n"), "nulls"),
    ("adapter", "ratio NOT BETWEEN 0 AND 1 OR stage = 'search' AND ratio IS NULL", "ratios outside of 0 to 1"),
    ("adapter", "metric = 'cka' AND value NOT BETWEEN 0 AND 1.001", "shares outside of 0 to 1"),
    ("adapter", UNORDERED, "intervals that end before they begin"),
    ("classification", _any("IS NULL", "model", "view", "split", "category", "metric", "value", "n"), "nulls"),
    ("classification", _any("NOT BETWEEN 0 AND 1", "value"), "shares outside of 0 to 1"),
    ("classification", UNORDERED, "intervals that end before they begin"),
    ("confusion", _any("IS NULL", "model", "view", "split", "category", "predicted_category", "count"), "nulls"),
    ("confusion", '"count" < 0', "counts below 0"),
    ("confusion", _repeated("confusion", "model", "view", "split", "category", "predicted_category"), "a cell twice"),
    ("picture_classes", _any("IS NULL", "recipe", "metric", "value", "n"), "nulls"),
    ("picture_classes", UNORDERED, "intervals that end before they begin"),
    ("picture_confusion", _any("IS NULL", "recipe", "category", "predicted_category", "count"), "nulls"),
    ("picture_confusion", _repeated("picture_confusion", "recipe", "category", "predicted_category"), "a cell twice"),
    ("networks", _any("IS NULL", "network", "parameters", "largest_share", "epochs", "kept_epoch"), "nulls"),
    ("networks", _any("NOT BETWEEN 0 AND 1", "largest_share"), "shares outside of 0 to 1"),
    ("recipe_curves", _any("IS NULL", "recipe", "epoch", "split", "metric"), "nulls"),
    ("embedding", _any("IS NULL", "post_id", "split", "level", "stage", "dimensions", "x", "y"), "nulls"),
    ("embedding", _any(f"NOT BETWEEN 0 AND {TOP}", "level"), f"levels outside of 0 to {TOP}"),
    ("embedding", "dimensions NOT IN (2, 3) OR dimensions = 3 AND z IS NULL", "dimensions that cannot be"),
    ("embedding", "NOT (isfinite(x) AND isfinite(y) AND isfinite(coalesce(z, 0)))", "places that are no numbers"),
    ("embedding", _repeated("embedding", "post_id", *PARTS["embedding"]), AGAIN),
    ("embedding", FOREIGN, LACKING),
)


def faults(connection: duckdb.DuckDBPyConnection, tables: Collection[str]) -> Iterator[tuple[str, str]]:
    """(table, what is wrong with its rows) for those of `tables` that are at fault, each once."""
    told: set[str] = set()
    whole: dict[str, bool] = {}
    for table, condition, name in CHECKS:
        needed = {table, "posts"} if "FROM posts" in condition else {table}
        if needed & told or not needed <= set(tables):
            continue
        try:
            if table in PARTS and name.startswith((AGAIN, LACKING)) and "posts" in tables and "posts" not in told:
                if table not in whole:
                    whole[table] = _of_whole_splits(connection, table)
                if whole[table]:
                    continue
            row = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()
            count = row[0] if row else 0
            fault = f"holds {count:,} row{'' if count == 1 else 's'} with {name}" if count else None
        except duckdb.Error:
            fault = "cannot be read as Parquet"
        if fault:
            told.add(table)
            yield table, fault


def _of_whole_splits(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Has every part of a table exactly the posts of some splits? Then none is there twice, and none is foreign.

    Told by count and sum of the posts' hashes, since looking for each among a million takes seconds. A table of which
    this cannot be said may be sound as well.
    """

    def sums(table: str, *parts: str) -> list[tuple[int, int]]:
        by = f"GROUP BY {names}" if (names := ", ".join(f'"{part}"' for part in parts)) else ""
        return connection.execute(f"SELECT count(*), sum(hash(post_id)) FROM {table} {by}").fetchall()

    found = sums("posts", "split")
    if len(found) > MOST_SPLITS:
        return False
    splits = [some for size in range(len(found) + 1) for some in combinations(found, size)]
    known = {tuple(map(sum, zip(*some, strict=True))) for some in splits}
    return known.issuperset(sums(table, *PARTS[table]))
