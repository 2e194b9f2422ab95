"""The part of the model page about the other recipes: what each reached on the same test posts."""

import streamlit as st

from dashboard import queries, text
from dashboard.metrics import metric
from dashboard.reports import Report
from dashboard.store import records

SHOWN = ("src", "accuracy", "macro_f1", "quadratic_kappa", "r2", "mae_log10")
TARGETS = {
    "score": "engagement score",
    "popularity": "popularity score",
    "popularity_with_views": "popularity score with views",
}


def render(report: Report) -> None:
    if not report.has("recipes"):
        return
    table = queries.recipes(report)
    table = table[table["metric"].isin(SHOWN)]
    if table.empty:
        return
    st.subheader("What do other recipes reach?", anchor=False)
    st.caption(
        "Picture and title, the same test posts, 95% intervals in brackets; a summary names the encoders. "
        "Levels and figures of another target are of another quantity: compare within one target only."
    )
    keys = ["target", "recipe", "summary"]
    cells = [f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for row in records(table)]
    wide = table.assign(cell=cells).pivot(index=keys, columns="metric", values="cell")
    wide = wide[[name for name in SHOWN if name in wide.columns]].reset_index()
    wide["target"] = [TARGETS.get(name, text.markdown(name)) for name in wide["target"]]
    labels = {name: st.column_config.TextColumn(metric(name).label, help=metric(name).meaning) for name in SHOWN}
    titles = {
        "target": st.column_config.TextColumn("Predicts"),
        "recipe": st.column_config.TextColumn("Recipe"),
        "summary": st.column_config.TextColumn("Summary"),
    }
    order = ["recipe", "target", *(name for name in SHOWN if name in wide.columns), "summary"]
    st.dataframe(wide[order], hide_index=True, key="table-recipes", column_config={**titles, **labels})
