"""Both apps in one process: the command of the Dockerfile in its environment, with what is shipped."""

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from engine.scoring import LEVELS
from tests.app_page import CHROMIUM, PATIENCE, foreign, opened, program
from tests.server import ROOT, at_home, free_port, serving

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
COMMAND = json.loads(re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[-1])
SETTINGS = dict(
    setting.split("=", 1) for setting in shlex.split(re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)[0])
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The process and where it is, once its health says that it is ready."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    # From another folder, which is nobody's business.
    command = [str(ROOT / COMMAND[1]), *COMMAND[2:]]
    with serving(command, SETTINGS | at_home(home, port), f"{address}health", home / "log", folder=home) as process:
        yield process, address


@pytest.fixture(scope="module")
def address(server: tuple[subprocess.Popen, str]) -> str:
    return server[1]


def test_its_health_names_the_shipped_bundle(address: str) -> None:
    shipped = json.loads((ROOT / "models" / "youtube" / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    assert httpx.get(f"{address}health").json() == {"ready": True, "bundle": shipped["name"], "reason": ""}
    assert httpx.head(f"{address}health").status_code == 200


def test_programs_are_answered_beside_the_dashboard(address: str) -> None:
    client = program(address)
    assert client.predict(title="My cat judges me", api_name="/predict")["level"] in LEVELS
    client.close()
    closed = httpx.get(f"{address}dashboard?report=youtube")
    assert closed.is_redirect and closed.next_request is not None
    assert closed.next_request.url == f"{address}dashboard/?report=youtube"


def test_the_page_keeps_its_limits_and_its_silence(address: str) -> None:
    """What `launch` is told of privacy in the page's own process holds here, and the frame around it adds nothing."""
    config = httpx.get(f"{address}config").json()
    assert config["analytics_enabled"] is False and not config.get("run_history")
    for path in ("monitoring", "docs", "redoc", "gradio_api/deep_link"):
        assert httpx.get(f"{address}{path}").status_code >= 400, path
    large = {"files": ("draft.png", b"\0" * 20_000_001, "image/png")}
    assert httpx.post(f"{address}gradio_api/upload", files=large).status_code == 413


def test_the_dashboard_takes_no_files_and_asks_nobody_who_it_is(address: str) -> None:
    for method in ("PUT", "POST"):
        assert httpx.request(method, f"{address}dashboard/_stcore/upload_file/session/file").status_code == 404
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    handshake |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://elsewhere.example"}
    assert httpx.get(f"{address}dashboard/_stcore/stream", headers=handshake).status_code == 403


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_both_apps_work_in_a_browser(address: str) -> None:
    with opened() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        strangers: list[str] = []
        sockets: list[str] = []
        page.on("request", lambda request: strangers.append(request.url) if foreign(request.url, address) else None)
        page.on("websocket", lambda found: sockets.append(found.url))
        page.goto(f"{address}dashboard/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Dataset")
        page.get_by_role("link", name="Results").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Results")
        expect(page.locator(".js-plotly-plot").first).to_be_visible()
        # An address that was sent to somebody opens on its page.
        page.goto(f"{address}dashboard/results")
        expect(page.get_by_role("heading", level=1)).to_have_text("Results")
        assert set(sockets) == {f"{address.replace('http', 'ws', 1)}dashboard/_stcore/stream"}

        # No number is endless. Its cards show pictures from where they were published.
        other = browser.new_page()
        other.goto(f"{address}dashboard/errors?page=1e400&least=inf")
        expect(other.get_by_role("heading", level=1)).to_have_text("Errors")
        expect(other.get_by_role("spinbutton", name="Posts at least")).to_have_value("30")
        expect(other.get_by_test_id("stException")).to_have_count(0)
        other.close()

        page.goto(address)
        page.get_by_label("Title").fill("My cat judges me every morning")
        page.get_by_role("button", name="Predict engagement").click()
        expect(page.locator("#verdict .fi-bar .fi-name")).to_have_text(list(LEVELS))
        assert not strangers


def test_it_ends_when_told_to_and_leaves_nothing(server: tuple[subprocess.Popen, str], home: Path) -> None:
    process, address = server
    [uploads] = home.glob("first-impressions-uploads-*")
    # As a page that is still open.
    with httpx.stream("GET", f"{address}gradio_api/heartbeat/session") as stream:
        assert next(stream.iter_text()).startswith("data: ALIVE")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not uploads.exists()
    assert "Traceback" not in (home / "log").read_text()
