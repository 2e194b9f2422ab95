"""Figures of the errors page whose marks select posts: confusion matrix, distance of misses, slices.

Streamlit hands clicks back only from scatter-like traces, so cells and bars are drawn as shapes under invisible
markers; each marker carries in `customdata` what a click on it means.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.app_pages.errors.queries import ABSTAINS, SHARE_SELECTED
from dashboard.app_pages.errors.slices import ABOVE, BELOW, FEW, SAME
from dashboard.charts import ACCENT, NEUTRAL, WARM, annotate, interval_lines, layout, named_rows, plain, tinted
from dashboard.selection import describe, off_by
from dashboard.store import records
from engine.scoring import LEVELS

OUTLINE = "#e0813a"
HIT = {"size": 30, "symbol": "square", "opacity": 0.01, "color": NEUTRAL}
KEEP = {"marker": {"opacity": 0.01}}


def _box(x: tuple[float, float], y: tuple[float, float], fill: str, chosen: bool) -> dict[str, Any]:
    line = {"color": OUTLINE, "width": 3} if chosen else {"width": 0}
    ends = {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
    return {"type": "rect", **ends, "fillcolor": fill, "line": line, "layer": "above" if chosen else "below"}


def confusion(table: pd.DataFrame, true: Sequence[str], predicted: Sequence[str], ink: str) -> go.Figure:
    """True level down, predicted level across; colour and second line are the share of the true level."""
    figure = go.Figure()
    rows = records(table)
    active = bool(true or predicted)
    boxes = []
    for row in rows:
        level, guess = int(row["level"]), int(row["predicted_level"])
        chosen = active and (not true or str(level) in true) and (not predicted or str(guess) in predicted)
        color = ACCENT if level == guess else WARM
        fill = tinted(color, 0.06 + 0.64 * min(row["share"], 1.0))
        boxes.append(_box((guess - 0.48, guess + 0.48), (level - 0.48, level + 0.48), fill, chosen))
    figure.add_scatter(
        x=table["predicted_level"],
        y=table["level"],
        mode="markers+text",
        marker=HIT,
        text=[f"<b>{row['n']:,}</b><br>{row['share']:.0%}" for row in rows],
        textposition="middle center",
        textfont={"color": ink},
        customdata=[[int(row["level"]), int(row["predicted_level"]), row["n"], row["share"]] for row in rows],
        hovertemplate="%{customdata[2]:,} posts, %{customdata[3]:.1%} of their true level<extra></extra>",
        selected=KEEP | {"textfont": {"color": ink}},
        unselected=KEEP | {"textfont": {"color": ink}},
    )
    layout(figure, 430, "Predicted level", "True level")
    # The nearest marker, however far: that is the cell's own, anywhere in it.
    figure.update_layout(hoverdistance=-1, shapes=boxes)
    ticks = {"tickvals": list(range(5)), "ticktext": [name.replace(" ", "<br>") for name in LEVELS], "showgrid": False}
    figure.update_xaxes(range=[-0.52, 4.52], **ticks)
    figure.update_yaxes(range=[4.52, -0.52], **ticks)
    return figure


def distance(table: pd.DataFrame, chosen: Sequence[str]) -> go.Figure:
    """Posts by how many levels the prediction is too low or too high."""
    figure = go.Figure()
    rows = records(table)
    boxes = []
    for row in rows:
        off = int(row["off"])
        color = ACCENT if off == 0 else WARM
        fill = tinted(color, max(0.9 - 0.13 * abs(off), 0.3))
        boxes.append(_box((off - 0.4, off + 0.4), (0, row["n"]), fill, str(off) in chosen))
    top = max([row["n"] for row in rows], default=0) or 1
    figure.add_scatter(
        x=table["off"],
        y=table["n"] / 2,
        mode="markers",
        marker=HIT,
        customdata=[[int(row["off"]), row["n"], row["share"], off_by(int(row["off"]))] for row in rows],
        hovertemplate="%{customdata[3]}: %{customdata[1]:,} posts, %{customdata[2]:.1%}<extra></extra>",
        selected=KEEP,
        unselected=KEEP,
    )
    look = {"showarrow": False, "yshift": 8, "font": {"size": 10}}
    shares = [f"{row['share']:.0%}" if row["share"] >= 0.01 or row["n"] == 0 else "<1%" for row in rows]
    tops = zip(rows, shares, strict=True)
    annotate(figure, [{**look, "x": row["off"], "y": row["n"], "text": share} for row, share in tops])
    layout(figure, 430, "Predicted minus true level", "Posts")
    # The marker nearest along x alone: that of the bar, from its foot to above its top.
    figure.update_layout(hovermode="x", hoverdistance=-1, shapes=boxes)
    figure.update_xaxes(
        range=[-4.6, 4.6], tickvals=list(range(-4, 5)), ticktext=[f"{k:+d}" if k else "0" for k in range(-4, 5)]
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(range=[0, top * 1.1])
    return figure


# Verdict of a slice → colour and symbol; what is not clear or not tested is hollow.
VERDICTS = {
    BELOW: (WARM, "circle"),
    ABOVE: (ACCENT, "circle"),
    SAME: (NEUTRAL, "circle-open"),
    FEW: (NEUTRAL, "x-thin-open"),
}
# Figures of which more is not better: blue would praise it.
UNDIRECTED = (ABSTAINS, SHARE_SELECTED)


def slices(table: pd.DataFrame, chosen: set[tuple[str, str]], label: str) -> go.Figure:
    """A share per slice with its interval, and a tick at the share of the posts outside of it."""
    rows = records(table)
    names = [
        plain(f"{describe(row['field'], row['value'])} · {row['n']:,} in {row['groups']:,} groups") for row in rows
    ]
    figure = go.Figure()
    tick = {"symbol": "line-ns-open", "size": 11, "color": NEUTRAL, "line": {"width": 2, "color": NEUTRAL}}
    figure.add_scatter(x=table["rest"], y=names, mode="markers", marker=tick, name="The rest", hoverinfo="skip")
    for verdict, (color, symbol) in VERDICTS.items():
        part = [place for place, row in enumerate(rows) if row["verdict"] == verdict]
        if not part:
            continue
        if label in UNDIRECTED and color == ACCENT:
            color = WARM
        some = table.iloc[part]
        interval_lines(figure, [names[place] for place in part], some, color)
        figure.add_scatter(
            x=some["share"],
            y=[names[place] for place in part],
            mode="markers",
            name=verdict.capitalize(),
            marker={
                "color": color,
                "symbol": symbol,
                "size": [17 if (rows[place]["field"], rows[place]["value"]) in chosen else 12 for place in part],
                "line": {"width": 2, "color": color},
            },
            customdata=[[rows[place]["field"], rows[place]["value"], _against(rows[place])] for place in part],
            hovertemplate="%{y}<br>%{x:.1%}, %{customdata[2]}<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
        )
    layout(figure, 90, f"{label}, share of the slice's posts", legend=True)
    # A finger is wider than a dot; rows are further apart than this.
    figure.update_layout(hoverdistance=30)
    figure.update_xaxes(tickformat=".0%")
    return named_rows(figure, names)


def _against(row: dict[str, object]) -> str:
    """The paired difference of a slice from the rest, in words."""
    text = f"{row['difference']:+.1%} against {row['rest']:.1%} of the rest"
    if row["verdict"] == FEW:
        return f"{text}, {FEW}"
    return f"{text} (95% interval {row['difference_low']:+.1%} to {row['difference_high']:+.1%})"
