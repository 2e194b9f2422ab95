"""How pages read and change the one selection: from the URL, by marks of charts, by chips that let go of it.

A page keeps its selection while others are looked at, and every page that selects has the same one.
"""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from dashboard import charts, text
from dashboard.controls import one_of
from dashboard.selection import Selection, describe

PARAMETER = "selection"
# Of the list of selected posts; also its name in the URL.
PAGE = "page"
# Ways to pick posts in a chart; all but a click are called as Plotly calls them.
TOOLS = {"lasso": "Lasso", "select": "Box", "click": "Click"}
# Customdata of marks, the last clicked or drawn around last, to the selection that they make.
Act = Callable[[list[Any]], Selection]


def current() -> Selection:
    """The selection in the URL; after a visit to another page, which empties the URL, the one made before.

    On the same page an empty URL means what it says: the browser's back button has led to where nothing was selected.
    """
    arrived = st.session_state.get("page_before") != st.session_state.get("page_now")
    if arrived and PARAMETER not in st.query_params and st.session_state.get("selection_kept"):
        st.query_params[PARAMETER] = st.session_state["selection_kept"]
    selection = Selection.parse(st.query_params.get(PARAMETER, ""))
    st.session_state["selection_kept"] = str(selection)
    return selection


def choose(selection: Selection) -> None:
    """Make this the selection: in the URL, from the first page, with charts freed of their own selection."""
    if selection:
        st.query_params[PARAMETER] = str(selection)
    else:
        st.query_params.pop(PARAMETER, None)
    st.session_state["selection_kept"] = str(selection)
    st.session_state[PAGE] = 1
    # A chart remembers what was clicked until its key changes; what is drawn from the URL replaces that.
    st.session_state["selection_round"] = st.session_state.get("selection_round", 0) + 1


def selectable(chart: go.Figure, name: str, act: Act, alt: str) -> None:
    """A chart of which one click on a mark changes the selection."""
    key = f"{name}-{st.session_state.get('selection_round', 0)}"

    def chosen() -> None:
        marks = [point["customdata"] for point in st.session_state[key]["selection"]["points"] if "customdata" in point]
        if marks:
            choose(act(marks))

    # What a mouse that is dragged does is up to the figure; without anything of its own it clicks.
    modes: Any = ("points", "box", "lasso") if chart.layout.dragmode else "points"
    st.plotly_chart(chart, config=charts.CONFIG, key=key, on_select=chosen, selection_mode=modes, alt=alt)


def tool() -> str:
    """How posts are picked in the charts below: the reader's choice among `TOOLS`."""
    reason = "A lasso and a box are drawn with a mouse; a finger clicks."
    return one_of("Pick posts with", TOOLS, "tool", reason=reason)


def pickable(chart: go.Figure, name: str, selection: Selection, alt: str, tool: str) -> None:
    """A chart of posts, the first of whose customdata is their id: picked with the tool they are the selection."""

    def act(marks: list[Any]) -> Selection:
        posts = {str(mark[0]) for mark in marks}
        chosen = selection.pick(posts)
        kept = len(chosen.values("post"))
        if 0 < kept < len(posts):
            st.toast(f"An address holds no more than {kept:,} of these {len(posts):,} posts, drawn by chance.")
        return chosen

    # A figure that clicks has no other use for a drag either.
    chart.update_layout(dragmode=tool if tool != "click" else False)
    selectable(chart, name, act, alt)


def chips(selection: Selection) -> None:
    """A button for each value of the selection that lets go of it, one for all picked posts, and one for everything."""
    for name, values in selection.filters:
        if name == "post" and len(values) > 1:
            _chip(f"{len(values):,} picked posts", "chip-post", selection.without("post"))
            continue
        for value in values:
            _chip(text.markdown(describe(name, value)), f"chip-{name}-{value}", selection.remove(name, value))
    if selection:
        st.button("Clear all", key="clear", type="tertiary", on_click=choose, args=(Selection(),))


def _chip(label: str, key: str, without: Selection) -> None:
    st.button(label, icon=":material/close:", key=key, help="Remove this filter", on_click=choose, args=(without,))
