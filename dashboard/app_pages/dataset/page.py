"""What was the model trained on? Scores and their cuts, splits, what cleaning removed, and the posts' facts."""

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.dataset import charts as figures
from dashboard.app_pages.dataset import queries
from dashboard.controls import download, one_of
from dashboard.reports import Report
from dashboard.store import records
from engine.scoring import LEVELS

TITLE = "Dataset"
URL = "dataset"
ICON = ":material/dataset:"
QUESTION = "What was the model trained on?"
NEEDS = ("posts",)
ALL = "all"


def render(report: Report) -> None:
    sizes = queries.split_sizes(report)
    if sizes.empty:
        st.info("The report's posts.parquet has no rows.")
        return
    _totals(report, sizes)
    _scores(report)
    _levels(report)
    _splits(report, sizes)
    if report.has("cleaning"):
        _cleaning(report)
    _facts(report)


def _totals(report: Report, sizes: pd.DataFrame) -> None:
    grouped = sizes[sizes["protocol"] == "grouped"].set_index("split")["posts"]
    with st.container(horizontal=True):
        st.metric("Posts kept", f"{int(grouped.sum()):,}", border=True, width=charts.TILE)
        for split in queries.SPLITS:
            st.metric(charts.SPLIT_NAMES[split], f"{int(grouped.get(split, 0)):,}", border=True, width=charts.TILE)
        if report.has("cleaning"):
            reasons = queries.cleaning_reasons(report)
            removed = int(reasons.loc[reasons["pictured"], "n"].sum())
            st.metric(
                "Removed by cleaning",
                f"{removed:,}",
                border=True,
                width=charts.TILE,
                help="Of the posts with a picture, the only ones these figures are about.",
            )


def _scores(report: Report) -> None:
    st.subheader("Score", anchor=False)
    formula = report.facts.get("score_formula")
    if formula:
        st.markdown(f"Score {text.markdown(formula)}")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        split = one_of("Split", {name: charts.SPLIT_NAMES[name] for name in (ALL, *queries.SPLITS)}, "histogram")
        log = st.toggle("Log axis", value=True, key="log", bind="query-params")
    table = queries.histogram(report, "score", None if split == ALL else split, log=log)
    chart = figures.score_histogram(table, report.cuts, log)
    charts.show(chart, "scores", "Histogram of the score with the four cuts between levels")
    cuts = ", ".join(f"**{text.score(cut)}**" for cut in report.cuts)
    st.caption(
        f"The dashed lines are the four cuts between levels, {cuts}: the 20, 40, 60 and 80 percentiles of "
        f"{_cut_on(report)} alone, used unchanged for every other post. The outer bins also hold what lies beyond."
    )


def _cut_on(report: Report) -> str:
    return f"the {' and '.join(charts.SPLIT_NAMES[name].lower() for name in report.cut_on)} posts"


def _levels(report: Report) -> None:
    st.subheader("Levels in every split", anchor=False)
    shares = queries.level_shares(report)
    charts.show(figures.level_shares(shares), "shares", "Share of each level per split")
    counted = shares[shares["split"].isin(report.cut_on)].groupby("level")["n"].sum()
    train = counted / counted.sum()
    test = shares[shares["split"] == "test"]["share"]
    if not train.empty:
        off = (train - 0.2).abs().max()
        sentence = f"Of {_cut_on(report)} every level holds between {train.min():.1%} and {train.max():.1%}."
        # Few posts cannot be cut into five equal parts.
        if len(train) == len(LEVELS) and off <= max(0.01, 1 / counted.sum()):
            st.success(f"{sentence} About 20% each, as the cuts promise.", icon=":material/check:")
        else:
            st.warning(
                f"{sentence} It should be about 20% each: cuts and labels disagree, or many scores are equal.",
                icon=":material/warning:",
            )
    if not test.empty:
        st.caption(
            f"Test: {test.min():.1%} to {test.max():.1%}. A split whose groups differ may drift from 20%; a model "
            "that always names the largest level would reach that share as accuracy."
        )
    with st.expander("Counts per level and split"):
        table = shares.assign(level=[LEVELS[level] for level in shares["level"]])
        wide = table.pivot(index="level", columns="split", values="n").reindex(LEVELS).fillna(0).astype(int)
        order = [name for name in (ALL, *queries.SPLITS) if name in wide]
        named = wide[order].rename(columns=charts.SPLIT_NAMES).reset_index(names="Level")
        st.dataframe(named, hide_index=True)
        download("Counts as CSV", named, "levels.csv")


def _splits(report: Report, sizes: pd.DataFrame) -> None:
    st.subheader("Grouped and random split", anchor=False)
    st.markdown(
        "The figure that counts is **grouped**: no known channel, near-duplicate or series is on both sides. A channel "
        "that is unknown may be, as may a name in a title other than its commonest. The random split is kept for "
        "comparison with work that used one."
    )
    named = sizes.assign(
        protocol=sizes["protocol"].str.capitalize(),
        split=[charts.SPLIT_NAMES.get(split, split) for split in sizes["split"]],
        share=100 * sizes["share"],
    )
    st.dataframe(
        named,
        hide_index=True,
        column_config={
            "protocol": "Protocol",
            "split": "Split",
            "posts": st.column_config.NumberColumn("Posts", format="localized"),
            "groups": st.column_config.NumberColumn("Groups", format="localized"),
            "share": st.column_config.NumberColumn("Share", format="%.1f%%"),
        },
    )
    counts = {name: queries.straddling_groups(report, name) for name in queries.PROTOCOLS}
    st.caption(
        f"Groups with posts in more than one split: {counts['grouped']:,} grouped, {counts['random']:,} random. "
        "Across such a group a model can recognise the channel instead of judging the post."
    )


def _cleaning(report: Report) -> None:
    st.subheader("What cleaning removed", anchor=False)
    reasons = queries.cleaning_reasons(report)
    if reasons.empty:
        st.caption("Nothing was removed.")
        return
    left, right = st.columns([3, 2])
    with left:
        pictured, others = reasons[reasons["pictured"]], reasons[~reasons["pictured"]]
        if len(pictured):
            chart = figures.counts(pictured, "reason", "n", charts.WARM)
            charts.show(chart, "reasons", "Removed posts per reason")
            st.caption("Shares are of all posts with a picture that were read, kept and removed.")
        if len(others):
            told = ", ".join(f"{text.markdown(row['reason'])} {row['n']:,}" for row in records(others))
            st.caption(
                f"Of the posts that never had a picture, which are in no split and in no other figure here, "
                f"{int(others['n'].sum()):,} were removed: {told}."
            )
    with right:
        st.dataframe(
            queries.removed_posts(report, limit=500),
            hide_index=True,
            height=230,
            column_config={"post_id": "Post", "reason": "Reason"},
        )
        st.download_button(
            "All removed posts as CSV",
            lambda: text.csv(queries.removed_posts(report)),
            "removed-posts.csv",
            "text/csv",
            on_click="ignore",
        )


def _facts(report: Report) -> None:
    st.subheader("The posts", anchor=False)
    left, right = st.columns(2)
    with left:
        st.markdown("**Title length**")
        table = queries.histogram(report, "title_characters", None, bins=40, whole=True)
        chart = figures.histogram(table, "Characters in the title")
        charts.show(chart, "titles", "Histogram of title length")
        st.markdown("**Language of the title**")
        table = queries.counts_by(report, "language", 8)
        chart = figures.counts(table.assign(value=table["value"].map(text.language)), "value", "n")
        charts.show(chart, "languages", "Posts per language")
    with right:
        st.markdown("**Picture size in pixels**")
        chart = figures.counts(queries.counts_by(report, "image_width || '×' || image_height", 8), "value", "n")
        charts.show(chart, "pictures", "Posts per picture size")
        st.markdown("**Source**")
        st.dataframe(
            queries.sources(report),
            hide_index=True,
            column_config={
                "source": "Source",
                "posts": st.column_config.NumberColumn("Posts", format="localized"),
                "train": st.column_config.NumberColumn("Training", format="localized"),
                "validation": st.column_config.NumberColumn("Validation", format="localized"),
                "test": st.column_config.NumberColumn("Test", format="localized"),
                "median_score": st.column_config.NumberColumn("Median score", format="%.4f"),
            },
        )
