"""What the ablation page asks of a report: differences between two variants of the model, and their intervals."""

import pandas as pd

from dashboard.reports import Report
from dashboard.store import query

COMPARISONS = "SELECT ablation, reference, metric, delta, low, high, seeds, n FROM comparisons"
NO_COMPARISONS = """SELECT NULL::VARCHAR AS ablation, NULL::VARCHAR AS reference, NULL::VARCHAR AS metric,
    NULL::DOUBLE AS delta, NULL::DOUBLE AS low, NULL::DOUBLE AS high, NULL::BIGINT AS seeds, NULL::BIGINT AS n
    WHERE false"""


def _comparisons(report: Report) -> str:
    return COMPARISONS if report.has("comparisons") else NO_COMPARISONS


def metrics(report: Report) -> list[str]:
    return query(report, "SELECT DISTINCT metric FROM ablations ORDER BY metric")["metric"].tolist()


def main_split(report: Report) -> str:
    """The split the ablations are read on: test where the report has it."""
    found = query(report, "SELECT DISTINCT split FROM ablations")["split"].tolist()
    return "test" if "test" in found else str(found[0]) if found else "test"


def differences(report: Report, metric: str, split: str) -> pd.DataFrame:
    """One row an ablation: family, ablation, reference, value, reference_value, delta, low, high, seeds, n.

    `delta` and its interval are the bootstrap's where comparisons.parquet has the pair; otherwise `delta` is the mean
    over seeds and the interval is null.
    """
    sql = f"""
        WITH paired AS (
            SELECT family, ablation, reference, avg(value) AS value, avg(reference_value) AS reference_value,
                   count(DISTINCT seed) AS own_seeds
            FROM ablations WHERE metric = ? AND split = ? GROUP BY family, ablation, reference),
        tested AS ({_comparisons(report)})
        SELECT p.family, p.ablation, p.reference, p.value, p.reference_value,
               coalesce(t.delta, p.value - p.reference_value) AS delta, t.low, t.high,
               coalesce(t.seeds, p.own_seeds) AS seeds, t.n
        FROM paired p LEFT JOIN tested t ON t.ablation = p.ablation AND t.reference = p.reference AND t.metric = ?
        ORDER BY p.family, delta"""
    return query(report, sql, (metric, split, metric))


def variants(report: Report, family: str) -> list[str]:
    """Everything of a family that can be set against one another: its ablations and their references."""
    sql = """
        SELECT DISTINCT variant FROM (
            SELECT ablation AS variant FROM ablations WHERE family = ?
            UNION ALL SELECT reference FROM ablations WHERE family = ?) ORDER BY variant"""
    return query(report, sql, (family, family))["variant"].tolist()


def head_to_head(report: Report, family: str, first: str, second: str, split: str) -> pd.DataFrame:
    """`first` minus `second` for every metric: metric, first, second, delta, low, high, seeds, tested.

    The bootstrap's difference is used where the report compared this pair, whichever way round. Otherwise the
    difference is paired by seed, `low` and `high` are its smallest and largest value over the seeds, and `tested`
    is false: a range over seeds is no confidence interval.
    """
    sql = f"""
        WITH long AS (
            SELECT ablation AS variant, seed, metric, value FROM ablations WHERE family = ? AND split = ?
            UNION SELECT reference, seed, metric, reference_value FROM ablations WHERE family = ? AND split = ?),
        one AS (SELECT variant, seed, metric, avg(value) AS value FROM long GROUP BY ALL),
        pair AS (
            SELECT a.metric, avg(a.value) AS first, avg(b.value) AS second, avg(a.value - b.value) AS delta,
                   min(a.value - b.value) AS low, max(a.value - b.value) AS high, count(*) AS seeds
            FROM one a JOIN one b USING (seed, metric) WHERE a.variant = ? AND b.variant = ? GROUP BY a.metric),
        tested AS ({_comparisons(report)}),
        direct AS (
            SELECT metric, delta, low, high, seeds FROM tested WHERE ablation = ? AND reference = ?
            UNION ALL SELECT metric, -delta, -high, -low, seeds FROM tested WHERE reference = ? AND ablation = ?)
        SELECT p.metric, p.first, p.second, coalesce(d.delta, p.delta) AS delta,
               CASE WHEN d.delta IS NULL THEN p.low ELSE d.low END AS low,
               CASE WHEN d.delta IS NULL THEN p.high ELSE d.high END AS high,
               coalesce(d.seeds, p.seeds) AS seeds, d.low IS NOT NULL AS tested
        FROM pair p LEFT JOIN direct d USING (metric) ORDER BY p.metric"""
    return query(report, sql, (family, split, family, split, first, second, first, second, first, second))
