"""What the calibration page asks of a report, always of one model's answers to one view on one split."""

import pandas as pd

from dashboard.reports import Report
from dashboard.scope import Scope
from dashboard.selected import CONFIDENCE
from dashboard.store import query


def figures(report: Report, scope: Scope) -> pd.DataFrame:
    """The model's own metrics on the grouped split, mean over seeds: metric, value, low, high, n."""
    sql = """
        SELECT metric, avg(value) AS value, avg(low) AS low, avg(high) AS high, max(n) AS n FROM metrics
        WHERE protocol = 'grouped' AND model = ? AND "view" = ? AND split = ? AND value IS NOT NULL GROUP BY metric"""
    return query(report, sql, scope.parameters)


def reliability(report: Report, scope: Scope, level: int) -> pd.DataFrame:
    """Stated confidence against observed frequency: confidence, frequency, n, low, high (NaN where the report has no
    interval)."""
    known = report.has_column("reliability", "low") and report.has_column("reliability", "high")
    bounds = "low, high" if known else "NULL::DOUBLE AS low, NULL::DOUBLE AS high"
    sql = f"""
        SELECT confidence, frequency, n, {bounds} FROM reliability
        WHERE model = ? AND "view" = ? AND split = ? AND level = ? AND n > 0 ORDER BY confidence"""
    return query(report, sql, (*scope.parameters, level))


def coverage(report: Report, scope: Scope, metric: str) -> pd.DataFrame:
    """Share of each true level that the conformal set or the score interval covers: level, share, low, high, n."""
    sql = """
        SELECT level, value AS share, low, high, n FROM coverage
        WHERE model = ? AND "view" = ? AND split = ? AND metric = ? AND level BETWEEN 0 AND 4 AND value IS NOT NULL
        ORDER BY level"""
    return query(report, sql, (*scope.parameters, metric))


def set_sizes(report: Report, scope: Scope) -> pd.DataFrame:
    """How many levels the conformal sets hold: size, n, share, coverage."""
    sql = """
        SELECT set_high - set_low + 1 AS size, count(*) AS n, count(*) / sum(count(*)) OVER () AS share,
               avg(CAST(level BETWEEN set_low AND set_high AS INTEGER)) AS coverage
        FROM predictions WHERE model = ? AND view = ? AND split = ? AND set_low IS NOT NULL AND set_high IS NOT NULL
        GROUP BY size ORDER BY size"""
    return query(report, sql, scope.parameters)


def risk_coverage(report: Report, scope: Scope, points: int = 120) -> pd.DataFrame:
    """Error among the surest share of posts: coverage, error (share of wrong levels), distance (mean levels off)."""
    sql = f"""
        WITH ranked AS (
            SELECT CAST(level <> predicted_level AS INTEGER) AS wrong, abs(level - predicted_level) AS distance,
                   row_number() OVER surest AS rank, count(*) OVER () AS n, post_id, {CONFIDENCE} AS confidence
            FROM predictions WHERE model = ? AND view = ? AND split = ?
            WINDOW surest AS (ORDER BY {CONFIDENCE} DESC, post_id)),
        running AS (
            SELECT rank, n, avg(wrong) OVER upto AS error, avg(distance) OVER upto AS distance, confidence
            FROM ranked WINDOW upto AS (ORDER BY rank))
        SELECT rank / n AS coverage, error, distance, confidence FROM running
        WHERE rank >= least(20, n) AND (rank = n OR rank % greatest(n // {int(points)}, 1) = 0) ORDER BY rank"""
    return query(report, sql, scope.parameters)


def abstained(report: Report, scope: Scope) -> pd.DataFrame:
    """Share of posts the model abstains from, and accuracy with and without them: one row."""
    sql = """
        SELECT avg(CAST(abstain AS INTEGER)) AS share, avg(CAST(level = predicted_level AS INTEGER)) AS accuracy,
               avg(CAST(level = predicted_level AS INTEGER)) FILTER (NOT abstain) AS kept_accuracy
        FROM predictions WHERE model = ? AND view = ? AND split = ?"""
    return query(report, sql, scope.parameters)


def junk(report: Report) -> pd.DataFrame:
    """Shares of made-up junk, kinds in the report's order: view, origin, kind, metric, value, low, high, n."""
    return query(report, "SELECT * FROM guard WHERE origin <> 'test' AND \"view\" IN ('text', 'image')")


def price(report: Report) -> pd.DataFrame:
    """What the guard does to the test posts: view, metric, value, low, high, n."""
    return query(report, "SELECT * FROM guard WHERE origin = 'test'")
