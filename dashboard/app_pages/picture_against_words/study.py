"""One signal at a time: its mean by level and interval of popularity, its spread, and what cleaning removes."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.picture_against_words import charts as figures
from dashboard.app_pages.picture_against_words import queries
from dashboard.app_pages.picture_against_words.signals import ordered, signal
from dashboard.controls import download, one_of
from dashboard.reports import Report

BY = {"level": "Level of the score", "interval": "log2(1 + popularity)"}
CLEANING = {"uncleaned": "All posts", "cleaned": "Cleaned"}
CONTROL = {"raw": "As it is", "controlled": "Controlled"}
COLORS = (charts.ACCENT, charts.WARM, "#7a7f87", "#6aa9d8", "#eb9a5b", "#8c6bb1", "#4d9078")
FIGURES: dict[str, Any] = {
    "value": st.column_config.NumberColumn("Value", format="%.4f"),
    "low": st.column_config.NumberColumn("95% from", format="%.4f"),
    "high": st.column_config.NumberColumn("to", format="%.4f"),
    "n": st.column_config.NumberColumn("Posts", format="localized"),
}


def section(report: Report) -> None:
    names = ordered(queries.signals(report))
    st.subheader("Does it go with engagement?", anchor=False)
    if not names:
        st.info("The report's consistency.parquet has no rows.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Signal", names, format_func=lambda name: signal(name).label, key="signal", bind="query-params", width=320
        )
        reason = "Cleaning leaves out what the study's tools cannot read."
        cleaning = one_of("Posts", CLEANING, "cleaning", reason=reason)
        control = one_of("Means", CONTROL, "control", reason="For title length, language and category.")
    what = signal(str(name))
    st.caption(
        f"{text.markdown(what.meaning)} Lines are 95% intervals that draw whole groups; faint lines are the other "
        "choices."
    )
    tables = {by: queries.means(report, str(name), by) for by in BY}
    for (by, title), column in zip(BY.items(), st.columns(2, gap="medium"), strict=True):
        with column:
            _means(tables[by], by, title, cleaning, control, what.label)
    _table(pd.concat([table.assign(by=by) for by, table in tables.items()]), ("cleaning", "control"), "means")
    _spread(report, str(name), cleaning)


def _means(table: pd.DataFrame, by: str, title: str, cleaning: str, control: str, label: str) -> None:
    st.markdown(f"**Mean by {'level' if by == 'level' else 'interval of popularity'}**")
    own = table[table["cleaning"].eq(cleaning) & table["control"].eq(control)]
    if own.empty:
        st.caption("The report has no means of this choice.")
        return
    dashes = iter(charts.DASHES[1:])
    series = [
        figures.Series(f"{CLEANING[some]}, {how.lower()}", rows, charts.NEUTRAL, True, next(dashes))
        for some in CLEANING
        for code, how in CONTROL.items()
        if (some, code) != (cleaning, control)
        and len(rows := table[table["cleaning"].eq(some) & table["control"].eq(code)])
    ]
    series.append(figures.Series(f"{CLEANING[cleaning]}, {CONTROL[control].lower()}", own, charts.ACCENT))
    chart = figures.binned(series, title, charts.plain(label))
    charts.show(chart, f"means-{by}", f"Mean of {label} by {by} with intervals")
    st.caption(_sizes(own))


def _sizes(rows: pd.DataFrame) -> str:
    """How many posts a line is of, in words."""
    least, most = (int(end) for end in (rows["n"].min(), rows["n"].max()))
    return f"{int(rows['n'].sum()):,} posts in {len(rows)} bins, {least:,} to {most:,} in each."


def _table(table: pd.DataFrame, keys: tuple[str, ...], name: str) -> None:
    """All figures of a section, and a file of them."""
    with st.expander("As a table"):
        words = {"cleaning": CLEANING, "control": CONTROL}
        named = {key: table[key].map(words[key]).fillna(table[key]) for key in keys if key in words}
        shown = table.assign(by=table["by"].map({"level": "Level", "interval": "Popularity"}), **named)
        shown = shown[["by", "label", *keys, *FIGURES]]
        titles = {"by": "By", "label": "Bin", "cleaning": "Posts", "control": "Means", "reason": "Reason"}
        st.dataframe(shown, hide_index=True, key=f"table-{name}", column_config={**titles, **FIGURES})
        download("Table as CSV", shown, f"{name}.csv")


def _spread(report: Report, name: str, cleaning: str) -> None:
    """How much the posts of a level differ, beside which the differences of means are to be read."""
    what = signal(name)
    table = queries.quantiles(report, name, cleaning == "cleaned") if report.has("signals") else None
    if table is None or table.empty:
        st.caption("The report has no single values of this signal, so their spread is not shown.")
        return
    st.markdown("**Spread in each level**")
    chart = figures.spreads(table, charts.plain(what.label))
    charts.show(chart, "spreads", f"Spread of {what.label} in each level")
    st.caption(
        f"{CLEANING[cleaning]}, not controlled: {int(table['n'].sum()):,} posts of which the signal has something to "
        "say. A box holds the middle half of a level's posts with the middle one as a line, the whiskers nine tenths: "
        "where boxes overlap much, the signal says little of a single post."
    )


def removal(report: Report) -> None:
    """The share that cleaning removes of each level and interval, by reason."""
    if not report.has("removal"):
        return
    st.subheader("What does cleaning remove?", anchor=False)
    tables = {by: queries.removal(report, by) for by in BY}
    if all(table.empty for table in tables.values()):
        st.caption("The report's removal.parquet has no rows.")
        return
    st.caption(
        "Share of all posts that cleaning leaves out of the cleaned figures above, by the first reason that holds; "
        "lines are 95% intervals that draw whole groups. Where it falls or rises, cleaning changes who is compared."
    )
    for (by, title), column in zip(BY.items(), st.columns(2, gap="medium"), strict=True):
        if (table := tables[by]).empty:
            continue
        reasons = list(dict.fromkeys(table["reason"]))
        series = [
            figures.Series(
                "any reason" if reason == "any" else reason,
                table[table["reason"] == reason],
                COLORS[place % len(COLORS)],
                dash=charts.DASHES[place // len(COLORS) % len(charts.DASHES)],
            )
            for place, reason in enumerate(reasons)
        ]
        with column:
            chart = figures.binned(series, title, "Share removed", share=True)
            charts.show(chart, f"removal-{by}", f"Share removed by {by} and reason")
            first = table[table["reason"] == reasons[0]]
            st.caption(_sizes(first))
    _table(pd.concat([table.assign(by=by) for by, table in tables.items()]), ("reason",), "removal")
