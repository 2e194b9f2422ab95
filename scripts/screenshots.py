"""Pictures of the creators' page for the documentation, taken of the shipped model in headless Chromium.

    python scripts/screenshots.py      # or: make screenshots

Writes docs/screenshot.png, signals.png, explanation.png, strange.png and phone.png, in few colours, and
docs/tour.webp, which moves: a picture stays in every clone.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COLOURS = 128
WAIT = 120_000
TOUR = {"width": 1200, "height": 760}
QUALITY = 68
SCROLL = """share => {
  const top = document.querySelector('#explain').getBoundingClientRect().top + scrollY - 40;
  scrollTo({top: share * top, behavior: 'instant'});
}"""


def write(name: str, shot: bytes) -> None:
    """Save a screenshot with a palette."""
    picture = Image.open(BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(DOCS / f"{name}.png", optimize=True)
    print(f"docs/{name}.png: {(DOCS / f'{name}.png').stat().st_size / 1000:.0f} kB")


def write_tour(frames: list[tuple[bytes, int]]) -> None:
    """Save screenshots, each shown for so many milliseconds, as one picture that moves."""
    first, *rest = (Image.open(BytesIO(shot)).convert("RGB") for shot, _ in frames)
    durations = [duration for _, duration in frames]
    path = DOCS / "tour.webp"
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, quality=QUALITY, method=4)
    print(f"docs/tour.webp: {len(frames)} frames, {path.stat().st_size / 1000:.0f} kB")


def tour(page: Page, title: str, picture: Path) -> Iterator[tuple[bytes, int]]:
    """A title is typed, a picture chosen, the draft predicted and explained: screenshots and how long each is shown."""
    page.locator("#examples button").first.wait_for(timeout=WAIT)
    yield page.screenshot(), 1200
    words = title.split(" ")
    for number in range(1, len(words) + 1):
        page.get_by_label("Title", exact=True).fill(" ".join(words[:number]))
        yield page.screenshot(), 220
    page.locator("#picture input[type=file]").set_input_files(picture)
    page.locator("#picture img").wait_for(timeout=WAIT)
    page.wait_for_timeout(500)
    yield page.screenshot(), 900
    page.locator("#predict").focus()
    yield page.screenshot(), 400
    page.locator("#predict").click()
    page.locator("#verdict .fi-bar").nth(4).wait_for(timeout=WAIT)
    page.wait_for_timeout(800)
    yield page.screenshot(), 2800
    explained(page)
    for share in (0.35, 0.7, 1.0):
        page.evaluate(SCROLL, share)
        yield page.screenshot(), 120
    yield page.screenshot(), 4200


def answered(page: Page) -> None:
    """Predict the first example."""
    page.locator("#examples button").first.click()
    page.locator("#verdict .fi-bar").nth(4).wait_for(timeout=WAIT)
    # The bars grow to their length.
    page.wait_for_timeout(800)


def seen(page: Page) -> None:
    """Wait for the card of what is in picture and words."""
    page.locator("#signals [aria-busy=false]").wait_for(timeout=WAIT)
    page.wait_for_timeout(300)


def explained(page: Page) -> None:
    """Explain the answer that is there."""
    page.locator("#explain").click()
    page.locator("#reasons [aria-busy=false]").wait_for(timeout=WAIT)
    page.wait_for_timeout(300)


def strange(page: Page) -> None:
    """Predict what somebody types who only wants to see what happens."""
    page.get_by_label("Title").fill("asdf")
    page.locator("#predict").click()
    page.locator("#verdict .fi-strange").wait_for(timeout=WAIT)
    page.wait_for_timeout(800)


def main() -> None:
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import app
    from ui.examples import EXAMPLES
    from ui.theme import launch_settings

    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is needed for screenshots (on Debian: apt-get install chromium-headless-shell).")
    demo = app.build()
    address = demo.launch(**{**launch_settings(), "quiet": True, "prevent_thread_lock": True})[1]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        wide = browser.new_page(viewport={"width": 1200, "height": 760})
        wide.goto(f"{address}?__theme=light")
        answered(wide)
        seen(wide)
        write("screenshot", wide.screenshot())
        write("signals", wide.locator("#signals").screenshot())
        explained(wide)
        write("explanation", wide.locator("#reasons").screenshot())
        strange(wide)
        write("strange", wide.locator("#verdict").screenshot())
        still = browser.new_page(viewport=TOUR)  # type: ignore[arg-type]
        still.goto(f"{address}?__theme=light")
        first = EXAMPLES[0]
        assert first.path is not None
        write_tour(list(tour(still, first.title, first.path)))
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.goto(f"{address}?__theme=dark")
        answered(phone)
        write("phone", phone.screenshot())
        browser.close()
    demo.close(verbose=False)


if __name__ == "__main__":
    main()
