"""What the errors page asks of a report: counts per cell and per distance, and pages of selected posts."""

import pandas as pd

from dashboard.app_pages.errors.selection import EXPRESSIONS, OUTCOMES, Selection
from dashboard.reports import Report
from dashboard.scope import Scope
from dashboard.store import query, scalar

# The floor keeps a score of zero comparable: a logarithm of zero would be an error.
FLOOR = 1e-9
OUTSIDE = f"""greatest(ln(greatest(q.score, {FLOOR}) / greatest(p.score_high, {FLOOR})),
    ln(greatest(p.score_low, {FLOOR}) / greatest(q.score, {FLOOR})), 0)"""
CONFIDENCE = "greatest(p.p_very_low, p.p_low, p.p_average, p.p_high, p.p_very_high)"
ORDERS = {
    "Furthest off": f"abs(p.predicted_level - p.level) DESC, {CONFIDENCE} DESC",
    "Most confident misses": f"(p.predicted_level <> p.level) DESC, {CONFIDENCE} DESC",
    "Score furthest outside its interval": f"coalesce({OUTSIDE}, 0) DESC",
    "Least certain": f"{CONFIDENCE} ASC",
    "Random": "hash(p.post_id)",
}
MEASURES = {
    "Exact level": "p.predicted_level = p.level",
    "Within one level": "abs(p.predicted_level - p.level) <= 1",
    "Set holds the true level": "p.level BETWEEN p.set_low AND p.set_high",
    "Score inside its interval": "q.score BETWEEN p.score_low AND p.score_high",
    "Model abstains": "p.abstain",
}
SHARE_SELECTED = "Share in the selection"
FACTS = """p.post_id, p.level, p.predicted_level, p.p_very_low, p.p_low, p.p_average, p.p_high, p.p_very_high,
    p.expected_level, q.score AS true_score, p.score, p.score_low, p.score_high, p.set_low, p.set_high, p.abstain,
    q.source, q.language, q.title_characters, q.image_width, q.image_height, q."group" """


FROM = "FROM predictions p JOIN posts q USING (post_id) WHERE p.model = ? AND p.view = ? AND p.split = ?"


def confusion(report: Report, scope: Scope, selection: Selection) -> pd.DataFrame:
    """All 25 cells: level, predicted_level, n, row_n, share of the true level. Outcome filters do not apply."""
    where, parameters = selection.without(*OUTCOMES).where()
    sql = f"""
        WITH cells AS (SELECT a.level, b.predicted_level FROM (SELECT unnest(range(5)) AS level) a
            CROSS JOIN (SELECT unnest(range(5)) AS predicted_level) b),
        counted AS (SELECT p.level, p.predicted_level, count(*) AS n {FROM} AND {where} GROUP BY ALL)
        SELECT level, predicted_level, coalesce(n, 0) AS n, sum(coalesce(n, 0)) OVER (PARTITION BY level) AS row_n,
               coalesce(n / nullif(sum(coalesce(n, 0)) OVER (PARTITION BY level), 0), 0) AS share
        FROM cells LEFT JOIN counted USING (level, predicted_level) ORDER BY level, predicted_level"""
    return query(report, sql, (*scope.parameters, *parameters))


def off_by(report: Report, scope: Scope, selection: Selection) -> pd.DataFrame:
    """Posts by predicted minus true level, −4 … 4: off, n, share. Outcome filters do not apply."""
    where, parameters = selection.without(*OUTCOMES).where()
    sql = f"""
        WITH counted AS (SELECT p.predicted_level - p.level AS off, count(*) AS n {FROM} AND {where} GROUP BY ALL)
        SELECT r.off, coalesce(n, 0) AS n, coalesce(n, 0) / greatest(sum(coalesce(n, 0)) OVER (), 1) AS share
        FROM (SELECT unnest(range(-4, 5)) AS off) r LEFT JOIN counted USING (off) ORDER BY off"""
    return query(report, sql, (*scope.parameters, *parameters))


def field_values(report: Report, scope: Scope, field: str) -> list[str]:
    """Values of a field among the scope's posts, the most frequent first."""
    sql = f"""
        SELECT CAST({EXPRESSIONS[field]} AS VARCHAR) AS value {FROM}
        GROUP BY value ORDER BY count(*) DESC, value LIMIT 40"""
    return query(report, sql, scope.parameters)["value"].tolist()


def selected_count(report: Report, scope: Scope, selection: Selection) -> int:
    where, parameters = selection.where()
    return scalar(report, f"SELECT count(*) {FROM} AND {where}", (*scope.parameters, *parameters))


def selected_posts(
    report: Report, scope: Scope, selection: Selection, order: str, limit: int, offset: int
) -> pd.DataFrame:
    """One page of selected posts with everything a preview shows."""
    where, parameters = selection.where()
    sql = f"""
        SELECT {FACTS}, q.thumbhash, q.image_url {FROM} AND {where}
        ORDER BY {ORDERS[order]}, p.post_id LIMIT ? OFFSET ?"""
    return query(report, sql, (*scope.parameters, *parameters, limit, offset))


def selected_table(report: Report, scope: Scope, selection: Selection, order: str) -> pd.DataFrame:
    """Every selected post, for the files."""
    where, parameters = selection.where()
    sql = f"SELECT {FACTS} {FROM} AND {where} ORDER BY {ORDERS[order]}, p.post_id"
    return query(report, sql, (*scope.parameters, *parameters))
