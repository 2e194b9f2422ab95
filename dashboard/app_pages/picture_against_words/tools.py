"""How good are the tools behind the signals? Matching against chance, captions against people's, and examples."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.picture_against_words import charts as figures
from dashboard.app_pages.picture_against_words import queries
from dashboard.metrics import bracketed, metric, ordered
from dashboard.reports import Report
from dashboard.store import records
from dashboard.tiles import interval_line, tile

MODELS = {"aligned": "Aligned space", "cca": "Linear alignment (CCA)", "chance": "Chance"}
DIRECTIONS = {"text_to_image": "sentence to picture", "image_to_text": "picture to sentence", "pairs": "pairs"}


def section(report: Report) -> None:
    if not any(report.has(table) for table in ("matching", "captions", "caption_examples")):
        return
    st.subheader("How good are the tools?", anchor=False)
    left, right = st.columns(2, gap="medium")
    with left:
        if report.has("matching"):
            _matching(queries.matching(report))
    with right:
        if report.has("captions"):
            _captions(queries.captions(report))
    if report.has("caption_examples"):
        _examples(queries.caption_examples(report))


def _matching(table: pd.DataFrame) -> None:
    st.markdown("**Does the aligned space find what belongs together?**")
    table = table[table["model"].isin(MODELS)]
    if table.empty:
        st.caption("The report's matching.parquet has no rows.")
        return
    table = table.assign(name=[_name(row) for row in records(table)])
    chart = figures.models(table, MODELS, "Share found, or AUC (higher is better)")
    charts.show(chart, "matching", "Matching of pictures and sentences by model")
    st.caption(
        f"Asked for: {_asked(table)}. Recall at k is how often what belongs to a sentence, or to a picture, is among "
        f"the first k of all there are. AUC: {metric('auc').meaning} On pictures that no part of the tools was trained "
        "on; lines are 95% intervals."
    )
    with st.expander("As a table"):
        cells = table.assign(cell=[bracketed(row) for row in records(table)], model=table["model"].map(MODELS))
        wide = cells.pivot_table(index=["name", "n"], columns="model", values="cell", aggfunc="first", sort=False)
        wide = wide.reset_index()
        titles = {
            "name": st.column_config.TextColumn("Figure", pinned=True),
            "n": st.column_config.NumberColumn("n", format="localized"),
        }
        order = ["name", *[label for label in MODELS.values() if label in wide], "n"]
        st.dataframe(wide[order], hide_index=True, key="table-matching", column_config=titles)
        st.caption("Brackets hold 95% intervals; n are the sentences, pictures or pairs that were asked for.")


def _asked(table: pd.DataFrame) -> str:
    """How many were asked for, each way."""
    rows = records(table.drop_duplicates(["dataset", "direction", "n"]))
    return text.markdown(", ".join(f"{_way(row)} {row['n']:,}" for row in rows))


def _name(row: dict[str, Any]) -> str:
    return f"{_way(row)}, {metric(row['metric']).label}"


def _way(row: dict[str, Any]) -> str:
    return f"{str(row['dataset']).capitalize()}: {DIRECTIONS.get(row['direction'], row['direction'])}"


def _captions(table: pd.DataFrame) -> None:
    st.markdown("**Does the captioner say what is there?**")
    if table.empty:
        st.caption("The report's captions.parquet has no rows.")
        return
    order = ordered(table["metric"].tolist())
    with st.container(horizontal=True):
        for row in sorted(records(table), key=lambda row: order.index(row["metric"])):
            style = "+.3f" if row["metric"] == "nouns_difference" else ".3f"
            lines = [interval_line(row["low"], row["high"], style)]
            lines.append(f"of {int(row['n']):,} {text.markdown(row['dataset'])}")
            tile(metric(row["metric"]), f"{row['value']:{style}}", lines)


def _examples(table: pd.DataFrame) -> None:
    if table.empty:
        return
    st.markdown("**Examples of captions**")
    titles: dict[str, Any] = {
        "name": st.column_config.TextColumn("Picture", pinned=True),
        "caption": st.column_config.TextColumn("What the captioner says"),
        "dataset": "Of",
    }
    st.dataframe(table[list(titles)], hide_index=True, key="caption-examples", column_config=titles)
