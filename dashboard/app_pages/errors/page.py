"""Where is it wrong? A confusion matrix and slices that select posts, and previews of what is selected."""

import streamlit as st

from dashboard import charts, selected, text
from dashboard.app_pages.errors import charts as figures
from dashboard.app_pages.errors import queries
from dashboard.app_pages.errors.queries import MEASURES, SHARE_SELECTED
from dashboard.app_pages.errors.slices import FEWEST_GROUPS, MOST_GROUPS, slices
from dashboard.choosing import chips, choose, current, selectable
from dashboard.controls import download
from dashboard.reports import Report
from dashboard.scope import Scope, scope_controls
from dashboard.selection import LABELS, OUTCOMES, TEXTS, Selection, describe

TITLE = "Errors"
URL = "errors"
ICON = ":material/crisis_alert:"
QUESTION = "Where is it wrong?"
NEEDS = ("posts", "predictions")
ADDABLE = ("source", "language", "title", "picture", "set", "abstain", "true", "pred")


def render(report: Report) -> None:
    scope = scope_controls(report)
    if scope is None:
        return
    selection = current()
    _chips(report, scope, selection)
    _matrix(report, scope, selection)
    selected.section(report, scope, selection)
    _slices(report, scope, selection)


def _chips(report: Report, scope: Scope, selection: Selection) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        # Before the chips: a popover whose place changes closes.
        with st.popover("Add a filter", icon=":material/filter_alt:"):
            _add_filter(report, scope, selection)
        chips(selection)


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
        format_func=lambda value: text.markdown(describe(field, value).removeprefix(f"{LABELS[field]}: ")),
        key=key,
        on_change=lambda: choose(selection.put(field, st.session_state[key])),
        label_visibility="collapsed",
    )


def _matrix(report: Report, scope: Scope, selection: Selection) -> None:
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("**True against predicted level**")
        table = queries.confusion(report, scope, selection)
        selectable(
            figures.confusion(table, selection.values("true"), selection.values("pred"), charts.ink()),
            "matrix",
            lambda marks: selection.without("off").toggle(true=str(marks[-1][0]), pred=str(marks[-1][1])),
            "Confusion matrix; clicking a cell selects its posts",
        )
    with right:
        st.markdown("**How far off**")
        table = queries.off_by(report, scope, selection)
        selectable(
            figures.distance(table, selection.values("off")),
            "distance",
            lambda marks: selection.without("true", "pred").toggle(off=str(marks[-1][0])),
            "Posts by predicted minus true level; clicking a bar selects its posts",
        )
    st.caption(
        "Click a cell or a bar to select its posts, click it again to let go. Percentages in the matrix are shares of "
        "the true level; filters on facts apply to both."
    )


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
    selectable(
        figures.slices(table, chosen, str(measure)),
        "slices",
        lambda marks: selection.toggle(**{str(marks[-1][0]): str(marks[-1][1])}),
        "Share per slice with intervals; clicking a dot filters by that slice",
    )
    st.caption(
        f"{scope.words}. The tick is the share of the rest: the posts outside of the slice that meet the other filters "
        "on facts. A slice is coloured where it differs from its rest by a paired 95% interval; of this many slices a "
        f"few do so by chance. Intervals draw whole groups of related posts, of more than {MOST_GROUPS:,} several "
        f"together. A slice of few groups, less than {FEWEST_GROUPS} of equal size, or whose rest is of few, is not "
        "tested: it would tell of those channels. Click a dot to filter."
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
        download("Slices as CSV", shown, "slices.csv")
