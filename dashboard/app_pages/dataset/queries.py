"""What the dataset page asks of a report. Every function returns a small table.

Only rows of the report are aggregated, in SQL; no figure is computed from raw data.
"""

import pandas as pd

from dashboard.reports import Report
from dashboard.store import query, scalar

SPLITS = ("train", "validation", "test")
PROTOCOLS = {"grouped": "split", "random": "random_split"}
# How `prepare` ends the reason of a post that never had a picture and is in no split.
TEXT_ONLY = " (text-only post)"
IN_ORDER = "CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END"


def split_sizes(report: Report) -> pd.DataFrame:
    """Posts and groups per split under both protocols: protocol, split, posts, groups, share."""
    parts = " UNION ALL ".join(
        f"SELECT '{protocol}' AS protocol, {column} AS split, count(*) AS posts, count(DISTINCT \"group\") AS groups "
        f"FROM posts GROUP BY ALL"
        for protocol, column in PROTOCOLS.items()
    )
    share = "posts / sum(posts) OVER (PARTITION BY protocol) AS share"
    sql = f"SELECT *, {share} FROM ({parts}) ORDER BY protocol, {IN_ORDER}"
    return query(report, sql)


def straddling_groups(report: Report, protocol: str) -> int:
    """Groups with posts in more than one split: each is a way for a model to recognise instead of to predict."""
    column = PROTOCOLS[protocol]
    inner = f'SELECT "group" FROM posts GROUP BY "group" HAVING count(DISTINCT {column}) > 1'
    return scalar(report, f"SELECT count(*) FROM ({inner})")


def level_shares(report: Report) -> pd.DataFrame:
    """Posts per level and split of the grouped protocol, "all" first: split, level, n, share."""
    sql = f"""
        WITH counted AS (
            SELECT 'all' AS split, level, count(*) AS n FROM posts GROUP BY ALL
            UNION ALL SELECT split, level, count(*) FROM posts GROUP BY ALL)
        SELECT *, n / sum(n) OVER (PARTITION BY split) AS share FROM counted
        ORDER BY split <> 'all', {IN_ORDER}, level"""
    return query(report, sql)


def histogram(
    report: Report, column: str, split: str | None, bins: int = 60, *, log: bool = False, whole: bool = False
) -> pd.DataFrame:
    """Counts in equal bins between the column's 0.1 and 99.9 percentiles; the rest is counted in the outer bins.

    `log` bins log10 of positive values; `whole` keeps bin widths whole, as counts need. Columns: low, high (in the
    column's units), n. The bins are the same for every split.
    """
    value = f"log10(greatest({column}, 1e-5))" if log else f"CAST({column} AS DOUBLE)"
    step, lowest = f"greatest(top - bottom, 1e-9) / {int(bins)}", f"quantile_cont({value}, 0.001)"
    if whole:
        step, lowest = f"greatest(ceil({step}), 1)", f"floor({lowest})"
    sql = f"""
        WITH scale AS (
            SELECT {lowest} AS bottom, quantile_cont({value}, 0.999) AS top FROM posts),
        width AS (
            SELECT bottom, {step} AS step,
                greatest(least(ceil((top - bottom) / ({step})) + {int(whole)}, {int(bins)}), 1) AS bins
            FROM scale),
        binned AS (
            SELECT CAST(greatest(least(floor(({value} - bottom) / step), bins - 1), 0) AS INTEGER) AS bin
            FROM posts, width WHERE {column} IS NOT NULL AND (? IS NULL OR split = ?)),
        counted AS (SELECT bin, count(*) AS n FROM binned GROUP BY bin)
        SELECT bottom + b.bin * step AS low, bottom + (b.bin + 1) * step AS high, coalesce(n, 0) AS n
        FROM width CROSS JOIN (SELECT unnest(range({int(bins)})) AS bin) b LEFT JOIN counted USING (bin)
        WHERE b.bin < bins ORDER BY low"""
    table = query(report, sql, (split, split))
    if log:
        table[["low", "high"]] = 10.0 ** table[["low", "high"]]
    return table


def counts_by(report: Report, expression: str, most: int) -> pd.DataFrame:
    """Posts per value of a column: value, n, share; the most frequent first, beyond `most` all in one row."""
    sql = f"""
        SELECT coalesce(CAST({expression} AS VARCHAR), 'unknown') AS value, count(*) AS n,
               count(*) / (SELECT count(*) FROM posts) AS share
        FROM posts GROUP BY value ORDER BY n DESC, value"""
    found = query(report, sql)
    rest = found.iloc[most:]
    if len(rest) < 2:
        return found
    others = {"value": f"{len(rest):,} others", "n": rest["n"].sum(), "share": rest["share"].sum()}
    return pd.concat([found.iloc[:most], pd.DataFrame([others])], ignore_index=True)


def sources(report: Report) -> pd.DataFrame:
    """Posts per source and split of the grouped protocol."""
    sql = """
        SELECT coalesce(source, 'unknown') AS source, count(*) AS posts,
               count(*) FILTER (split = 'train') AS train, count(*) FILTER (split = 'validation') AS validation,
               count(*) FILTER (split = 'test') AS test, median(score) AS median_score
        FROM posts GROUP BY ALL ORDER BY posts DESC"""
    return query(report, sql)


def cleaning_reasons(report: Report) -> pd.DataFrame:
    """Removed posts per reason: reason, pictured (of posts with a picture?), n, share of all such posts read.

    The report counts the posts with a picture that were kept, and no others, so the others' share is null.
    """
    sql = f"""
        WITH told AS (
            SELECT replace(reason, '{TEXT_ONLY}', '') AS reason, NOT ends_with(reason, '{TEXT_ONLY}') AS pictured,
                   count(*) AS n
            FROM cleaning GROUP BY ALL)
        SELECT *, CASE WHEN pictured THEN
               n / ((SELECT count(*) FROM posts) + (SELECT sum(n) FROM told WHERE pictured)) END AS share
        FROM told ORDER BY n DESC, reason"""
    return query(report, sql)


def removed_posts(report: Report, limit: int | None = None) -> pd.DataFrame:
    """Removed posts with their reason, in order of reason and id."""
    tail = "" if limit is None else f" LIMIT {int(limit)}"
    return query(report, f"SELECT post_id, reason FROM cleaning ORDER BY reason, post_id{tail}")
