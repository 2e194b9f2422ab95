"""The creators' page in a real browser: what a visitor does, sees, and is told when something is wrong."""

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import app
from engine.scoring import LEVELS
from tests.batch_files import picture as drawn
from tests.page_evidence import COVERS, PageEvidence
from tests.page_predictor import POPULARITY_FORMULA, PagePredictor
from tests.page_signals import SLOW, PageSignals
from ui import chooser
from ui.chooser import Choice
from ui.history import KEY
from ui.result_card import SIZE
from ui.theme import launch_settings

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

HOSTILE = "<img src=x onerror=\"document.title='hit'\"> {{this}} ${document.title='hit'} secret"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr(chooser, "load_from", lambda bundle: lambda: PagePredictor(score_formula=POPULARITY_FORMULA))
        offered = [Choice(name, f"{name} model", Path(name)) for name in ("first", "second")]
        demo = app.build(PagePredictor, PageSignals, offered, PageEvidence.load)  # type: ignore[arg-type]
        yield demo.launch(**{**launch_settings(), "quiet": True, "prevent_thread_lock": True})[1]
        demo.close(verbose=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sunset.png"
    Image.linear_gradient("L").rotate(90).resize((320, 200)).convert("RGB").save(path)
    return path


def visit(browser: Browser, address: str, *, width: int = 1280, theme: str = "light") -> Page:
    page = browser.new_page(viewport={"width": width, "height": 860})
    page.set_default_timeout(60_000)
    page.goto(f"{address}?__theme={theme}")
    expect(page.locator("#examples button").first).to_be_visible(timeout=60_000)
    return page


def choose(page: Page, path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)
    expect(page.locator("#picture img")).to_be_visible(timeout=60_000)


def press_predict(page: Page) -> None:
    page.get_by_role("button", name="Predict engagement").click()


def test_a_draft_is_predicted_and_explained(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    expect(page.get_by_role("tab", name="Explanation")).to_be_hidden()
    strangers: list[str] = []
    page.on("request", lambda request: strangers.append(request.url) if foreign(request.url, address) else None)
    choose(page, picture)
    page.get_by_label("Title").fill("My cat and the rocket")
    press_predict(page)
    expect(page.locator("#verdict h2")).to_have_text(re.compile(r"^Likely above \d of 10 posts$"), timeout=60_000)
    expect(page.locator("#verdict .fi-sure")).to_contain_text("8 times in 10, a draft like this beats between")
    expect(page.locator("#verdict .fi-bar .fi-name")).to_have_text(list(LEVELS))
    assert all(text.strip().endswith("%") for text in page.locator("#verdict .fi-share").all_inner_texts())
    expect(page.locator("#verdict .fi-estimate")).to_contain_text("most likely between")

    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#reasons h3")).to_contain_text("This draft is expected", timeout=60_000)
    expect(page.locator("#reasons img[alt^='Heat map']")).to_be_visible()
    expect(page.locator("#words span").nth(1)).to_have_text(re.compile(r"^\s*cat\s*$"))
    expect(page.locator("#reasons section")).to_have_attribute("aria-busy", "false", timeout=60_000)
    page.locator(".fi-opacity").fill("20")
    assert page.locator(".fi-layer").evaluate("layer => getComputedStyle(layer).opacity") == "0.2"

    page.get_by_role("tab", name="Details").click()
    expect(page.get_by_text("How the members of the blend voted")).to_be_visible()
    expect(page.locator("#facts")).to_contain_text("1,234 posts of a made-up dataset")

    page.get_by_label("Title").press_sequentially("!")
    expect(page.get_by_text("draft changed: predict again")).to_be_visible()
    # What was changed is never explained as if it were not.
    page.get_by_role("tab", name="Explanation").click()
    expect(page.get_by_role("button", name="Explain this answer")).to_be_hidden()
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    assert not strangers
    page.close()


def foreign(url: str, address: str) -> bool:
    return url.startswith("http") and not url.startswith(address)


def test_picture_and_words_are_shown_below_the_verdict(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    expect(page.locator("#signals")).to_be_hidden()
    choose(page, picture)
    page.get_by_label("Title").fill("My cat and the rocket")
    press_predict(page)
    card = page.locator("#signals")
    expect(card.locator("section")).to_have_attribute("aria-busy", "false", timeout=60_000)
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
    expect(card.locator("li")).to_have_count(1, timeout=60_000)
    expect(card).to_have_css("opacity", "1")
    expect(card).to_contain_text("The wording is unusual.")
    page.get_by_role("button", name="Start over").click()
    expect(card).to_be_hidden()
    page.close()


def test_signals_of_a_former_draft_do_not_land_beside_the_next_verdict(
    browser: Browser, address: str, picture: Path
) -> None:
    page = visit(browser, address)
    choose(page, picture)
    page.get_by_label("Title").fill(f"My cat comes {SLOW}")
    press_predict(page)
    expect(page.locator("#signals li")).to_have_count(1, timeout=60_000)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here")
    page.get_by_label("Title").fill("My cat")
    press_predict(page)
    expect(page.locator("#signals section[aria-busy=false] li")).to_have_count(1, timeout=60_000)
    page.wait_for_timeout(2500)
    expect(page.locator("#signals li")).to_have_count(1)
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
    expect(page.locator("#picture img")).to_be_visible(timeout=60_000)
    press_predict(page)
    expect(page.locator("#verdict .fi-note")).to_contain_text("No title", timeout=60_000)
    page.close()


def test_enter_predicts_and_odd_titles_stay_text(browser: Browser, address: str) -> None:
    page = visit(browser, address)
    page.get_by_label("Title").fill(HOSTILE)
    page.get_by_label("Title").press("Enter")
    expect(page.locator("#verdict .fi-note")).to_contain_text("picture was not seen", timeout=60_000)
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#words")).to_contain_text("{{this}}", timeout=60_000)
    assert "<img src=x" in page.locator("#words").inner_text()
    page.get_by_role("tab", name="Details").click()
    assert page.title() == "First Impressions" and page.locator("img[src=x]").count() == 0
    page.close()


def test_an_example_is_predicted_by_keyboard(browser: Browser, address: str) -> None:
    page = visit(browser, address)
    card = page.get_by_role("button", name="Rocket launch highlights")
    card.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    expect(page.get_by_label("Title")).to_have_value("Rocket launch highlights")
    expect(page.locator("#picture img")).to_be_visible()
    page.close()


def test_errors_are_one_sentence(browser: Browser, address: str, tmp_path: Path) -> None:
    page = visit(browser, address)
    press_predict(page)
    expect(page.locator("#verdict [role=alert]")).to_contain_text("give a picture, a title, or both", timeout=60_000)
    fake = tmp_path / "fake.jpg"
    fake.write_text("just words")
    page.locator("#picture input[type=file]").set_input_files(fake)
    page.get_by_label("Title").fill("My cat")
    expect(page.locator("#picture img")).to_be_attached(timeout=60_000)
    press_predict(page)
    expect(page.locator("#verdict [role=alert]")).to_contain_text("no picture that can be read", timeout=60_000)
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
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    page.close()


def test_a_picture_that_is_too_large_leaves_the_title_usable(browser: Browser, address: str, tmp_path: Path) -> None:
    page = visit(browser, address)
    large = tmp_path / "large.png"
    large.write_bytes(bytes(20_000_001))
    page.get_by_label("Title").fill("My cat")
    page.locator("#picture input[type=file]").set_input_files(large)
    expect(page.get_by_text("larger than 20 MB").or_(page.get_by_text("maximum allowed size")).first).to_be_visible(
        timeout=60_000
    )
    page.get_by_label("Title").press_sequentially(" and the rocket")
    press_predict(page)
    expect(page.locator("#verdict .fi-note")).to_contain_text("picture was not seen", timeout=60_000)
    assert page.title() == "First Impressions"
    page.close()


@pytest.mark.parametrize(("theme", "width"), [("light", 390), ("dark", 390), ("light", 320)])
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, address: str, theme: str, width: int) -> None:
    page = visit(browser, address, width=width, theme=theme)
    page.locator("#examples button").first.click()
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    expect(page.locator("#verdict h2")).to_be_in_viewport()
    expect(page.locator("#signals section")).to_have_attribute("aria-busy", "false", timeout=60_000)
    verdict, examples = (page.locator(name).bounding_box() for name in ("#verdict", "#examples"))
    assert verdict and examples and verdict["y"] < examples["y"]
    page.get_by_role("button", name="Score a whole list").click()
    for tab in ("Similar posts", "Details", "Explanation"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = page.evaluate("getComputedStyle(document.querySelector('.fi-card')).backgroundColor") == "rgb(23, 30, 42)"
    assert dark == (theme == "dark")
    page.close()


# Gradio pales a panel until its answer is whole.
SETTLED = """() => {
  for (let part = document.querySelector('#verdict section'); part; part = part.parentElement)
    if (getComputedStyle(part).opacity !== '1') return false;
  return true;
}"""


def clean(page: Page) -> None:
    """axe-core finds nothing on the page as it stands."""
    page.wait_for_function(SETTLED)
    found = Axe().run(page).response["violations"]
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_anyone_out(browser: Browser, address: str, theme: str) -> None:
    """axe-core finds nothing, and what is read out when it changes is known before it does."""
    page = visit(browser, address, theme=theme)

    for region in ("#verdict", "#signals", "#reasons"):
        expect(page.locator(region)).to_have_attribute("aria-live", "polite")
    clean(page)
    press_predict(page)
    expect(page.locator("#verdict [role=alert]")).to_be_visible(timeout=60_000)
    clean(page)
    page.locator("#examples button").first.click()
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    expect(page.locator("#signals section")).to_have_attribute("aria-busy", "false", timeout=60_000)
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#reasons section")).to_have_attribute("aria-busy", "false", timeout=60_000)
    clean(page)
    page.get_by_role("tab", name="Similar posts").click()
    expect(page.locator(".fi-evidence")).to_be_visible(timeout=60_000)
    clean(page)
    page.get_by_role("tab", name="Details").click()
    expect(page.locator("#facts")).to_be_visible()
    page.get_by_role("button", name="Score a whole list").click()
    expect(page.locator("#score")).to_be_visible()
    clean(page)
    page.close()


def test_drafts_are_compared_and_edits_tried(browser: Browser, address: str, picture: Path) -> None:
    page = visit(browser, address)
    page.get_by_label("Title", exact=True).fill("My cat: quarterly results, part 2")
    press_predict(page)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    page.get_by_role("tab", name="Compare").click()
    expect(
        page.locator("#comparison [aria-live=polite]").or_(page.locator("#comparison[aria-live=polite]"))
    ).to_have_count(1)
    page.get_by_role("button", name="Add this draft").focus()
    page.keyboard.press("Enter")
    ranks = page.locator("#comparison li")
    expect(ranks).to_have_count(1, timeout=60_000)
    page.get_by_label("More titles").fill(f"My cat\n{HOSTILE}\nasdf")
    page.get_by_role("button", name="Add titles").click()
    expect(ranks).to_have_count(4, timeout=60_000)
    expect(page.get_by_label("More titles")).to_have_value("")
    expect(ranks.last).to_contain_text("Not ranked: This does not look like a title")
    expect(page.locator("#comparison h3")).to_have_text("Too close to call between B and C")
    assert page.title() == "First Impressions" and page.locator("img[src=x]").count() == 0
    page.locator("#more input[type=file]").set_input_files([picture, picture])
    expect(ranks).to_have_count(5, timeout=60_000)

    page.get_by_label("More titles").fill("One more\nAnother")
    page.get_by_role("button", name="Add titles").click()
    expect(page.locator("#comparison [role=alert]")).to_contain_text("7 drafts, and at most 6", timeout=60_000)
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
    expect(ranks).to_have_count(4, timeout=60_000)
    expect(page.locator("#comparison section")).to_be_focused()

    page.get_by_role("tab", name="Edits").click()
    page.get_by_role("button", name="Try small edits").click()
    use = page.get_by_role("button", name="Use it: Keep only “My cat”")
    expect(use).to_be_visible(timeout=60_000)
    clean(page)
    before = page.locator("#verdict h2").inner_text()
    use.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title", exact=True)).to_have_value("My cat", timeout=60_000)
    expect(page.locator("#verdict h2")).not_to_have_text(before, timeout=60_000)
    # The edits were those of another draft.
    expect(page.locator("#edits .fi-tried")).to_have_count(0)
    page.get_by_label("Title", exact=True).press_sequentially("!")
    expect(page.get_by_role("button", name="Try small edits")).to_be_hidden()
    page.close()


def test_real_posts_another_model_and_a_whole_list(browser: Browser, address: str, tmp_path: Path) -> None:
    """Covers are fetched by whoever asks for one; another model answers anew; a table comes back scored."""
    page = visit(browser, address)
    strangers: list[str] = []
    page.on("request", lambda request: strangers.append(request.url) if foreign(request.url, address) else None)
    page.route(f"{COVERS}/**", lambda route: route.fulfill(body=drawn(), content_type="image/png"))
    page.locator("#examples button").first.click()
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    page.get_by_role("tab", name="Similar posts").click()
    near = page.locator(".fi-near:visible")
    expect(near).to_contain_text("nearest by words and picture, 14 were High", timeout=60_000)
    expect(near.locator("li")).to_have_count(8)
    page.get_by_role("radio", name="words and picture").focus()
    page.keyboard.press("ArrowRight")
    expect(near).to_contain_text("nearest by words, 14 were High")
    assert page.title() == "First Impressions" and not strangers
    near.get_by_role("button", name="Show the cover of post 3").press("Enter")
    shown = near.get_by_role("img", name="Cover of post 3")
    expect(shown).to_be_focused()
    assert strangers == [f"{COVERS}/2.jpg"] and shown.get_attribute("referrerpolicy") == "no-referrer"

    page.get_by_role("tab", name="Details").click()
    page.get_by_label("Answered by").click()
    page.get_by_role("option", name="second model").click()
    expect(page.locator("#verdict")).to_contain_text("popularity points", timeout=60_000)
    expect(page.locator("#facts")).to_contain_text("Popularity score v1")

    page.get_by_role("button", name="Score a whole list").click()
    table, pictures = tmp_path / "posts.csv", tmp_path / "pictures.zip"
    table.write_text("title,image\nMy cat <b>never</b>!,a.png\n,b.png\n", encoding="utf-8")
    with zipfile.ZipFile(pictures, "w") as file:
        file.writestr("a.png", drawn())
    for name, path in (("#table", table), ("#zip", pictures)):
        page.locator(f"{name} input[type=file]").set_input_files(path)
        expect(page.locator(name)).to_contain_text(path.stem, timeout=60_000)
    page.locator("#score").click()
    results = page.locator(".fi-batch")
    expect(results).to_contain_text("1 scored, 1 with errors", timeout=60_000)
    expect(results).to_contain_text("My cat <b>never</b>!")
    expect(results.locator("td img")).to_have_count(1)
    expect(page.locator("#table")).not_to_contain_text("posts")
    with page.expect_download() as download:
        results.get_by_role("link", name="Download all as CSV").click()
    assert "no picture of that name" in download.value.path().read_text(encoding="utf-8")
    page.close()


def test_a_page_speaks_one_language(browser: Browser, address: str) -> None:
    """Gradio would speak the visitor's, around our English."""
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(address)
    expect(page.locator("footer")).to_contain_text("Use via API", timeout=60_000)
    assert page.evaluate("document.documentElement.lang") == "en"
    context.close()


def shown_title(page: Page) -> str:
    return page.get_by_label("Title", exact=True).input_value()


def test_drafts_of_a_visit_come_back_and_answers_are_taken_away(
    browser: Browser, address: str, picture: Path, tmp_path: Path
) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 860}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    # A link with a title answers at once, and what is in it stays text.
    page.goto(f"{address}?{urlencode({'__theme': 'light', 'title': HOSTILE + 'x' * 600})}")
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    assert shown_title(page) == (HOSTILE + "x" * 600)[:500]
    visit_list = page.locator("#visit")
    expect(visit_list.locator("summary")).to_have_text("Drafts of this visit (1)", timeout=60_000)

    choose(page, picture)
    page.get_by_label("Title", exact=True).fill("My cat")
    press_predict(page)
    expect(visit_list.locator("summary")).to_have_text("Drafts of this visit (2)", timeout=60_000)
    with page.expect_download() as card:
        page.get_by_role("button", name="Save as picture").click()
    with Image.open(card.value.path()) as saved:
        assert saved.format == "PNG" and saved.size == SIZE
    with page.expect_download() as record:
        page.get_by_role("button", name="Save as JSON").click()
    assert json.loads(record.value.path().read_text())["level"] in LEVELS
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#kept-told")).to_contain_text("Link copied. It holds your words", timeout=60_000)
    assert page.evaluate("navigator.clipboard.readText()") == f"{address}?title=My+cat"

    page.get_by_role("tab", name="Preview").click()
    feed = page.locator("#feed")
    expect(feed.locator(".fi-crop")).to_have_count(3, timeout=60_000)
    assert feed.locator(".fi-crop").first.evaluate("crop => crop.getBoundingClientRect().width") == 360
    expect(feed).to_contain_text("of the picture away, at the top and bottom")
    page.get_by_role("radio", name="dark").check()
    expect(feed.locator(".fi-post").first).to_have_css("background-color", "rgb(15, 15, 15)")
    visit_list.locator("summary").press("Enter")
    clean(page)

    # Bringing back, also after a reload: what was there, and nothing twice.
    visit_list.get_by_role("button", name="Undo").press("Enter")
    expect(page.get_by_label("Title", exact=True)).to_have_value(re.compile("^<img src=x"), timeout=60_000)
    expect(page.locator("#picture img")).to_have_count(0)
    expect(visit_list.locator("li").first).to_contain_text("<img src=x", timeout=60_000)
    page.goto(address)
    expect(visit_list.locator("li")).to_have_count(2, timeout=60_000)
    visit_list.locator("summary").click()
    visit_list.get_by_role("button", name="Bring back draft 2").click()
    expect(page.locator("#picture img")).to_be_visible(timeout=60_000)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    expect(visit_list.locator("li").first).to_contain_text("My cat", timeout=60_000)
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
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    page.get_by_role("tab", name="Your account").click()
    page.get_by_label("Your recent posts").fill(f"12000, 480, 35\n8.5k, 310\n{HOSTILE}, 5")
    page.get_by_role("button", name="Compare with my posts").press("Enter")
    own = page.locator("#own")
    expect(own.locator("h3")).to_have_text(
        re.compile(r"^Likely between [\d.]+ and [\d.]+ times your usual engagement$"), timeout=60_000
    )
    expect(own.get_by_role("alert")).to_contain_text("Line 3 was left out: “<img src=x")
    clean(page)
    before = own.inner_text()
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Add this draft").click()
    expect(page.locator("#comparison li")).to_have_count(1, timeout=60_000)

    page.get_by_label("Title", exact=True).fill("asdf")
    press_predict(page)
    expect(page.locator("#verdict .fi-strange")).to_be_visible(timeout=60_000)
    expect(page.locator("#comparison li")).to_have_count(1)
    for tab, told in (
        ("Explanation", "nothing to explain"),
        ("Edits", "nothing to edit"),
        ("Preview", "nothing to prev"),
    ):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator("#more")).to_contain_text(told, timeout=60_000)
    expect(page.get_by_role("button", name="Try small edits")).to_be_hidden()

    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#verdict h2")).to_have_text("Your first impression appears here", timeout=60_000)
    page.get_by_label("Title", exact=True).fill("Quarterly results")
    press_predict(page)
    expect(page.locator("#verdict .fi-bar")).to_have_count(5, timeout=60_000)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#comparison li")).to_have_count(0)
    # Another draft against the same posts, without being asked for.
    page.get_by_role("tab", name="Your account").click()
    expect(own.locator("h3")).to_be_visible(timeout=60_000)
    expect(own).not_to_have_text(before)
    page.close()
