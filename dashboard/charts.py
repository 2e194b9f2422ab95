"""Colours and Plotly figures shared by the pages, and the figures of the dataset page.

The five levels run from blue through grey to orange: told apart with every common colour-blindness and on light and
dark pages. Neutral greys and the page's own font colour carry the rest.
"""

from collections.abc import Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.scoring import LEVELS

LEVEL_COLORS = ("#2f6fb5", "#6aa9d8", "#9a9a9a", "#eb9a5b", "#c9541f")
ACCENT = "#3d7dc4"
WARM = "#d9692a"
NEUTRAL = "#8b929c"
GRID = "rgba(128,128,128,0.22)"
LOG_TICKS = [digit * 10.0**power for power in range(-6, 9) for digit in (1, 3)]
# Width of a tile that holds one figure: two fit beside each other on a phone.
TILE = 170
# Height of a row whose name stands above its line.
ROW = 38
CONFIG = {"displayModeBar": False, "responsive": True}
VIEW_NAMES = {"both": "Picture and title", "text": "Title only", "image": "Picture only"}
SPLIT_NAMES = {"all": "All posts", "train": "Training", "validation": "Validation", "test": "Test"}


def ink() -> str:
    """Colour of text drawn on coloured cells, by the theme the browser reports."""
    return "#f2f5f9" if st.context.theme.type == "dark" else "#14181f"


def plain(value: object) -> str:
    """Text for a Plotly label, which would otherwise read a subset of HTML."""
    return escape(str(value), quote=False)


def tinted(color: str, alpha: float) -> str:
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:.3f})"


def layout(figure: go.Figure, height: int, x: str = "", y: str = "", legend: bool = False) -> go.Figure:
    """The look every figure shares. Zoom and pan are off, so a finger can scroll past a chart."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 34 if legend else 12, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": {"text": ""}},
        hovermode="closest",
        dragmode=False,
        bargap=0.25,
    )
    figure.update_xaxes(title_text=x, fixedrange=True, gridcolor=GRID, automargin=True, zeroline=False)
    figure.update_yaxes(title_text=y, fixedrange=True, gridcolor=GRID, automargin=True, zeroline=False)
    return figure


def named_rows(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    """Give each category of the y axis, the first at the top, its name above its line, inside the plot.

    Beside the plot, names would take most of a phone's width. The figure, so far as high as all but its rows, grows.
    """
    figure.update_layout(height=figure.layout.height + ROW * len(names))
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=names[::-1],
        range=[-0.5, len(names) - 0.15],
        showticklabels=False,
        automargin=False,
    )
    for place, name in enumerate(reversed(names)):
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=place,
            yanchor="bottom",
            yshift=4,
            text=name,
            showarrow=False,
            font={"size": 12},
        )
    return figure


def score_histogram(table: pd.DataFrame, cuts: Sequence[float], log: bool) -> go.Figure:
    """Posts per bin of the score, over bands coloured by level, with the four cut lines."""
    figure = go.Figure()
    edges = [*table["low"], table["high"].iloc[-1]]
    counts = [*table["n"], table["n"].iloc[-1]]
    hover = [f"{low:.4g} to {high:.4g}" for low, high in zip(table["low"], table["high"], strict=True)]
    figure.add_scatter(
        x=edges,
        y=counts,
        line={"shape": "hv", "color": NEUTRAL, "width": 1},
        fill="tozeroy",
        fillcolor=tinted(NEUTRAL, 0.6),
        customdata=[*hover, hover[-1]],
        hovertemplate="Score %{customdata}<br>%{y:,} posts<extra></extra>",
        showlegend=False,
    )
    bounds = [edges[0], *[min(max(cut, edges[0]), edges[-1]) for cut in cuts], edges[-1]]
    if len(bounds) == len(LEVELS) + 1:
        for level, name in enumerate(LEVELS):
            color = LEVEL_COLORS[level]
            band = {"fillcolor": tinted(color, 0.3), "line_width": 0, "layer": "below"}
            figure.add_vrect(x0=bounds[level], x1=bounds[level + 1], **band)
            square = {"color": color, "symbol": "square", "size": 11}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=square, name=name)
    for cut in cuts:
        figure.add_vline(x=cut, line={"dash": "dash", "width": 1.5, "color": NEUTRAL})
    layout(figure, 360, "Score (log scale)" if log else "Score", "Posts", legend=True)
    if log:
        figure.update_xaxes(type="log", tickvals=LOG_TICKS, ticktext=[f"{tick:g}" for tick in LOG_TICKS])
    return figure


def histogram(table: pd.DataFrame, x: str, color: str = ACCENT) -> go.Figure:
    """Posts per bin of any number."""
    middle = (table["low"] + table["high"]) / 2
    hover = [f"{low:.3g} to {high:.3g}" for low, high in zip(table["low"], table["high"], strict=True)]
    figure = go.Figure(
        go.Bar(
            x=middle,
            y=table["n"],
            width=(table["high"] - table["low"]) * 0.92,
            marker_color=color,
            customdata=hover,
            hovertemplate="%{customdata}<br>%{y:,} posts<extra></extra>",
        )
    )
    return layout(figure, 260, x, "Posts")


def level_shares(table: pd.DataFrame) -> go.Figure:
    """Share of each level in every split, stacked in level order, with lines where equal fifths would end."""
    splits = list(dict.fromkeys(table["split"]))
    figure = go.Figure()
    for level, name in enumerate(LEVELS):
        rows = table[table["level"] == level].set_index("split").reindex(splits)
        figure.add_bar(
            y=[SPLIT_NAMES.get(split, plain(split)) for split in splits],
            x=rows["share"],
            orientation="h",
            name=name,
            marker_color=LEVEL_COLORS[level],
            text=[f"{share:.1%}" if share == share else "" for share in rows["share"]],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "#ffffff" if level in (0, 4) else "#14181f"},
            customdata=rows["n"],
            hovertemplate=f"{name}: %{{customdata:,}} posts, %{{x:.1%}}<extra>%{{y}}</extra>",
        )
    for fifth in (0.2, 0.4, 0.6, 0.8):
        figure.add_vline(x=fifth, line={"dash": "dot", "width": 1.5, "color": "#14181f"}, opacity=0.7)
    layout(figure, 70 + 46 * len(splits) + 40, "Share of the split's posts", legend=True)
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    figure.update_xaxes(range=[0, 1], tickformat=".0%", dtick=0.2)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def counts(table: pd.DataFrame, label: str, value: str, color: str = ACCENT) -> go.Figure:
    """Horizontal bars with the number and, where the table has one, the share."""
    shares = table["share"] if "share" in table else [None] * len(table)
    pairs = zip(table[value], shares, strict=True)
    text = [f"{n:,}" + (f" ({share:.1%})" if share is not None else "") for n, share in pairs]
    figure = go.Figure(
        go.Bar(
            y=[plain(name) for name in table[label]],
            x=table[value],
            orientation="h",
            marker_color=color,
            text=text,
            textposition="auto",
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    layout(figure, 60 + 30 * max(len(table), 1), "Posts")
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    return figure


def level_rates(table: pd.DataFrame, x: str, target: float | None = None) -> go.Figure:
    """A share per level with its interval; `target` is drawn as a dashed line."""
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
    if target is not None:
        figure.add_vline(x=target, line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
    layout(figure, 240, x)
    figure.update_xaxes(tickformat=".0%", nticks=5)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=list(LEVELS), range=[-0.5, 4.5])
    return figure


def interval(table: pd.DataFrame, value: str) -> dict[str, object]:
    """Plotly's error bar from columns `low` and `high`; rows without an interval get none."""
    above = (table["high"] - table[value]).clip(lower=0).fillna(0)
    below = (table[value] - table["low"]).clip(lower=0).fillna(0)
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.6, "width": 0}
