"""The dashboard in a real browser: every page draws, a click in the matrix selects, a reload keeps the selection."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from engine.scoring import LEVELS
from tests.app_page import CHROMIUM, PATIENCE
from tests.server import free_port, serving
from tests.tiny_report import altered

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

# By its name Streamlit knows a phone, whose menu goes away when a page was chosen.
PHONE = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"


@pytest.fixture(scope="module")
def address(tiny_report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    reports = tmp_path_factory.mktemp("reports")
    for name in ("first", "second"):
        altered(tiny_report, reports / name, {"recipe": f"recipe of the {name}"})
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = ["-m", "streamlit", "run", "dashboard/app.py", f"--server.port={port}", "--server.address=127.0.0.1"]
    settings = {"FIRST_IMPRESSIONS_REPORT": str(reports)}
    with serving(command, settings, f"{address}/_stcore/health", tmp_path_factory.mktemp("said") / "log"):
        yield address


@pytest.fixture(scope="module")
def opened(browser) -> Iterator[Callable[..., object]]:
    """The tab of a kind: in the same one a page's large scripts need not be read again."""
    tabs: dict[str, object] = {}

    def tab(kind: str, **settings: object) -> object:
        if kind not in tabs:
            # What moves while a page is drawn takes a third of the browser's work.
            tabs[kind] = browser.new_context(reduced_motion="reduce", **settings).new_page()
            tabs[kind].set_default_timeout(PATIENCE)
        return tabs[kind]

    yield tab
    for opened in tabs.values():
        opened.context.close()


@pytest.fixture
def page(opened) -> object:
    return opened("wide", viewport={"width": 1400, "height": 1000})


@pytest.fixture
def phone(opened) -> object:
    return opened("phone", viewport={"width": 390, "height": 860}, has_touch=True, is_mobile=True, user_agent=PHONE)


PLACES = [
    ("", "Dataset", "scores"),
    ("results", "Results", "dots"),
    ("calibration", "Calibration", "reliable"),
    ("ablations", "Ablations", "forest"),
    ("recipes", "Recipes and folds", "curves"),
    ("explanations", "Explanations and speed", "attribution"),
    ("picture-against-words", "Picture against words", "means-level"),
    ("embedding", "Embedding", "search"),
    ("errors", "Errors", "slices-0"),
]


def _draws(page, title: str, chart: str) -> None:
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.locator(f".st-key-{chart} .main-svg").first.wait_for()
    assert "Traceback" not in page.content()
    assert page.locator("[data-testid=stException]").count() == 0


def test_every_page_of_the_menu_draws(page, address: str) -> None:
    page.goto(address)
    for path, title, chart in PLACES:
        page.get_by_role("link", name=title, exact=True).click()
        _draws(page, title, chart)
        assert page.url.split("?")[0] == f"{address}/{path}"


def test_a_phone_shows_whole_charts_and_scrolls_one_way(phone, address: str) -> None:
    phone.goto(address)
    for path, title, chart in PLACES:
        if path:
            phone.get_by_test_id("stExpandSidebarButton").click()
            phone.get_by_role("link", name=title, exact=True).click()
        _draws(phone, title, chart)
        assert phone.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth"), title
        for label in phone.locator(f".st-key-{chart} .xtitle").all():
            box = label.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390, title
        plot = phone.locator(f".st-key-{chart} .nsewdrag").first.bounding_box()
        assert plot["width"] > 240, title


def test_a_cell_selects_its_posts_and_a_reload_keeps_them(page, address: str) -> None:
    page.goto(f"{address}/errors")
    points = page.locator(".st-key-matrix-0 .scatterlayer .points path")
    points.nth(24).wait_for(state="attached")
    everything = _selected(page)
    texts = page.locator(".st-key-matrix-0 .scatterlayer .textpoint").all_text_contents()
    # Of the middle row, so that no edge of the chart is near; a cell says its posts and, behind them, their share.
    place = next(place for place in range(10, 15) if texts[place] and not texts[place].startswith("0"))
    true, predicted = divmod(place, 5)
    _click(page, points.nth(place), off=8)
    chosen = page.get_by_role("button", name=f"Predicted: {LEVELS[predicted]}")
    chosen.wait_for()
    assert re.search(rf"selection=true%3A{true}%2Cpred%3A{predicted}", page.url)
    count = _selected(page)
    assert texts[place].startswith(str(count)) and 0 < count < everything
    page.reload()
    chosen.wait_for()
    assert _selected(page) == count
    page.get_by_role("button", name="Clear all").click()
    chosen.wait_for(state="detached")
    assert "selection=" not in page.url
    assert "Traceback" not in page.content()


def test_a_slice_selects_and_other_pages_keep_the_selection(page, address: str) -> None:
    page.goto(f"{address}/errors?selection=off:1&least=5")
    # Cards above the chart move it until they are drawn.
    page.locator(".fi-card").first.wait_for()
    marks = page.locator(".st-key-slices-0 .scatterlayer .points path")
    marks.first.wait_for(state="attached")
    # Every slice has a tick, which does nothing, and a dot; the dots are drawn later.
    _click(page, marks.nth(marks.count() // 2))
    added = re.compile(r"off%3A1%2C\w+%3A")
    playwright.expect(page).to_have_url(added)
    page.get_by_role("link", name="Results").click()
    page.get_by_role("heading", name="Results", exact=True).wait_for()
    page.get_by_role("link", name="Errors").click()
    playwright.expect(page).to_have_url(added)
    assert _selected(page) > 0


@pytest.mark.parametrize(("path", "chart"), [("embedding", "map-before"), ("picture-against-words", "sides")])
def test_posts_that_are_drawn_around_are_selected_on_every_page(page, address: str, path: str, chart: str) -> None:
    page.goto(f"{address}/{path}?part=Test")
    plot = page.locator(f".st-key-{chart}-0 .nsewdrag").first
    plot.wait_for()
    _settled(page)
    _centred(page, plot)
    box = plot.bounding_box()
    corners = [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9), (0.1, 0.1)]
    places = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    playwright.expect(page).to_have_url(re.compile(r"selection=post%3A"))
    page.get_by_role("button", name="picked posts").wait_for()
    _settled(page)
    heading = page.locator("h3", has_text=re.compile(r"selected posts$")).inner_text()
    page.get_by_role("link", name="Errors").click()
    page.get_by_role("button", name="picked posts").wait_for()
    assert f"{_selected(page)} selected posts" == heading


def test_the_back_button_undoes_a_selection_and_the_page_of_posts_is_kept(page, address: str) -> None:
    page.goto(f"{address}/errors")
    points = page.locator(".st-key-matrix-0 .scatterlayer .points path")
    points.nth(24).wait_for(state="attached")
    everything = _selected(page)
    _click(page, points.nth(0), off=8)
    chip = page.get_by_role("button", name="Predicted: Very Low")
    chip.wait_for()
    page.go_back()
    chip.wait_for(state="detached")
    assert _selected(page) == everything and "selection=" not in page.url
    names = _names(page)
    page.get_by_label("Page of").fill("2")
    page.keyboard.press("Enter")
    playwright.expect(page).to_have_url(re.compile(r"page=2"))
    first = page.locator(".fi-picture").first
    playwright.expect(first).not_to_have_attribute("aria-label", names[0])
    names = _names(page)
    page.reload()
    playwright.expect(page.get_by_label("Page of")).to_have_value("2")
    playwright.expect(first).to_have_attribute("aria-label", names[0])


def test_the_selection_is_a_csv_file(page, address: str, tiny_report: Path, tmp_path: Path) -> None:
    page.goto(f"{address}/errors?selection=off:1")
    count = _selected(page)
    posts = set(pd.read_parquet(tiny_report / "posts.parquet")["post_id"])
    with page.expect_download() as download:
        page.get_by_role("button", name="Selection as CSV").click()
    download.value.save_as(tmp_path / "selected.csv")
    table = pd.read_csv(tmp_path / "selected.csv")
    assert len(table) == count and (table["predicted_level"] - table["level"] == 1).all()
    assert set(table["post_id"]) <= posts


def test_any_two_fusions_are_compared(page, address: str) -> None:
    page.goto(f"{address}/ablations?fusion-first=concat&fusion-second=cross-attention")
    page.locator(".st-key-pair .main-svg").first.wait_for()
    page.get_by_text("concat minus cross-attention").wait_for()
    page.get_by_text("A cross was not tested").wait_for()
    assert page.locator("[data-testid=stException]").count() == 0


def test_the_first_page_answers_to_its_name_and_tabs_are_told_apart(page, address: str) -> None:
    page.goto(f"{address}/dataset?log=false")
    page.get_by_role("heading", name="Dataset", exact=True).wait_for()
    playwright.expect(page).to_have_title("Dataset · First Impressions")
    assert page.get_by_text("Page not found").count() == 0
    assert not page.get_by_label("Log axis").is_checked()
    page.get_by_role("link", name="Errors").click()
    playwright.expect(page).to_have_title("Errors · First Impressions")


# Chromium without a window takes the pointer away after a tap, and the label goes with it: so it is seen as it comes.
READ = """layer => {
  window.read = '';
  new MutationObserver(() => { window.read += layer.textContent }).observe(layer, {childList: true, subtree: true});
}"""


def test_a_tap_reads_a_bar_from_its_top_to_its_foot(phone, address: str) -> None:
    phone.goto(f"{address}/calibration")
    bars = phone.locator(".st-key-sizes .bars .point path")
    bars.first.wait_for()
    # What is above is drawn later and moves it.
    phone.locator(".st-key-risks .main-svg").first.wait_for()
    bar = max(bars.all(), key=lambda found: found.bounding_box()["height"])
    read = phone.locator(".st-key-sizes .hoverlayer").get_by_text("Truth inside")
    for share in (0.08, 0.92):
        _centred(phone, bar)
        phone.locator(".st-key-sizes .hoverlayer").evaluate(READ)
        box = bar.bounding_box()
        phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + share * box["height"])
        phone.wait_for_function("() => window.read.includes('Truth inside')")
        phone.touchscreen.tap(380, 450)
        read.wait_for(state="detached")


DRAWN = """() => {
  const seen = window.seen;
  window.seen = [document.querySelector('[data-testid=stMain]').scrollHeight,
                 document.querySelectorAll('.main-svg').length].join();
  return window.seen === seen;
}"""


@pytest.mark.parametrize("corner", [0.1, 0.5, 0.9])
def test_the_first_tap_selects_the_cell_under_it(phone, address: str, corner: float) -> None:
    phone.goto(f"{address}/errors")
    points = phone.locator(".st-key-matrix-0 .scatterlayer .points path")
    points.nth(24).wait_for(state="attached")
    phone.locator(".fi-card").first.wait_for()
    # True level 2, predicted level 1: between its neighbours' middles.
    left, right = (points.nth(2 * 5 + place) for place in (0, 2))
    above, below = (points.nth(level * 5 + 1) for level in (1, 3))
    _settled(phone)
    _centred(phone, points.nth(11))
    (x0, _), (x1, _), (_, y0), (_, y1) = (_middle(mark) for mark in (left, right, above, below))
    phone.touchscreen.tap(x0 + (x1 - x0) * (1 + 2 * corner) / 4, y0 + (y1 - y0) * (1 + 2 * corner) / 4)
    expected = re.compile(r"selection=true%3A2%2Cpred%3A1")
    playwright.expect(phone).to_have_url(expected)


@pytest.mark.parametrize("share", [0.03, 0.97])
def test_the_first_tap_selects_a_bar_from_its_top_to_its_foot(phone, address: str, share: float) -> None:
    phone.goto(f"{address}/errors")
    phone.locator(".fi-card").first.wait_for()
    _settled(phone)
    bar = phone.locator(".st-key-distance-0 .shapelayer path").nth(4)
    _centred(phone, bar)
    box = bar.bounding_box()
    phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + share * box["height"])
    playwright.expect(phone).to_have_url(re.compile(r"selection=off%3A0"))


def test_the_filters_stay_open_while_values_are_chosen(page, address: str) -> None:
    page.goto(f"{address}/errors")
    page.get_by_role("button", name="Add a filter").click()
    for name in ("list A", "list B"):
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("button", name=f"Source: {name}").wait_for()
    assert page.get_by_role("button", name="list A", exact=True).is_visible()
    playwright.expect(page).to_have_url(re.compile(r"selection=source%3A"))


def test_the_url_names_the_report_and_a_deleted_one_is_said(page, address: str) -> None:
    page.goto(f"{address}/dataset?report=second")
    page.get_by_role("heading", name="Dataset", exact=True).wait_for()
    page.get_by_text("recipe of the second").wait_for()
    page.goto(f"{address}/errors?report=deleted")
    page.get_by_text("There is no report “deleted”").wait_for()
    assert page.get_by_role("heading", name="Errors").count() == 0
    page.get_by_role("link", name="second").click()
    page.get_by_text("recipe of the second").wait_for()
    playwright.expect(page).to_have_url(re.compile(r"/errors\?report=second"))
    assert page.locator("[data-testid=stException]").count() == 0


def _middle(mark) -> tuple[float, float]:
    box = mark.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _names(page) -> list[str]:
    return [card.get_attribute("aria-label") for card in page.locator(".fi-picture").all()]


def _click(page, mark, off: int = 0) -> None:
    """Click near a mark as a hand does: Plotly's transparent drag layer lies above it, and hovering comes first.

    A chart that is being drawn again hears nothing; one that says what lies under the pointer does.
    """
    _centred(page, mark)
    x, y = (place + off for place in _middle(mark))
    page.mouse.move(x, y, steps=3)
    page.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.click(x, y)


def _centred(page, mark) -> None:
    """Scroll a mark to the middle and wait until it stays there: charts and fonts that come late move it."""
    page.wait_for_function("() => document.fonts.status === 'loaded'")
    deadline = time.monotonic() + PATIENCE / 1000
    places: list[dict[str, float]] = []
    while len(places) < 4 or any(place != places[-1] for place in places[-4:]):
        assert time.monotonic() < deadline, f"it never stands still: {places[-4:]}"
        mark.evaluate("mark => mark.scrollIntoView({block: 'center'})")
        page.wait_for_timeout(200)
        places.append(mark.bounding_box())


def _settled(page) -> None:
    """Wait until the page has drawn what was asked for: until then it shows what stood there before."""
    page.wait_for_timeout(300)
    page.locator("[data-test-script-state=notRunning]").first.wait_for(state="attached")
    # Charts are drawn after the script is done, and move what is below them.
    page.wait_for_function(DRAWN, polling=500)


def _selected(page) -> int:
    _settled(page)
    heading = page.locator("h3", has_text=re.compile(r"posts?$")).first
    heading.wait_for()
    return int(heading.inner_text().split()[0].replace(",", ""))
