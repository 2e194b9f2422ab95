"""What the shipped model gains, paired by post: over its own answer to one side of the post, and over other models."""

import pandas as pd

from dashboard.reports import Report
from dashboard.scope import view_name
from dashboard.store import query, records

MISSING = (
    "The report has no differences.parquet, so its model's gains were not tested; `python -m training evaluate` "
    "writes it."
)


def differences(report: Report) -> pd.DataFrame:
    """Paired differences on test: model, view, reference, reference_view, metric, delta, low, high, n, against.

    `against` names the reference in words. No rows when the report has no such table.
    """
    if not report.has("differences"):
        return pd.DataFrame(columns=[*"model view reference reference_view metric delta low high n against".split()])
    table = query(report, "SELECT * FROM differences WHERE delta IS NOT NULL")
    return table.assign(against=[_against(row) for row in records(table)])


def _against(row: dict[str, object]) -> str:
    view = view_name(row["reference_view"]).lower()
    return f"itself, {view}" if row["reference"] == row["model"] else f"{row['reference']}, {view}"
