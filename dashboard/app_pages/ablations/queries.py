"""What the ablation page asks of a report: differences between two variants of a model, and their intervals.

A difference that the report did not bootstrap (comparisons.parquet) has no interval: `low` and `high` are NaN. `least`
and `most` are then all there is, the differences of its single seeds.
"""

from typing import Any

import pandas as pd

from dashboard.reports import Report
from dashboard.store import query, records

COMPARISONS = "SELECT ablation, reference, metric, delta, low, high, seeds, n FROM comparisons"
NO_COMPARISONS = """SELECT NULL::VARCHAR AS ablation, NULL::VARCHAR AS reference, NULL::VARCHAR AS metric,
    NULL::DOUBLE AS delta, NULL::DOUBLE AS low, NULL::DOUBLE AS high, NULL::BIGINT AS seeds, NULL::BIGINT AS n
    WHERE false"""


def _comparisons(report: Report, split: str) -> str:
    """The tested differences, which are all of test."""
    return COMPARISONS if report.has("comparisons") and split == "test" else NO_COMPARISONS


def metrics(report: Report) -> list[str]:
    return query(report, "SELECT DISTINCT metric FROM ablations ORDER BY metric")["metric"].tolist()


def main_split(report: Report) -> str:
    """The split the ablations are read on: test where the report has it."""
    found = query(report, "SELECT DISTINCT split FROM ablations")["split"].tolist()
    return "test" if "test" in found else str(found[0]) if found else "test"


def shipped(report: Report, metric: str, split: str) -> dict[str, Any] | None:
    """The shipped model's figure with picture and title: model, value, low, high, n; None when there is none."""
    if not report.has("metrics"):
        return None
    sql = """
        SELECT model, value, low, high, n FROM metrics WHERE kind = 'model' AND protocol = 'grouped' AND "view" = 'both'
               AND metric = ? AND split = ? AND value IS NOT NULL LIMIT 1"""
    found = records(query(report, sql, (metric, split)))
    return found[0] if found else None


def differences(report: Report, metric: str, split: str) -> pd.DataFrame:
    """One row an ablation: family, ablation, reference, value, reference_value, delta, low, high, least, most, seeds,
    n.

    `delta` is the report's bootstrapped difference where it compared the pair, else the mean over seeds.
    """
    sql = f"""
        WITH paired AS (
            SELECT family, ablation, reference, avg(value) AS value, avg(reference_value) AS reference_value,
                   count(DISTINCT seed) AS seeds, min(value - reference_value) AS least,
                   max(value - reference_value) AS most
            FROM ablations WHERE metric = ? AND split = ? GROUP BY family, ablation, reference),
        tested AS ({_comparisons(report, split)})
        SELECT p.family, p.ablation, p.reference, p.value, p.reference_value,
               coalesce(t.delta, p.value - p.reference_value) AS delta, t.low, t.high, p.least, p.most,
               coalesce(t.seeds, p.seeds) AS seeds, t.n
        FROM paired p LEFT JOIN tested t ON t.ablation = p.ablation AND t.reference = p.reference AND t.metric = ?
        ORDER BY p.family, delta"""
    return query(report, sql, (metric, split, metric))


def variants(report: Report, family: str) -> list[str]:
    """Everything of a family that can be set against one another: its ablations, then their references."""
    sql = """
        SELECT variant FROM (
            SELECT ablation AS variant, 0 AS place FROM ablations WHERE family = ?
            UNION ALL SELECT reference, 1 FROM ablations WHERE family = ?)
        GROUP BY variant ORDER BY max(place), variant"""
    return query(report, sql, (family, family))["variant"].tolist()


def head_to_head(report: Report, family: str, first: str, second: str, split: str) -> pd.DataFrame:
    """`first` minus `second` for every metric: metric, first, second, delta, low, high, least, most, seeds, n.

    The report's bootstrap is used where it compared this pair, whichever way round; seeds are paired otherwise.
    """
    sql = f"""
        WITH long AS (
            SELECT ablation AS variant, seed, metric, value FROM ablations WHERE family = ? AND split = ?
            UNION SELECT reference, seed, metric, reference_value FROM ablations WHERE family = ? AND split = ?),
        one AS (SELECT variant, seed, metric, avg(value) AS value FROM long GROUP BY ALL),
        pair AS (
            SELECT a.metric, avg(a.value) AS first, avg(b.value) AS second, avg(a.value - b.value) AS delta,
                   min(a.value - b.value) AS least, max(a.value - b.value) AS most, count(*) AS seeds
            FROM one a JOIN one b USING (seed, metric) WHERE a.variant = ? AND b.variant = ? GROUP BY a.metric),
        tested AS ({_comparisons(report, split)}),
        direct AS (
            SELECT metric, delta, low, high, seeds, n FROM tested WHERE ablation = ? AND reference = ?
            UNION ALL SELECT metric, -delta, -high, -low, seeds, n FROM tested WHERE reference = ? AND ablation = ?)
        SELECT p.metric, p.first, p.second, coalesce(d.delta, p.delta) AS delta, d.low, d.high, p.least, p.most,
               coalesce(d.seeds, p.seeds) AS seeds, d.n
        FROM pair p LEFT JOIN direct d USING (metric) ORDER BY p.metric"""
    return query(report, sql, (family, split, family, split, first, second, first, second, first, second))
