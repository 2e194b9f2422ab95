"""The part of the model page about single predictions: may its probabilities, sets and intervals be believed?"""

import streamlit as st

from dashboard import charts, model_charts, queries, text
from dashboard.error_queries import Scope
from dashboard.metrics import metric
from dashboard.reports import Report
from engine.scoring import LEVELS

TOP_LABEL = -1
# Width of a small chart in pixels.
PART = 265


def scope_controls(report: Report) -> Scope | None:
    """Model, view and split whose single predictions are shown; None when there are no predictions."""
    found = queries.predicted_models(report)
    if found.empty:
        st.info("The report's predictions.parquet has no rows.")
        return None
    with st.container(horizontal=True):
        models = list(dict.fromkeys(found["model"]))
        model = (
            st.selectbox("Model", models, key="model", bind="query-params", width=260) if len(models) > 1 else models[0]
        )
        rows = found[found["model"] == model]
        views = [view for view in charts.VIEW_NAMES if view in set(rows["view"])] or rows["view"].unique().tolist()
        # One key a model: a view that another model lacks must not linger in the URL.
        view = st.segmented_control(
            "View",
            views,
            default=views[0],
            required=True,
            format_func=lambda name: charts.VIEW_NAMES.get(name, name),
            key=f"view-{models.index(model)}",
            bind="query-params",
        )
        splits = rows.loc[rows["view"] == view, "split"].tolist()
        split = st.segmented_control(
            "Split of the predictions",
            splits,
            default="test" if "test" in splits else splits[0],
            required=True,
            format_func=str.capitalize,
            key="on",
            bind="query-params",
        )
    return Scope(str(model), str(view), str(split))


def render(report: Report) -> None:
    st.subheader("May its certainty be believed?", anchor=False)
    scope = scope_controls(report)
    if scope is None:
        return
    left, right = st.columns(2, gap="medium")
    with left:
        if report.has("reliability"):
            _reliability(report, scope)
        else:
            st.caption("The report has no reliability table.")
    with right:
        _risk(report, scope)
    _coverage(report, scope)


def _reliability(report: Report, scope: Scope) -> None:
    st.markdown("**Reliability**")
    level = st.selectbox(
        "Probability of",
        [TOP_LABEL, *range(len(LEVELS))],
        format_func=lambda index: "the predicted level" if index == TOP_LABEL else LEVELS[index],
        key="reliability",
        bind="query-params",
        width=220,
    )
    table = queries.reliability(report, scope.model, scope.view, scope.split, int(level))
    if table.empty:
        st.caption("The report has no reliability curve for this choice.")
        return
    chart = model_charts.reliability(table, int(level))
    st.plotly_chart(chart, config=charts.CONFIG, key="reliable", alt="Reliability curve")
    st.caption("On the dashed line, what is called 40% happens 40% of the time. Larger dots hold more posts.")


def _risk(report: Report, scope: Scope) -> None:
    st.markdown("**Error when only the surest posts are answered**")
    kinds = {"error": "Share of wrong levels", "distance": "Mean levels off"}
    column = st.selectbox(
        "Error", list(kinds), format_func=lambda name: kinds[name], key="risk", bind="query-params", width=220
    )
    table = queries.risk_coverage(report, scope.model, scope.view, scope.split)
    chart = model_charts.risk_coverage(table, str(column), kinds[str(column)], column == "error")
    chart.update_layout(height=360)
    st.plotly_chart(chart, config=charts.CONFIG, key="risks", alt="Risk–coverage curve")
    row = queries.abstained(report, scope.model, scope.view, scope.split).iloc[0]
    if row["share"] > 0 and row["kept_accuracy"] == row["kept_accuracy"]:
        st.caption(
            f"It abstains from {row['share']:.1%} of the posts; accuracy is {row['accuracy']:.1%} over all and "
            f"{row['kept_accuracy']:.1%} over the rest."
        )
    else:
        st.caption("It abstains from none of these posts. The dashed line is its error over all of them.")


def _coverage(report: Report, scope: Scope) -> None:
    table = queries.coverage(report, scope.model, scope.view, scope.split)
    sizes = queries.set_sizes(report, scope.model, scope.view, scope.split)
    if table.empty:
        return
    names = {"set": ("Conformal set", "conformal_coverage"), "interval": ("Score interval", "interval_coverage")}
    # As many abreast as there is room for.
    with st.container(horizontal=True, gap="medium"):
        columns = [st.container(width=PART) for _ in range(3)]
    for column, (kind, (title, name)) in zip(columns, names.items(), strict=False):
        nominal = metric(name).nominal or 0.0
        rows = table[table["kind"] == kind]
        total = rows[rows["level"] == -1].iloc[0]
        with column:
            st.markdown(f"**{title}: {total['share']:.1%} covered**")
            st.caption(
                f"Promised {nominal:.0%}; 95% interval {total['low']:.1%} to {total['high']:.1%}. Per true level:"
            )
            chart = charts.level_rates(rows[rows["level"] >= 0], "Share covered", nominal)
            st.plotly_chart(chart, config=charts.CONFIG, key=f"cover-{kind}", alt=text.markdown(f"{title} coverage"))
    with columns[2]:
        mean = (sizes["size"] * sizes["share"]).sum()
        st.markdown(f"**Set size: {mean:.2f} levels on average**")
        st.caption("A set of five says: I do not know. Smaller is better at the promised coverage.")
        st.plotly_chart(model_charts.set_sizes(sizes), config=charts.CONFIG, key="sizes", alt="Sizes of conformal sets")
