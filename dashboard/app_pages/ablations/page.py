"""What does each part earn? The shipped model's gains first, then a simpler model without a part, or with another."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.ablations import queries
from dashboard.app_pages.ablations.charts import forest, small_reach
from dashboard.app_pages.ablations.members import members
from dashboard.controls import download, one_metric, one_of
from dashboard.differences import MISSING, differences
from dashboard.metrics import EDGY, HEADLINE, Metric, between, bracketed, metric, ordered, ranked, verdict
from dashboard.reports import Report
from dashboard.scope import marked
from dashboard.store import by_metric, records
from dashboard.tiles import interval_line, tile, verdict_line

TITLE = "Ablations"
URL = "ablations"
ICON = ":material/extension:"
QUESTION = "What does each part earn?"
NEEDS = ("ablations",)
FAMILIES = {
    "modality": "Picture or title",
    "feature": "Features",
    "fusion": "Fusions",
    "head": "Heads",
    "control": "Controls",
    "leak": "Leak",
}
# A leak or a control dwarfs what the parts earn, so both wait to be asked for.
QUIET = ("control", "leak")
# What `ablate` fits under the names of its references.
REFERENCES = {
    "all features": "CatBoost on every feature of the frozen encoders",
    "CatBoost head": "CatBoost on every feature of the frozen encoders",
    "concat": "a network on tokens of the frozen encoders, set side by side",
}


def render(report: Report) -> None:
    _picture(report)
    members(report)
    names = queries.metrics(report)
    if not names:
        st.info("The report's ablations.parquet has no rows.")
        return
    split = queries.main_split(report)
    st.subheader("What do parts earn in a simpler model?", anchor=False)
    if not report.has("comparisons"):
        st.warning("The report has no comparisons.parquet, so none of these differences was tested.")
    what = one_metric("Metric", names, "metric")
    st.caption(what.definition)
    table = queries.differences(report, what.name, split)
    families = [name for name in FAMILIES if name in set(table["family"])]
    families += sorted(set(table["family"].dropna()) - set(families))
    chosen = st.pills(
        "Families",
        families,
        selection_mode="multi",
        default=[name for name in families if name not in QUIET] or families,
        format_func=_family,
        key="families",
        bind="query-params",
    )
    table = table[table["family"].isin(chosen or families)]
    references = table["reference"].unique().tolist()
    only = references[0] if len(references) == 1 else None
    names = [marked(row["ablation"], row["family"]) for row in records(table)]
    table = table.assign(
        name=names
        if only
        else [f"{name} vs {against}" for name, against in zip(names, table["reference"], strict=True)],
        verdict=[verdict(what.name, row["low"], row["high"]) for row in records(table)],
    )
    _simpler(report, table, what, split)
    table = ranked(table, what, "delta")
    reach = small_reach(table)
    zoomed = reach is not None and st.toggle(
        "Zoom in on the small differences",
        key="zoom",
        bind="query-params",
        help="Large ones become arrows at the edge.",
    )
    chart = forest(
        table,
        f"Change in {what.label}" + (f", against {charts.plain(only)}" if only else ""),
        reach if zoomed else None,
    )
    charts.show(chart, "forest", f"Change in {what.label} of every ablation")
    st.caption(f"Each row replaces the reference{'' if only else ', named last,'} by the variant. {_how(table)}")
    _table(table, what.name)
    _head_to_head(report, families, split)


def _family(name: str) -> str:
    return FAMILIES.get(name, name.capitalize())


def _picture(report: Report) -> None:
    """The shipped model's own gain from the picture, tested on test."""
    st.subheader("What does the picture earn in the shipped model?", anchor=False)
    table = differences(report)
    own = table[
        (table["model"] == table["reference"]) & (table["view"] == "both") & (table["reference_view"] == "text")
    ]
    if own.empty:
        st.caption(MISSING if not report.has("differences") else "The report's differences.parquet does not say.")
        return
    st.caption(
        f"**{text.markdown(own['model'].iloc[0])}** with picture and title minus itself with the title alone, on "
        f"{int(own['n'].max()):,} test posts; 95% intervals, paired by post, draw whole groups."
    )
    rows = by_metric(own)
    with st.container(horizontal=True):
        for name in [name for name in HEADLINE if name in rows]:
            row, what = rows[name], metric(name)
            lines = [interval_line(row["low"], row["high"], "+.3f"), verdict_line(what, row["low"], row["high"])]
            tile(what, f"{row['delta']:+.3f}", lines)


def _simpler(report: Report, table: pd.DataFrame, what: Metric, split: str) -> None:
    """What the variants are variants of, its figure, and that the shipped model is another."""
    lines = []
    for reference, rows in table.groupby("reference", sort=False):
        known = f" ({REFERENCES[str(reference)]})" if reference in REFERENCES else ""
        posts = f", {int(rows['n'].max()):,} {split} posts" if rows["n"].notna().any() else f", {split} posts"
        lines.append(
            f"- Reference **{text.markdown(reference)}**{known}: {what.label} {rows['reference_value'].mean():.3f}, "
            f"mean of {int(rows['seeds'].max())} seed{'s' if rows['seeds'].max() > 1 else ''}{posts}"
        )
    own = queries.shipped(report, what.name, split)
    recipe = text.markdown(report.facts.get("recipe", "a recipe that the report does not name"))
    lines.append(
        f"- The shipped model **{text.markdown(own['model'])}** is another: {what.label} {bracketed(own)}, "
        f"{int(own['n']):,} {split} posts"
        if own
        else "- The shipped model is another; the report has no such figure of it"
    )
    st.markdown(
        f"Not the shipped model: the encoders of **{recipe}** stay frozen here, and a model that fits in seconds is "
        f"fitted anew without a part, or with another, on several seeds.{report.apart('ablations')}\n"
        + "\n".join(lines)
    )


def _how(table: pd.DataFrame) -> str:
    """What the lines of a figure are, and what has none."""
    said = []
    if table["low"].notna().any():
        said.append(
            "Lines are paired 95% intervals that draw seeds and whole groups of test posts; a grey ring marks one "
            "that includes zero: no clear difference."
        )
    if table["verdict"].str.endswith(EDGY).any():
        said.append("A coloured ring marks one that all but includes zero, by which a difference is hardly shown.")
    if table["low"].isna().any():
        said.append(
            "A cross was not tested: its difference is a mean over seeds, whose single differences the table gives, "
            "and may be the luck of these posts."
        )
    return " ".join(said)


# What is read first stands first: on a phone the rest of a row is a swipe away.
FIRST: dict[str, Any] = {
    "delta": st.column_config.NumberColumn("Difference", format="%+.4f"),
    "between": st.column_config.TextColumn("95% interval"),
    "verdict": "Verdict",
}
LAST: dict[str, Any] = {
    "spread": st.column_config.TextColumn("Single seeds", help="Least and greatest difference of a single seed."),
    "seeds": st.column_config.NumberColumn("Seeds", format="%d"),
    "n": st.column_config.NumberColumn("Posts", format="localized"),
}


def _worded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its interval and its seeds' spread in words."""
    return table.assign(
        between=[between(row["low"], row["high"], "+.4f") for row in records(table)],
        spread=[between(row["least"], row["most"], "+.4f") for row in records(table)],
    )


def _table(table: pd.DataFrame, name: str) -> None:
    shown = _worded(table).assign(family=[_family(key) for key in table["family"]])
    titles: dict[str, Any] = {
        "ablation": st.column_config.TextColumn("Variant", pinned=True),
        "value": st.column_config.NumberColumn("Variant's value", format="%.4f"),
        "reference_value": st.column_config.NumberColumn("Reference's value", format="%.4f"),
        "reference": "Reference",
        "family": "Family",
    }
    order = ["ablation", *FIRST, "value", "reference_value", "reference", "family", *LAST]
    st.dataframe(shown[order], hide_index=True, key="table-ablations", column_config={**titles, **FIRST, **LAST})
    columns = ["family", "ablation", "reference", "value", "reference_value", "delta", "low", "high", "verdict"]
    tidy = table[[*columns, "least", "most", "seeds", "n"]].assign(metric=name)
    download("Table as CSV", tidy, f"ablations-{name}.csv")


def _head_to_head(report: Report, families: list[str], split: str) -> None:
    pairs = {family: queries.variants(report, family) for family in families}
    pairs = {family: names for family, names in pairs.items() if len(names) > 1}
    if not pairs:
        return
    st.subheader("Any two against each other", anchor=False)
    # Fusions and heads are true alternatives, so they come first.
    offered = sorted(pairs, key=lambda family: family not in ("fusion", "head"))
    family = one_of("Family", {family: _family(family) for family in offered}, "family")
    names = pairs[family]
    # A key of each family's own, so that its two names mean the same in every URL.
    with st.container(horizontal=True):
        first = st.selectbox("This", names, index=0, key=f"{family}-first", bind="query-params", width=220)
        second = st.selectbox(
            "Against", names, index=len(names) - 1, key=f"{family}-second", bind="query-params", width=220
        )
    if first == second:
        st.info("Choose two different ones.")
        return
    table = queries.head_to_head(report, family, str(first), str(second), split)
    if table.empty:
        st.info("The report has no seed in which both were run.")
        return
    order = ordered(table["metric"].tolist())
    table = table.set_index("metric").loc[order].reset_index()
    table = table.assign(
        name=[metric(name).title for name in order],
        verdict=[verdict(row["metric"], row["low"], row["high"]) for row in records(table)],
    )
    marks = [str(marked(name, family)) if name in names[:-1] else str(name) for name in (first, second)]
    chart = forest(table, f"{charts.plain(marks[0])} minus {charts.plain(marks[1])}")
    charts.show(chart, "pair", "Difference between the two variants")
    st.caption(f"On the frozen encoders, not in the shipped model; {split} posts. {_how(table)}")
    titles = {
        "name": st.column_config.TextColumn("Metric", pinned=True),
        "first": st.column_config.NumberColumn(str(first), format="%.4f"),
        "second": st.column_config.NumberColumn(str(second), format="%.4f"),
    }
    shown = _worded(table)[["name", *FIRST, "first", "second", *LAST]]
    st.dataframe(shown, hide_index=True, key="table-pair", column_config={**titles, **FIRST, **LAST})
    tidy = table.drop(columns="name").assign(this=first, against=second)
    download("Pair as CSV", tidy, "pair.csv")
