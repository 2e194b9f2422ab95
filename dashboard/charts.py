"""Colours, and what the Plotly figures of all pages share.

The five levels run from blue through grey to orange: told apart with every common colour-blindness and on light and
dark pages. Neutral greys and the page's own font colour carry the rest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import ParamSpec

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from engine.scoring import LEVELS

P = ParamSpec("P")
LEVEL_COLORS = ("#2f6fb5", "#6aa9d8", "#9a9a9a", "#eb9a5b", "#c9541f")
ACCENT = "#3d7dc4"
WARM = "#d9692a"
DASHES = ("solid", "dash", "dot", "dashdot")
NEUTRAL = "#8b929c"
GRID = "rgba(128,128,128,0.22)"
# Width of a tile that holds one figure: two fit beside each other on a phone.
TILE = 170
# Height of a row whose name stands above its line.
ROW = 38
# More dots than this neither a browser nor a reader takes in.
MOST_DOTS = 4000
CONFIG = {"displayModeBar": False, "responsive": True}
VIEW_NAMES = {"both": "Picture and title", "text": "Title only", "image": "Picture only"}
SPLIT_NAMES = {"all": "All posts", "train": "Training", "validation": "Validation", "test": "Test"}


def kept(make: Callable[P, go.Figure]) -> Callable[P, go.Figure]:
    """A figure made once for all that ask for the same, who leave it as it is: Plotly is slow to make one."""
    return st.cache_resource(max_entries=100, show_spinner=False)(make)


def show(figure: go.Figure, key: str, alt: str) -> None:
    """Put a figure on the page; `alt` is what it says to those who do not see it."""
    st.plotly_chart(figure, config=CONFIG, key=key, alt=alt)


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
    axis = {"fixedrange": True, "gridcolor": GRID, "automargin": True, "zeroline": False}
    return figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 34 if legend else 12, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": {"text": ""}},
        hovermode="closest",
        dragmode=False,
        bargap=0.25,
        xaxis={"title": {"text": x}, **axis},
        yaxis={"title": {"text": y}, **axis},
    )


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
    look = {"xref": "paper", "xanchor": "left", "yanchor": "bottom", "yshift": 4, "showarrow": False}
    return annotate(
        figure, [{**look, "x": 0, "y": y, "text": name, "font": {"size": 12}} for y, name in enumerate(reversed(names))]
    )


def annotate(figure: go.Figure, annotations: Iterable[Mapping[str, object]]) -> go.Figure:
    """Add annotations all at once: one by one, each costs as much as all before it."""
    return figure.update_layout(annotations=[*figure.layout.annotations, *annotations])


def interval(table: pd.DataFrame, value: str) -> dict[str, object]:
    """Plotly's error bar from columns `low` and `high`; rows without an interval get none."""
    above = (table["high"] - table[value]).clip(lower=0).fillna(0)
    below = (table[value] - table["low"]).clip(lower=0).fillna(0)
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.6, "width": 0}


def interval_lines(figure: go.Figure, names: Sequence[str], table: pd.DataFrame, color: str) -> None:
    """Draw each row's `low` to `high` on the line of its name: from end to end, even where the value lies outside."""
    ends = table[["low", "high"]].assign(gap=float("nan")).astype(float).to_numpy()
    figure.add_scatter(
        x=ends.ravel(),
        y=[place for name in names for place in (name, name, None)],
        mode="lines",
        line={"color": color, "width": 1.6},
        hoverinfo="skip",
        showlegend=False,
    )


def interval_dots(figure: go.Figure, table: pd.DataFrame, value: str, color: str, symbol: str, **look: object) -> None:
    """Draw each row's `value` and its interval on the line of its `name`."""
    names = [plain(name) for name in table["name"]]
    interval_lines(figure, names, table, color)
    marker = {"color": color, "symbol": symbol, "size": 11, "line": {"width": 2, "color": color}}
    figure.add_scatter(x=table[value], y=names, mode="markers", marker=marker, **look)


def level_points(table: pd.DataFrame, places: Sequence[str], size: int, hover: str) -> go.Figure:
    """A dot a post, in two or three dimensions (columns `places`), coloured by `level`; not `chosen` ones are faint.

    Its customdata are `post_id`, level in words and `split` in words.
    """
    figure = go.Figure()
    add = figure.add_scatter3d if len(places) == 3 else figure.add_scatter
    splits = {split: SPLIT_NAMES.get(split, plain(split)) for split in table["split"].unique()}
    table = table.assign(name="", split=table["split"].map(splits))
    # What is chosen is drawn last, above the rest, and stands in the legend even where there is none.
    for chosen, opacity in ((False, 0.12), (True, 0.85)):
        for level, name in enumerate(LEVELS):
            rows = table[table["chosen"].eq(chosen) & table["level"].eq(level)]
            add(
                **{axis: rows[column] if len(rows) else [None] for axis, column in zip("xyz", places, strict=False)},
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=chosen,
                marker={"color": LEVEL_COLORS[level], "size": size, "opacity": opacity},
                customdata=rows[["post_id", "name", "split"]].assign(name=name).to_numpy(dtype=object),
                hovertemplate=hover,
            )
    return figure.update_layout(legend_itemsizing="constant")


def lines(table: pd.DataFrame, x: str, label: str, y: str) -> go.Figure:
    """One line a series: colour by `series`, dash by `style`."""
    figure = go.Figure()
    colors = (ACCENT, WARM, "#7a7f87", "#6aa9d8", "#eb9a5b")
    names = list(dict.fromkeys(table["series"]))
    styles = list(dict.fromkeys(table["style"]))
    for (name, style), rows in table.groupby(["series", "style"], sort=False):
        figure.add_scatter(
            x=rows[x],
            y=rows["value"],
            mode="lines+markers",
            name=plain(f"{name}, {style}"),
            line={
                "color": colors[names.index(name) % len(colors)],
                "dash": DASHES[styles.index(style) % len(DASHES)],
                "width": 2,
            },
            marker={"size": 5},
        )
    # On a phone the legend has one entry a row.
    layout(figure, 280 + 20 * len(figure.data), label, y, legend=True)
    if pd.api.types.is_integer_dtype(table[x]) and table[x].max() - table[x].min() <= 12:
        figure.update_xaxes(dtick=1)
    return figure
