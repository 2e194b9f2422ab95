"""Figures of the calibration page: reliability, error among the surest posts, conformal sets, coverage, junk."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import (
    ACCENT,
    LEVEL_COLORS,
    NEUTRAL,
    WARM,
    interval,
    interval_lines,
    layout,
    named_rows,
    plain,
    tinted,
)
from dashboard.metrics import Metric, between
from dashboard.store import records
from engine.scoring import LEVELS


def reliability(table: pd.DataFrame, level: int) -> go.Figure:
    """Observed frequency against stated confidence; the diagonal is perfect. Marker area grows with posts."""
    color = ACCENT if level < 0 else LEVEL_COLORS[level]
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dash", "color": NEUTRAL, "width": 1.5}, hoverinfo="skip"
    )
    largest = max(float(table["n"].max()), 1.0) if len(table) else 1.0
    figure.add_scatter(
        x=table["confidence"],
        y=table["frequency"],
        mode="markers+lines",
        line={"color": tinted(color, 0.5), "width": 1},
        marker={"color": color, "size": 4 + 7 * (table["n"] / largest) ** 0.5, "opacity": 1},
        error_y=interval(table, "frequency") | {"color": color},
        customdata=table["n"],
        hovertemplate="Stated %{x:.1%}, happened %{y:.1%}<br>%{customdata:,} posts<extra></extra>",
    )
    what = "its answer" if level < 0 else LEVELS[level]
    layout(figure, 360, f"Probability of {what}", "How often it was right")
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return figure


def risk_coverage(table: pd.DataFrame, column: str, label: str, share: bool) -> go.Figure:
    """Error among the surest posts against how many are answered; the flat line is what random order would give."""
    figure = go.Figure()
    if len(table):
        figure.add_hline(y=float(table[column].iloc[-1]), line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
    figure.add_scatter(
        x=table["coverage"],
        y=table[column],
        mode="lines",
        line={"color": ACCENT, "width": 2.5},
        customdata=table["confidence"],
        hovertemplate="Surest %{x:.0%}: %{y:.3f}<br>confidence from %{customdata:.0%}<extra></extra>",
    )
    layout(figure, 360, "Share of posts answered, surest first", label)
    figure.update_xaxes(range=[0, 1.01], tickformat=".0%")
    figure.update_yaxes(rangemode="tozero", tickformat=".0%" if share else ".2f")
    return figure


def set_sizes(table: pd.DataFrame) -> go.Figure:
    """Posts by the number of levels in their conformal set."""
    figure = go.Figure(
        go.Bar(
            x=table["size"],
            y=table["share"],
            marker_color=ACCENT,
            text=[f"{share:.0%}" for share in table["share"]],
            textposition="outside",
            cliponaxis=False,
            customdata=table[["n", "coverage"]],
            hovertemplate="%{x} levels: %{customdata[0]:,} posts<br>Truth inside: %{customdata[1]:.1%}<extra></extra>",
        )
    )
    layout(figure, 240, "Levels in the set", "Share of posts")
    figure.update_xaxes(range=[0.4, 5.6], dtick=1)
    figure.update_yaxes(tickformat=".0%")
    return figure


def turned_away(table: pd.DataFrame, origins: Mapping[str, str]) -> go.Figure:
    """Share of each kind of junk that is turned away, with its interval, coloured by whether it was learned from."""
    figure = go.Figure()
    for (origin, label), color in zip(origins.items(), (ACCENT, WARM), strict=True):
        rows = table[table["origin"] == origin]
        names = [plain(name) for name in rows["kind"]]
        interval_lines(figure, names, rows, color)
        figure.add_scatter(
            x=rows["value"],
            y=names,
            mode="markers",
            name=label.capitalize(),
            marker={"color": color, "symbol": "circle" if origin == "learned" else "diamond", "size": 11},
            customdata=[
                f"{row['value']:.1%} of {row['n']:,} ({between(row['low'], row['high'], '.1%') or 'no interval'})"
                for row in records(rows)
            ],
            hovertemplate="%{y}: %{customdata}<extra></extra>",
            cliponaxis=False,
        )
    layout(figure, 90, "Share turned away", legend=True)
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%", nticks=5)
    return named_rows(figure, [plain(name) for name in table["kind"]])


def coverage(table: pd.DataFrame, what: Metric) -> go.Figure:
    """The share of each level that is covered, with its interval; what is promised is the dashed line."""
    figure = go.Figure(
        go.Scatter(
            x=table["share"],
            y=[LEVELS[int(level)] for level in table["level"]],
            mode="markers",
            marker={"color": [LEVEL_COLORS[int(level)] for level in table["level"]], "size": 11},
            error_x=interval(table, "share") | {"color": NEUTRAL},
            customdata=table["n"],
            hovertemplate="%{y}: %{x:.1%} of %{customdata:,} posts<extra></extra>",
        )
    )
    figure.add_vline(x=what.nominal, line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
    layout(figure, 240, "Share covered")
    figure.update_xaxes(tickformat=".0%", nticks=5)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=list(LEVELS), range=[-0.5, 4.5])
    return figure
