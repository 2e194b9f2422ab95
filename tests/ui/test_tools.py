"""The endpoints as tools over MCP: met with a real client where the extra is installed, harmless where it is not."""

import asyncio
import base64
import json
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio.mcp import GradioMCPServer
from PIL import Image
from starlette.requests import Request

from engine.images import MAX_BYTES
from engine.scoring import LEVELS
from tests.app_page import running
from tests.page_predictor import PagePredictor
from tests.page_signals import PageSignals
from ui import tools
from ui.arrivals import fits
from ui.uploads import UPLOADS

needs_mcp = pytest.mark.skipif(
    find_spec("mcp") is None, reason="mcp is not installed: pip install -r requirements-mcp.txt"
)


@pytest.fixture
def data() -> bytes:
    path = Path(__file__).parents[2] / "docs" / "phone.png"
    return path.read_bytes()


def as_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


async def converted(given: Any) -> object:
    return tools.picture_of(given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_MCP_SERVER", "true")
        patch.setattr("gradio.mcp.GradioMCPServer", GradioMCPServer)
        with running(folder, PagePredictor, PageSignals) as found:
            yield found


def told(address: str, tool: str = "", **arguments: Any) -> Any:
    """What a client is told: the list of tools, or a tool's result."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def ask() -> Any:
        async with (
            streamablehttp_client(f"{address}gradio_api/mcp/") as (reads, writes, _),
            ClientSession(reads, writes) as session,
        ):
            await session.initialize()
            return await (session.call_tool(tool, arguments) if tool else session.list_tools())

    return asyncio.run(ask())


@needs_mcp
def test_a_client_is_told_what_each_tool_takes(address: str) -> None:
    found = {tool.name: tool for tool in told(address).tools}
    assert {"predict", "explain", "signals"} <= set(found)
    for tool in found.values():
        assert tool.description and "required" not in tool.inputSchema
        fields = tool.inputSchema["properties"]
        if tool.name in ("compare", "score_batch"):
            names = {"compare": ("titles", "pictures"), "score_batch": ("drafts",)}[tool.name]
            assert all(fields[name]["description"] for name in names) and "http" not in str(fields.get("pictures"))
            continue
        assert "data URL" in fields["picture"]["description"] and "http" not in str(fields["picture"].get("format"))
        assert fields["title"]["description"]
    assert found["explain"].inputSchema["properties"]["method"]["enum"] == ["owen", "integrated_gradients"]


@needs_mcp
def test_a_client_is_answered_in_json_and_no_picture_stays(address: str, folder: Path, data: bytes) -> None:
    for given, view in (({"title": "My cat"}, "text"), ({"title": "My cat", "picture": as_url(data)}, "both")):
        result = told(address, "predict", **given)
        assert not result.isError
        answer = json.loads(result.content[0].text)
        assert answer["level"] in LEVELS and answer["view"] == view
    assert json.loads(told(address, "explain", picture=as_url(data)).content[0].text)["regions"]
    compared = json.loads(
        told(address, "compare", titles=["My cat", "A rocket"], pictures=[as_url(data)]).content[0].text
    )
    assert [draft["view"] for draft in compared["drafts"]] == ["both", "both"]
    drafts = [{"title": "My cat", "picture": as_url(data)}, {"title": ""}]
    scored = json.loads(told(address, "score_batch", drafts=drafts).content[0].text)["scored"]
    assert scored[0]["answer"]["view"] == "both" and "a title" in scored[1]["error"]
    assert not [path for path in folder.rglob("*") if path.is_file()]


@needs_mcp
def test_a_client_may_upload_first(address: str, folder: Path, data: bytes) -> None:
    files = {"files": ("draft.png", data, "image/png")}
    [path] = httpx.post(f"{address}gradio_api/upload?upload_id=one", files=files, timeout=60).json()
    result = told(address, "predict", picture=f"{address}gradio_api/file={path}")
    assert json.loads(result.content[0].text)["view"] == "image"
    assert not [path for path in folder.rglob("*") if path.is_file()]


@needs_mcp
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "give a picture, a title, or both"),
        ({"picture": "https://example.org/a.png"}, tools.NO_PICTURE),
        ({"picture": "/etc/hostname"}, tools.NO_PICTURE),
        ({"picture": as_url(b"no picture")}, "picture"),
        ({"picture": [as_url(b"a secret")]}, tools.NO_PICTURE),
        ({"title": {"a": "secret"}}, "The title is no text"),
        ({"caption": "a secret"}, "This tool has no field caption; it has picture, title, tags, description"),
        ({"pictures": as_url(b"a secret"), "titles": ["a", "b"]}, tools.NO_PICTURES),
        ({"titles": "a secret"}, "Give the titles as a list of texts"),
    ],
)
def test_a_client_that_errs_gets_a_sentence(address: str, given: dict[str, Any], sentence: str) -> None:
    result = told(address, "compare" if "titles" in given else "predict", **given)
    assert len(result.content[0].text) < 300 and "secret" not in result.content[0].text
    assert base64.b64encode(b"a secret").decode() not in result.content[0].text
    assert result.isError
    assert sentence.lower() in result.content[0].text.lower() and "Traceback" not in result.content[0].text


def test_a_picture_in_a_call_is_kept_as_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    kept = asyncio.run(converted(as_url(data)))
    assert isinstance(kept, dict)
    UPLOADS.wait(kept["path"])
    with Image.open(kept["path"]) as picture:
        assert picture.format == "BMP" and Path(kept["path"]).parent == tmp_path
    address = f"http://127.0.0.1:7860/gradio_api/file={kept['path']}"
    assert asyncio.run(converted(address)) == kept
    UPLOADS.drop(kept["path"])
    for gone in (address, "http://127.0.0.1/gradio_api/file=/etc/hostname", "/etc/hostname", "data:image/png;base64,é"):
        with pytest.raises(ValueError, match="data URL"):
            asyncio.run(converted(gone))
    for odd in (5, {}, [as_url(data)]):
        with pytest.raises(ValueError, match="data URL"):
            asyncio.run(converted(odd))
    for odd in (as_url(data), 5, {"a": 1}):
        with pytest.raises(ValueError, match="as a list"):
            tools.pictures_of(odd)
    assert asyncio.run(converted("")) is None and asyncio.run(converted(None)) is None
    assert not list(tmp_path.iterdir())


def test_a_call_is_no_longer_than_the_largest_picture() -> None:
    def request(*headers: tuple[bytes, bytes]) -> Request:
        return Request({"type": "http", "headers": headers})

    assert fits(request((b"content-length", b"%d" % (4 * MAX_BYTES // 3))))
    chunks = [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]
    for headers in ([], [(b"content-length", b"%d" % (2 * MAX_BYTES))], [(b"content-length", b"-1")], chunks):
        assert not fits(request(*headers))
    several = request((b"content-length", b"%d" % (2 * MAX_BYTES)))
    assert fits(several, 2) and not fits(request((b"content-length", b"%d" % (3 * MAX_BYTES))), 2)


def test_without_the_extra_there_are_no_tools_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gradio.mcp.GradioMCPServer", GradioMCPServer)
    monkeypatch.delenv(tools.VARIABLE, raising=False)
    assert not tools.tools_wanted() and not caplog.text
    monkeypatch.setenv(tools.VARIABLE, "True")
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert not tools.tools_wanted()
    assert tools.MISSING in caplog.text


def test_a_mounted_server_calls_back_itself_alone() -> None:
    server = object.__new__(tools.Tools)
    server._local_url = None

    class Mounted:
        server_name, server_port = "0.0.0.0", 7861

    server.blocks = Mounted()  # type: ignore[assignment]
    assert server.local_url == "http://127.0.0.1:7861/"
