"""A draft leaves no trace: the shipped page as its own process, told things that must be found nowhere afterwards."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import ExifTags, Image

from tests.app_page import program
from tests.pictures import photograph
from tests.server import at_home, free_port, serving

MARKER = "marker-5d0e7a"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A JPEG with the marker in its name and in all that a camera or an editor writes into one."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = MARKER
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSDateStamp] = MARKER
    file = BytesIO()
    photograph().save(file, "JPEG", exif=exif, comment=MARKER, xmp=f"<x>{MARKER}</x>".encode())
    path = tmp_path / f"{MARKER}.jpg"
    path.write_bytes(file.getvalue())
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the server's temporary files, caches and logs go."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def server(home: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    with serving(["app.py"], at_home(home, port), address, home / "log") as process:
        yield process, address


def press(address: str, pressed: str, *data: object, event_data: object = None) -> str:
    """What the page's server answers in a session when something is pressed with this in the event's fields."""
    config = httpx.get(f"{address}config").json()
    [identity] = [one["id"] for one in config["components"] if one["props"].get("elem_id") == pressed]
    clicked = (one for one in config["dependencies"] if [identity, "click"] in map(list, one["targets"]))
    event = next(one for one in clicked if one["backend_fn"])
    asked = {"fn_index": event["id"], "data": data, "session_hash": "visitor", "event_data": event_data}
    if event["queue"] is False:
        return httpx.post(f"{address}gradio_api/run/predict", json=asked, timeout=60).raise_for_status().text
    httpx.post(f"{address}gradio_api/queue/join", json=asked).raise_for_status()
    return httpx.get(f"{address}gradio_api/queue/data", params={"session_hash": "visitor"}, timeout=60).text


def traces(home: Path) -> list[str]:
    """Files below the server's folders that hold the marker, or are named by it."""
    found = [path for path in home.rglob("*") if path.is_file()]
    return [str(path) for path in found if MARKER in path.name or MARKER.encode() in path.read_bytes()]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM")
def test_a_draft_leaves_no_trace(server: tuple[subprocess.Popen, str], home: Path, picture: Path) -> None:
    process, address = server
    [uploads] = home.glob("first-impressions-uploads-*")
    client = program(address)
    context = {"category": MARKER, "published_at": "2021-05-03T18:30+02:00"}
    draft = {"picture": handle_file(picture), "title": f"My cat judges me every morning {MARKER}", "context": context}
    assert client.predict(**draft, api_name="/predict")["view"] == "both"
    assert client.predict(**draft, api_name="/explain")["regions"]
    for wrong in ({MARKER: 1}, {"published_at": MARKER}):
        with pytest.raises(AppError):
            client.predict(title="My cat", context=wrong, api_name="/predict")
    several = {"titles": [draft["title"], "My dog"], "pictures": [draft["picture"]], "context": context}
    assert len(client.predict(**several, api_name="/compare")["drafts"]) == 2
    client.close()
    told = press(address, "own-compare", None, f"1234567, 76543\n{MARKER}, 5", "")
    assert f"“{MARKER}”" in told
    words = {"title": MARKER, "tags": MARKER, "description": MARKER}
    kept = {**words, "picture": "", "context": json.dumps(context)}
    assert f'"category":"{MARKER}"' in press(address, "visit", event_data=kept)
    assert httpx.get(address, params={"title": MARKER}).status_code == 200
    drafts = [{"title": MARKER, "picture": draft["picture"]}, {"title": MARKER * 99}, {MARKER: 1}]
    scored = program(address).predict(drafts=drafts, api_name="/score_batch")
    assert [one["error"] is None for one in scored["scored"]] == [True, False, False]
    assert not any(uploads.iterdir()) and not traces(home)

    files = {"files": (picture.name, picture.read_bytes(), "image/jpeg")}
    # With an identifier the answer waits for the file, as for a page.
    [kept] = httpx.post(f"{address}gradio_api/upload?upload_id=one", files=files, timeout=60).json()
    assert Path(kept).parent == uploads and Path(kept).is_file() and not traces(home)

    process.send_signal(signal.SIGTERM)
    process.wait(30)
    assert not uploads.exists() and not traces(home)
    assert process.returncode == 0 and "Traceback" not in (home / "log").read_text()
