"""What the errors page asks of a report: counts per cell and per distance, and the values of a fact."""

import pandas as pd

from dashboard.reports import Report
from dashboard.scope import Scope
from dashboard.selection import EXPRESSIONS, OUTCOMES, Selection
from dashboard.store import query

ABSTAINS, SHARE_SELECTED = "Model abstains", "Share in the selection"
MEASURES = {
    "Exact level": "predicted_level = level",
    "Within one level": "abs(predicted_level - level) <= 1",
    "Set holds the true level": "level BETWEEN set_low AND set_high",
    "Score inside its interval": "true_score BETWEEN score_low AND score_high",
    ABSTAINS: "abstain",
}


def confusion(report: Report, scope: Scope, selection: Selection) -> pd.DataFrame:
    """All 25 cells: level, predicted_level, n, row_n, share of the true level. Outcome filters do not apply."""
    where, parameters = selection.without(*OUTCOMES).where()
    sql = f"""
        WITH cells AS (SELECT a.level, b.predicted_level FROM (SELECT unnest(range(5)) AS level) a
            CROSS JOIN (SELECT unnest(range(5)) AS predicted_level) b),
        counted AS (SELECT level, predicted_level, count(*) AS n FROM answers WHERE {where} GROUP BY ALL)
        SELECT level, predicted_level, coalesce(n, 0) AS n, sum(coalesce(n, 0)) OVER (PARTITION BY level) AS row_n,
               coalesce(n / nullif(sum(coalesce(n, 0)) OVER (PARTITION BY level), 0), 0) AS share
        FROM cells LEFT JOIN counted USING (level, predicted_level) ORDER BY level, predicted_level"""
    return query(report, sql, parameters, scope.answers)


def off_by(report: Report, scope: Scope, selection: Selection) -> pd.DataFrame:
    """Posts by predicted minus true level, −4 … 4: off, n, share. Outcome filters do not apply."""
    where, parameters = selection.without(*OUTCOMES).where()
    sql = f"""
        WITH counted AS (SELECT predicted_level - level AS off, count(*) AS n FROM answers WHERE {where} GROUP BY ALL)
        SELECT r.off, coalesce(n, 0) AS n, coalesce(n, 0) / greatest(sum(coalesce(n, 0)) OVER (), 1) AS share
        FROM (SELECT unnest(range(-4, 5)) AS off) r LEFT JOIN counted USING (off) ORDER BY off"""
    return query(report, sql, parameters, scope.answers)


def field_values(report: Report, scope: Scope, field: str) -> list[str]:
    """Values of a field among the scope's posts, the most frequent first."""
    sql = f"""
        SELECT CAST({EXPRESSIONS[field]} AS VARCHAR) AS value FROM answers
        GROUP BY value ORDER BY count(*) DESC, value LIMIT 40"""
    return query(report, sql, (), scope.answers)["value"].tolist()
