"""Do picture and words say the same thing? What the study found, signal by signal, and the tools it rests on."""

from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard import charts, choosing, selected, text
from dashboard.app_pages.picture_against_words import charts as figures
from dashboard.app_pages.picture_against_words import queries, study, tools
from dashboard.app_pages.picture_against_words.signals import ordered, signal
from dashboard.controls import download
from dashboard.metrics import between
from dashboard.reports import Report
from dashboard.scope import Scope, own_model
from dashboard.selection import Selection
from dashboard.store import records

TITLE = "Picture against words"
URL = "picture-against-words"
ICON = ":material/compare:"
QUESTION = "Do picture and words say the same thing, and does that go with engagement?"
NEEDS = ("consistency",)

Color = Literal["blue", "orange", "gray"]
AGAINST = {"score": "With the engagement score", "popularity": "With popularity"}
# How the verdict is marked, and in which of Streamlit's colours.
BADGES: dict[tuple[str, bool], tuple[str, Color, str]] = {
    ("grows", True): ("grows, and survives cleaning and controls", "blue", ":material/trending_up:"),
    ("falls", True): ("falls, and survives cleaning and controls", "blue", ":material/trending_down:"),
    ("grows", False): ("grows, not shown to survive", "orange", ":material/trending_up:"),
    ("falls", False): ("falls, not shown to survive", "orange", ":material/trending_down:"),
}
NO_TREND: tuple[str, Color, str] = ("no clear trend", "gray", ":material/trending_flat:")
# Signal → what else measures the same, on which its verdict is not, and which may say otherwise.
ALSO = {"log_perplexity": ("bits_per_character",)}
# Of the rank correlations: the columns of their table, in the order in which they grow stricter.
STRICTNESS = {
    ("uncleaned", "raw"): "As it is",
    ("uncleaned", "controlled"): "Controlled",
    ("cleaned", "raw"): "Cleaned",
    ("cleaned", "controlled"): "Cleaned and controlled",
}


def render(report: Report) -> None:
    trends = queries.trends(report) if report.has("trends") else pd.DataFrame()
    _verdicts(report, trends)
    study.section(report)
    study.removal(report)
    tools.section(report)
    _sides(report)


def _verdicts(report: Report, trends: pd.DataFrame) -> None:
    table = queries.verdicts(report) if report.has("verdicts") else pd.DataFrame()
    if table.empty:
        st.caption("The report has no verdicts, so the figures below stand for themselves.")
    for against, title in AGAINST.items():
        own = table[table["against"] == against] if len(table) else table
        if own.empty:
            continue
        st.markdown(f"**{title}**")
        with st.container(horizontal=True):
            for name in ordered(own["signal"].tolist()):
                _verdict(records(own[own["signal"] == name])[0], trends)
    st.info(
        "These are associations among posts that are out, not causes: whoever matches picture and title may do other "
        "things too. Cleaning removes some levels more than others, so every figure is given with and without it. "
        "How unusual wording looks to a language model depends on its length and language, hence the controls. The "
        "captioner learned from photos; covers with lettering and collages are no such thing to it."
        f"{report.apart('the study of picture and words')}",
        icon=":material/info:",
    )
    if len(trends):
        _trends(trends)


def _verdict(row: dict[str, Any], trends: pd.DataFrame) -> None:
    """One sentence of the report, and beside it the rank correlations of the signal itself."""
    with st.container(border=True, width=420):
        label, color, icon = BADGES.get((row["verdict"], bool(row["survives"])), NO_TREND)
        st.badge(label, color=color, icon=icon)
        st.markdown(text.markdown(row["sentence"]))
        if trends.empty:
            return
        for name in (row["signal"], *ALSO.get(row["signal"], ())):
            st.markdown("  \n".join(_correlations(trends, name, row["against"])))


def _correlations(trends: pd.DataFrame, name: str, against: str) -> list[str]:
    """The rank correlations of a signal, the mildest and the strictest, as lines of Markdown."""
    own = trends[trends["signal"].eq(name) & trends["against"].eq(against)]
    found = {(trend["cleaning"], trend["control"]): trend for trend in records(own)}
    lines = [f":small[Rank correlation of the signal itself, {text.markdown(signal(name).label.lower())}:]"]
    for key in (("uncleaned", "raw"), ("cleaned", "controlled")):
        if trend := found.get(key):
            figure = f"**{trend['value']:+.3f}** (95%: {_between(trend)}), n = {trend['n']:,}"
            lines.append(f":small[{STRICTNESS[key]}: {figure}]")
    return lines


def _between(trend: dict[str, Any]) -> str:
    return between(trend["low"], trend["high"], "+.3f") or "no interval"


def _trends(trends: pd.DataFrame) -> None:
    with st.expander("Rank correlation of every signal with score and popularity"):
        cells = trends.assign(
            cell=[f"{row['value']:+.3f} [{_between(row)}], n = {row['n']:,}" for row in records(trends)],
            column=[STRICTNESS.get((row["cleaning"], row["control"]), "") for row in records(trends)],
        )
        wide = cells.pivot_table(index=["signal", "against"], columns="column", values="cell", aggfunc="first")
        names = [name for name in STRICTNESS.values() if name in wide]
        wide = wide[names].fillna("").reset_index()
        order = {name: place for place, name in enumerate(ordered(wide["signal"].tolist()))}
        wide = wide.sort_values("signal", key=lambda column: column.map(order), kind="stable")
        shown = wide.assign(
            signal=[signal(name).label for name in wide["signal"]],
            against=[AGAINST.get(name, name).removeprefix("With ").removeprefix("the ") for name in wide["against"]],
        )
        titles: dict[str, Any] = {"signal": st.column_config.TextColumn("Signal", pinned=True), "against": "Against"}
        st.dataframe(shown, hide_index=True, key="table-trends", column_config=titles)
        download("Correlations as CSV", trends, "trends.csv")
        st.caption(
            "Spearman's rank correlation, and where controlled the partial one; brackets hold 95% intervals that draw "
            "whole groups. A gap between two sides, as the sentences put it, is a similarity turned round."
        )


def _sides(report: Report) -> None:
    """What the model expects of picture and title alone, post by post; drawing around posts selects them."""
    if not report.has("posts", "predictions"):
        return
    scope = Scope(own_model(report), "both", "test")
    st.subheader("Does the model hear the same from both?", anchor=False)
    selection = choosing.current()
    table = queries.sides(report, scope, selection)
    if table.empty:
        st.caption("The report has no test predictions of its own model for the picture alone and the title alone.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tool = choosing.tool()
        choosing.chips(selection)
    alt = "Expected level of picture alone against title alone; picking selects"
    choosing.pickable(figures.sides(table), "sides", selection, alt, tool)
    whole = selected.selected_count(report, scope, Selection())
    few = f" of {whole:,}, drawn by chance" if whole > charts.MOST_DOTS else ""
    st.caption(
        f"{scope.words}: {len(table):,}{few}, each a dot in the colour of its true level, placed by what the model "
        "expects of its title alone and of its picture alone; a level is expected as the mean over all five. On the "
        "dashed line both say the same. Posts that you pick are selected here and on the errors page."
    )
    if selection:
        selected.section(report, scope, selection)
