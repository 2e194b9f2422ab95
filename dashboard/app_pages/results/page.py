"""How good is the model, compared with what? Metrics with intervals beside baselines, controls and the leak run."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.results import queries
from dashboard.app_pages.results.charts import KINDS, dots
from dashboard.controls import download, one_metric, one_of
from dashboard.differences import MISSING, differences
from dashboard.metrics import HEADLINE, bracketed, metric, ordered
from dashboard.reports import Report
from dashboard.scope import marked, view_name
from dashboard.store import by_metric, records
from dashboard.tiles import difference_lines, interval_line, tile

TITLE = "Results"
URL = "results"
ICON = ":material/monitoring:"
QUESTION = "How good is the model, compared with what?"
NEEDS = ("metrics",)


def render(report: Report) -> None:
    choices = queries.metric_choices(report)
    if choices.empty:
        st.info("The report's metrics.parquet has no rows.")
        return
    protocol, split = _protocol(choices)
    table = queries.metric_values(report, protocol, split)
    chosen = st.pills(
        "Views (none chosen: all)",
        [view for view in charts.VIEW_NAMES if view in set(table["view"])],
        selection_mode="multi",
        format_func=view_name,
        key="views",
        bind="query-params",
        help="Of picture and title, what a model is given; what it reads of that is its own matter. When and by whom a "
        "post is published, a model that reads it sees in every view.",
    )
    if chosen:
        table = table[table["view"].isin(chosen)]
    if table.empty:
        st.info("The report has no figures for this choice.")
        return
    table = table.assign(
        name=[f"{marked(row['model'], row['kind'])} · {view_name(row['view']).lower()}" for row in records(table)]
    )
    honest = table[table["kind"] != "leak"]
    _headline(report, honest, protocol, split)
    if report.notes:
        st.info("\n".join(f"- {text.markdown(note)}" for note in report.notes), icon=":material/info:")
    _test_reads(report)
    if not honest.empty:
        _chart(honest)
        _table(honest, "metrics", f"{'-'.join(['metrics', protocol, split, *chosen])}.csv")
    _leak(table[table["kind"] == "leak"])
    _background(report)


def _test_reads(report: Report) -> None:
    """How often test was read: what is chosen after many readings has been chosen on test."""
    reads = report.facts.get("test_reads")
    if not isinstance(reads, list):
        st.caption("This report does not say how often its test posts were read.")
        return
    rows = pd.DataFrame([read for read in reads if isinstance(read, dict)], columns=["step", "at", "bundle"])
    steps = ", ".join(f"{n} × {text.markdown(step)}" for step, n in rows["step"].value_counts(sort=False).items())
    st.caption(f"Test posts were read {len(rows)} time{'s' * (len(rows) != 1)}{': ' * bool(steps)}{steps}.")
    if len(rows):
        with st.expander("Every reading of the test posts"):
            named = {"step": "Step", "at": "When", "bundle": "Bundle"}
            st.dataframe(rows.astype("string"), hide_index=True, key="test-reads", column_config=named)


def _protocol(choices: pd.DataFrame) -> tuple[str, str]:
    protocols = choices["protocol"].unique().tolist()
    with st.container(horizontal=True):
        reason = "Grouped: no known channel, series or near-duplicate on both sides. Never compare across protocols."
        protocol = one_of("Protocol", {name: name.capitalize() for name in protocols}, "protocol", reason=reason)
        splits = choices.loc[choices["protocol"] == protocol, "split"].tolist()
        reason = "Validation posts took part in what was chosen or blended, so their figures flatter."
        split = one_of("Split", {name: name.capitalize() for name in splits}, "split", splits[-1], reason=reason)
    if protocol == "random":
        st.warning(
            "Random split: posts of one channel lie on both sides, so these figures flatter every model. "
            "They are here for comparison with work that used such a split.",
            icon=":material/warning:",
        )
    return protocol, split


def _headline(report: Report, table: pd.DataFrame, protocol: str, split: str) -> None:
    """The shipped model's figures, each with its interval and its tested difference to one reference."""
    own = table[table["kind"] == "model"]
    if own.empty:
        return
    views = [view for view in charts.VIEW_NAMES if view in set(own["view"])]
    first = own[own["view"] == views[0]].iloc[0] if views else own.iloc[0]
    own = own[own["name"] == first["name"]]
    st.markdown(
        f"**{text.markdown(first['name'])}**, {text.markdown(protocol)} {text.markdown(split)} split, "
        f"{int(own['n'].max()):,} posts"
    )
    tested = _tested(report, first, protocol, split)
    figures, pairs = by_metric(own), by_metric(tested)
    with st.container(horizontal=True):
        for name in [name for name in HEADLINE if name in figures]:
            row, pair, what = figures[name], pairs.get(name), metric(name)
            lines = [interval_line(row["low"], row["high"])]
            if pair:
                lines += difference_lines(what, pair["delta"], pair["low"], pair["high"])
            elif pairs:
                lines.append("difference not tested")
            tile(what, f"{row['value']:.3f}", lines)
    if len(tested):
        st.caption(
            f"In bold, the difference to {text.markdown(tested['against'].iloc[0])}, with its 95% interval, on "
            f"{int(tested['n'].max()):,} posts. Intervals draw whole groups of related posts; differences are paired "
            "by post."
        )


def _tested(report: Report, model: pd.Series, protocol: str, split: str) -> pd.DataFrame:
    """The paired differences of a model to the reference that the reader chooses; no rows where none was tested."""
    table = differences(report)
    if not report.has("differences"):
        st.caption(MISSING)
        return table
    table = table[(table["model"] == model["model"]) & (table["view"] == model["view"])]
    if (protocol, split) != ("grouped", "test") or table.empty:
        st.caption(
            "Differences to other models are tested on the grouped test posts, for the shipped model alone, and not in "
            "every view."
        )
        return table.iloc[:0]
    # Another model is the harder question than half of the post, so it stands first.
    table = table.sort_values("reference", key=lambda names: names == model["model"], kind="stable")
    chosen = one_of("Set against", {name: name for name in table["against"].unique()}, "against")
    return table[table["against"] == chosen]


def _chart(table: pd.DataFrame) -> None:
    what = one_metric("Metric", table["metric"].unique().tolist(), "metric")
    rows = table[table["metric"] == what.name]
    st.caption(f"{what.definition} On {int(rows['n'].max()):,} posts; lines are 95% intervals.")
    charts.show(dots(rows, what), "dots", f"{what.label} of every model with intervals")


def _table(table: pd.DataFrame, key: str, file: str) -> None:
    names = ordered(table["metric"].unique().tolist())
    shown = table.assign(cell=[bracketed(row) for row in records(table)])
    wide = shown.pivot_table(index=["kind", "name", "n"], columns="metric", values="cell", aggfunc="first")
    wide = wide[names].fillna("").reset_index()
    order = {kind: place for place, kind in enumerate(KINDS)}
    wide = wide.sort_values("kind", key=lambda kinds: kinds.map(order).fillna(len(order)), kind="stable")
    columns = {name: st.column_config.TextColumn(metric(name).label, help=metric(name).definition) for name in names}
    titles: dict[str, Any] = {
        "kind": "Kind",
        "name": st.column_config.TextColumn("Model", pinned=True),
        "n": st.column_config.NumberColumn("Posts", format="localized"),
    }
    shown_first = ["name", "kind", *names, "n"]
    st.dataframe(wide[shown_first], hide_index=True, key=f"table-{key}", column_config={**titles, **columns})
    with st.container(horizontal=True, vertical_alignment="center"):
        download("Figures as CSV", table.drop(columns="name"), file)
        st.caption("Brackets hold 95% intervals.")
    if key == "metrics":
        with st.expander("What each figure means"):
            st.markdown("\n".join(f"- **{metric(name).label}**: {metric(name).definition}" for name in names))


def _leak(table: pd.DataFrame) -> None:
    if table.empty:
        return
    with st.container(border=True):
        st.markdown("**:material/water_drop: Leak run: not a result**")
        st.caption(
            "These models were given counts that nobody knows before a post is published: those that the score is made "
            "of, or others that grow with them. They show how high figures rise with such inputs."
        )
        _table(table, "leak", "leak.csv")


def _background(report: Report) -> None:
    parts = {name: report.facts[name] for name in ("config", "environment", "seconds") if name in report.facts}
    if parts:
        with st.expander("Configuration and environment"):
            st.json(parts, expanded=2)
