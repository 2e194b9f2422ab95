"""What the dataset, model and ablation pages ask of a report. Every function returns a small table.

Only rows of the report are aggregated, in SQL; no figure is computed from raw data.
"""

import pandas as pd

from dashboard.reports import Report
from dashboard.store import query, scalar

SPLITS = ("train", "validation", "test")
PROTOCOLS = {"grouped": "split", "random": "random_split"}
# Half-width of a 95% interval in standard errors, for Wilson's interval of a share.
Z = 1.96
IN_ORDER = "CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END"


def wilson(hits: str, n: str) -> str:
    """SQL for columns `low` and `high`: Wilson's 95% interval of hits/n (NULL when n is 0)."""
    center = f"(({hits}) + {Z * Z / 2}) / (({n}) + {Z * Z})"
    half = (
        f"{Z} / (({n}) + {Z * Z}) * sqrt(greatest(({hits}) * (({n}) - ({hits})) / nullif(({n}), 0) + {Z * Z / 4}, 0))"
    )
    return f"greatest({center} - {half}, 0) AS low, least({center} + {half}, 1) AS high"


# --- dataset -------------------------------------------------------------------------------------------------------


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
    step = f"greatest(top - bottom, 1e-9) / {int(bins)}"
    if whole:
        step = f"greatest(ceil({step}), 1)"
    value = f"log10(greatest({column}, 1e-5))" if log else f"CAST({column} AS DOUBLE)"
    sql = f"""
        WITH scale AS (
            SELECT quantile_cont({value}, 0.001) AS bottom, quantile_cont({value}, 0.999) AS top FROM posts),
        width AS (
            SELECT bottom, {step} AS step, least(ceil((top - bottom) / ({step})) + {int(whole)}, {int(bins)}) AS bins
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


def counts_by(report: Report, expression: str, limit: int = 12) -> pd.DataFrame:
    """Posts per value of a column: value, n, share; the most frequent first."""
    sql = f"""
        SELECT coalesce(CAST({expression} AS VARCHAR), 'unknown') AS value, count(*) AS n,
               count(*) / (SELECT count(*) FROM posts) AS share
        FROM posts GROUP BY value ORDER BY n DESC, value LIMIT {int(limit)}"""
    return query(report, sql)


def sources(report: Report) -> pd.DataFrame:
    """Posts per source and split of the grouped protocol."""
    sql = """
        SELECT coalesce(source, 'unknown') AS source, count(*) AS posts,
               count(*) FILTER (split = 'train') AS train, count(*) FILTER (split = 'validation') AS validation,
               count(*) FILTER (split = 'test') AS test, median(score) AS median_score
        FROM posts GROUP BY ALL ORDER BY posts DESC"""
    return query(report, sql)


def cleaning_reasons(report: Report) -> pd.DataFrame:
    """Removed posts per reason, with the share of all posts read: reason, n, share."""
    sql = """
        SELECT reason, count(*) AS n,
               count(*) / ((SELECT count(*) FROM posts) + (SELECT count(*) FROM cleaning)) AS share
        FROM cleaning GROUP BY reason ORDER BY n DESC, reason"""
    return query(report, sql)


def removed_posts(report: Report, limit: int | None = None) -> pd.DataFrame:
    """Removed posts with their reason, in order of reason and id."""
    tail = "" if limit is None else f" LIMIT {int(limit)}"
    return query(report, f"SELECT post_id, reason FROM cleaning ORDER BY reason, post_id{tail}")


def removal_by_score(report: Report) -> pd.DataFrame:
    """Share removed per level of the score, where cleaning.parquet carries scores.

    Columns: level, n, removed, share, low, high.
    """
    cuts = ", ".join(str(cut) for cut in report.cuts)
    sql = f"""
        WITH every AS (
            SELECT score, false AS gone FROM posts UNION ALL SELECT score, true FROM cleaning WHERE score IS NOT NULL),
        leveled AS (SELECT len(list_filter([{cuts}], lambda cut: score > cut)) AS level, gone FROM every)
        SELECT level, count(*) AS n, count(*) FILTER (gone) AS removed, count(*) FILTER (gone) / count(*) AS share,
               {wilson("count(*) FILTER (gone)", "count(*)")}
        FROM leveled GROUP BY level ORDER BY level"""
    return query(report, sql)


# --- model ---------------------------------------------------------------------------------------------------------


def metric_values(report: Report, protocol: str, split: str) -> pd.DataFrame:
    """Every metric of every model on one protocol and split; repeated seeds become their mean, counted in `seeds`."""
    sql = """
        SELECT model, kind, view, metric, avg(value) AS value, avg(low) AS low, avg(high) AS high,
               max(n) AS n, count(DISTINCT seed) AS seeds
        FROM metrics WHERE protocol = ? AND split = ? AND value IS NOT NULL GROUP BY ALL ORDER BY kind, model, view"""
    return query(report, sql, (protocol, split))


def metric_choices(report: Report) -> pd.DataFrame:
    """The protocols and splits that metrics.parquet holds."""
    return query(report, f"SELECT DISTINCT protocol, split FROM metrics ORDER BY protocol, {IN_ORDER}")


def predicted_models(report: Report) -> pd.DataFrame:
    """Models with single predictions: model, view, split, n; models of kind `model` first."""
    sql = """
        SELECT p.model, p.view, p.split, count(*) AS n,
               bool_or(p.model IN (SELECT model FROM metrics WHERE kind = 'model')) AS main
        FROM predictions p GROUP BY p.model, p.view, p.split ORDER BY main DESC, p.model, p.view, p.split = 'test'"""
    if not report.has("metrics"):
        sql = "SELECT model, view, split, count(*) AS n, true AS main FROM predictions GROUP BY ALL ORDER BY ALL"
    return query(report, sql)


def reliability(report: Report, model: str, view: str, split: str, level: int) -> pd.DataFrame:
    """Stated confidence against observed frequency, with Wilson's interval of the frequency."""
    sql = f"""
        SELECT confidence, frequency, n, {wilson("frequency * n", "n")} FROM reliability
        WHERE model = ? AND view = ? AND split = ? AND level = ? AND n > 0 ORDER BY confidence"""
    return query(report, sql, (model, view, split, level))


def coverage(report: Report, model: str, view: str, split: str) -> pd.DataFrame:
    """Coverage of the conformal set and of the score interval, per true level and over all (level -1).

    Columns: level, n, kind (set | interval), share, low, high, set_size.
    """
    sql = f"""
        WITH held AS (
            SELECT p.level, p.level BETWEEN p.set_low AND p.set_high AS in_set,
                   q.score BETWEEN p.score_low AND p.score_high AS in_interval, p.set_high - p.set_low + 1 AS size
            FROM predictions p JOIN posts q USING (post_id) WHERE p.model = ? AND p.view = ? AND p.split = ?),
        long AS (
            SELECT level, 'set' AS kind, in_set AS held, size FROM held
            UNION ALL SELECT level, 'interval', in_interval, size FROM held),
        counted AS (
            SELECT coalesce(level, -1) AS level, kind, count(*) AS n, count(*) FILTER (held) AS hits,
                   avg(size) AS set_size
            FROM long GROUP BY GROUPING SETS ((level, kind), (kind)))
        SELECT level, kind, n, hits / n AS share, {wilson("hits", "n")}, set_size FROM counted ORDER BY kind, level"""
    return query(report, sql, (model, view, split))


def set_sizes(report: Report, model: str, view: str, split: str) -> pd.DataFrame:
    """How many levels the conformal sets hold: size, n, share, coverage."""
    sql = """
        SELECT set_high - set_low + 1 AS size, count(*) AS n, count(*) / sum(count(*)) OVER () AS share,
               avg(CAST(level BETWEEN set_low AND set_high AS INTEGER)) AS coverage
        FROM predictions WHERE model = ? AND view = ? AND split = ? GROUP BY size ORDER BY size"""
    return query(report, sql, (model, view, split))


def risk_coverage(report: Report, model: str, view: str, split: str, points: int = 120) -> pd.DataFrame:
    """Error among the surest share of posts: coverage, error (share of wrong levels), distance (mean levels off)."""
    sql = f"""
        WITH ranked AS (
            SELECT CAST(level <> predicted_level AS INTEGER) AS wrong, abs(level - predicted_level) AS distance,
                   row_number() OVER surest AS rank, count(*) OVER () AS n, post_id,
                   greatest(p_very_low, p_low, p_average, p_high, p_very_high) AS confidence
            FROM predictions WHERE model = ? AND view = ? AND split = ?
            WINDOW surest AS (
                ORDER BY greatest(p_very_low, p_low, p_average, p_high, p_very_high) DESC, post_id)),
        running AS (
            SELECT rank, n, avg(wrong) OVER upto AS error, avg(distance) OVER upto AS distance, confidence
            FROM ranked WINDOW upto AS (ORDER BY rank))
        SELECT rank / n AS coverage, error, distance, confidence FROM running
        WHERE rank >= least(20, n) AND (rank = n OR rank % greatest(n // {int(points)}, 1) = 0) ORDER BY rank"""
    return query(report, sql, (model, view, split))


def abstained(report: Report, model: str, view: str, split: str) -> pd.DataFrame:
    """Share of posts the model abstains from, and accuracy with and without them: one row."""
    sql = """
        SELECT avg(CAST(abstain AS INTEGER)) AS share, avg(CAST(level = predicted_level AS INTEGER)) AS accuracy,
               avg(CAST(level = predicted_level AS INTEGER)) FILTER (NOT abstain) AS kept_accuracy
        FROM predictions WHERE model = ? AND view = ? AND split = ?"""
    return query(report, sql, (model, view, split))


def curves(report: Report) -> pd.DataFrame:
    """Learning curves as written by the trainers."""
    return query(
        report, "SELECT model, epoch, step, split, metric, value FROM curves ORDER BY model, metric, step, epoch"
    )


def recipes(report: Report) -> pd.DataFrame:
    """Figures of recipes on grouped test, both sides seen: recipe, summary, target, metric, value, low, high, n."""
    sql = """
        SELECT recipe, summary, target, metric, value, low, high, n FROM recipes
        WHERE protocol = 'grouped' AND split = 'test' AND "view" = 'both' AND value IS NOT NULL
        ORDER BY target, recipe, metric"""
    return query(report, sql)


def crossvalidation(report: Report) -> pd.DataFrame:
    """Figures of every outer fold: recipe, protocol, fold, candidates, chosen, metric, value, n."""
    return query(report, "SELECT * FROM crossvalidation WHERE value IS NOT NULL ORDER BY protocol, fold, metric")


def crossvalidation_means(report: Report) -> pd.DataFrame:
    """Over the outer folds: protocol, metric, mean, deviation (sample standard deviation), folds, posts."""
    sql = """
        SELECT protocol, metric, avg(value) AS mean, stddev_samp(value) AS deviation, count(*) AS folds,
               CAST(sum(n) AS BIGINT) AS posts
        FROM crossvalidation WHERE value IS NOT NULL GROUP BY protocol, metric ORDER BY protocol, metric"""
    return query(report, sql)


def grid(report: Report) -> pd.DataFrame:
    """Validation figures of the candidates of a recipe's first member: candidate, iterations, depth, chosen, …"""
    return query(report, "SELECT * FROM grid WHERE value IS NOT NULL ORDER BY depth, iterations, metric")


def attribution(report: Report) -> pd.DataFrame:
    """Deletion and insertion curves of the explanation methods: mean expected level by share of the parts."""
    return query(report, "SELECT method, kind, fraction, value, n FROM attribution ORDER BY kind, method, fraction")


def attribution_summary(report: Report) -> pd.DataFrame:
    """What the curves come to, by method and metric, in the order written: methods, then their differences."""
    return query(report, "SELECT method, metric, value, low, high, n FROM attribution_summary")
