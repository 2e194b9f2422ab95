"""What the ablation page asks of a report: differences between two variants of the model, and their intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dashboard.reports import Report
from dashboard.store import query

COMPARISONS = "SELECT ablation, reference, metric, delta, low, high, seeds, n FROM comparisons"
NO_COMPARISONS = """SELECT NULL::VARCHAR AS ablation, NULL::VARCHAR AS reference, NULL::VARCHAR AS metric,
    NULL::DOUBLE AS delta, NULL::DOUBLE AS low, NULL::DOUBLE AS high, NULL::BIGINT AS seeds, NULL::BIGINT AS n
    WHERE false"""
RESAMPLES = 10_000


def _comparisons(report: Report) -> str:
    return COMPARISONS if report.has("comparisons") else NO_COMPARISONS


def over_seeds(differences: Sequence[float]) -> tuple[float, float]:
    """95% percentile bootstrap of the mean of differences paired by seed; NaN for fewer than two seeds.

    It draws seeds alone: how much another choice of test posts would change the difference is not in it.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Fill intervals that the report lacks from the column `differences`; `basis` says what each draws.

    `basis` is "seeds and posts" (the report's), "seeds", or "none".
    """
    own = [over_seeds(differences) for differences in table["differences"]]
    known = table["low"].notna()
    basis = [
        "seeds and posts" if given else "seeds" if low == low else "none"
        for given, (low, _) in zip(known, own, strict=True)
    ]
    return table.assign(
        low=table["low"].where(known, [low for low, _ in own]).astype(float),
        high=table["high"].where(known, [high for _, high in own]).astype(float),
        basis=basis,
    ).drop(columns="differences")


def metrics(report: Report) -> list[str]:
    return query(report, "SELECT DISTINCT metric FROM ablations ORDER BY metric")["metric"].tolist()


def main_split(report: Report) -> str:
    """The split the ablations are read on: test where the report has it."""
    found = query(report, "SELECT DISTINCT split FROM ablations")["split"].tolist()
    return "test" if "test" in found else str(found[0]) if found else "test"


def differences(report: Report, metric: str, split: str) -> pd.DataFrame:
    """One row an ablation: family, ablation, reference, value, reference_value, delta, low, high, seeds, n, basis.

    `delta` and its interval are the report's bootstrap where comparisons.parquet has the pair; otherwise `delta` is
    the mean over seeds, and the interval that of `over_seeds`. `basis` is "seeds and posts", "seeds" or "none".
    """
    sql = f"""
        WITH paired AS (
            SELECT family, ablation, reference, avg(value) AS value, avg(reference_value) AS reference_value,
                   count(DISTINCT seed) AS own_seeds, list(value - reference_value ORDER BY seed) AS differences
            FROM ablations WHERE metric = ? AND split = ? GROUP BY family, ablation, reference),
        tested AS ({_comparisons(report)})
        SELECT p.family, p.ablation, p.reference, p.value, p.reference_value,
               coalesce(t.delta, p.value - p.reference_value) AS delta, t.low, t.high,
               coalesce(t.seeds, p.own_seeds) AS seeds, t.n, p.differences
        FROM paired p LEFT JOIN tested t ON t.ablation = p.ablation AND t.reference = p.reference AND t.metric = ?
        ORDER BY p.family, delta"""
    return _with_intervals(query(report, sql, (metric, split, metric)))


def variants(report: Report, family: str) -> list[str]:
    """Everything of a family that can be set against one another: its ablations, then their references."""
    sql = """
        SELECT variant FROM (
            SELECT ablation AS variant, 0 AS place FROM ablations WHERE family = ?
            UNION ALL SELECT reference, 1 FROM ablations WHERE family = ?)
        GROUP BY variant ORDER BY max(place), variant"""
    return query(report, sql, (family, family))["variant"].tolist()


def head_to_head(report: Report, family: str, first: str, second: str, split: str) -> pd.DataFrame:
    """`first` minus `second` for every metric: metric, first, second, delta, low, high, seeds, basis.

    The report's bootstrap is used where it compared this pair, whichever way round. Otherwise the difference is paired
    by seed and its interval is that of `over_seeds`; `basis` tells them apart, as in `differences`.
    """
    sql = f"""
        WITH long AS (
            SELECT ablation AS variant, seed, metric, value FROM ablations WHERE family = ? AND split = ?
            UNION SELECT reference, seed, metric, reference_value FROM ablations WHERE family = ? AND split = ?),
        one AS (SELECT variant, seed, metric, avg(value) AS value FROM long GROUP BY ALL),
        pair AS (
            SELECT a.metric, avg(a.value) AS first, avg(b.value) AS second, avg(a.value - b.value) AS delta,
                   list(a.value - b.value ORDER BY seed) AS differences, count(*) AS seeds
            FROM one a JOIN one b USING (seed, metric) WHERE a.variant = ? AND b.variant = ? GROUP BY a.metric),
        tested AS ({_comparisons(report)}),
        direct AS (
            SELECT metric, delta, low, high, seeds FROM tested WHERE ablation = ? AND reference = ?
            UNION ALL SELECT metric, -delta, -high, -low, seeds FROM tested WHERE reference = ? AND ablation = ?)
        SELECT p.metric, p.first, p.second, coalesce(d.delta, p.delta) AS delta, d.low, d.high,
               coalesce(d.seeds, p.seeds) AS seeds, p.differences
        FROM pair p LEFT JOIN direct d USING (metric) ORDER BY p.metric"""
    table = query(report, sql, (family, split, family, split, first, second, first, second, first, second))
    return _with_intervals(table)
