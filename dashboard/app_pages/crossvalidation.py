"""The part of the model page about choices: do nested folds agree on the recipe, and which size did validation take?"""

import pandas as pd
import streamlit as st

from dashboard import queries, text
from dashboard.metrics import HEADLINE, metric, ordered
from dashboard.reports import Report
from dashboard.store import records

# What chooses among the grid, as `training.modeling.grid_search` does.
CRITERION = "log_loss"


def render(report: Report) -> None:
    if report.has("crossvalidation"):
        _folds(report)
    if report.has("grid"):
        _grid(report)


def _folds(report: Report) -> None:
    table = queries.crossvalidation(report)
    if table.empty:
        return
    st.subheader("Does it hold on other folds?", anchor=False)
    first = table.iloc[0]
    st.caption(
        f"{text.markdown(first['recipe'])} in nested cross-validation over the training and validation posts: mean ± "
        "standard deviation over the outer folds, which only judge. Size, stopping, blend and calibration were chosen "
        "on other posts inside. Never compare across protocols, nor with the test posts: these are other posts."
    )
    names = ordered(table["metric"].unique().tolist())
    found = queries.crossvalidation_means(report)
    cells = [f"{row['mean']:.3f} ± {row['deviation']:.3f}" for row in records(found)]
    wide = found.assign(cell=cells).pivot(index="metric", columns="protocol", values="cell").loc[names].reset_index()
    wide.insert(0, "label", [metric(name).label for name in wide.pop("metric")])
    heads = {
        str(row["protocol"]): f"{str(row['protocol']).capitalize()}, {row['folds']} folds of {row['posts']:,} posts"
        for row in records(found.drop_duplicates("protocol"))
    }
    st.dataframe(
        wide,
        hide_index=True,
        key="table-folds",
        column_config={"label": st.column_config.TextColumn("Metric", pinned=True), **heads},
    )
    with st.expander("Every fold"):
        shown = table[table["metric"].isin(HEADLINE)]
        keys = ["protocol", "fold", "n", "candidates", "chosen"]
        rows = shown.pivot(index=keys, columns="metric", values="value")[ordered(shown["metric"].unique().tolist())]
        labels = {name: st.column_config.NumberColumn(metric(name).label, format="%.3f") for name in rows.columns}
        titles = {"protocol": "Protocol", "fold": "Fold", "n": "Posts", "candidates": "Candidates", "chosen": "Chosen"}
        st.dataframe(rows.reset_index(), hide_index=True, key="every-fold", column_config={**titles, **labels})


def _grid(report: Report) -> None:
    table = queries.grid(report)
    if table.empty:
        return
    st.subheader("Which size was chosen?", anchor=False)
    names = ordered(table["metric"].unique().tolist())
    choice = st.selectbox(
        "Figure of the grid",
        names,
        index=names.index("accuracy") if "accuracy" in names else 0,
        format_func=lambda name: metric(name).label,
        key="grid",
        bind="query-params",
        width=320,
    )
    rows = table[table["metric"] == choice]
    rows = rows.assign(cell=[_cell(row) for row in records(rows)])
    wide = rows.pivot_table(index="depth", columns="iterations", values="cell", aggfunc=" / ".join, fill_value="")
    wide.columns = pd.Index([f"{trees:,} trees" for trees in wide.columns])
    st.dataframe(wide.reset_index(), hide_index=True, key="table-grid", column_config={"depth": "Depth"})
    chosen = ", ".join(rows.loc[rows["chosen"], "candidate"])
    st.caption(
        f"{metric(str(choice)).label} on {rows['n'].iloc[0]:,} validation posts, by depth and number of trees. "
        f"● {text.markdown(chosen)} has the best {metric(CRITERION).label.lower()} and was taken. The posts that chose "
        "it flatter it: the test figures judge."
    )


def _cell(row: dict[str, object]) -> str:
    return f"{row['value']:.3f}" + (" ●" if row["chosen"] else "")
