"""May its certainty be believed? Stated probabilities, sets and intervals of one model against what happened."""

import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.calibration import charts as own_charts
from dashboard.app_pages.calibration import guard, queries
from dashboard.metrics import between, metric
from dashboard.reports import Report
from dashboard.scope import Scope, scope_controls
from dashboard.store import by_metric
from dashboard.tiles import interval_line, tile
from engine.scoring import LEVELS

TITLE = "Calibration"
URL = "calibration"
ICON = ":material/target:"
QUESTION = "May its certainty be believed?"
NEEDS = ("predictions",)

TOP_LABEL = -1
# Width of a small chart in pixels.
PART = 265
COVERAGES = {"conformal_coverage": "Conformal set", "interval_coverage": "Score interval"}
TILES = ("conformal_coverage", "conformal_set_size", "interval_coverage", "ece", "classwise_ece", "log_loss")


def render(report: Report) -> None:
    scope = scope_controls(report)
    if scope is None:
        return
    sizes = queries.set_sizes(report, scope)
    _tiles(report, scope, int(sizes["n"].sum()))
    left, right = st.columns(2, gap="medium")
    with left:
        _reliability(report, scope)
    with right:
        _risk(report, scope)
    st.subheader("Are its promises kept for every level?", anchor=False)
    st.caption(f"{scope.words}. Dashed lines are what is promised; lines are 95% intervals that draw whole groups.")
    if not report.has("coverage"):
        st.caption("The report has no coverage.parquet, so coverage of each level is left out; `evaluate` writes it.")
    # As many abreast as there is room for.
    with st.container(horizontal=True, gap="medium"):
        for name, title in COVERAGES.items():
            if report.has("coverage"):
                with st.container(width=PART):
                    _coverage(report, scope, name, title)
        if len(sizes):
            with st.container(width=PART):
                mean = (sizes["size"] * sizes["share"]).sum()
                st.markdown(f"**Set size: {mean:.2f} levels on average**")
                st.caption("A set of five says: I do not know. Smaller is better at the promised coverage.")
                chart = own_charts.set_sizes(sizes)
                charts.show(chart, "sizes", "Sizes of conformal sets")
    guard.section(report)


def _tiles(report: Report, scope: Scope, posts: int) -> None:
    """The figures of the report's metrics.parquet, whose intervals are those of the results page."""
    st.markdown(f"{scope.words}: {posts:,} with a prediction")
    found = by_metric(queries.figures(report, scope)) if report.has("metrics") else {}
    if not any(name in found for name in TILES):
        st.caption("The report's metrics.parquet has no calibration figures of this choice.")
        return
    with st.container(horizontal=True):
        for name in [name for name in TILES if name in found]:
            row, what = found[name], metric(name)
            lines = [interval_line(row["low"], row["high"])]
            if what.nominal is not None and row["low"] == row["low"]:
                held = row["low"] <= what.nominal <= row["high"]
                lines.append(
                    f"promised {what.nominal:.0%}: "
                    + ("inside the interval" if held else ":orange[**outside the interval**]")
                )
            if chance := found.get(f"{name}_by_chance"):
                lines.append(f"by chance alone {chance['value']:.3f} ({between(chance['low'], chance['high'])})")
            tile(what, f"{row['value']:.3f}", lines)


def _reliability(report: Report, scope: Scope) -> None:
    st.markdown("**Reliability**")
    if not report.has("reliability"):
        st.caption("The report has no reliability table.")
        return
    level = st.selectbox(
        "Probability of",
        [TOP_LABEL, *range(len(LEVELS))],
        format_func=lambda index: "the predicted level" if index == TOP_LABEL else LEVELS[index],
        key="reliability",
        bind="query-params",
        width=220,
    )
    table = queries.reliability(report, scope, int(level))
    if table.empty:
        st.caption("The report has no reliability curve for this choice.")
        return
    chart = own_charts.reliability(table, int(level))
    charts.show(chart, "reliable", "Reliability curve")
    lines = "Lines are 95% intervals." if table["low"].notna().any() else "The report has no intervals of it."
    st.caption(
        f"{scope.words}, {int(table['n'].sum()):,} of them. On the dashed line, what is called 40% happens 40% of the "
        f"time. Larger dots hold more posts. {lines}"
    )


def _risk(report: Report, scope: Scope) -> None:
    st.markdown("**Error when only the surest posts are answered**")
    kinds = {"error": "Share of wrong levels", "distance": "Mean levels off"}
    column = st.selectbox(
        "Error", list(kinds), format_func=lambda name: kinds[name], key="risk", bind="query-params", width=220
    )
    table = queries.risk_coverage(report, scope)
    chart = own_charts.risk_coverage(table, str(column), kinds[str(column)], column == "error")
    charts.show(chart, "risks", "Risk–coverage curve")
    row = queries.abstained(report, scope).iloc[0]
    said = "It abstains from none of these posts."
    if row["share"] == 1:
        said = f"It abstains from all of these posts; accuracy is {row['accuracy']:.1%} over them."
    elif row["share"] > 0:
        said = (
            f"It abstains from {row['share']:.1%} of the posts; accuracy is {row['accuracy']:.1%} over all and "
            f"{row['kept_accuracy']:.1%} over the rest."
        )
    st.caption(f"{scope.words}. The dashed line is the error over all of them. {said}")


def _coverage(report: Report, scope: Scope, name: str, title: str) -> None:
    what = metric(name)
    table = queries.coverage(report, scope, name)
    st.markdown(f"**{title}: promised {what.nominal:.0%}**")
    if table.empty:
        st.caption("The report has no rows for this choice.")
        return
    st.caption(f"Share of posts covered, by true level ({table['n'].min():,} to {table['n'].max():,} posts each).")
    chart = own_charts.coverage(table, what)
    charts.show(chart, f"cover-{name}", text.markdown(f"{title} coverage"))
