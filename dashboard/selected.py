"""The selected posts of one model: counted, a page at a time as cards, and all of them as files."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import previews, text
from dashboard.choosing import PAGE
from dashboard.reports import Report, Settings
from dashboard.scope import Scope
from dashboard.selection import Selection
from dashboard.store import query, records, scalar

PAGE_SIZE = 12
# The floor keeps a score of zero comparable: a logarithm of zero would be an error.
FLOOR = 1e-9
OUTSIDE = f"""greatest(ln(greatest(q.score, {FLOOR}) / greatest(p.score_high, {FLOOR})),
    ln(greatest(p.score_low, {FLOOR}) / greatest(q.score, {FLOOR})), 0)"""
CONFIDENCE = "greatest(p.p_very_low, p.p_low, p.p_average, p.p_high, p.p_very_high)"
ORDERS = {
    "Furthest off": f"abs(p.predicted_level - p.level) DESC, {CONFIDENCE} DESC",
    "Most confident misses": f"(p.predicted_level <> p.level) DESC, {CONFIDENCE} DESC",
    "Score furthest outside its interval": f"coalesce({OUTSIDE}, 0) DESC",
    "Least certain": f"{CONFIDENCE} ASC",
    "Random": "hash(p.post_id)",
}
FACTS = """p.post_id, p.level, p.predicted_level, p.p_very_low, p.p_low, p.p_average, p.p_high, p.p_very_high,
    p.expected_level, q.score AS true_score, p.score, p.score_low, p.score_high, p.set_low, p.set_high, p.abstain,
    q.source, q.language, q.title_characters, q.image_width, q.image_height, q."group" """
# The posts of a scope, whose split may be "all".
FROM = "FROM predictions p JOIN posts q USING (post_id) WHERE p.model = ? AND p.view = ? AND ? IN (p.split, 'all')"


def selected_count(report: Report, scope: Scope, selection: Selection) -> int:
    where, parameters = selection.where()
    return scalar(report, f"SELECT count(*) {FROM} AND {where}", (*scope.parameters, *parameters))


def selected_posts(
    report: Report, scope: Scope, selection: Selection, order: str, limit: int, offset: int
) -> pd.DataFrame:
    """One page of selected posts with everything a preview shows."""
    where, parameters = selection.where()
    sql = f"""
        SELECT {FACTS}, q.thumbhash, q.image_url {FROM} AND {where}
        ORDER BY {ORDERS[order]}, p.post_id LIMIT ? OFFSET ?"""
    return query(report, sql, (*scope.parameters, *parameters, limit, offset))


def selected_table(report: Report, scope: Scope, selection: Selection, order: str) -> pd.DataFrame:
    """Every selected post, for the files."""
    where, parameters = selection.where()
    sql = f"SELECT {FACTS} {FROM} AND {where} ORDER BY {ORDERS[order]}, p.post_id"
    return query(report, sql, (*scope.parameters, *parameters))


def section(report: Report, scope: Scope, selection: Selection) -> None:
    """How many posts are selected, and cards of them with what the scope's model says."""
    total = selected_count(report, scope, selection)
    st.subheader(f"{total:,} {'selected ' if selection else ''}post{'' if total == 1 else 's'}", anchor=False)
    if not total:
        st.info("No post meets every filter. Remove one of them above.")
        return
    pages = -(-total // PAGE_SIZE)
    if st.session_state.get(PAGE, 1) > pages:
        st.session_state[PAGE] = pages
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.selectbox("Order", list(ORDERS), key="order", bind="query-params", width=280)
        page = st.number_input(f"Page of {pages:,}", 1, pages, key=PAGE, bind="query-params", width=140)
        online = st.toggle(
            "Pictures from their public address",
            value=True,
            key="online",
            help="Your browser asks the picture's own host. Without it, or offline, a blurred preview is shown.",
        )

        def exported(written: Callable[[pd.DataFrame], bytes]) -> bytes:
            return written(selected_table(report, scope, selection, str(order)))

        for kind, written in (("CSV", text.csv), ("Parquet", text.parquet)):
            file = f"selected-posts.{kind.lower()}"
            st.download_button(f"Selection as {kind}", partial(exported, written), file, on_click="ignore")
    rows = selected_posts(report, scope, selection, str(order), PAGE_SIZE, (int(page) - 1) * PAGE_SIZE)
    contents = contents_of(rows)
    st.html(previews.cards(records(rows), contents, online))
    if not contents:
        st.caption(
            "Titles are not part of a report. To see them, set FIRST_IMPRESSIONS_DATA to the folder that holds the "
            "dataset's posts.parquet."
        )


def contents_of(rows: pd.DataFrame) -> dict[str, previews.Content]:
    """Titles and pictures of some posts where their dataset is mounted."""
    folder = Settings().data
    path = folder / "posts.parquet" if folder else None
    if path is None or not path.is_file():
        return {}
    return previews.mounted(str(folder), path.stat().st_mtime_ns, tuple(rows["post_id"]))
