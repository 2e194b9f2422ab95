"""What the embedding page asks of a report: places of posts on a map, and figures of the adapters."""

from typing import Any

import pandas as pd

from dashboard.charts import MOST_DOTS
from dashboard.reports import Report
from dashboard.scope import Scope
from dashboard.selected import chosen
from dashboard.selection import Selection
from dashboard.store import query, records, scalar


def splits(report: Report) -> list[str]:
    """Splits of the posts on the maps."""
    return query(report, "SELECT DISTINCT split FROM embedding ORDER BY split")["split"].tolist()


def stages(report: Report, dimensions: int) -> list[str]:
    sql = "SELECT DISTINCT stage FROM embedding WHERE dimensions = ? ORDER BY stage = 'after', stage"
    return query(report, sql, (dimensions,))["stage"].tolist()


def places(report: Report, stage: str, dimensions: int, scope: Scope, selection: Selection) -> pd.DataFrame:
    """Posts of the scope's split on a map: post_id, x, y, z, level, split, chosen.

    `MOST_DOTS` at most, drawn by chance, the same on every map.
    """
    sql = f"""
        SELECT post_id, x, y, z, level, split FROM embedding
        WHERE stage = ? AND dimensions = ? AND ? IN (split, 'all') ORDER BY hash(post_id) LIMIT {MOST_DOTS}"""
    table = query(report, sql, (stage, dimensions, scope.split))
    return chosen(report, scope, selection, table)


def count(report: Report, stage: str, dimensions: int, split: str) -> int:
    """Posts on a map, drawn or not."""
    sql = "SELECT count(*) FROM embedding WHERE stage = ? AND dimensions = ? AND ? IN (split, 'all')"
    return scalar(report, sql, (stage, dimensions, split))


def probes(report: Report) -> pd.DataFrame:
    """R² of linear probes: side, stage, value, low, high, n."""
    sql = """
        SELECT side, stage, value, low, high, n FROM adapter WHERE metric = 'linear_probe_r2' AND isfinite(value)
        ORDER BY side = 'both', side, stage = 'difference', stage = 'after'"""
    return query(report, sql)


def likeness(report: Report) -> dict[str, dict[str, Any]]:
    """CKA of the vectors before and after, by side."""
    sql = "SELECT side, value, low, high, n FROM adapter WHERE metric = 'cka' AND isfinite(value)"
    return {row["side"]: row for row in records(query(report, sql))}


def search(report: Report) -> pd.DataFrame:
    """What validation posts say of each ratio, with the one that won: ratio, metric, value, low, high, n, chosen."""
    sql = """
        SELECT ratio, metric, value, low, high, n, row_number() OVER (ORDER BY value DESC, ratio) = 1 AS chosen
        FROM adapter WHERE stage = 'search' AND isfinite(value) ORDER BY ratio"""
    return query(report, sql)
