"""The creators' page as tests run it, and what they do with it in a browser."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from gradio_client import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

HOSTILE = "<img src=x onerror=\"document.title='hit'\"> {{this}} ${document.title='hit'} secret"
# Without the windows that a whole browser keeps behind its pages, they are drawn in two thirds of the work.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# Milliseconds. What is expected comes on a busy machine, too.
PATIENCE = 90_000
# A call reaches the server so many milliseconds after the page has made it.
LATE = """(wait) => {
  const ask = window.fetch;
  const late = (address) => new Promise((done) => setTimeout(done, address.includes('/queue/join') ? wait : 0));
  window.fetch = async (what, how) => { await late(String(what.url ?? what)); return ask(what, how); };
}"""
# Gradio pales a panel until its answer is whole.
SETTLED = """() => {
  for (let part = document.querySelector('#verdict section'); part; part = part.parentElement)
    if (getComputedStyle(part).opacity !== '1') return false;
  return true;
}"""


@contextmanager
def opened() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def running(folder: Path, *loaders: Any) -> Iterator[str]:
    """The address of the page that `app.build` makes of these loaders; uploads lie in `folder`."""
    import app
    from ui.theme import launch_settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        demo = app.build(*loaders)
        settings = {**launch_settings(), "quiet": True, "prevent_thread_lock": True}
        yield demo.launch(**settings, server_name="127.0.0.1")[1]
        demo.close(verbose=False)


def program(address: str) -> Client:
    """A program's connection to a page. No page of a test has a certificate, and to get ready for one takes long."""
    return Client(address, verbose=False, ssl_verify=False)


@contextmanager
def connected(folder: Path, *loaders: Any) -> Iterator[Client]:
    """A program's connection to such a page."""
    with running(folder, *loaders) as address, closing(program(address)) as client:
        yield client


@contextmanager
def served(folder: Path, names: tuple[str, str], other: Callable[[], Any], *evidence: Any) -> Iterator[str]:
    """The address of the page of two models made for tests, the second of which `other` makes; uploads lie in `folder`.

    `evidence` is what loads the posts nearest to a draft, if there are any.
    """
    from tests.page_predictor import PagePredictor
    from tests.page_signals import PageSignals
    from ui import chooser

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chooser, "load_from", lambda bundle: other)
        offered = [chooser.Choice(name, f"{name} model", Path(name)) for name in names]
        with running(folder, PagePredictor, PageSignals, offered, *evidence) as address:
            yield address


@cache
def _cached(browser: Browser) -> BrowserContext:
    """Where a browser's tabs share what it has cached, for a page's scripts are large; drafts are a tab's own."""
    # What moves while a page is drawn takes a third of the browser's work.
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    return context


def visit(browser: Browser, address: str, *, width: int = 1280, theme: str = "light") -> Page:
    page = _cached(browser).new_page()
    page.set_viewport_size({"width": width, "height": 860})
    page.goto(f"{address}?__theme={theme}")
    expect(page.locator("#examples button").first).to_be_visible()
    return page


def choose(page: Page, path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)
    expect(page.locator("#picture img")).to_be_visible()


def press_predict(page: Page) -> None:
    page.get_by_role("button", name="Predict engagement").click()


def clean(page: Page) -> None:
    """axe-core finds nothing on the page as it stands."""
    page.wait_for_function(SETTLED)
    found = Axe().run(page).response["violations"]
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def foreign(url: str, address: str) -> bool:
    return url.startswith("http") and not url.startswith(address)
