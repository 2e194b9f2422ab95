"""Figures of the page: values by level or interval, spreads by level, the tools' figures, picture against title."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import (
    ACCENT,
    LEVEL_COLORS,
    NEUTRAL,
    WARM,
    interval,
    interval_dots,
    kept,
    layout,
    level_points,
    named_rows,
    plain,
)
from dashboard.metrics import between
from dashboard.store import records
from engine.scoring import LEVELS

# Distance of lines beside one another, as a share of a bin.
APART = 0.07


class Series(NamedTuple):
    """A line of `binned`: its rows have bin, label, value, low, high, n."""

    name: str
    rows: pd.DataFrame
    color: str
    faint: bool = False
    dash: str = "solid"


@kept
def binned(series: Sequence[Series], x: str, y: str, *, share: bool = False) -> go.Figure:
    """A value for each bin with its interval, a line a series; faint ones have no interval and are for comparison."""
    style = ".1%" if share else ".3f"
    figure = go.Figure()
    clear = [one.name for one in series if not one.faint]
    labels: dict[int, str] = {}
    for name, rows, color, faint, dash in series:
        labels |= dict(zip(rows["bin"], rows["label"], strict=True))
        place = 0.0 if faint else (clear.index(name) - (len(clear) - 1) / 2) * APART
        figure.add_scatter(
            x=rows["bin"] + place,
            y=rows["value"],
            mode="lines" if faint else "lines+markers",
            name=plain(name),
            opacity=0.6 if faint else 1,
            line={"color": color, "width": 1.5 if faint else 2, "dash": dash},
            marker={"size": 8},
            error_y=None if faint else interval(rows, "value") | {"color": color},
            customdata=[
                [plain(row["label"]), f"{row['value']:{style}}", between(row["low"], row["high"], style), row["n"]]
                for row in records(rows)
            ],
            hovertemplate="%{customdata[0]}: %{customdata[1]}<br>95%: %{customdata[2]}<br>%{customdata[3]:,} posts"
            f"<extra>{plain(name)}</extra>",
        )
    layout(figure, 300 + 20 * len(series), x, y, legend=True)
    places = sorted(labels)
    names = [plain(labels[place]).replace(" ", "<br>") for place in places]
    figure.update_xaxes(tickvals=places, ticktext=names, tickangle=0 if len(names) <= len(LEVELS) else None)
    figure.update_yaxes(tickformat=".0%" if share else ".2~f", nticks=6, rangemode="tozero" if share else "normal")
    return figure


@kept
def spreads(table: pd.DataFrame, y: str) -> go.Figure:
    """Half of the posts of each level in a box around the middle one, all but a tenth between the whiskers."""
    figure = go.Figure()
    for row in records(table):
        level = int(row["level"])
        figure.add_box(
            x=[f"{LEVELS[level]}<br>n = {row['n']:,}"],
            q1=[row["low"]],
            median=[row["middle"]],
            q3=[row["high"]],
            lowerfence=[row["bottom"]],
            upperfence=[row["top"]],
            marker={"color": LEVEL_COLORS[level]},
            width=0.5,
            name=LEVELS[level],
        )
    return layout(figure, 300, "", y)


@kept
def models(table: pd.DataFrame, names: Mapping[str, str], x: str) -> go.Figure:
    """Figures of column `name` with their intervals, one row a figure and a colour a model."""
    figure = go.Figure()
    looks = ((ACCENT, "circle"), (WARM, "diamond"), (NEUTRAL, "line-ns-open"))
    for (model, label), (color, symbol) in zip(names.items(), looks, strict=True):
        rows = table[table["model"] == model]
        told = [f"{row['value']:.3f} ({between(row['low'], row['high'])})" for row in records(rows)]
        hover = "%{y}: %{customdata}<extra>" + label + "</extra>"
        look = {"name": label, "customdata": told, "hovertemplate": hover, "cliponaxis": False}
        interval_dots(figure, rows, "value", color, symbol, **look)
    layout(figure, 90, x, legend=True)
    figure.update_xaxes(range=[0, 1.02], nticks=6)
    return named_rows(figure, [plain(name) for name in dict.fromkeys(table["name"])])


def sides(table: pd.DataFrame) -> go.Figure:
    """What the title alone says across, what the picture alone says up; on the dashed line both say the same."""
    figure = level_points(
        table,
        ("text", "image"),
        7,
        "True level %{customdata[1]}<br>Title alone %{x:.2f}<br>Picture alone %{y:.2f}<extra></extra>",
    )
    figure.add_shape(type="line", x0=0, y0=0, x1=4, y1=4, line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
    layout(figure, 520, "Expected level, title alone", "Expected level, picture alone", legend=True)
    both = pd.concat([table["text"], table["image"]])
    ticks = {
        "range": [both.min() - 0.1, both.max() + 0.1],
        "tickvals": list(range(5)),
        "ticktext": [name.replace(" ", "<br>") for name in LEVELS],
    }
    figure.update_xaxes(**ticks)
    figure.update_yaxes(**ticks)
    return figure
