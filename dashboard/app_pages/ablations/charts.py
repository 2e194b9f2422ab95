"""The figure of the ablation page: differences with their intervals around zero."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import ACCENT, NEUTRAL, WARM, annotate, interval_dots, layout, named_rows, plain
from dashboard.metrics import EDGY, between

VERDICTS = {
    "better": (ACCENT, "circle"),
    "worse": (WARM, "circle"),
    "higher": (WARM, "circle"),
    "lower": (WARM, "circle"),
    "no clear difference": (NEUTRAL, "circle-open"),
    "not tested": (NEUTRAL, "x-thin-open"),
}
VERDICTS |= {word + EDGY: (VERDICTS[word][0], "circle-open") for word in ("better", "worse", "higher", "lower")}
# Beyond this many times the middle row's reach, a difference is called large.
LARGE = 5


def small_reach(table: pd.DataFrame) -> float | None:
    """How far from zero the rows reach that no large difference dwarfs; None when there is no such difference."""
    reach = table[["delta", "low", "high"]].abs().max(axis=1)
    small = table["delta"].abs() <= LARGE * reach.median()
    return float(reach[small].max()) if small.any() and not small.all() else None


def forest(table: pd.DataFrame, x: str, reach: float | None = None) -> go.Figure:
    """Differences (column `delta`) with intervals by `name`, around a line at zero, marked by `verdict`.

    With `reach` the axis ends there on both sides, and rows beyond are arrows at its ends.
    """
    figure = go.Figure()
    for verdict, (color, symbol) in VERDICTS.items():
        rows = table[table["verdict"] == verdict]
        if rows.empty:
            continue
        ranges = [
            between(low, high, "+.4f") or "no interval" for low, high in zip(rows["low"], rows["high"], strict=True)
        ]
        hover = "%{y}<br>%{x:+.4f} (%{customdata})<extra>" + verdict + "</extra>"
        look = {"name": verdict.capitalize(), "customdata": ranges, "hovertemplate": hover}
        interval_dots(figure, rows, "delta", color, symbol, **look)
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5})
    layout(figure, 90, x, legend=True)
    named_rows(figure, [plain(name) for name in table["name"]])
    if reach:
        end = 1.15 * reach
        figure.update_xaxes(range=[-end, end])
        places = enumerate(reversed(table["delta"].tolist()))
        annotate(figure, (_beyond(delta, place) for place, delta in places if abs(delta) > end))
    return figure


def _beyond(delta: float, place: int) -> dict[str, object]:
    """The arrow of a row that reaches beyond the axis, at its end."""
    side = {"x": 0, "xanchor": "left"} if delta < 0 else {"x": 1, "xanchor": "right"}
    look = {"bgcolor": WARM, "font": {"size": 11, "color": "#14181f"}, "showarrow": False}
    text = f"◀ {delta:+.3f}" if delta < 0 else f"{delta:+.3f} ▶"
    return {"text": text, "xref": "paper", "y": place, "yanchor": "top", "yshift": 2, **side, **look}
