"""What does each part earn? The model without a part, or with another, against its reference, with intervals."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import ablation_queries, charts, model_charts, text
from dashboard.metrics import Metric, metric, ordered, verdict
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
        st.warning("The report has no comparisons.parquet, so no difference was bootstrapped over test posts.")
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
    references = table["reference"].unique().tolist()
    only = references[0] if len(references) == 1 else None
    table = table.assign(
        name=table["ablation"] if only else table["ablation"] + " vs " + table["reference"],
        verdict=_verdicts(table.assign(metric=what.name)),
    )
    table = table.sort_values("delta", ascending=what.better == "lower")
    reach = model_charts.small_reach(table)
    zoomed = reach is not None and st.toggle(
        "Zoom in on the small differences",
        key="zoom",
        bind="query-params",
        help="Large ones become arrows at the edge.",
    )
    chart = model_charts.forest(
        table,
        f"Change in {what.label}" + (f", against {charts.plain(only)}" if only else ""),
        reach if zoomed else None,
    )
    st.plotly_chart(chart, config=charts.CONFIG, key="forest", alt=f"Change in {what.label} of every ablation")
    st.caption(
        f"On the {split} split; each row replaces the reference{'' if only else ', named last,'} by the variant. "
        f"{_how(table)} A hollow grey ring marks an interval that includes zero: no clear difference."
    )
    _table(table, what.name)
    _head_to_head(report, families, split)


def _verdicts(table: pd.DataFrame) -> list[str]:
    return [verdict(row["metric"], row["delta"], row["low"], row["high"], row["basis"]) for row in records(table)]


def _how(table: pd.DataFrame) -> str:
    """What the lines of a figure are, by the bases of its intervals."""
    found = set(table["basis"])
    sentences = []
    if "seeds and posts" in found:
        sentences.append("Lines are paired-bootstrap 95% intervals over seeds and test posts.")
    if "seeds" in found:
        which = "Where the report did not bootstrap a difference, the line is" if len(found) > 1 else "Lines are"
        sentences.append(
            f"{which} a paired bootstrap over the seeds alone, made here from the value of each seed. It leaves out "
            "the chance of which posts are in test, so it is too narrow, and its verdict says “seeds only”."
        )
    if "none" in found:
        sentences.append("A cross has no interval, since it comes from one seed: it proves nothing.")
    return " ".join(sentences)


# What is read first stands first: on a phone the rest of a row is a swipe away.
FIRST: dict[str, Any] = {
    "delta": st.column_config.NumberColumn("Difference", format="%+.4f"),
    "between": st.column_config.TextColumn("95% interval"),
    "verdict": "Verdict",
}


def _between(table: pd.DataFrame) -> list[str]:
    return [f"{row['low']:+.4f} to {row['high']:+.4f}" if row["low"] == row["low"] else "" for row in records(table)]


def _table(table: pd.DataFrame, name: str) -> None:
    shown = ["ablation", *FIRST, "value", "reference_value", "reference", "family", "seeds", "n"]
    st.dataframe(
        table.assign(between=_between(table), family=[FAMILIES.get(key, key) for key in table["family"]])[shown],
        hide_index=True,
        column_config=FIRST
        | {
            "ablation": st.column_config.TextColumn("Variant", pinned=True),
            "value": st.column_config.NumberColumn("Variant's value", format="%.4f"),
            "reference_value": st.column_config.NumberColumn("Reference's value", format="%.4f"),
            "reference": "Reference",
            "family": "Family",
            "seeds": st.column_config.NumberColumn("Seeds", format="%d"),
            "n": st.column_config.NumberColumn("Posts", format="localized"),
        },
    )
    columns = ["family", "ablation", "reference", "value", "reference_value", "delta", "low", "high", "verdict"]
    tidy = table[[*columns, "basis", "seeds", "n"]].assign(metric=name)
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
    # A key of each family's own, so that its two names mean the same in every URL.
    with st.container(horizontal=True):
        first = st.selectbox("This", names, index=0, key=f"{family}-first", bind="query-params", width=220)
        second = st.selectbox(
            "Against", names, index=len(names) - 1, key=f"{family}-second", bind="query-params", width=220
        )
    if first == second:
        st.info("Choose two different ones.")
        return
    table = ablation_queries.head_to_head(report, str(family), str(first), str(second), split)
    if table.empty:
        st.info("The report has no seed in which both were run.")
        return
    order = ordered(table["metric"].tolist())
    table = table.set_index("metric").loc[order].reset_index()
    labels = [metric(name) for name in order]
    table = table.assign(name=[_label(what) for what in labels], verdict=_verdicts(table))
    chart = model_charts.forest(table, f"{charts.plain(first)} minus {charts.plain(second)}")
    st.plotly_chart(chart, config=charts.CONFIG, key="pair", alt="Difference between the two variants")
    st.caption(_how(table))
    shown = table.assign(name=[what.label for what in labels], between=_between(table))
    st.dataframe(
        shown[["name", *FIRST, "first", "second", "seeds"]],
        hide_index=True,
        column_config=FIRST
        | {
            "name": st.column_config.TextColumn("Metric", pinned=True),
            "first": st.column_config.NumberColumn(str(first), format="%.4f"),
            "second": st.column_config.NumberColumn(str(second), format="%.4f"),
            "seeds": st.column_config.NumberColumn("Seeds", format="%d"),
        },
    )
    tidy = table.drop(columns="name").assign(this=first, against=second)
    st.download_button("Pair as CSV", text.csv(tidy), "pair.csv", "text/csv", on_click="ignore")


def _label(what: Metric) -> str:
    return f"{what.label} (lower is better)" if what.better == "lower" else what.label
