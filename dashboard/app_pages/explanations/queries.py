"""What the page on explanations and speed asks of a report: deletion and insertion curves, and benchmarks."""

from typing import Any

import pandas as pd

from dashboard.reports import Report, read_json
from dashboard.store import query


def attribution(report: Report) -> pd.DataFrame:
    """Deletion and insertion curves of the explanation methods: mean expected level by share of the parts."""
    return query(report, "SELECT method, kind, fraction, value, n FROM attribution ORDER BY kind, method, fraction")


def attribution_summary(report: Report) -> pd.DataFrame:
    """What the curves come to, by method and metric, in the order written: methods, then their differences."""
    return query(report, "SELECT method, metric, value, low, high, n FROM attribution_summary")


def benchmarks(report: Report) -> dict[str, dict[str, Any]]:
    """Entries of hardware.json that hold a ratio, by the benchmark's name; none when there is no such file."""
    found = read_json(report, "hardware.json") or {}
    return {name: entry for name, entry in found.items() if isinstance(entry, dict) and "ratio" in entry}
