"""What does each part earn? The model without a part, or with another, against its reference, with intervals."""

import pandas as pd
import streamlit as st

from dashboard import ablation_queries, charts, model_charts, text
from dashboard.metrics import metric, ordered, verdict
from dashboard.reports import Report
from dashboard.store import records

TITLE = "Ablations"
URL = "ablations"
ICON = ":material/extension:"
QUESTION = "What does each part earn?"
NEEDS = ("ablations",)
FAMILIES = {
    "modality": "Picture or title",
    "statistic": "Statistics",
    "signal": "Signals",
    "fusion": "Fusions",
    "head": "Heads",
    "control": "Controls",
    "leak": "Leak",
}
# A leak or a control dwarfs what the parts earn, so both wait to be asked for.
QUIET = ("control", "leak")


def render(report: Report) -> None:
    names = ordered(ablation_queries.metrics(report))
    if not names:
        st.info("The report's ablations.parquet has no rows.")
        return
    split = ablation_queries.main_split(report)
    if not report.has("comparisons"):
        st.warning("The report has no comparisons.parquet: differences are shown without intervals, and prove nothing.")
    choice = st.selectbox(
        "Metric", names, format_func=lambda name: metric(name).label, key="metric", bind="query-params", width=320
    )
    what = metric(str(choice))
    st.caption(f"{what.meaning} {what.direction[0].upper()}{what.direction[1:]}.")
    table = ablation_queries.differences(report, what.name, split)
    families = [name for name in FAMILIES if name in set(table["family"])]
    families += sorted(set(table["family"]) - set(families))
    chosen = st.pills(
        "Families",
        families,
        selection_mode="multi",
        default=[name for name in families if name not in QUIET] or families,
        format_func=lambda name: FAMILIES.get(name, name.capitalize()),
        key="families",
        bind="query-params",
    )
    table = table[table["family"].isin(chosen or families)]
    table = table.assign(
        name=table["ablation"] + " vs " + table["reference"],
        verdict=[verdict(what.name, row["delta"], row["low"], row["high"]) for row in records(table)],
    )
    table = table.sort_values("delta", ascending=what.better == "lower")
    chart = model_charts.forest(table, f"Change in {what.label}")
    st.plotly_chart(chart, config=charts.CONFIG, key="forest", alt=f"Change in {what.label} of every ablation")
    st.caption(
        f"On the {split} split; each row replaces the reference, named last, by the variant. "
        "Lines are paired-bootstrap 95% intervals over "
        "seeds and test posts; a hollow grey ring marks an interval that includes zero: no clear difference."
    )
    _table(table, what.name)
    _head_to_head(report, families, split)


def _table(table: pd.DataFrame, name: str) -> None:
    columns = ["family", "ablation", "reference", "value", "reference_value", "delta", "low", "high", "verdict"]
    tidy = table[[*columns, "seeds", "n"]].assign(metric=name)
    st.dataframe(
        tidy.drop(columns="metric"),
        hide_index=True,
        column_config={
            "family": "Family",
            "ablation": st.column_config.TextColumn("Variant", pinned=True),
            "reference": "Reference",
            "value": st.column_config.NumberColumn("Variant's value", format="%.4f"),
            "reference_value": st.column_config.NumberColumn("Reference's value", format="%.4f"),
            "delta": st.column_config.NumberColumn("Difference", format="%+.4f"),
            "low": st.column_config.NumberColumn("95% from", format="%+.4f"),
            "high": st.column_config.NumberColumn("to", format="%+.4f"),
            "verdict": "Verdict",
            "seeds": st.column_config.NumberColumn("Seeds", format="%d"),
            "n": st.column_config.NumberColumn("Posts", format="localized"),
        },
    )
    st.download_button("Table as CSV", text.csv(tidy), f"ablations-{name}.csv", "text/csv", on_click="ignore")


def _head_to_head(report: Report, families: list[str], split: str) -> None:
    pairs = {family: ablation_queries.variants(report, family) for family in families}
    pairs = {family: names for family, names in pairs.items() if len(names) > 1}
    if not pairs:
        return
    st.subheader("Any two against each other", anchor=False)
    # Fusions and heads are true alternatives, so they come first.
    offered = sorted(pairs, key=lambda family: family not in ("fusion", "head"))
    family = st.segmented_control(
        "Family",
        offered,
        default=offered[0],
        required=True,
        format_func=lambda name: FAMILIES.get(name, name.capitalize()),
        key="family",
        bind="query-params",
    )
    names = pairs[str(family)]
    place = offered.index(str(family))
    with st.container(horizontal=True):
        first = st.selectbox("This", names, index=0, key=f"first-{place}", bind="query-params", width=220)
        second = st.selectbox("Against", names, index=1, key=f"second-{place}", bind="query-params", width=220)
    if first == second:
        st.info("Choose two different ones.")
        return
    table = ablation_queries.head_to_head(report, str(family), str(first), str(second), split)
    if table.empty:
        st.info("The report has no seed in which both were run.")
        return
    table = table.assign(
        name=[metric(name).label for name in table["metric"]],
        verdict=[
            verdict(row["metric"], row["delta"], row["low"], row["high"]) if row["tested"] else "not tested"
            for row in records(table)
        ],
    )
    title = f"{charts.plain(first)} minus {charts.plain(second)}"
    chart = model_charts.forest(table, title)
    st.plotly_chart(chart, config=charts.CONFIG, key="pair", alt="Difference between the two variants")
    if not table["tested"].all():
        st.caption(
            "Where the report did not bootstrap this pair, the line spans the differences of the single seeds. That "
            "range is no confidence interval, so it is called not tested."
        )
    st.dataframe(
        table[["name", "first", "second", "delta", "low", "high", "seeds", "verdict"]],
        hide_index=True,
        column_config={
            "name": "Metric",
            "first": st.column_config.NumberColumn(str(first), format="%.4f"),
            "second": st.column_config.NumberColumn(str(second), format="%.4f"),
            "delta": st.column_config.NumberColumn("Difference", format="%+.4f"),
            "low": st.column_config.NumberColumn("From", format="%+.4f"),
            "high": st.column_config.NumberColumn("To", format="%+.4f"),
            "seeds": st.column_config.NumberColumn("Seeds", format="%d"),
            "verdict": "Verdict",
        },
    )
