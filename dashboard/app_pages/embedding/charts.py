"""Figures of the embedding page: maps in two and three dimensions, linear probes, the search of the ratio."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import (
    ACCENT,
    NEUTRAL,
    WARM,
    interval,
    interval_lines,
    kept,
    layout,
    level_points,
    named_rows,
    tinted,
)
from dashboard.metrics import Metric, between
from dashboard.store import records

HOVER = "%{customdata[1]}<br>%{customdata[2]}<extra></extra>"
HEIGHT = 460
# The axes of a map mean nothing.
BLANK = {"showticklabels": False, "showgrid": False, "zeroline": False, "title": {"text": ""}}


def flat_map(table: pd.DataFrame) -> go.Figure:
    """A map in two dimensions, whose dots can be drawn around."""
    figure = layout(level_points(table, "xy", 7, HOVER), HEIGHT, legend=True)
    figure.update_xaxes(**BLANK)
    figure.update_yaxes(**BLANK, scaleanchor="x")
    return figure


def deep_map(table: pd.DataFrame) -> go.Figure:
    """A map in three dimensions, which can be turned."""
    figure = layout(level_points(table, "xyz", 3, HOVER), HEIGHT, legend=True)
    axis = BLANK | {"showbackground": False, "showspikes": False, "showline": True, "linecolor": NEUTRAL}
    return figure.update_scenes(dragmode="turntable", **{f"{name}axis": axis for name in "xyz"})


@kept
def probes(table: pd.DataFrame, x: str) -> go.Figure:
    """R² of each side (column `name`) before and after, with intervals."""
    figure = go.Figure()
    for stage, color, symbol in (("before", NEUTRAL, "diamond"), ("after", ACCENT, "circle")):
        rows = table[table["stage"] == stage]
        interval_lines(figure, rows["name"].tolist(), rows, color)
        figure.add_scatter(
            x=rows["value"],
            y=rows["name"],
            mode="markers",
            name=stage.capitalize(),
            marker={"color": color, "symbol": symbol, "size": 11},
            customdata=[f"{row['value']:.3f} ({between(row['low'], row['high'])})" for row in records(rows)],
            hovertemplate="%{y}: %{customdata}<extra>" + stage.capitalize() + "</extra>",
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1, "dash": "dot"}, layer="below")
    layout(figure, 90, x, legend=True)
    ends = [0.0, *table["low"].dropna(), *table["high"].dropna(), *table["value"]]
    room = 0.05 * (max(ends) - min(ends))
    figure.update_xaxes(range=[min(ends) - room, max(ends) + room])
    return named_rows(figure, list(dict.fromkeys(table["name"])))


@kept
def search(table: pd.DataFrame, what: Metric) -> go.Figure:
    """What validation posts say of each ratio, the chosen one in another colour."""
    figure = go.Figure(
        go.Scatter(
            x=table["ratio"],
            y=table["value"],
            mode="lines+markers",
            line={"color": tinted(NEUTRAL, 0.7), "width": 1.5},
            marker={"size": 10, "opacity": 1, "color": [WARM if chosen else ACCENT for chosen in table["chosen"]]},
            error_y=interval(table, "value") | {"color": NEUTRAL},
            customdata=[f"{row['value']:.3f} ({between(row['low'], row['high'])})" for row in records(table)],
            hovertemplate="Ratio %{x:g}: %{customdata}<extra></extra>",
        )
    )
    layout(figure, 270, "Ratio: share of the adapter in the vector", what.title)
    figure.update_xaxes(tickvals=table["ratio"].tolist())
    return figure
