"""What does the adapter do to the vectors? Maps to look at, and a linear probe that says whether it helps."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, choosing, selected
from dashboard.app_pages.embedding import charts as figures
from dashboard.app_pages.embedding import queries
from dashboard.controls import one_of
from dashboard.metrics import between, metric, verdict
from dashboard.reports import Report
from dashboard.scope import Scope, own_model
from dashboard.selection import Selection
from dashboard.store import records
from dashboard.tiles import interval_line, tile

TITLE = "Embedding"
URL = "embedding"
ICON = ":material/scatter_plot:"
QUESTION = "What does the adapter do to the vectors?"
NEEDS = ("posts", "predictions", "embedding")

SIDES = {"image": "Picture", "text": "Title", "both": "Picture and title"}
STAGES = {"before": "Before the adapter", "after": "After the adapter"}
DIMENSIONS = {2: "Flat", 3: "In space"}
PROBE = "linear_probe_r2"


def render(report: Report) -> None:
    probes = queries.probes(report) if report.has("adapter") else pd.DataFrame()
    _evidence(report, probes)
    _maps(report)
    if len(probes):
        _probes(report, probes)
    if report.has("adapter"):
        _search(queries.search(report))


def _evidence(report: Report, probes: pd.DataFrame) -> None:
    """The sentence that a map is none, and what is instead."""
    said = (
        "A t-SNE map is no evidence: it shows who is near whom, makes clusters of nothing, and its distances and sizes "
        "mean nothing. "
    )
    found = {row["stage"]: row for row in records(probes[probes["side"] == "both"])} if len(probes) else {}
    if set(found) < {"before", "after", "difference"}:
        st.info(f"{said}The report has no linear probe, which would be.", icon=":material/info:")
        return
    change = found["difference"]
    st.info(
        f"{said}What counts is whether a straight line through the vectors tells the score of posts it has not seen: "
        f"R² is {_figure(found['before'])} before the adapter and {_figure(found['after'])} after it, a difference of "
        f"{_figure(change, '+.3f')} on {int(change['n']):,} posts outside of training: "
        f"**{verdict(PROBE, change['low'], change['high'])}**. The vectors are those by which picture and words "
        "are compared (*Picture against words*); the adapter was fitted for this question and is no part of the model."
        f"{report.apart('the study of picture and words')}",
        icon=":material/info:",
    )


def _figure(row: dict[str, Any], style: str = ".3f") -> str:
    return f"{row['value']:{style}} ({between(row['low'], row['high'], style) or 'no interval'})"


def _maps(report: Report) -> None:
    st.subheader("Maps of the posts", anchor=False)
    splits = queries.splits(report)
    if not splits:
        st.info("The report's embedding.parquet has no rows.")
        return
    with st.container(horizontal=True):
        dimensions = one_of("Map", DIMENSIONS, "map")
        split = one_of("Posts", {name: charts.SPLIT_NAMES.get(name, name) for name in ("all", *splits)}, "part")
        tool = choosing.tool() if dimensions == 2 else ""
    scope = Scope(own_model(report), "both", split)
    selection = choosing.current()
    with st.container(horizontal=True, vertical_alignment="center"):
        choosing.chips(selection)
    shown = queries.stages(report, dimensions)
    drawn = 0
    for stage, column in zip(shown, st.columns(max(len(shown), 1), gap="medium"), strict=False):
        with column:
            drawn = _map(report, stage, scope, selection, tool)
    if not shown:
        st.caption("The report has no such map.")
        return
    whole = queries.count(report, shown[-1], dimensions, scope.split)
    few = f", of which {drawn:,}, drawn by chance, are shown" if drawn < whole else ""
    how = (
        "Posts that you pick are selected here and on the errors page, which shows those of one split at a time."
        if dimensions == 2
        else "Drag to turn a map; posts are selected on the flat one."
    )
    st.caption(
        f"{whole:,} posts outside of training on each map{few}; a dot's colour is its true level. Two maps have no "
        f"axes in common: only neighbourhoods can be compared. {how}"
    )
    if selection:
        selected.section(report, scope, selection)


def _map(report: Report, stage: str, scope: Scope, selection: Selection, tool: str) -> int:
    """One map, flat where posts can be picked with a tool; how many posts are on it."""
    title = STAGES.get(stage, stage)
    st.markdown(f"**{title}**")
    table = queries.places(report, stage, 2 if tool else 3, scope, selection)
    alt = f"{title}: posts by neighbourhood of their vectors, coloured by level"
    if tool:
        choosing.pickable(figures.flat_map(table), f"map-{stage}", selection, f"{alt}; picking selects", tool)
    else:
        charts.show(figures.deep_map(table), f"space-{stage}", alt)
    return len(table)


def _probes(report: Report, table: pd.DataFrame) -> None:
    st.subheader("Do the vectors tell more of the score?", anchor=False)
    what = metric(PROBE)
    known = table[table["side"].isin(SIDES) & table["stage"].isin(STAGES)]
    left, right = st.columns([3, 2], gap="medium")
    with left:
        if len(known):
            named = known.assign(name=known["side"].map(SIDES))
            charts.show(figures.probes(named, what.title), "probes", "Linear probes before and after")
    with right:
        st.caption(
            f"{what.definition} It is fitted on some groups of posts outside of training and asked of others. The "
            "difference is paired by post; brackets hold 95% intervals that draw whole groups. "
            f"{metric('cka').label}: {metric('cka').definition}"
        )
    _probe_table(table, queries.likeness(report))


def _probe_table(table: pd.DataFrame, likeness: dict[str, dict[str, Any]]) -> None:
    rows = []
    for side, title in SIDES.items():
        found = {row["stage"]: row for row in records(table[table["side"] == side])}
        if not found:
            continue
        change = found.get("difference")
        rows.append(
            {
                "side": title,
                **{stage: _figure(row, "+.3f" if stage == "difference" else ".3f") for stage, row in found.items()},
                "verdict": verdict(PROBE, change["low"], change["high"]) if change else "not tested",
                "cka": _figure(likeness[side]) if side in likeness else "",
                "n": max(int(row["n"]) for row in found.values()),
            }
        )
    titles: dict[str, Any] = {
        "side": st.column_config.TextColumn("Vectors of", pinned=True),
        "before": "R² before",
        "after": "R² after",
        "difference": "Difference",
        "verdict": "Verdict",
        "cka": st.column_config.TextColumn(metric("cka").label, help=metric("cka").definition),
        "n": st.column_config.NumberColumn("Posts", format="localized"),
    }
    shown = pd.DataFrame(rows).reindex(columns=list(titles))
    st.dataframe(shown, hide_index=True, key="table-probes", column_config=titles)


def _search(table: pd.DataFrame) -> None:
    if table.empty:
        return
    st.subheader("How much of the adapter?", anchor=False)
    best = records(table[table["chosen"]])[0]
    what = metric(best["metric"])
    lines = [f"{what.label} {best['value']:.3f}", interval_line(best["low"], best["high"])]
    tile(metric("ratio"), f"{best['ratio']:g}", lines)
    chart = figures.search(table, what)
    charts.show(chart, "search", f"{what.label} of every ratio")
    st.caption(
        f"{int(best['n']):,} validation posts choose the ratio by the adapters' own answers, so the figure of the "
        "chosen one flatters. They are among the posts outside of training that the other figures of this page are of."
    )
