"""How fast, and on what? A section of the model page: hardware.json, as the benchmarks write it."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import text
from dashboard.reports import Report, read_json


def render(report: Report) -> None:
    found = read_json(report, "hardware.json")
    if not found:
        return
    entries = {name: entry for name, entry in found.items() if isinstance(entry, dict) and "ratio" in entry}
    with st.expander("Speed and hardware"):
        if entries:
            _entries(entries)
        if rest := {name: value for name, value in found.items() if name not in entries}:
            st.json(rest)


def _entries(entries: dict[str, dict[str, Any]]) -> None:
    rows = [
        {
            "what": str(entry.get("what", name)),
            "ratio": entry["ratio"],
            "target": entry.get("target"),
            "figures": _figures(entry.get("figures")),
            "machine": str(entry.get("machine", "")),
            "threads": entry.get("threads"),
            "measured": str(entry.get("measured", ""))[:10],
        }
        for name, entry in entries.items()
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="hardware",
        column_config={
            "what": "Measured against its reference",
            "ratio": st.column_config.NumberColumn("Ratio", format="%.2f"),
            "target": st.column_config.NumberColumn("At most", format="%.2f"),
            "figures": "Medians",
            "machine": "Machine",
            "threads": "Threads",
            "measured": "On",
        },
    )
    versions = dict.fromkeys(_versions(entry.get("versions")) for entry in entries.values())
    st.caption(
        "A ratio is the measured time over that of its reference, both in turns in one run on one machine. "
        f"{text.markdown('; '.join(filter(None, versions)))}"
    )


def _figures(figures: object) -> str:
    if not isinstance(figures, list):
        return ""
    known = [figure for figure in figures if isinstance(figure, dict)]
    return ", ".join(f"{figure.get('name')} {figure.get('value')} {figure.get('unit')}" for figure in known)


def _versions(versions: object) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
