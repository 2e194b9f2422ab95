"""What each member earns in the shipped model: its blend with and without the member, on answers out of fold."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts import VIEW_NAMES
from dashboard.controls import download, one_metric, one_of
from dashboard.metrics import between, verdict
from dashboard.reports import Report
from dashboard.store import query, records

COLUMNS: dict[str, Any] = {
    "member": st.column_config.TextColumn("Member", pinned=True),
    "delta": st.column_config.NumberColumn("What it adds", format="%+.4f"),
    "between": st.column_config.TextColumn("95% interval"),
    "verdict": st.column_config.TextColumn("With it the blend is"),
}


def members(report: Report) -> None:
    """The section, where the report has such a table."""
    table = query(report, "SELECT * FROM contributions") if report.has("contributions") else pd.DataFrame()
    if table.empty:
        return
    st.subheader("What does each member earn in the shipped model?", anchor=False)
    with st.container(horizontal=True):
        what = one_metric("Metric of the blend", table["metric"].unique().tolist(), "member-metric", in_url=False)
        views = {view: name for view, name in VIEW_NAMES.items() if view in set(table["view"])}
        view = one_of("It sees", views, "member-view", in_url=False)
    own = table[(table["metric"] == what.name) & (table["view"] == view)].sort_values(
        "delta", ascending=what.better == "lower"
    )
    shown = own.assign(
        between=[between(row["low"], row["high"], "+.4f") for row in records(own)],
        verdict=[verdict(what.name, row["low"], row["high"]) for row in records(own)],
    )
    st.dataframe(shown[list(COLUMNS)], hide_index=True, key="table-members", column_config=COLUMNS)
    st.caption(
        f"{what.label} of the whole blend minus that of the blend without the member, whose weights are fitted anew, "
        f"on {int(own['n'].max()):,} posts outside of test. Every member answers them out of fold, and other groups "
        "set the weights; intervals are paired and draw whole groups. “Both sides at once” leaves out that members "
        "see picture and title together: their answers to one side each take the place of that to both."
    )
    download("All members as CSV", table, "members.csv")
