"""What the results page asks of a report: every model's figures, and the shipped model's paired differences."""

import pandas as pd

from dashboard.reports import Report
from dashboard.store import query


def metric_values(report: Report, protocol: str, split: str) -> pd.DataFrame:
    """Every metric of every model on one protocol and split; repeated seeds become their mean, counted in `seeds`."""
    sql = """
        SELECT model, coalesce(kind, 'unknown') AS kind, view, metric, avg(value) AS value, avg(low) AS low,
               avg(high) AS high, max(n) AS n, greatest(count(DISTINCT seed), 1) AS seeds
        FROM metrics WHERE protocol = ? AND split = ? AND value IS NOT NULL GROUP BY ALL ORDER BY kind, model, view"""
    return query(report, sql, (protocol, split))


def metric_choices(report: Report) -> pd.DataFrame:
    """The protocols and splits that metrics.parquet holds, the grouped protocol first, test last."""
    sql = """
        SELECT DISTINCT protocol, split FROM metrics WHERE protocol IS NOT NULL AND split IS NOT NULL
        ORDER BY protocol <> 'grouped', protocol, split = 'test', split"""
    return query(report, sql)
