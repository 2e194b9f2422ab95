"""The selected posts of one model: counted, a page at a time as cards, and all of them as files."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import previews, text
from dashboard.choosing import PAGE
from dashboard.reports import Report, Settings
from dashboard.scope import Scope, predicted_models
from dashboard.selection import Selection
from dashboard.store import AMONG, listed, query, records, scalar

PAGE_SIZE = 12
# The floor keeps a score of zero comparable: a logarithm of zero would be an error.
FLOOR = 1e-9
OUTSIDE = f"""greatest(ln(greatest(true_score, {FLOOR}) / greatest(score_high, {FLOOR})),
    ln(greatest(score_low, {FLOOR}) / greatest(true_score, {FLOOR})), 0)"""
CONFIDENCE = "greatest(p_very_low, p_low, p_average, p_high, p_very_high)"
ORDERS = {
    "Furthest off": f"abs(predicted_level - level) DESC, {CONFIDENCE} DESC",
    "Most confident misses": f"(predicted_level <> level) DESC, {CONFIDENCE} DESC",
    "Score furthest outside its interval": f"coalesce({OUTSIDE}, 0) DESC",
    "Least certain": f"{CONFIDENCE} ASC",
    "Random": "hash(post_id)",
}
FACTS = """post_id, level, predicted_level, p_very_low, p_low, p_average, p_high, p_very_high, expected_level,
    true_score, score, score_low, score_high, set_low, set_high, abstain, source, language, title_characters,
    image_width, image_height, "group" """


def selected_count(report: Report, scope: Scope, selection: Selection) -> int:
    if not selection:
        found = predicted_models(report)
        own = found["model"].eq(scope.model) & found["view"].eq(scope.view)
        return int(found.loc[own & (found["split"].eq(scope.split) | (scope.split == "all")), "n"].sum())
    where, parameters = selection.where()
    return scalar(report, f"SELECT count(*) FROM answers WHERE {where}", parameters, scope.answers)


def chosen(report: Report, scope: Scope, selection: Selection, table: pd.DataFrame) -> pd.DataFrame:
    """A table of posts with whether the selection allows each, as `chosen`."""
    if not selection:
        return table.assign(chosen=True)
    where, parameters = selection.where()
    sql = f"SELECT post_id FROM answers WHERE {AMONG} AND {where}"
    found = query(report, sql, (listed(table["post_id"]), *parameters), scope.answers)
    return table.assign(chosen=table["post_id"].isin(found["post_id"]))


def pictured(report: Report, rows: pd.DataFrame) -> pd.DataFrame:
    """A few posts by their `place` with what shows their pictures: thumbhash and image_url."""
    places = rows["place"].tolist()
    sql = f"SELECT place, thumbhash, image_url FROM posts WHERE place IN ({', '.join('?' for _ in places) or 'NULL'})"
    return rows.merge(query(report, sql, places), on="place", how="left")


def selected_posts(
    report: Report, scope: Scope, selection: Selection, order: str, limit: int, offset: int
) -> pd.DataFrame:
    """One page of selected posts with everything a preview shows."""
    where, parameters = selection.where()
    sql = f"""
        SELECT {FACTS}, place FROM answers WHERE {where}
        ORDER BY {ORDERS[order]}, post_id LIMIT ? OFFSET ?"""
    return pictured(report, query(report, sql, (*parameters, limit, offset), scope.answers))


def selected_table(report: Report, scope: Scope, selection: Selection, order: str) -> pd.DataFrame:
    """Every selected post, for the files."""
    where, parameters = selection.where()
    sql = f"SELECT {FACTS} FROM answers WHERE {where} ORDER BY {ORDERS[order]}, post_id"
    return query(report, sql, parameters, scope.answers)


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
            "Titles are not part of a report. To see them, set FIRST_IMPRESSIONS_DATA to a folder whose "
            "posts.parquet holds the posts, such as the work folder."
        )


def contents_of(rows: pd.DataFrame) -> dict[str, previews.Content]:
    """Titles and pictures of some posts where their dataset is mounted."""
    folder = Settings().data
    path = folder / "posts.parquet" if folder else None
    if path is None or not path.is_file():
        return {}
    return previews.mounted(str(folder), path.stat().st_mtime_ns, tuple(rows["post_id"]))
