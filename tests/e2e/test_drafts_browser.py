"""The creators' page in a real browser: drafts compared, edited, listed, kept, and set beside other posts."""

import json
import re
import zipfile
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from engine.scoring import LEVELS
from tests.app_page import CHROMIUM, HOSTILE, LATE, PATIENCE, choose, clean, foreign, press_predict, visit
from tests.page_evidence import COVERS
from tests.pictures import png
from ui.history import KEY
from ui.result_card import SIZE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def test_drafts_are_compared_and_edits_tried(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    page.get_by_label("Title", exact=True).fill("My cat: quarterly results, part 2")
    press_predict(page)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    page.get_by_role("tab", name="Compare").click()
    expect(
        page.locator("#comparison [aria-live=polite]").or_(page.locator("#comparison[aria-live=polite]"))
    ).to_have_count(1)
    page.get_by_role("button", name="Add this draft").focus()
    page.keyboard.press("Enter")
    ranks = page.locator("#comparison li")
    expect(ranks).to_have_count(1)
    expect(page.get_by_role("button", name="Add this draft")).to_be_focused()
    page.get_by_label("More titles").fill(f"My cat\n{HOSTILE}\nasdf")
    page.get_by_role("button", name="Add titles").click()
    expect(ranks).to_have_count(4)
    expect(page.get_by_label("More titles")).to_have_value("")
    expect(ranks.last).to_contain_text("Not ranked: This does not look like a title")
    expect(page.locator("#comparison h3")).to_have_text("Too close to call between B and C")
    assert page.title() == "First Impressions" and page.locator("img[src=x]").count() == 0
    page.locator("#more input[type=file]").set_input_files([picture, picture])
    expect(ranks).to_have_count(5)

    page.get_by_label("More titles").fill("One more\nAnother")
    page.get_by_role("button", name="Add titles").click()
    expect(page.locator("#comparison [role=alert]")).to_contain_text("7 drafts, and at most 6")
    expect(ranks).to_have_count(5)
    with page.expect_download() as table:
        page.get_by_role("link", name="Download as CSV").click()
    assert table.value.path().read_text().count("\n") == 6
    page.get_by_text("Each against each").click()
    clean(page)
    page.set_viewport_size({"width": 320, "height": 860})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1280, "height": 860})
    page.get_by_role("button", name="Take draft C away").focus()
    page.keyboard.press("Enter")
    expect(ranks).to_have_count(4)
    expect(page.locator("#comparison section")).to_be_focused()
    # As where the server has let go of what the page still shows.
    take_away = page.get_by_role("button", name="Take all away")
    # Until they are gone none can be added to them.
    assert take_away.evaluate(
        "(button) => { button.click(); return [...document.querySelectorAll('.fi-adding')].every((row) => row.inert); }"
    )
    expect(ranks).to_have_count(0)
    expect(page.locator("#comparison section")).to_be_focused()
    page.locator("#comparison section").evaluate("(part) => part.innerHTML = '<ol class=fi-ranks><li></li></ol>'")
    page.get_by_role("button", name="Add this draft").click()
    expect(page.locator("#comparison [role=alert]")).to_contain_text("no longer kept")
    expect(ranks).to_have_count(1)

    page.get_by_role("tab", name="Edits").click()
    page.get_by_role("button", name="Try small edits").click()
    use = page.get_by_role("button", name="Use it: Keep only “My cat”")
    expect(use).to_be_visible()
    clean(page)
    before = page.locator("#verdict h2").inner_text()
    use.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title", exact=True)).to_have_value("My cat")
    expect(page.locator("#predict")).to_be_focused()
    expect(page.locator("#verdict h2")).not_to_have_text(before)
    # The edits were those of another draft.
    expect(page.locator("#edits .fi-tried")).to_have_count(0)
    page.get_by_label("Title", exact=True).press_sequentially("!")
    expect(page.get_by_role("button", name="Try small edits")).to_be_hidden()
    page.close()


def test_what_is_on_its_way_into_a_comparison_that_is_emptied_stays_out(browser: Browser, address: str) -> None:
    page = visit(browser, address)
    page.evaluate(LATE, 1500)
    for emptied in ("by another model", "by starting over"):
        page.get_by_label("Title", exact=True).fill("My cat")
        press_predict(page)
        expect(page.locator("#verdict .fi-bar")).to_have_count(5)
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Add this draft").click()
        expect(page.locator("#comparison li")).to_have_count(1)
        page.get_by_label("More titles").fill("My dog\nMy bird")
        with page.expect_request("**/queue/join*"):
            page.get_by_role("button", name="Add titles").click()
            # Nor is a draft taken away meanwhile, which would come back.
            assert page.locator("#comparison section").evaluate("part => part.inert")
            if emptied == "by another model":
                page.get_by_role("tab", name="Details").click()
                page.get_by_label("Answered by").click()
                page.get_by_role("option", name="second model").click()
            else:
                page.get_by_role("button", name="Start over").click()
        page.wait_for_function("() => [...document.querySelectorAll('.fi-adding')].every((row) => !row.inert)")
        expect(page.locator("#comparison li")).to_have_count(0)
    page.close()


def test_real_posts_another_model_and_a_whole_list(browser: Browser, address: str, tmp_path: Path) -> None:
    """Covers are fetched by whoever asks for one; another model answers anew; a table comes back scored."""
    page = visit(browser, address)
    strangers: list[str] = []
    page.on("request", lambda request: strangers.append(request.url) if foreign(request.url, address) else None)
    page.route(f"{COVERS}/**", lambda route: route.fulfill(body=png(), content_type="image/png"))
    page.locator("#examples button").first.click()
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    page.get_by_role("tab", name="Similar posts").click()
    near = page.locator(".fi-near:visible")
    expect(near).to_contain_text("nearest by words and picture, 14 were High")
    expect(near.locator("li")).to_have_count(8)
    page.get_by_role("radio", name="words and picture").focus()
    page.keyboard.press("ArrowRight")
    expect(near).to_contain_text("nearest by words, 14 were High")
    assert page.title() == "First Impressions" and not strangers
    with page.expect_request(f"{COVERS}/**"):
        near.get_by_role("button", name="Show the cover of post 3").press("Enter")
    shown = near.get_by_role("img", name="Cover of post 3")
    expect(shown).to_be_focused()
    assert strangers == [f"{COVERS}/2.jpg"] and shown.get_attribute("referrerpolicy") == "no-referrer"

    page.get_by_role("tab", name="Details").click()
    page.get_by_label("Answered by").click()
    page.get_by_role("option", name="second model").click()
    expect(page.locator("#verdict")).to_contain_text("popularity points")
    expect(page.locator("#facts")).to_contain_text("Popularity score v1")
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Add this draft").click()
    expect(page.locator("#comparison li")).to_have_count(1)
    # Looking at the models and leaving them as they are asks nothing and loses nothing.
    page.get_by_role("tab", name="Details").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    page.get_by_label("Answered by").click()
    page.get_by_label("Title", exact=True).click()
    page.wait_for_timeout(500)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#comparison li")).to_have_count(1)
    assert not asked

    page.get_by_role("button", name="Score a whole list").click()
    table, pictures = tmp_path / "posts.csv", tmp_path / "pictures.zip"
    table.write_text("title,image\nMy cat <b>never</b>!,a.png\n,b.png\n", encoding="utf-8")
    with zipfile.ZipFile(pictures, "w") as file:
        file.writestr("a.png", png())
    for name, path in (("#table", table), ("#zip", pictures)):
        page.locator(f"{name} input[type=file]").set_input_files(path)
        expect(page.locator(name)).to_contain_text(path.stem)
    page.locator("#score").click()
    results = page.locator(".fi-batch")
    expect(results).to_contain_text("1 scored, 1 with errors")
    expect(results).to_contain_text("My cat <b>never</b>!")
    expect(page.locator("#scored")).to_have_text(re.compile(r"^How these posts would do\. 1 scored, 1 with errors"))
    expect(results.locator("td img")).to_have_count(1)
    # On a phone the columns stand below one another, and nothing of them lies beyond the edge.
    page.set_viewport_size({"width": 390, "height": 860})
    assert results.locator(".fi-scroll").evaluate("box => box.scrollWidth <= box.clientWidth")
    clean(page)
    expect(page.locator("#table")).not_to_contain_text("posts")
    with page.expect_download() as download:
        results.get_by_role("link", name="Download all as CSV").click()
    assert "no picture of that name" in download.value.path().read_text(encoding="utf-8")
    page.close()


def shown_title(page: Page) -> str:
    return page.get_by_label("Title", exact=True).input_value()


def test_a_link_names_the_model_that_answered(browser: Browser, address: str, picture: Path) -> None:
    page = browser.new_page(permissions=["clipboard-read", "clipboard-write"])
    for asked, answered, unit in (("second", "&model=second", "popularity points"), ("none", "", "per 100 views")):
        page.goto(f"{address}?{urlencode({'title': 'My cat', 'model': asked})}")
        expect(page.locator("#verdict .fi-estimate")).to_contain_text(unit)
        page.get_by_role("button", name="Copy link").click()
        expect(page.locator("#kept-told")).to_contain_text("Link copied")
        assert page.evaluate("navigator.clipboard.readText()") == f"{address}?title=My+cat{answered}"
        if answered:
            # Whom the model of a link does not answer must get at the others.
            page.get_by_label("Title", exact=True).fill("")
            press_predict(page)
            expect(page.locator("#verdict")).to_contain_text("Another model can be chosen under Details")
            expect(page.get_by_role("tab", name="Details")).to_be_visible()
    page.get_by_label("Title", exact=True).fill("")
    choose(page, picture)
    press_predict(page)
    expect(page.locator("#verdict .fi-note")).to_contain_text("picture's part alone")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#kept-told")).to_contain_text("picture alone, which a link cannot hold")
    page.close()


def test_drafts_of_a_visit_come_back_and_answers_are_taken_away(
    browser: Browser, address: str, picture: Path, tmp_path: Path
) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 860}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    # A link with a title answers at once, and what is in it stays text.
    page.goto(f"{address}?{urlencode({'__theme': 'light', 'title': HOSTILE + 'x' * 600})}")
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    assert shown_title(page) == (HOSTILE + "x" * 600)[:500]
    visit_list = page.locator("#visit")
    expect(visit_list.locator("summary")).to_have_text("Drafts of this visit (1)")

    choose(page, picture)
    page.get_by_label("Title", exact=True).fill("My cat")
    press_predict(page)
    expect(visit_list.locator("summary")).to_have_text("Drafts of this visit (2)")
    with page.expect_download() as card:
        page.get_by_role("button", name="Save as picture").click()
    with Image.open(card.value.path()) as saved:
        assert saved.format == "PNG" and saved.size == SIZE
    with page.expect_download() as record:
        page.get_by_role("button", name="Save as JSON").click()
    assert json.loads(record.value.path().read_text())["level"] in LEVELS
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#kept-told")).to_contain_text("Link copied. It holds your words")
    assert page.evaluate("navigator.clipboard.readText()") == f"{address}?title=My+cat"

    page.get_by_role("tab", name="Preview").click()
    feed = page.locator("#feed")
    expect(feed.locator(".fi-crop")).to_have_count(3)
    assert feed.locator(".fi-crop").first.evaluate("crop => crop.getBoundingClientRect().width") == 360
    expect(feed).to_contain_text("of the picture away, at the top and bottom")
    page.get_by_role("radio", name="dark").check()
    expect(feed.locator(".fi-post").first).to_have_css("background-color", "rgb(15, 15, 15)")
    visit_list.locator("summary").press("Enter")
    clean(page)

    # Bringing back, also after a reload: what was there, and nothing twice.
    visit_list.get_by_role("button", name="Undo").press("Enter")
    expect(page.get_by_label("Title", exact=True)).to_have_value(re.compile("^<img src=x"))
    expect(page.locator("#picture img")).to_have_count(0)
    expect(visit_list.locator("li").first).to_contain_text("<img src=x")
    page.goto(address)
    expect(visit_list.locator("li")).to_have_count(2)
    visit_list.locator("summary").click()
    visit_list.get_by_role("button", name="Bring back draft 2").click()
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    expect(visit_list.locator("li").first).to_contain_text("My cat")
    expect(visit_list.locator("li")).to_have_count(2)
    assert page.title() == "First Impressions" and page.locator("img[src=x]").count() == 0
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 860})
        for tab in ("Preview", "Your account"):
            page.get_by_role("tab", name=tab).click()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    other = visit(browser, address)
    expect(other.locator("#visit")).to_be_hidden()
    other.close()
    visit_list.get_by_role("button", name="Clear this list").click()
    expect(visit_list).to_be_hidden()
    assert page.evaluate(f"sessionStorage.getItem('{KEY}')") is None
    context.close()


def test_a_draft_is_set_beside_ones_own_posts_and_a_withheld_one_keeps_its_tabs(browser: Browser, address: str) -> None:
    page = visit(browser, address, theme="dark")
    page.get_by_label("Title", exact=True).fill("My cat")
    page.get_by_label("Title", exact=True).press("Enter")
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    page.get_by_role("tab", name="Your account").click()
    page.get_by_label("Your recent posts").fill(f"12000, 480, 35\n8.5k, 310\n{HOSTILE}, 5")
    page.get_by_role("button", name="Compare with my posts").press("Enter")
    own = page.locator("#own")
    expect(own.locator("h3")).to_have_text(
        re.compile(r"^Likely between [\d.]+ and [\d.]+ times your usual engagement$")
    )
    expect(own.get_by_role("alert")).to_contain_text("Line 3 was left out: “<img src=x")
    clean(page)
    before = own.inner_text()
    # What is said of other lines than stand there is set back until it is asked for anew.
    page.get_by_label("Your recent posts").press("Backspace")
    expect(own).to_have_class(re.compile("fi-former"))
    page.get_by_role("button", name="Compare with my posts").click()
    expect(own).not_to_have_class(re.compile("fi-former"))
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Add this draft").click()
    expect(page.locator("#comparison li")).to_have_count(1)

    page.get_by_label("Title", exact=True).fill("asdf")
    press_predict(page)
    expect(page.locator("#verdict .fi-strange")).to_be_visible()
    expect(page.locator("#comparison li")).to_have_count(1)
    for tab, told in (
        ("Explanation", "nothing to explain"),
        ("Edits", "nothing to edit"),
        ("Your account", "does not answer this draft as a whole"),
        ("Preview", "As feeds show it"),
    ):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator("#more")).to_contain_text(told)
    expect(page.get_by_role("button", name="Try small edits")).to_be_hidden()
    with page.expect_download() as card:
        page.get_by_role("button", name="Save as picture").click()
    assert card.value.suggested_filename == "first-impression.png"

    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    page.get_by_label("Title", exact=True).fill("Quarterly results")
    press_predict(page)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#comparison li")).to_have_count(0)
    # Another draft against the same posts, without being asked for.
    page.get_by_role("tab", name="Your account").click()
    expect(own.locator("h3")).to_be_visible()
    expect(own).not_to_have_text(before)
    page.close()
