"""The dashboard in a real browser: every page draws, a click in the matrix selects, a reload keeps the selection."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_report import write_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30_000

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    report = write_report(tmp_path_factory.mktemp("report"))
    port = _free_port()
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(port)]
    command += ["--server.address", "127.0.0.1"]
    environment = os.environ | {"FIRST_IMPRESSIONS_REPORT": str(report)}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 40
        while True:
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, "streamlit ended before it answered"
                assert time.monotonic() < deadline, "streamlit did not answer in time"
                time.sleep(0.3)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser) -> Iterator[object]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(
    ("path", "title", "chart"),
    [("", "Dataset", "scores"), ("model", "Model", "dots"), ("ablations", "Ablations", "forest")],
)
def test_pages_draw(page, address: str, path: str, title: str, chart: str) -> None:
    page.goto(f"{address}/{path}")
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.locator(f".st-key-{chart} .main-svg").first.wait_for()
    assert "Traceback" not in page.content()
    assert page.locator("[data-testid=stException]").count() == 0


def test_a_cell_selects_its_posts_and_a_reload_keeps_them(page, address: str) -> None:
    page.goto(f"{address}/errors")
    points = page.locator(".st-key-matrix-0 .scatterlayer .points path")
    points.nth(24).wait_for(state="attached")
    everything = _selected(page)
    # True level 2, predicted level 1.
    expected = page.locator(".st-key-matrix-0 .scatterlayer .textpoint").nth(2 * 5 + 1).text_content()
    _click(page, points.nth(2 * 5 + 1), off=8)
    page.get_by_role("button", name="Predicted: Low").wait_for()
    assert re.search(r"selection=true%3A2%2Cpred%3A1", page.url)
    count = _selected(page)
    assert 0 < count < everything
    assert expected.startswith(str(count))
    page.reload()
    page.get_by_role("button", name="Predicted: Low").wait_for()
    assert _selected(page) == count
    page.get_by_role("button", name="Clear all").click()
    page.get_by_role("button", name="Predicted: Low").wait_for(state="detached")
    assert "selection=" not in page.url
    assert "Traceback" not in page.content()


def test_a_slice_selects_and_other_pages_keep_the_selection(page, address: str) -> None:
    page.goto(f"{address}/errors?selection=off:1")
    # Cards above the chart move it until they are drawn.
    page.locator(".fi-card").first.wait_for()
    dot = page.locator(".st-key-slices-0 .scatterlayer .points path").first
    dot.scroll_into_view_if_needed()
    _click(page, dot)
    added = re.compile(r"off%3A1%2C\w+%3A")
    playwright.expect(page).to_have_url(added, timeout=PATIENCE)
    page.get_by_role("link", name="Model").click()
    page.get_by_role("heading", name="Model", exact=True).wait_for()
    page.get_by_role("link", name="Errors").click()
    playwright.expect(page).to_have_url(added, timeout=PATIENCE)
    assert _selected(page) > 0


def _click(page, mark, off: int = 0) -> None:
    """Click near a mark as a hand does: Plotly's transparent drag layer lies above it, and hovering comes first."""
    box = mark.bounding_box()
    x, y = box["x"] + box["width"] / 2 + off, box["y"] + box["height"] / 2 + off
    page.mouse.move(x, y, steps=3)
    page.mouse.click(x, y)


def _selected(page) -> int:
    heading = page.locator("h3", has_text=re.compile(r"posts?$")).first
    heading.wait_for()
    return int(heading.inner_text().split()[0].replace(",", ""))
