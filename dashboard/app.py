"""The researchers' dashboard: `streamlit run dashboard/app.py`.

Chooses a report, offers the pages its tables allow, and runs one. The report is named by FIRST_IMPRESSIONS_REPORT or
shipped under `models/`; see `dashboard.reports`.
"""

import math
import sys
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import streamlit as st
from streamlit.navigation.page import StreamlitPage

# `streamlit run` puts this file's folder on the path, not the project's.
if str(Path(__file__).resolve().parents[1]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dashboard import text
from dashboard.app_pages.ablations import page as ablations
from dashboard.app_pages.calibration import page as calibration
from dashboard.app_pages.dataset import page as dataset
from dashboard.app_pages.embedding import page as embedding
from dashboard.app_pages.errors import page as errors
from dashboard.app_pages.explanations import page as explanations
from dashboard.app_pages.picture_against_words import page as picture_against_words
from dashboard.app_pages.recipes import page as recipes
from dashboard.app_pages.results import page as results
from dashboard.app_pages.system3 import page as system3
from dashboard.reports import Report, Settings, find_reports, open_report, stamp_of
from engine.errors import DataError

PAGES: tuple[ModuleType, ...] = (
    dataset, results, calibration, errors, system3, picture_against_words, ablations, embedding, recipes, explanations,
)  # fmt: skip
# Without a mouse a table's buttons stay visible, and would cover the words above it.
TOUCH = """<style>@media (hover: none) {
  [data-testid=stElementContainer]:has([data-testid=stDataFrame]) { margin-top: 2.4rem }
}</style>"""
# Plotly answers a touch before it has looked for the mark under it, and then keeps the browser from scrolling and from
# telling of the same tap as a mouse does. Not told of touches, it hovers and clicks as with a mouse.
TAPS = """<script>
if (!window.chartsIgnoreTouches) {
  window.chartsIgnoreTouches = true
  const ignore = event => { if (event.target.closest?.(".js-plotly-plot")) event.stopPropagation() }
  document.addEventListener("touchstart", ignore, {capture: true, passive: true})
}
</script>"""


@st.cache_resource(max_entries=8, show_spinner=False)
def _open(folder: Path, stamp: object) -> Report:
    return open_report(folder)


def open_once(folder: Path) -> Report:
    """The report in a folder, read and checked anew only when one of its files has changed; raises DataError."""
    return _open(folder, stamp_of(folder))


def choose_report() -> Report | None:
    """The report named in the URL or the only one there is; None, with a sentence on the page, when none opens."""
    try:
        reports = find_reports(Settings())
    except DataError as error:
        st.error(text.markdown(error), icon=":material/cloud_off:")
        return None
    if not reports:
        st.info(
            "There is no report yet. Train one with `python -m training`, or point the environment variable "
            "`FIRST_IMPRESSIONS_REPORT` to a report's folder.",
            icon=":material/folder_off:",
        )
        return None
    asked = st.query_params.get("report")
    if asked is not None and asked not in reports:
        st.error(f"There is no report “{text.markdown(asked)}”. These there are:", icon=":material/folder_off:")
        st.html(" · ".join(f'<a href="?report={quote(name)}" target="_self">{escape(name)}</a>' for name in reports))
        return None
    name = asked or next(iter(reports))
    if len(reports) > 1:
        name = st.sidebar.selectbox("Report", list(reports), key="report", bind="query-params") or name
    try:
        return open_once(reports[name])
    except DataError as error:
        st.error(text.markdown(error), icon=":material/folder_off:")
        return None


def about(report: Report) -> None:
    """What the sidebar says of the report on every page."""
    facts = report.facts
    about = {"Recipe": facts.get("recipe"), "Made": _moment(facts.get("created"))}
    about["Data"] = f"{report.data.get('name')} {str(report.data.get('fingerprint'))[:12]}" if report.data else None
    lines = [f"**{title}** {text.markdown(value)}" for title, value in about.items() if value]
    st.sidebar.caption("  \n".join(lines))
    for problem in report.problems:
        st.sidebar.warning(text.markdown(problem))


def _moment(value: object) -> object:
    """A date and time to the minute; anything else as it is."""
    try:
        return datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return value


def offered(page: ModuleType, report: Report) -> bool:
    """Has the report what the page needs: all tables it names, or whatever its own `offered` asks for?"""
    own = getattr(page, "offered", None)
    return bool(own(report)) if own else report.has(*page.NEEDS)


def show(page: ModuleType, report: Report) -> None:
    """Run one page; what it cannot read becomes a sentence."""
    # A choice that an address names and leaves empty would be none, where the page needs one; no number is endless.
    empty = [name for name, value in st.query_params.items() if not value or _is_endless(value)]
    if empty and st.session_state.get("page_now") != page.URL:
        for name in empty:
            del st.query_params[name]
        st.rerun()
    st.session_state["page_before"] = st.session_state.get("page_now")
    st.session_state["page_now"] = page.URL
    st.title(page.TITLE, anchor=False)
    st.caption(page.QUESTION)
    try:
        page.render(report)
    except DataError as error:
        st.error(text.markdown(error))


def _is_endless(value: str) -> bool:
    try:
        return math.isinf(float(value))
    except ValueError:
        return False


def missing(title: str, report: Report) -> None:
    """What stands in the place of a page whose tables the report lacks."""
    st.title(title, anchor=False)
    st.info(" ".join([f"This report has not what the page {title} needs.", *map(text.markdown, report.problems)]))


def _pages(shown: list[ModuleType], report: Report) -> list[StreamlitPage]:
    """A page for every module; those that are not `shown` are no part of the menu, and say why.

    Streamlit serves the first at "/" alone, so it is there a second time under its own name.
    """
    pages = [
        st.Page(
            partial(show, page, report),
            title=page.TITLE,
            icon=page.ICON,
            url_path=page.URL if index else "home",
            default=index == 0,
        )
        for index, page in enumerate(shown)
    ]
    hidden = {page: partial(show, page, report) for page in shown[:1]}
    hidden |= {page: partial(missing, page.TITLE, report) for page in PAGES if page not in shown}
    for page, run in hidden.items():
        pages.append(st.Page(run, title=page.TITLE, url_path=page.URL, visibility="hidden"))
    return pages


def main() -> None:
    st.set_page_config("First Impressions", "📈", layout="wide")
    st.html(TOUCH)
    report = choose_report()
    if report is None:
        # Every page's address leads here, so that none is said to be unknown.
        nothing = [st.Page(lambda: None, title="No report", default=True)]
        nothing += [st.Page(lambda: None, title=page.TITLE, url_path=page.URL) for page in PAGES]
        st.navigation(nothing, position="hidden").run()
        return
    shown = [page for page in PAGES if offered(page, report)]
    if not shown:
        st.error("This report holds no table that a page could be drawn from. Write it again with `evaluate`.")
    pages = _pages(shown, report)
    if not shown:
        pages.insert(0, st.Page(lambda: None, title="Empty report", default=True))
    current = st.navigation(pages)
    st.set_page_config(f"{current.title} · First Impressions")
    about(report)
    current.run()
    st.html(TAPS, unsafe_allow_javascript=True)


if __name__ == "__main__":
    main()
