"""Pictures of the creators' page for the documentation, taken of the shipped model in headless Chromium.

    python scripts/screenshots.py      # or: make screenshots

Writes docs/screenshot.png, signals.png, explanation.png, strange.png and phone.png, in few colours: a picture stays in
every clone.
"""

import os
import shutil
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COLOURS = 128
WAIT = 120_000


def write(name: str, shot: bytes) -> None:
    """Save a screenshot with a palette."""
    picture = Image.open(BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(DOCS / f"{name}.png", optimize=True)
    print(f"docs/{name}.png: {(DOCS / f'{name}.png').stat().st_size / 1000:.0f} kB")


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
    from ui.theme import launch_settings

    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is needed for screenshots (on Debian: apt-get install chromium).")
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
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.goto(f"{address}?__theme=dark")
        answered(phone)
        write("phone", phone.screenshot())
        browser.close()
    demo.close(verbose=False)


if __name__ == "__main__":
    main()
