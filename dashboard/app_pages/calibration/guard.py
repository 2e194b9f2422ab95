"""What the report's own model does not answer: junk by kind, and the price on real posts."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.calibration import charts as own_charts
from dashboard.app_pages.calibration import queries
from dashboard.metrics import bracketed, metric, verdict
from dashboard.reports import Report
from dashboard.scope import view_name
from dashboard.store import by_metric, records
from dashboard.tiles import interval_line, tile

SIDES = {"text": "titles", "image": "pictures"}
NAMES = {"text": "title", "image": "picture"}
SHARES = ("withheld", "near_prior", "abstained")
# What a share of junk of each origin is called.
ORIGINS = {"learned": "learned from", "unseen": "never seen"}


def section(report: Report) -> None:
    st.subheader("What it does not answer", anchor=False)
    if not report.has("guard"):
        st.caption(
            "The report has no guard.parquet, so what is turned away is not shown; `python -m training evaluate` "
            "writes it."
        )
        return
    junk = queries.junk(report)
    recipe = text.markdown(report.facts.get("recipe", "The model"))
    sides = [side for side in SIDES if side in set(junk["view"])] or list(SIDES)
    named = " or a ".join(NAMES[side] for side in sides)
    st.caption(
        f"**{recipe}** turns away a {named} unlike all that it learned from: that side is left out, and "
        "where there is no other it says what is usual, and why. Tried on junk made up for this, some of kinds that it "
        "learned to know and some of kinds that it never saw, each without the other side of a post; and on test "
        "posts, of which none should be turned away. "
        "Lines and brackets are 95% intervals that draw whole groups, and of junk its examples, not its kinds: of a "
        "kind that is none of these nothing is said. Where all fared alike they have no width, which does not say that "
        "the next one would."
    )
    for side, column in zip(sides, st.columns(len(sides), gap="medium"), strict=True):
        if (own := junk[junk["view"] == side]).empty:
            continue
        with column:
            _side(side, own)
    if len(junk):
        _table(junk)
    _price(queries.price(report), len(sides))


def _side(side: str, table: pd.DataFrame) -> None:
    """Junk of one side: all of it in tiles, each kind in a figure."""
    st.markdown(f"**Made-up {SIDES[side]}**")
    whole = by_metric(table[table["origin"].eq("all") & table["kind"].eq("all")])
    with st.container(horizontal=True):
        for name in [name for name in SHARES if name in whole]:
            row = whole[name]
            lines = [interval_line(row["low"], row["high"], ".1%"), f"of {int(row['n']):,}"]
            tile(metric(name), f"{row['value']:.1%}", lines)
    kinds = table[table["kind"].ne("all") & table["metric"].eq("withheld")]
    if len(kinds):
        chart = own_charts.turned_away(kinds, ORIGINS)
        charts.show(chart, f"junk-{side}", f"Made-up {SIDES[side]} turned away")


def _table(junk: pd.DataFrame) -> None:
    """Every share of every kind, and of all kinds of an origin together."""
    cells = junk.assign(cell=[_cell(row) for row in records(junk)])
    keys = ["view", "origin", "kind", "n"]
    wide = cells.pivot_table(index=keys, columns="metric", values="cell", aggfunc="first", sort=False).reset_index()
    wide = wide.assign(
        origin=wide["origin"].map(ORIGINS).fillna("both"),
        view=wide["view"].map(SIDES),
        kind=wide["kind"].where(wide["kind"] != "all", "all together"),
    )
    names = [name for name in SHARES if name in wide]
    titles: dict[str, Any] = {
        "kind": st.column_config.TextColumn("Kind", pinned=True),
        **{name: st.column_config.TextColumn(metric(name).label, help=metric(name).meaning) for name in names},
        "origin": "Learned from?",
        "view": "Of",
        "n": st.column_config.NumberColumn("Made up", format="localized"),
    }
    st.dataframe(wide[list(titles)], hide_index=True, key="junk", column_config=titles)


def _price(table: pd.DataFrame, sides: int) -> None:
    """What the guard of one or both sides costs on the test posts: those turned away, and how well the answers rank
    without and with it."""
    st.markdown("**The price on real posts**")
    if table.empty:
        st.caption("The report's guard.parquet has no rows of test posts.")
        return
    rows = []
    for view in [view for view in charts.VIEW_NAMES if view in set(table["view"])]:
        found = by_metric(table[table["view"] == view])
        cells = {name: _cell(row) for name, row in found.items()}
        if "src_difference" in found:
            cells["verdict"] = verdict("src", found["src_difference"]["low"], found["src_difference"]["high"])
        rows.append({"view": view_name(view), **cells, "n": max(int(row["n"]) for row in found.values())})
    names = ("withheld", "src", "src_guarded", "src_difference")
    titles: dict[str, Any] = {
        "view": st.column_config.TextColumn("The model sees", pinned=True),
        **{name: st.column_config.TextColumn(metric(name).label, help=metric(name).meaning) for name in names},
        "verdict": "Verdict",
        "n": st.column_config.NumberColumn("Test posts", format="localized"),
    }
    shown = pd.DataFrame(rows).reindex(columns=list(titles))
    st.dataframe(shown, hide_index=True, key="price", column_config=titles)
    how = "what it turns away stands in the middle"
    if sides == len(SIDES):
        how = "a post with one side turned away is ranked by the other, and one without any left stands in the middle"
    st.caption(
        f"Figures elsewhere in this dashboard are those without the guard. With it, {how}; the change is paired by "
        "post."
    )


def _cell(row: dict[str, Any]) -> str:
    """A figure with its interval."""
    style = ".1%" if row["metric"] in SHARES else "+.4f" if row["metric"] == "src_difference" else ".3f"
    if pd.isna(row["value"]):
        return "none"
    return bracketed(row, style)
