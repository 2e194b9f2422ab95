"""Figures of the model and ablation pages: dots with intervals, reliability, risk against coverage, curves."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.charts import ACCENT, LEVEL_COLORS, NEUTRAL, WARM, interval, layout, named_rows, plain, tinted
from dashboard.metrics import Metric
from dashboard.store import records
from engine.scoring import LEVELS

KINDS = {
    "model": ("Model", ACCENT, "circle"),
    "member": ("Member of the blend", "#6aa9d8", "diamond"),
    "baseline": ("Baseline", NEUTRAL, "circle"),
    "control": ("Control", NEUTRAL, "circle-open"),
    "leak": ("Leak", WARM, "x"),
}
VERDICTS = {
    "better": (ACCENT, "circle"),
    "worse": (WARM, "circle"),
    "higher": (WARM, "circle"),
    "lower": (WARM, "circle"),
    "no clear difference": (NEUTRAL, "circle-open"),
    "better, seeds only": (ACCENT, "diamond-open"),
    "worse, seeds only": (WARM, "diamond-open"),
    "higher, seeds only": (WARM, "diamond-open"),
    "lower, seeds only": (WARM, "diamond-open"),
    "not tested": (NEUTRAL, "x-thin-open"),
}
DASHES = ("solid", "dash", "dot", "dashdot")
# Beyond this many times the middle row's reach, a difference is called large.
LARGE = 5


def dots(table: pd.DataFrame, metric: Metric) -> go.Figure:
    """One row a model (column `name`), its value and 95% interval, coloured by kind, best at the top."""
    table = table.sort_values("value", ascending=metric.better == "lower")
    figure = go.Figure()
    for kind, (label, color, symbol) in KINDS.items():
        rows = table[table["kind"] == kind]
        if rows.empty:
            continue
        figure.add_scatter(
            x=rows["value"],
            y=[plain(name) for name in rows["name"]],
            mode="markers",
            name=label,
            marker={"color": color, "symbol": symbol, "size": 11, "line": {"width": 2, "color": color}},
            error_x=interval(rows, "value") | {"color": color},
            customdata=[_hover(row) for row in records(rows)],
            hovertemplate="%{y}: %{customdata}<extra></extra>",
        )
    if metric.nominal is not None:
        figure.add_vline(x=metric.nominal, line={"dash": "dash", "color": NEUTRAL, "width": 1.5})
    layout(figure, 90, f"{metric.label} ({metric.direction})", legend=table["kind"].nunique() > 1)
    return named_rows(figure, [plain(name) for name in table["name"]])


def _hover(row: dict[str, object]) -> str:
    text = f"{row['value']:.3f}"
    if row["low"] == row["low"] and row["low"] is not None:
        text += f" (95% interval {row['low']:.3f} to {row['high']:.3f})"
    return text + (f", mean of {row['seeds']} seeds" if isinstance(row["seeds"], int) and row["seeds"] > 1 else "")


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
        has_range = rows[["low", "high"]].notna().all(axis=1)
        ranges = [
            f"{low:+.4f} to {high:+.4f}" if known else "no interval in the report"
            for low, high, known in zip(rows["low"], rows["high"], has_range, strict=True)
        ]
        figure.add_scatter(
            x=rows["delta"],
            y=[plain(name) for name in rows["name"]],
            mode="markers",
            name=verdict.capitalize(),
            marker={"color": color, "symbol": symbol, "size": 11, "line": {"width": 2, "color": color}},
            error_x=interval(rows, "delta") | {"color": color},
            customdata=ranges,
            hovertemplate="%{y}<br>%{x:+.4f} (%{customdata})<extra>" + verdict + "</extra>",
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5})
    layout(figure, 90, x, legend=True)
    named_rows(figure, [plain(name) for name in table["name"]])
    if reach:
        end = 1.15 * reach
        figure.update_xaxes(range=[-end, end])
        for place, delta in enumerate(reversed(table["delta"].tolist())):
            if abs(delta) > end:
                text = f"◀ {delta:+.3f}" if delta < 0 else f"{delta:+.3f} ▶"
                side = {"x": 0, "xanchor": "left"} if delta < 0 else {"x": 1, "xanchor": "right"}
                look = {"bgcolor": WARM, "font": {"size": 11, "color": "#14181f"}, "showarrow": False}
                figure.add_annotation(text=text, xref="paper", y=place, yanchor="top", yshift=2, **side, **look)
    return figure


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
    layout(figure, 320, "Share of posts answered, surest first", label)
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
    layout(figure, 340, label, y, legend=True)
    if pd.api.types.is_integer_dtype(table[x]) and table[x].max() - table[x].min() <= 12:
        figure.update_xaxes(dtick=1)
    return figure
