"""Where is it wrong? A confusion matrix and slices that select posts, and previews of what is selected."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import charts, text
from dashboard.app_pages.errors import charts as figures
from dashboard.app_pages.errors import previews, queries
from dashboard.app_pages.errors.queries import MEASURES, ORDERS, SHARE_SELECTED
from dashboard.app_pages.errors.selection import LABELS, OUTCOMES, TEXTS, Selection, describe
from dashboard.app_pages.errors.slices import FEWEST_GROUPS, slices
from dashboard.reports import Report, Settings
from dashboard.scope import Scope, scope_controls
from dashboard.store import records

TITLE = "Errors"
URL = "errors"
ICON = ":material/crisis_alert:"
QUESTION = "Where is it wrong?"
NEEDS = ("posts", "predictions")
PARAMETER = "selection"
PAGE_SIZE = 12
# Also its name in the URL.
PAGE = "page"
ADDABLE = ("source", "language", "title", "picture", "set", "abstain", "true", "pred")


def current() -> Selection:
    """The selection in the URL; after a visit to another page, which empties the URL, the one made before.

    On this page an empty URL means what it says: the browser's back button has led to where nothing was selected.
    """
    arrived = st.session_state.get("page_before") != URL
    if arrived and PARAMETER not in st.query_params and st.session_state.get("errors_kept"):
        st.query_params[PARAMETER] = st.session_state["errors_kept"]
    selection = Selection.parse(st.query_params.get(PARAMETER, ""))
    st.session_state["errors_kept"] = str(selection)
    return selection


def choose(selection: Selection) -> None:
    """Make this the selection: in the URL, from the first page, with charts freed of their own selection."""
    if selection:
        st.query_params[PARAMETER] = str(selection)
    else:
        st.query_params.pop(PARAMETER, None)
    st.session_state["errors_kept"] = str(selection)
    st.session_state[PAGE] = 1
    # A chart remembers what was clicked until its key changes; the outline drawn from the URL replaces that.
    st.session_state["errors_round"] = st.session_state.get("errors_round", 0) + 1


def render(report: Report) -> None:
    scope = scope_controls(report)
    if scope is None:
        return
    selection = current()
    _chips(report, scope, selection)
    _matrix(report, scope, selection)
    _posts(report, scope, selection)
    _slices(report, scope, selection)


def _clicked(key: str, act: Callable[[list], Selection]) -> None:
    """Callback of a chart: hand the clicked mark's customdata to `act` and take over the selection it gives."""
    points = st.session_state[key]["selection"]["points"]
    if points and "customdata" in points[-1]:
        choose(act(points[-1]["customdata"]))


def _selectable(chart: object, name: str, act: Callable[[list], Selection], alt: str) -> None:
    key = f"{name}-{st.session_state.get('errors_round', 0)}"
    st.plotly_chart(
        chart,
        config=charts.CONFIG,
        key=key,
        on_select=lambda: _clicked(key, act),
        selection_mode="points",
        alt=alt,
    )


def _chips(report: Report, scope: Scope, selection: Selection) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        # Before the chips: a popover whose place changes closes.
        with st.popover("Add a filter", icon=":material/filter_alt:"):
            _add_filter(report, scope, selection)
        for name, values in selection.filters:
            for value in values:
                st.button(
                    text.markdown(describe(name, value)),
                    icon=":material/close:",
                    key=f"chip-{name}-{value}",
                    help="Remove this filter",
                    on_click=choose,
                    args=(selection.remove(name, value),),
                )
        if selection:
            st.button("Clear all", key="clear", type="tertiary", on_click=choose, args=(Selection(),))


def _add_filter(report: Report, scope: Scope, selection: Selection) -> None:
    field = st.selectbox("Fact", ADDABLE, format_func=lambda name: LABELS[name], key="filter-field")
    found = queries.field_values(report, scope, field)
    values = [*found, *(value for value in selection.values(field) if value not in found)]
    if field not in TEXTS:
        values.sort()
    key = f"filter-{field}"
    # What is pressed follows the selection, which chips, charts and the URL change too.
    st.session_state[key] = list(selection.values(field))
    st.pills(
        "Values",
        values,
        selection_mode="multi",
        format_func=lambda value: describe(field, value).removeprefix(f"{LABELS[field]}: "),
        key=key,
        on_change=lambda: choose(selection.put(field, st.session_state[key])),
        label_visibility="collapsed",
    )


def _matrix(report: Report, scope: Scope, selection: Selection) -> None:
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**True against predicted level**")
        table = queries.confusion(report, scope, selection)
        _selectable(
            figures.confusion(table, selection.values("true"), selection.values("pred"), charts.ink()),
            "matrix",
            lambda data: selection.without("off").toggle(true=str(data[0]), pred=str(data[1])),
            "Confusion matrix; clicking a cell selects its posts",
        )
    with right:
        st.markdown("**How far off**")
        table = queries.off_by(report, scope, selection)
        _selectable(
            figures.distance(table, selection.values("off")),
            "distance",
            lambda data: selection.without("true", "pred").toggle(off=str(data[0])),
            "Posts by predicted minus true level; clicking a bar selects its posts",
        )
    st.caption(
        "Click a cell or a bar to select its posts, click it again to let go. Percentages in the matrix are shares of "
        "the true level; filters on facts apply to both."
    )


def _posts(report: Report, scope: Scope, selection: Selection) -> None:
    total = queries.selected_count(report, scope, selection)
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
            return written(queries.selected_table(report, scope, selection, str(order)))

        for kind, written in (("CSV", text.csv), ("Parquet", text.parquet)):
            file = f"selected-posts.{kind.lower()}"
            st.download_button(f"Selection as {kind}", partial(exported, written), file, on_click="ignore")
    rows = queries.selected_posts(report, scope, selection, str(order), PAGE_SIZE, (int(page) - 1) * PAGE_SIZE)
    contents = _contents(rows)
    st.html(previews.cards(records(rows), contents, online))
    if not contents:
        st.caption(
            "Titles are not part of a report. To see them, set FIRST_IMPRESSIONS_DATA to the folder that holds the "
            "dataset's posts.parquet."
        )


def _contents(rows: pd.DataFrame) -> dict[str, previews.Content]:
    folder = Settings().data
    path = folder / "posts.parquet" if folder else None
    if path is None or not path.is_file():
        return {}
    return previews.mounted(str(folder), path.stat().st_mtime_ns, tuple(rows["post_id"]))


def _slices(report: Report, scope: Scope, selection: Selection) -> None:
    st.subheader("Which posts does it do worse on?", anchor=False)
    measures = [*MEASURES, SHARE_SELECTED] if selection.only(*OUTCOMES) else list(MEASURES)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # The key depends on the choices: a choice that is no longer offered must not stay behind.
        measure = st.selectbox("Figure", measures, key=f"measure-{len(measures)}", bind="query-params", width=280)
        minimum = st.number_input(
            "Posts at least", 1, 10_000, 30, step=10, key="least", bind="query-params", width=160, help="Per slice"
        )
    table = slices(report, scope, selection, str(measure), int(minimum))
    if table.empty:
        st.info("No slice has that many posts, and others beside it. Lower the number.")
        return
    chosen = {(name, value) for name, values in selection.filters for value in values}
    _selectable(
        figures.slices(table, chosen, str(measure)),
        "slices",
        lambda data: selection.toggle(**{str(data[0]): str(data[1])}),
        "Share per slice with intervals; clicking a dot filters by that slice",
    )
    st.caption(
        f"{scope.words}. The tick is the share of the rest: the posts outside of the slice that meet the other filters "
        "on facts. A slice is coloured where it differs from its rest by a paired 95% interval; of this many slices a "
        "few do so by chance. Intervals draw whole groups of related posts, and a slice of few groups, less than "
        f"{FEWEST_GROUPS} of equal size, is not tested: it would tell of those channels. Click a dot to filter."
    )
    with st.expander("Slices as a table"):
        values = [
            text.language(value) if field == "language" else value
            for field, value in zip(table["field"], table["value"], strict=True)
        ]
        shown = table.assign(field=[LABELS[field] for field in table["field"]], value=values)
        percent = {
            "share": str(measure), "low": "95% from", "high": "to", "rest": "The rest", "difference": "Difference",
            "difference_low": "its 95% from", "difference_high": "to",
        }  # fmt: skip
        names = {"field": "Slice", "value": "Value", "n": "Posts", "groups": "Groups", "verdict": "Against the rest"}
        columns = {name: st.column_config.NumberColumn(title, format="percent") for name, title in percent.items()}
        st.dataframe(shown, hide_index=True, column_config={**names, **columns})
        st.download_button("Slices as CSV", text.csv(shown), "slices.csv", "text/csv", on_click="ignore")
