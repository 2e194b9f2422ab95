"""Figures of the dataset page: histograms of the score and of other numbers, shares of levels, counts."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import ACCENT, LEVEL_COLORS, NEUTRAL, SPLIT_NAMES, layout, plain, tinted
from engine.scoring import LEVELS

LOG_TICKS = [digit * 10.0**power for power in range(-6, 9) for digit in (1, 3)]


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
