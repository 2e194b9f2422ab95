"""The creators' page in a real browser: what a visitor does, sees, and is told when something is wrong."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from engine.scoring import LEVELS
from tests.app_page import CHROMIUM, HOSTILE, LATE, choose, clean, foreign, press_predict, visit
from tests.page_signals import SLOW

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def test_a_draft_is_predicted_and_explained(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    expect(page.get_by_role("tab", name="Explanation")).to_be_hidden()
    strangers: list[str] = []
    page.on("request", lambda request: strangers.append(request.url) if foreign(request.url, address) else None)
    choose(page, picture)
    page.get_by_label("Title").fill("My cat and the rocket")
    press_predict(page)
    said = re.compile(r"^Likely to beat about \d of 10 posts$")
    expect(page.locator("#verdict h2")).to_have_text(said)
    expect(page.locator("#verdict .fi-sure")).to_contain_text("8 times in 10, a draft like this beats between")
    expect(page.locator("#verdict .fi-bar .fi-name")).to_have_text(list(LEVELS))
    assert all(text.strip().endswith("%") for text in page.locator("#verdict .fi-share").all_inner_texts())
    expect(page.locator("#verdict .fi-estimate")).to_contain_text("most likely between")

    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#reasons h3")).to_contain_text("This draft is expected")
    expect(page.locator("#reasons img[alt^='Heat map']")).to_be_visible()
    expect(page.locator("#words span").nth(1)).to_have_text(re.compile(r"^\s*cat\s*$"))
    expect(page.locator("#reasons section")).to_have_attribute("aria-busy", "false")
    page.locator(".fi-opacity").fill("20")
    assert page.locator(".fi-layer").evaluate("layer => getComputedStyle(layer).opacity") == "0.2"
    # A new heat map is drawn as its slider says.
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator(".fi-opacity")).to_have_value("75")
    expect(page.locator(".fi-layer")).to_have_css("opacity", "0.75")

    page.get_by_role("tab", name="Details").click()
    expect(page.get_by_text("How the members of the blend voted")).to_be_visible()
    expect(page.locator("#facts")).to_contain_text("1,234 posts of a made-up dataset")

    expect(page.get_by_text("draft changed: predict again")).to_be_hidden()
    page.get_by_label("Title").press("Backspace")
    expect(page.get_by_text("draft changed: predict again")).to_be_visible()
    expect(page.locator("#votes")).to_have_css("opacity", "0.45")
    # What was changed is never explained as if it were not.
    page.get_by_role("tab", name="Explanation").click()
    expect(page.get_by_role("button", name="Explain this answer")).to_be_hidden()
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    assert not strangers
    page.close()


def test_picture_and_words_are_shown_below_the_verdict(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    expect(page.locator("#signals")).to_be_hidden()
    choose(page, picture)
    page.get_by_label("Title").fill("My cat and the rocket")
    press_predict(page)
    card = page.locator("#signals")
    expect(card.locator("section")).to_have_attribute("aria-busy", "false")
    expect(card.locator("li")).to_have_count(5)
    expect(card.get_by_role("img")).to_have_count(5)
    expect(card).to_contain_text("3 of the title's 7 words are also written in the picture.")
    # What captioner and reader say is as hostile as any upload.
    expect(card).to_contain_text("a cat <script>document.title='hit'</script> on a sofa")
    assert page.title() == "First Impressions" and card.locator("b", has_text="MY CAT").count() == 0
    # Beside the verdict, which the tabs follow at once.
    verdict, shown, examples = (page.locator(name).bounding_box() for name in ("#verdict", "#signals", "#examples"))
    assert verdict and shown and examples and shown["x"] < verdict["x"] and examples["y"] < shown["y"]

    page.get_by_label("Title").press_sequentially("!")
    expect(card).to_have_css("opacity", "0.45")
    page.locator("#picture").get_by_label("Remove Image").or_(page.locator("#picture button").first).first.click()
    press_predict(page)
    expect(card.locator("li")).to_have_count(1)
    expect(card).to_have_css("opacity", "1")
    expect(card).to_contain_text("The wording is unusual.")
    page.get_by_role("button", name="Start over").click()
    expect(card).to_be_hidden()
    page.close()


def test_what_is_typed_right_after_starting_over_stays(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    choose(page, picture)
    page.get_by_label("Title").fill("My cat")
    press_predict(page)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    # A slow server, that answers when the next title is there.
    held: list[Route] = []
    page.route("**/gradio_api/**", lambda request: held.append(request))
    page.get_by_role("button", name="Start over").click()
    expect(page.get_by_label("Title")).to_have_value("")
    expect(page.locator("#picture img")).to_have_count(0)
    page.get_by_label("Title").fill("Quarterly")
    for request in held:
        request.continue_()
    page.unroute("**/gradio_api/**")
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    expect(page.get_by_label("Title")).to_have_value("Quarterly")
    page.close()


def test_signals_of_a_former_draft_do_not_land_beside_the_next_verdict(
    browser: Browser, address: str, picture: Path
) -> None:
    page = visit(browser, address)
    choose(page, picture)
    page.get_by_label("Title").fill(f"My cat comes {SLOW}")
    press_predict(page)
    expect(page.locator("#signals li")).to_have_count(1)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    page.get_by_label("Title").fill("My cat")
    press_predict(page)
    expect(page.locator("#signals section[aria-busy=false] li")).to_have_count(1)
    page.wait_for_timeout(2500)
    expect(page.locator("#signals li")).to_have_count(1)
    page.close()


def test_an_answer_that_is_long_on_its_way_does_not_land_beside_what_came_after_it(
    browser: Browser, address: str
) -> None:
    page = visit(browser, address)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    far = {"offline": False, "latency": 500, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", far)
    page.get_by_label("Title").fill("My cat")
    press_predict(page)
    page.get_by_role("button", name="Start over").click()
    page.wait_for_timeout(4000)
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    # Pressed again before the first answer is there, the page answers what is in its fields.
    for title in (f"My cat, {SLOW}", "My other cat"):
        page.get_by_label("Title").fill(title)
        press_predict(page)
    expect(page.locator("#visit li").first).to_contain_text("My other cat")
    expect(page.get_by_text("draft changed: predict again")).to_be_hidden()
    # What is still read of the first draft holds back nothing of the second.
    expect(page.locator("#signals li").first).to_be_visible()
    expect(page.locator("#signals [aria-busy=true]")).to_have_count(0)
    # Another model answers no draft that is there no more, and the first one's answer does not stand under its name.
    page.get_by_label("Title").fill("")
    page.get_by_role("tab", name="Details").click()
    page.get_by_label("Answered by").click()
    page.get_by_role("option", name="second model").click()
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    page.close()


def test_an_example_fills_in_at_once_whatever_the_server_does(browser: Browser, address: str) -> None:
    page = visit(browser, address)
    page.evaluate(LATE, 2000)
    cards, title = page.locator("#examples button"), page.get_by_label("Title")
    cards.nth(0).click()
    cards.nth(1).click()
    expect(title).to_have_value("Rocket launch highlights", timeout=1500)
    expect(page.locator("#visit li").first).to_contain_text("Rocket launch highlights")
    cards.nth(0).click()
    # A hand on its way from the mouse to the keys.
    page.wait_for_timeout(300)
    title.fill("Typed meanwhile")
    expect(page.locator("#visit li").first).to_contain_text("My cat judges me")
    expect(title).to_have_value("Typed meanwhile")
    expect(page.get_by_text("draft changed: predict again")).to_be_visible()
    cards.nth(1).click()
    page.get_by_role("button", name="Start over").click()
    page.wait_for_timeout(4000)
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    expect(title).to_have_value("")
    expect(page.locator("#picture img")).to_have_count(0)
    page.close()


def test_what_a_slow_server_says_of_a_picture_does_not_make_its_answer_old(
    browser: Browser, address: str, picture: Path
) -> None:
    page = visit(browser, address)
    page.evaluate(LATE, 1000)
    choose(page, picture)
    press_predict(page)
    expect(page.locator("#visit summary")).to_have_text("Drafts of this visit (1)")
    expect(page.get_by_text("draft changed: predict again")).to_be_hidden()
    expect(page.get_by_role("button", name="Save as picture")).to_be_visible()
    page.close()


def test_the_keyboard_stays_where_a_picture_was_taken_away(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    choose(page, picture)
    page.get_by_role("button", name="Remove Image").press("Enter")
    expect(page.locator("#picture img")).to_have_count(0)
    expect(page.locator("#picture button").first).to_be_focused()
    page.close()


def test_a_picture_can_be_dropped(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    data = page.evaluate_handle(
        """(bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.png', {type: 'image/png'}));
            return transfer;
        }""",
        list(picture.read_bytes()),
    )
    page.locator("#picture input[type=file]").locator("xpath=..").dispatch_event("drop", {"dataTransfer": data})
    expect(page.locator("#picture img")).to_be_visible()
    press_predict(page)
    expect(page.locator("#verdict .fi-note")).to_contain_text("No title")
    page.close()


def test_enter_predicts_and_odd_titles_stay_text(browser: Browser, address: str) -> None:
    page = visit(browser, address)
    page.get_by_label("Title").fill(HOSTILE)
    page.get_by_label("Title").press("Enter")
    expect(page.locator("#verdict .fi-note")).to_contain_text("picture was not seen")
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#words")).to_contain_text("{{this}}")
    assert "<img src=x" in page.locator("#words").inner_text()
    page.get_by_role("tab", name="Details").click()
    assert page.title() == "First Impressions" and page.locator("img[src=x]").count() == 0
    page.close()


def test_an_example_is_predicted_by_keyboard(browser: Browser, address: str) -> None:
    page = visit(browser, address)
    card = page.get_by_role("button", name="Rocket launch highlights")
    card.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    expect(page.get_by_label("Title")).to_have_value("Rocket launch highlights")
    expect(page.locator("#picture img")).to_be_visible()
    page.close()


def test_errors_are_one_sentence(browser: Browser, address: str, tmp_path: Path) -> None:
    page = visit(browser, address)
    press_predict(page)
    expect(page.locator("#verdict [role=alert]")).to_contain_text("give a picture, a title, or both")
    fake = tmp_path / "fake.jpg"
    fake.write_text("just words")
    page.locator("#picture input[type=file]").set_input_files(fake)
    expect(page.get_by_text("no picture that can be read")).to_be_visible()
    expect(page.locator("#picture img")).to_have_count(0)
    page.get_by_label("Title").fill("My cat")
    press_predict(page)
    expect(page.locator("#verdict .fi-note")).to_contain_text("picture was not seen")
    assert "Traceback" not in page.content()
    page.close()


def test_a_long_title_is_said_to_be_cut(browser: Browser, address: str) -> None:
    page = visit(browser, address)
    said = page.get_by_text("The title was cut to 500 characters.")
    page.get_by_label("Title").click()
    page.keyboard.insert_text("cat " * 2500)
    expect(said).to_be_visible()
    assert len(page.get_by_label("Title").input_value()) == 500
    page.keyboard.press("Backspace")
    expect(said).to_have_count(0)
    press_predict(page)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    page.close()


def test_a_picture_that_is_too_large_leaves_the_title_usable(browser: Browser, address: str, tmp_path: Path) -> None:
    page = visit(browser, address)
    large = tmp_path / "large.png"
    large.write_bytes(bytes(20_000_001))
    page.get_by_label("Title").fill("My cat")
    page.locator("#picture input[type=file]").set_input_files(large)
    expect(page.get_by_text("larger than 20 MB").or_(page.get_by_text("maximum allowed size")).first).to_be_visible()
    page.get_by_label("Title").press_sequentially(" and the rocket")
    press_predict(page)
    expect(page.locator("#verdict .fi-note")).to_contain_text("picture was not seen")
    assert page.title() == "First Impressions"
    page.close()


@pytest.mark.parametrize(("theme", "width"), [("light", 390), ("dark", 390), ("light", 320)])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, address: str, theme: str, width: int) -> None:
    page = visit(browser, address, width=width, theme=theme)
    page.locator("#examples button").first.click()
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    expect(page.locator("#verdict h2")).to_be_in_viewport()
    expect(page.locator("#signals section")).to_have_attribute("aria-busy", "false")
    verdict, examples = (page.locator(name).bounding_box() for name in ("#verdict", "#examples"))
    assert verdict and examples and verdict["y"] < examples["y"]
    page.get_by_role("button", name="Score a whole list").click()
    for tab in ("Similar posts", "Details", "Explanation"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = page.evaluate("getComputedStyle(document.querySelector('.fi-card')).backgroundColor") == "rgb(23, 30, 42)"
    assert dark == (theme == "dark")
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_anyone_out(browser: Browser, address: str, theme: str) -> None:
    """axe-core finds nothing, and what is read out when it changes is known before it does."""
    page = visit(browser, address, theme=theme)

    for region in ("#verdict", "#signals", "#reasons"):
        expect(page.locator(region)).to_have_attribute("aria-live", "polite")
    clean(page)
    press_predict(page)
    expect(page.locator("#verdict [role=alert]")).to_be_visible()
    clean(page)
    page.locator("#examples button").first.click()
    expect(page.locator("#verdict .fi-bar")).to_have_count(5)
    expect(page.locator("#signals section")).to_have_attribute("aria-busy", "false")
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#reasons section")).to_have_attribute("aria-busy", "false")
    clean(page)
    page.get_by_role("tab", name="Similar posts").click()
    expect(page.locator(".fi-evidence")).to_be_visible()
    clean(page)
    page.get_by_role("tab", name="Details").click()
    expect(page.locator("#facts")).to_be_visible()
    page.get_by_role("button", name="Score a whole list").click()
    expect(page.locator("#score")).to_be_visible()
    clean(page)
    page.close()


def test_a_page_speaks_one_language(browser: Browser, address: str) -> None:
    """Gradio would speak the visitor's, around our English."""
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(address)
    expect(page.locator("footer")).to_contain_text("Use via API")
    assert page.evaluate("document.documentElement.lang") == "en"
    context.close()
