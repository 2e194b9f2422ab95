"""The figure of the results page: every model's value and interval of one metric."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import ACCENT, NEUTRAL, WARM, interval_dots, layout, named_rows, plain
from dashboard.metrics import Metric, between, ranked
from dashboard.store import records

KINDS = {
    "model": ("Model", ACCENT, "circle"),
    "member": ("Member of the blend", "#6aa9d8", "diamond"),
    "baseline": ("Baseline", NEUTRAL, "circle"),
    "control": ("Control", NEUTRAL, "circle-open"),
    "leak": ("Leak", WARM, "x"),
}


def dots(table: pd.DataFrame, metric: Metric) -> go.Figure:
    """One row a model (column `name`), its value and 95% interval, coloured by kind, best at the top."""
    table = ranked(table, metric)
    figure = go.Figure()
    for kind in [*KINDS, *sorted(set(table["kind"]) - set(KINDS))]:
        rows = table[table["kind"] == kind]
        if rows.empty:
            continue
        label, color, symbol = KINDS.get(kind, (plain(kind).capitalize(), NEUTRAL, "square"))
        told = [_hover(row) for row in records(rows)]
        look = {"name": label, "customdata": told, "hovertemplate": "%{y}: %{customdata}<extra></extra>"}
        interval_dots(figure, rows, "value", color, symbol, **look)
    if metric.nominal is not None:
        figure.add_vline(x=metric.nominal, line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
    layout(figure, 90, metric.title, legend=table["kind"].nunique() > 1)
    return named_rows(figure, [plain(name) for name in table["name"]])


def _hover(row: dict[str, object]) -> str:
    found = between(row["low"], row["high"])  # type: ignore[arg-type]
    seeds = row["seeds"]
    return (
        f"{row['value']:.3f}"
        + (f" (95% interval {found})" if found else "")
        + (f", mean of {seeds} seeds" if isinstance(seeds, int) and seeds > 1 else "")
    )
