"""The researchers' dashboard: `streamlit run dashboard/app.py`.

Chooses a report, offers the pages its tables allow, and runs one. The report is named by FIRST_IMPRESSIONS_REPORT or
shipped under `models/`; see `dashboard.reports`.
"""

import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType

import streamlit as st
from streamlit.navigation.page import StreamlitPage

# `streamlit run` puts this file's folder on the path, not the project's.
if str(Path(__file__).resolve().parents[1]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dashboard import text
from dashboard.app_pages import ablations, dataset, errors, model
from dashboard.reports import Report, Settings, find_reports, open_report, stamp_of
from engine.errors import DataError

PAGES: tuple[ModuleType, ...] = (dataset, model, ablations, errors)
# Without a mouse a table's buttons stay visible, and would cover the words above it.
TOUCH = """<style>@media (hover: none) {
  [data-testid=stElementContainer]:has([data-testid=stDataFrame]) { margin-top: 2.4rem }
}</style>"""


@st.cache_resource(max_entries=8, show_spinner=False)
def _open(folder: Path, stamp: object) -> Report:
    return open_report(folder)


def choose_report() -> Report | None:
    """The report named in the URL or the only one there is; None, with a sentence on the page, when none opens."""
    reports = find_reports(Settings())
    if not reports:
        st.info(
            "There is no report yet. Train one with `python -m training`, or point the environment variable "
            "`FIRST_IMPRESSIONS_REPORT` to a report's folder.",
            icon=":material/folder_off:",
        )
        return None
    name = next(iter(reports))
    if len(reports) > 1:
        name = st.sidebar.selectbox("Report", list(reports), key="report", bind="query-params") or name
    try:
        return _open(reports[name], stamp_of(reports[name]))
    except DataError as error:
        st.error(text.markdown(error), icon=":material/folder_off:")
        return None


def about(report: Report) -> None:
    """What the sidebar says of the report on every page."""
    facts = report.facts
    lines = [f"**{title}** {text.markdown(_moment(facts[key]))}" for title, key in ABOUT if facts.get(key)]
    st.sidebar.caption("  \n".join(lines))
    for problem in report.problems:
        st.sidebar.warning(text.markdown(problem))


def _moment(value: object) -> object:
    """A date and time to the minute; anything else as it is."""
    try:
        return datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return value


ABOUT = (("Recipe", "recipe"), ("Made", "created"), ("Data", "data_fingerprint"))


def show(page: ModuleType, report: Report) -> None:
    """Run one page; what it cannot read becomes a sentence."""
    st.session_state["page_before"] = st.session_state.get("page_now")
    st.session_state["page_now"] = page.URL
    st.title(page.TITLE, anchor=False)
    st.caption(page.QUESTION)
    try:
        page.render(report)
    except DataError as error:
        st.error(text.markdown(error))


def _pages(shown: list[ModuleType], report: Report) -> list[StreamlitPage]:
    """A page for each module. Streamlit serves the first at "/" alone, so its own name is made to lead there."""
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

    def go_home() -> None:
        st.switch_page(pages[0], query_params=st.query_params.to_dict())

    alias = [st.Page(go_home, title=page.TITLE, url_path=page.URL, visibility="hidden") for page in shown[:1]]
    return pages + alias


def main() -> None:
    st.set_page_config("First Impressions", "📈", layout="wide")
    st.html(TOUCH)
    report = choose_report()
    if report is None:
        st.navigation([st.Page(lambda: None, title="No report")], position="hidden").run()
        return
    shown = [page for page in PAGES if report.has(*page.NEEDS)]
    if not shown:
        st.error("This report holds no table that a page could be drawn from. Write it again with `evaluate`.")
    pages = _pages(shown, report) or [st.Page(lambda: None, title="Empty report")]
    current = st.navigation(pages)
    st.set_page_config(f"{current.title} · First Impressions")
    about(report)
    current.run()


if __name__ == "__main__":
    main()
