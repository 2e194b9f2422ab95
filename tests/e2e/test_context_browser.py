"""The creators' page in a real browser: what else a model reads is asked for where it reads any, and goes along."""

import json
from collections.abc import Iterator
from datetime import datetime

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.app_page import CHROMIUM, HOSTILE, clean, press_predict, served, visit
from ui.explanation import METHODS
from ui.history import KEY

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

READS = {
    "published_at": (),
    **{"latitude": (), "longitude": ()},
    "author.photo_count": (),
    "category": ("Music", HOSTILE),
}


@pytest.fixture(scope="module")
def own_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of two models, of which the second reads a context."""
    from tests.page_predictor import PagePredictor

    def other() -> PagePredictor:
        predictor = PagePredictor(context=READS)
        predictor.has_gradients = True
        return predictor

    with served(tmp_path_factory.mktemp("uploads"), ("plain", "other"), other) as address:
        yield address


VERDICT = "document.querySelector('#verdict section').innerHTML"


def choose_model(page: Page, name: str) -> None:
    page.get_by_role("tab", name="Details").click()
    page.get_by_label("Answered by").click()
    page.get_by_role("option", name=f"{name} model").click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_else_the_model_reads_goes_along(browser: Browser, own_address: str, theme: str) -> None:
    page = visit(browser, own_address, theme=theme)
    expect(page.locator("#context")).to_be_hidden()
    page.get_by_label("Title", exact=True).fill("My cat")
    press_predict(page)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    before = page.evaluate(VERDICT)
    choose_model(page, "other")
    box = page.locator("#context")
    summary = box.locator("summary")
    expect(summary).to_have_text("What else the model reads")
    expect(box.locator("input").first).to_be_hidden()

    summary.press("Enter")
    page.get_by_label("Published at").fill("2026-05-03T18:30")
    page.get_by_label("Photo count").fill("120")
    page.get_by_label("Category").select_option("Music")
    expect(page.locator(".fi-stale")).to_have_count(1)
    press_predict(page)
    page.wait_for_function(f"before => {VERDICT} !== before", arg=before)
    clean(page)
    assert page.title() == "First Impressions" and page.locator("img[src=x]").count() == 0
    with page.expect_download() as record:
        page.get_by_role("button", name="Save as JSON").click()
    saved = json.loads(record.value.path().read_text())["context"]
    assert saved.items() >= {"author.photo_count": 120, "category": "Music"}.items()
    # By the clock of the browser.
    there = page.evaluate("new Date('2026-05-03T18:30').getTime() / 1000")
    assert datetime.fromisoformat(saved["published_at"]).timestamp() == there
    expect(page.locator("#kept-told")).to_contain_text("what else the model reads, neither picture nor words")
    page.get_by_role("tab", name="Explanation").click()
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#reasons h3")).to_contain_text("This draft is expected")
    page.get_by_role("radio", name=METHODS["integrated_gradients"]).check()
    expect(page.locator("#reasons h3")).to_have_count(0)
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Add this draft").click()
    expect(page.locator("#comparison li")).to_have_count(1)
    page.get_by_label("Category").select_option("")
    expect(summary).to_have_text("What else the model reads (2)")
    page.get_by_role("button", name="Add this draft").click()
    expect(page.locator("#comparison li")).to_have_count(2)
    expect(page.locator("#comparison")).to_contain_text("what else the model reads differs")

    page.get_by_label("Latitude").fill("91")
    page.get_by_label("Longitude").fill("5")
    press_predict(page)
    expect(page.locator("#verdict")).to_contain_text("nowhere on earth")
    expect(page.locator("#verdict")).to_contain_text("Another model can be chosen under Details")
    # What is no longer asked for stands in nobody's way.
    choose_model(page, "plain")
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    choose_model(page, "other")
    expect(page.locator("#verdict")).to_contain_text("nowhere on earth")
    summary.press("Enter")
    for name in ("Latitude", "Longitude", "Published at"):
        page.get_by_label(name).fill("")
    page.get_by_label("Published at").press_sequentially("0503")
    press_predict(page)
    expect(page.locator("#verdict")).to_contain_text("is no time")
    page.get_by_role("button", name="Start over").click()
    expect(page.get_by_label("Photo count")).to_have_value("")
    expect(summary).to_have_text("What else the model reads")
    page.locator("#visit summary").click()
    page.get_by_role("button", name="Bring back draft 2").click()
    expect(page.get_by_label("Photo count")).to_have_value("120")
    expect(page.get_by_label("Published at")).to_have_value("2026-05-03T18:30")
    expect(page.get_by_label("Category")).to_have_value("Music")
    expect(page.get_by_label("Latitude")).to_have_value("")
    expect(page.locator("#visit li")).to_have_count(2)
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 860})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1280, "height": 860})
    choose_model(page, "plain")
    expect(box).to_be_hidden()
    assert page.evaluate(f"sessionStorage.getItem('{KEY}')")
    page.close()
