"""How good is the model, compared with what? Metrics with intervals beside baselines, controls and the leak run."""

from typing import Literal

import pandas as pd
import streamlit as st

from dashboard import charts, model_charts, queries, text
from dashboard.app_pages import calibration, crossvalidation, explanations, recipes, speed
from dashboard.metrics import CATALOGUE, HEADLINE, metric, ordered
from dashboard.reports import Report
from dashboard.store import records

TITLE = "Model"
URL = "model"
ICON = ":material/monitoring:"
QUESTION = "How good is it, compared with what?"
NEEDS = ("metrics",)


def render(report: Report) -> None:
    choices = queries.metric_choices(report)
    if choices.empty:
        st.info("The report's metrics.parquet has no rows.")
        return
    notes(report)
    protocol, split = _protocol(choices)
    table = queries.metric_values(report, protocol, split)
    views = [view for view in charts.VIEW_NAMES if view in set(table["view"])]
    chosen = st.pills(
        "Views (none chosen: all)",
        views,
        selection_mode="multi",
        format_func=lambda view: charts.VIEW_NAMES[view],
        key="views",
        bind="query-params",
        help="What the model may see of a post.",
    )
    if chosen:
        table = table[table["view"].isin(chosen)]
    if table.empty:
        st.info("The report has no figures for this choice.")
        return
    table = table.assign(name=[_name(row) for row in records(table)])
    honest = table[table["kind"] != "leak"]
    _headline(honest, protocol, split)
    _chart(honest)
    _table(honest, "metrics", f"metrics-{protocol}-{split}.csv")
    _leak(table[table["kind"] == "leak"])
    if report.has("predictions", "posts"):
        calibration.render(report)
    recipes.render(report)
    crossvalidation.render(report)
    if report.has("curves"):
        _curves(report)
    if report.has("attribution"):
        explanations.render(report)
    speed.render(report)
    _background(report)


def notes(report: Report) -> None:
    """The report's own remarks, as they were written."""
    if report.notes:
        st.info("\n".join(f"- {text.markdown(note)}" for note in report.notes), icon=":material/info:")


def _protocol(choices: pd.DataFrame) -> tuple[str, str]:
    protocols = [name for name in queries.PROTOCOLS if name in set(choices["protocol"])]
    protocols += sorted(set(choices["protocol"]) - set(protocols))
    with st.container(horizontal=True):
        protocol = st.segmented_control(
            "Protocol",
            protocols,
            default=protocols[0],
            required=True,
            format_func=str.capitalize,
            key="protocol",
            bind="query-params",
            help="Grouped: no channel, series or near-duplicate on both sides. Never compare across protocols.",
        )
        splits = choices.loc[choices["protocol"] == protocol, "split"].tolist()
        split = st.segmented_control(
            "Split",
            splits,
            default="test" if "test" in splits else splits[0],
            required=True,
            format_func=str.capitalize,
            key="split",
            bind="query-params",
            help="Models were chosen on validation; test was read once.",
        )
    if protocol == "random":
        st.warning(
            "Random split: posts of one channel lie on both sides, so these figures flatter every model. "
            "They are here for comparison with work that used such a split.",
            icon=":material/warning:",
        )
    return str(protocol), str(split)


def _name(row: dict[str, object]) -> str:
    view = charts.VIEW_NAMES.get(str(row["view"]), str(row["view"])).lower()
    return f"{row['model']} · {view}"


def _headline(table: pd.DataFrame, protocol: str, split: str) -> None:
    """The model's figures beside the best baseline's."""
    own = table[table["kind"] == "model"]
    if own.empty:
        return
    places = {view: place for place, view in enumerate(charts.VIEW_NAMES)}
    first = own.sort_values("view", key=lambda views: views.map(places).fillna(len(places))).iloc[0]
    own = own[own["name"] == first["name"]].set_index("metric")
    st.markdown(
        f"**{text.markdown(first['name'])}**, {text.markdown(protocol)} {text.markdown(split)} split, "
        f"{int(own['n'].max()):,} posts"
    )
    with st.container(horizontal=True):
        for name in HEADLINE:
            if name not in own.index:
                continue
            row, what = own.loc[name], metric(name)
            others = table[(table["kind"] == "baseline") & (table["metric"] == name)]
            delta = None
            color: Literal["normal", "inverse", "off"] = "off"
            if not others.empty:
                best = others["value"].min() if what.better == "lower" else others["value"].max()
                delta = f"{row['value'] - best:+.3f}"
                if pd.notna(row["low"]) and not row["low"] <= best <= row["high"]:
                    color = "inverse" if what.better == "lower" else "normal"
            st.metric(
                what.label,
                f"{row['value']:.3f}",
                delta,
                delta_color=color,
                help=f"{what.meaning} 95% interval: {_between(row)}.",
                border=True,
                width=charts.TILE,
            )
    st.caption("Below each figure: its distance to the best baseline, grey when that lies inside the 95% interval.")


def _between(row: pd.Series) -> str:
    return f"{row['low']:.3f} to {row['high']:.3f}" if pd.notna(row["low"]) else "none in the report"


def _chart(table: pd.DataFrame) -> None:
    names = ordered(table["metric"].unique().tolist())
    choice = st.selectbox(
        "Metric", names, format_func=lambda name: metric(name).label, key="metric", bind="query-params", width=320
    )
    what = metric(str(choice))
    st.caption(f"{what.meaning} {what.direction[0].upper()}{what.direction[1:]}. Lines are 95% intervals.")
    rows = table[table["metric"] == what.name]
    chart = model_charts.dots(rows, what)
    st.plotly_chart(chart, config=charts.CONFIG, key="dots", alt=f"{what.label} of every model with intervals")


def _table(table: pd.DataFrame, key: str, file: str) -> None:
    names = ordered(table["metric"].unique().tolist())
    shown = table.assign(
        cell=[
            f"{row['value']:.3f}" + (f" [{row['low']:.3f}, {row['high']:.3f}]" if pd.notna(row["low"]) else "")
            for row in records(table)
        ]
    )
    wide = shown.pivot(index=["kind", "name"], columns="metric", values="cell")[names].reset_index()
    order = {kind: place for place, kind in enumerate(model_charts.KINDS)}
    wide = wide.sort_values("kind", key=lambda kinds: kinds.map(order).fillna(len(order)), kind="stable")
    columns = {name: st.column_config.TextColumn(metric(name).label, help=_help(name)) for name in names}
    st.dataframe(
        wide,
        hide_index=True,
        key=f"table-{key}",
        column_config={"kind": "Kind", "name": st.column_config.TextColumn("Model", pinned=True), **columns},
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        plain = table.drop(columns="name")
        st.download_button("Figures as CSV", text.csv(plain), file, "text/csv", key=f"csv-{key}", on_click="ignore")
        st.caption("Brackets hold 95% intervals. Hover a heading for its definition.")
    if key == "metrics":
        with st.expander("What each figure means"):
            st.markdown(
                "\n".join(f"- **{CATALOGUE[name].label}**: {_help(name)}" for name in names if name in CATALOGUE)
            )


def _help(name: str) -> str:
    what = metric(name)
    return f"{what.meaning} {what.direction[0].upper()}{what.direction[1:]}."


def _leak(table: pd.DataFrame) -> None:
    if table.empty:
        return
    with st.container(border=True):
        st.markdown("**:material/water_drop: Leak run: not a result**")
        st.caption(
            "These models were given the counts that the score is made of. They show how high figures rise when the "
            "answer is among the inputs; no post has counts before it is published."
        )
        _table(table, "leak", "leak.csv")


def _curves(report: Report) -> None:
    table = queries.curves(report)
    if table.empty:
        return
    st.subheader("Learning curves", anchor=False)
    names = table["metric"].unique().tolist()
    choice = st.pills(
        "Figure", names, default=names[0], required=True, format_func=_curve_name, key="curve", bind="query-params"
    )
    rows = table[table["metric"] == choice].rename(columns={"model": "series", "split": "style"})
    x = "epoch" if rows["epoch"].nunique() > 1 else "step"
    chart = model_charts.lines(rows, x, x.capitalize(), _curve_name(str(choice)))
    st.plotly_chart(chart, config=charts.CONFIG, key="curves", alt="Learning curves")


def _curve_name(name: str) -> str:
    """A curve's figure in words: trainers add the view to the metric, as in "src_both"."""
    base, _, view = name.rpartition("_")
    return f"{metric(base).label}, {charts.VIEW_NAMES[view].lower()}" if view in charts.VIEW_NAMES else _plain(name)


def _plain(name: str) -> str:
    return CATALOGUE[name].label if name in CATALOGUE else name.replace("_", " ").capitalize()


def _background(report: Report) -> None:
    parts = {name: report.facts[name] for name in ("config", "environment", "seconds") if name in report.facts}
    if parts:
        with st.expander("Configuration and environment"):
            st.json(parts, expanded=2)
