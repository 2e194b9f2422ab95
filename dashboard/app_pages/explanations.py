"""Do explanations point at what matters? A section of the model page: curves, and what they come to."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, model_charts, queries
from dashboard.reports import Report
from dashboard.store import records

METRICS = {
    "area_difference": ("Area difference (levels)", "{:.3f}"),
    "completeness_error": ("Completeness error (levels)", "{:.3f}"),
    "seconds": ("Seconds an explanation", "{:.1f}"),
}
MEANING = (
    "Area difference: the area under insertion minus that under deletion; higher is better, and an order that knows "
    "nothing is near 0. Rows with a minus sign are differences paired by post: the first method points better when its "
    "brackets lie above 0. Completeness error: what the values of all parts fail to account for. Brackets hold 95% "
    "intervals. Shapley values are made of such removals, so the test favours them."
)


def render(report: Report) -> None:
    table = queries.attribution(report)
    if table.empty:
        return
    st.subheader("Do explanations point at what matters?", anchor=False)
    st.caption(
        f"{int(table['n'].max()):,} test posts. Parts (picture regions, words) are removed, or added, in the order of "
        "the explanation, those that raise the answer most first, and the whole model answers anew. Under deletion a "
        "good explanation falls fast, under insertion it rises fast. All curves run between the same two ends: the "
        "whole post, and nothing of it."
    )
    rows = table.rename(columns={"method": "series", "kind": "style"})
    chart = model_charts.lines(rows, "fraction", "Share of the parts removed or added", "Expected level (0 to 4)")
    st.plotly_chart(chart, config=charts.CONFIG, key="attribution", alt="Deletion and insertion curves")
    if report.has("attribution_summary"):
        _summary(queries.attribution_summary(report))


def _summary(table: pd.DataFrame) -> None:
    table = table[table["metric"].isin(METRICS)]
    if table.empty:
        return
    shown = table.assign(cell=[_cell(row) for row in records(table)])
    wide = shown.pivot(index="method", columns="metric", values="cell").reindex(shown["method"].unique())
    named = {"method": "Method"} | {name: label for name, (label, _) in METRICS.items() if name in wide}
    wide = wide[[name for name in METRICS if name in wide]].fillna("").reset_index()
    st.dataframe(wide, hide_index=True, key="attribution-summary", column_config=named)
    st.caption(MEANING)


def _cell(row: dict[str, Any]) -> str:
    style = METRICS[row["metric"]][1]
    bounds = "" if pd.isna(row["low"]) else f" [{style.format(row['low'])}, {style.format(row['high'])}]"
    return style.format(row["value"]) + bounds
