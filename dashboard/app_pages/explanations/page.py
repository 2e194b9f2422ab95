"""Do explanations point at what matters, and how fast is an answer? Curves, what they come to, and the benchmarks."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.explanations import queries
from dashboard.metrics import bracketed, metric
from dashboard.reports import Report
from dashboard.store import records

TITLE = "Explanations and speed"
URL = "explanations"
ICON = ":material/bolt:"
QUESTION = "Do explanations point at what matters, and how fast is an answer?"

STYLES = {"area_difference": ".3f", "completeness_error": ".3f", "seconds": ".1f"}


def offered(report: Report) -> bool:
    """Explanations or benchmarks are enough for the page."""
    return report.has("attribution") or bool(queries.benchmarks(report))


def render(report: Report) -> None:
    if report.has("attribution"):
        _explanations(report)
    if report.has("attribution_summary"):
        _summary(queries.attribution_summary(report))
    if entries := queries.benchmarks(report):
        _speed(report, entries)


def _model(report: Report) -> str:
    return f"**{text.markdown(report.facts.get('recipe', 'The model'))}**"


def _explanations(report: Report) -> None:
    table = queries.attribution(report)
    if table.empty:
        return
    st.subheader("Do explanations point at what matters?", anchor=False)
    st.caption(
        f"{_model(report)}, {int(table['n'].max()):,} test posts, set "
        "against random orders of the same parts. Parts (picture regions, words) are removed, or added, in the order "
        "of the explanation, those that raise the answer most first, and the whole model answers anew. Under deletion "
        "a good explanation falls fast, under insertion it rises fast. All curves run between the same two ends: the "
        "whole post, and nothing of it."
    )
    rows = table.rename(columns={"method": "series", "kind": "style"})
    chart = charts.lines(rows, "fraction", "Share of the parts removed or added", "Expected level (0 to 4)")
    charts.show(chart, "attribution", "Deletion and insertion curves")


def _summary(table: pd.DataFrame) -> None:
    table = table[table["metric"].isin(STYLES) & table["value"].notna()]
    if table.empty:
        return
    shown = table.assign(cell=[bracketed(row, STYLES[row["metric"]]) for row in records(table)])
    wide = shown.pivot_table(index="method", columns="metric", values="cell", aggfunc="first")
    wide = wide.reindex(shown["method"].unique())
    names = [name for name in STYLES if name in wide]
    labels = {name: st.column_config.TextColumn(metric(name).label, help=metric(name).definition) for name in names}
    wide = wide[names].fillna("").reset_index()
    titles = {"method": st.column_config.TextColumn("Method", pinned=True)}
    st.dataframe(wide, hide_index=True, key="attribution-summary", column_config={**titles, **labels})
    meanings = " ".join(f"{metric(name).label}: {metric(name).definition}" for name in names)
    st.caption(
        f"{int(table['n'].max()):,} test posts. {meanings} Rows with a minus sign are differences paired by post: the "
        "first method points better when its brackets lie above 0. Brackets hold 95% intervals, which draw whole "
        "groups. Owen values are made of such removals, so the test favours them."
    )


def _speed(report: Report, entries: dict[str, dict[str, Any]]) -> None:
    st.subheader("How fast and how steady is an answer?", anchor=False)
    own = str(report.facts.get("bundle") or "")
    rows = pd.DataFrame([_row(name, entry, own) for name, entry in entries.items()])
    if missed := rows.loc[rows["verdict"] == MISSED, "what"].tolist():
        st.warning(f"Target missed: {text.markdown('; '.join(missed))}.", icon=":material/speed:")
    if others := rows.loc[rows["model"] == ANOTHER, "what"].tolist():
        st.warning(
            f"Measured on another model than the report's: {text.markdown('; '.join(others))}.",
            icon=":material/history:",
        )
    st.dataframe(
        rows,
        hide_index=True,
        key="hardware",
        column_config={
            "what": st.column_config.TextColumn("Measured, against its reference", width="medium"),
            "verdict": "Verdict",
            "ratio": st.column_config.NumberColumn("Ratio", format="%.3f"),
            "target": "Target",
            "figures": "Measured",
            "machine": "Machine",
            "threads": "Threads",
            "measured": "On",
            "model": st.column_config.TextColumn("Model", help="Empty where no model answers, or none was noted."),
        },
    )
    versions = dict.fromkeys(_versions(entry.get("versions")) for entry in entries.values())
    st.caption(
        f"{_model(report)}. A ratio is the measured figure over that of its reference, both in turns in one run on one "
        "machine, or over what is promised where there is nothing to run beside it; what against what, its row says. "
        f"Versions: {text.markdown('; '.join(filter(None, versions)))}"
    )


MISSED = "⚠ misses its target"
ANOTHER = "⚠ another"


def _row(name: str, entry: dict[str, Any], own: str) -> dict[str, Any]:
    """A benchmark's row; `own` is the identity of the report's bundle."""
    ratio, target = _number(entry["ratio"]), _number(entry.get("target"))
    least = entry.get("better") == "higher"
    verdict = "no target"
    if ratio is not None and target is not None:
        verdict = "meets its target" if (ratio >= target if least else ratio <= target) else MISSED
    return {
        "what": str(entry.get("what", name)),
        "verdict": verdict,
        "ratio": ratio,
        "target": "" if target is None else f"at {'least' if least else 'most'} {target:g}",
        "figures": _figures(entry.get("figures")),
        "machine": str(entry.get("machine", "")),
        "threads": _number(entry.get("threads")),
        "measured": str(entry.get("measured", ""))[:10],
        "model": _whose(entry.get("bundle"), own),
    }


def _whose(bundle: object, own: str) -> str:
    """Whether the report's bundle was measured; "" where nobody can say."""
    if not (bundle and own):
        return ""
    return "this one" if bundle == own else ANOTHER


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


def _figures(figures: object) -> str:
    if not isinstance(figures, list):
        return ""
    known = [figure for figure in figures if isinstance(figure, dict)]
    return ", ".join(f"{figure.get('name')} {figure.get('value')} {figure.get('unit')}" for figure in known)


def _versions(versions: object) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
