"""The page as a client meets it: a real server, a predictor without weights."""

import base64
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from pathlib import Path
from typing import Any

# Imported by the server only when it first sends a file: in its thread pytest's own importer fails on Python 3.11.
import anyio._core._fileio  # noqa: F401
import httpx
import pytest
from gradio import Request
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import ExifTags, Image
from pydantic import TypeAdapter

from engine.errors import BundleError
from engine.images import TOO_LARGE, load_image, pixel_hash
from engine.scoring import LEVELS
from engine.signals import SIGNALS
from tests.absent import lacking
from tests.app_page import program, running
from tests.page_predictor import STRANGE, PagePredictor
from tests.page_signals import PageSignals
from tests.pictures import gradient_file
from ui import uploads
from ui.api import Answer, Ranking, Readings, Reasons, Scores
from ui.arrivals import FORM_TOO_LARGE, NO_FORM, TOO_MANY
from ui.calls import ODD
from ui.model import UNAVAILABLE
from ui.uploads import GONE, NO_ADDRESS, NO_FILE, UPLOADS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def serve(folder: Path) -> Iterator[Callable[..., str]]:
    """Start the page with a predictor loader; everything stops with the module."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as started:
        patch.setenv("GRADIO_HEARTBEAT_INTERVAL", "0.5")
        yield lambda loader: started.enter_context(running(folder, loader, PageSignals))


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(PagePredictor)


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with closing(program(address)) as connected:
        yield connected


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return gradient_file(tmp_path / "sunset.png")


MARKER = "marker-3f9c1e"


def marked(picture: Path) -> bytes:
    """The picture as a JPEG with the marker in all that a camera or an editor writes into one."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = MARKER
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSDateStamp] = MARKER
    file = BytesIO()
    with Image.open(picture) as image:
        image.save(file, "JPEG", exif=exif, comment=MARKER, xmp=f"<x>{MARKER}</x>".encode())
    return file.getvalue()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def ask(client: Client, picture: Path | None = None, title: object = "") -> dict:
    given = {"picture": handle_file(picture)} if picture else {}
    return client.predict(**given, title=title, api_name="/predict")


def refused(client: Client, picture: Path | None = None, title: object = "") -> str:
    with pytest.raises(AppError) as error:
        ask(client, picture, title)
    message = str(error.value)
    assert "Traceback" not in message and "File " not in message
    return message


@pytest.mark.parametrize(
    ("with_picture", "title", "view"), [(0, "My cat", "text"), (1, "", "image"), (1, "Cat", "both")]
)
def test_predict(client: Client, picture: Path, with_picture: int, title: str, view: str) -> None:
    answer = ask(client, picture if with_picture else None, title)
    assert answer["view"] == view and answer["level"] in LEVELS
    assert list(answer["probabilities"]) == list(LEVELS)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert answer["score_low"] < answer["score"] < answer["score_high"]


def test_the_answer_depends_on_the_draft(client: Client) -> None:
    assert ask(client, title="My cat: never again!")["level"] != ask(client, title="Quarterly results, part 2")["level"]


def test_an_empty_draft_gets_a_sentence(client: Client) -> None:
    assert "give a picture, a title, or both" in refused(client)
    assert "give a picture, a title, or both" in refused(client, title="   \n ")


def test_unusable_pictures_get_a_sentence(client: Client, picture: Path, tmp_path: Path) -> None:
    broken, renamed, empty = (tmp_path / name for name in ("broken.png", "renamed.jpg", "empty.png"))
    broken.write_bytes(picture.read_bytes()[:-40])
    renamed.write_text("just words")
    empty.touch()
    assert "broken" in refused(client, broken)
    assert "no picture that can be read" in refused(client, renamed)
    assert "empty" in refused(client, empty)


def test_a_title_of_a_megabyte_gets_a_sentence(client: Client) -> None:
    assert "shorten it" in refused(client, title="a" * 1_000_000)


def test_odd_titles_are_only_text(client: Client) -> None:
    for title in ("<script>alert(1)</script>", "{{this}} ${value}", "\x00\u202e émoji 😀 猫"):
        assert ask(client, title=title)["view"] == "text"


def test_words_of_another_kind_get_a_sentence(client: Client) -> None:
    for title in ({"a": 1}, ["a"], 5, True):
        assert "The title is no text; write it in quotes." in refused(client, title=title)
    given = {"title": "My cat", "tags": ["cat", "funny"]}
    assert client.predict(**given, api_name="/predict") == ask(client, title="My cat")
    [scored] = client.predict(drafts=[given], api_name="/score_batch")["scored"]
    assert scored["answer"] and not scored["error"]
    with pytest.raises(AppError, match="one of owen"):
        client.predict(title="My cat", method=["owen"], api_name="/explain")


def test_explain_gives_words_and_regions_that_add_up(client: Client, picture: Path) -> None:
    title = "My cat & <b>rocket</b>"
    reasons = client.predict(picture=handle_file(picture), title=title, method="owen", api_name="/explain")
    TypeAdapter(Reasons).validate_python(reasons)
    assert "".join(word["text"] for word in reasons["words"]) == title
    total = sum(part["value"] for part in (*reasons["words"], *reasons["regions"]))
    assert total == pytest.approx(reasons["value"] - reasons["base_value"], abs=1e-4)


def test_explain_refuses_an_empty_draft(client: Client) -> None:
    with pytest.raises(AppError, match="a picture, a title, or both"):
        client.predict(api_name="/explain")


def test_explain_names_its_methods(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AppError, match="one of owen, integrated_gradients"):
        client.predict(title="My cat", method="a private method", api_name="/explain")
    with pytest.raises(AppError, match=r"The title does not look like one .* so nothing is explained"):
        client.predict(title=f"{STRANGE} cat", api_name="/explain")
    printed = capfd.readouterr()
    assert "a private method" not in printed.out + printed.err


def test_signals_come_with_their_sentences(client: Client, picture: Path) -> None:
    found = client.predict(picture=handle_file(picture), title="My cat", api_name="/signals")
    TypeAdapter(Readings).validate_python(found)
    assert [signal["name"] for signal in found["signals"]] == list(SIGNALS)
    assert all(0 <= signal["percentile"] <= 1 and signal["sentence"] for signal in found["signals"])
    assert "not what causes what" in found["note"]


def test_signals_that_are_null_say_why(client: Client) -> None:
    found = {signal["name"]: signal for signal in client.predict(title="My cat", api_name="/signals")["signals"]}
    assert found["faces"] == {
        "name": "faces",
        "value": None,
        "percentile": None,
        "sentence": "There is no picture.",
        "detail": [],
    }
    assert found["log_perplexity"]["value"] is not None
    with pytest.raises(AppError, match="give a picture, a title, or both"):
        client.predict(api_name="/signals")


def test_only_documented_endpoints_are_public(client: Client) -> None:
    described = client.view_api(return_format="dict")["named_endpoints"]
    assert set(described) == {"/predict", "/explain", "/signals", "/compare", "/score_batch"}
    for name, endpoint in described.items():
        assert endpoint["description"]
        names = [field["parameter_name"] for field in endpoint["parameters"]]
        several = {"/compare": ["titles", "pictures"], "/score_batch": ["drafts"]}
        of_draft = several.get(name, ["picture", "title", "tags", "description"])
        assert names[: len(of_draft)] == of_draft
        assert all(field["parameter_has_default"] for field in endpoint["parameters"])
    fields = ("members", "regions", "note", "pairs", "scored")
    for name, field in zip(("/predict", "/explain", "/signals", "/compare", "/score_batch"), fields, strict=True):
        assert described[name]["returns"][0]["type"]["properties"][field]


@pytest.mark.parametrize("name", ["nope", "v2/nope", "lambda", "predict_1", "v2/predict_1", "forget/"])
def test_what_is_no_endpoint_is_not_run(address: str, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    call = httpx.post(f"{address}gradio_api/call/{name}", json={"data": []})
    assert call.status_code == 404 and "names those that there are" in call.json()["detail"]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("given", [{"titel": "My secret launch"}, {"title": "x", "My secret launch": 1}])
def test_a_field_that_there_is_not_gets_a_sentence(
    address: str, given: dict[str, Any], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = httpx.post(f"{address}gradio_api/call/v2/predict", json=given)
    assert answer.status_code == 422 and answer.json() == {"detail": ODD}
    printed = capfd.readouterr()
    assert "secret" not in printed.out + printed.err + caplog.text


@pytest.mark.parametrize("name", ["run/predict", "api/predict", "run/describe", "run/bring_back", "run/nope"])
def test_nothing_is_run_past_the_queue_by_its_name(address: str, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    call = httpx.post(f"{address}gradio_api/{name}", json={"data": [None, "My cat"]})
    assert call.status_code == 404 and call.json()["detail"]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("endpoint", ["/predict", "/explain", "/signals", "/compare", "/score_batch"])
@pytest.mark.parametrize("language", ["python", "bash"])
def test_what_use_via_api_shows_runs_as_shown(address: str, endpoint: str, language: str) -> None:
    shown = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"][endpoint]["code_snippets"][language]
    command = {"python": [sys.executable], "bash": ["bash"]}[language]
    if language == "bash" and shutil.which("curl") is None:
        lacking("the bash snippet calls curl, which is not here")
    ran = subprocess.run([*command, "-c", shown], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    answers = {"/predict": "probabilities", "/explain": "base_value", "/signals": "sentence", "/compare": "too_close"}
    answers["/score_batch"] = "errors"
    assert answers[endpoint] in ran.stdout


def test_the_readme_snippet_runs(
    address: str, picture: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.findall(
        r"```python\n(.*?)```", (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    snippet = next(block for block in code if "gradio_client" in block)
    monkeypatch.chdir(picture.parent)
    picture.rename("cat.jpg")
    exec(snippet.replace("http://127.0.0.1:7860", address), {})
    printed = capsys.readouterr().out
    assert "'Very Low'" in printed and "is likely to do better than" in printed
    assert "My cat judges me" in printed and "give a picture, a title, or both" in printed


@pytest.mark.parametrize("given", [{"title": "My cat"}, {"picture": "sunset.png"}])
def test_a_title_or_a_picture_is_enough(client: Client, picture: Path, given: dict[str, str]) -> None:
    if "picture" in given:
        given = {"picture": handle_file(picture)}
    TypeAdapter(Answer).validate_python(client.predict(**given, api_name="/predict"))
    assert client.predict(**given, api_name="/explain")["method"] == "Owen values"


def test_a_picture_that_is_a_text_gets_a_sentence_and_an_empty_one_is_none(client: Client, picture: Path) -> None:
    for text in (str(picture), "https://example.org/a.png"):
        with pytest.raises(AppError, match=re.escape(NO_FILE)):
            client.predict(title="My cat", picture=text, api_name="/predict")
    assert client.predict(title="My cat", picture="", api_name="/predict")["view"] == "text"


def test_drafts_are_compared(client: Client, picture: Path, tmp_path: Path) -> None:
    dark = tmp_path / "dark.png"
    Image.new("RGB", (64, 64), (20, 20, 20)).save(dark)
    titles = ["My cat and the rocket", "<b>Quarterly</b> results", f"{STRANGE} cat"]
    pictures = [handle_file(picture), handle_file(dark)]
    ranking = client.predict(titles=titles, pictures=pictures, api_name="/compare")
    TypeAdapter(Ranking).validate_python(ranking)
    placed = [draft for draft in ranking["drafts"] if draft["place"] is not None]
    assert [draft["place"] for draft in placed] == [1, 2, 3, 4]
    assert placed[0]["title"] == titles[0] and placed[-1]["title"] == titles[1]
    assert sum(draft["best"] for draft in placed) == pytest.approx(1)
    assert {draft["picture"] for draft in placed} == {0, 1}
    for withheld in ranking["drafts"][4:]:
        assert withheld["title"] == titles[2] and withheld["reason"] and withheld["above"] is None
    assert len(ranking["pairs"]) == 6 and all(pair["chance"] >= 0.4 for pair in ranking["pairs"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give a picture, a title, or both"),
        ({"titles": ["My cat", "My cat"]}, "Give 2 to 6 different drafts"),
        ({"titles": [str(number) for number in range(7)]}, "7 drafts, and at most 6"),
        ({"titles": ["c" * 10_000, "My cat"]}, "10,000 characters; shorten it"),
        ({"titles": "My cat"}, "as a list of texts"),
        ({"titles": [1, 2]}, "as a list of texts"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(client: Client, given: dict, told: str) -> None:
    with pytest.raises(AppError, match=told):
        client.predict(**given, api_name="/compare")


def test_many_drafts_are_scored_and_each_error_is_its_own(client: Client, picture: Path, folder: Path) -> None:
    before = files(folder)
    url = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
    drafts: list = [
        {"title": "My cat"},
        {"title": "My cat", "picture": handle_file(picture)},
        {"picture": url, "tags": "a, b", "description": "of cats"},
        {"title": ""},
        {"title": "a" * 501},
        {"title": "My cat", "views": 5},
        {"title": 5},
        "My cat",
        {"title": "My cat", "picture": "https://example.org/a.png"},
        {"picture": "data:image/png;base64,bm8gcGljdHVyZQ=="},
        {"title": "My cat", "picture": {}},
        {"title": f"{STRANGE} cat"},
    ]
    found = client.predict(drafts=drafts, api_name="/score_batch")
    TypeAdapter(Scores).validate_python(found)
    assert found["errors"] == 8 and found["model"] == "made-up"
    answers, errors = ([one[name] for one in found["scored"]] for name in ("answer", "error"))
    assert [one["view"] for one in answers[:3]] == ["text", "both", "image"] and not any(errors[:3])
    assert answers[0] == ask(client, title="My cat") and answers[1] == ask(client, picture, "My cat")
    told = (
        "a picture, a title",
        "shorten it",
        "no field views",
        "title is no text",
        "no draft",
        "data URL",
        "no picture",
        "data URL",
    )
    assert all(sentence in error for sentence, error in zip(told, errors[3:11], strict=True))
    assert answers[11]["strange"] == "text" and errors[11] is None
    assert files(folder) == before


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "Give the drafts as a list"),
        ({"title": "My cat"}, "Give the drafts as a list"),
        ([{"title": "a"}] * 101, "101 drafts, and at most 100"),
    ],
)
def test_what_is_no_list_of_drafts_gets_a_sentence(client: Client, given: object, told: str) -> None:
    with pytest.raises(AppError, match=told):
        client.predict(drafts=given, api_name="/score_batch")


def called(address: str, endpoint: str, *given: object) -> str:
    """What the stream of a call without a client library says."""
    call = httpx.post(f"{address}gradio_api/call/{endpoint}", json={"data": given})
    return httpx.get(f"{address}gradio_api/call/{endpoint}/{call.json()['event_id']}").text


def test_files_of_the_server_cannot_be_judged(address: str, picture: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for payload, sentence in ({"path": str(picture)}, GONE), ({"path": "https://example.org/a.png"}, NO_ADDRESS):
        for meta in ({}, {"meta": {"_type": "gradio.FileData"}}):
            for endpoint, given in (("predict", [payload | meta, "a"]), ("compare", [["a", "b"], [payload | meta]])):
                told = called(address, endpoint, *given)
                assert "event: error" in told and json.loads(told.split("data: ")[1])["error"] == sentence
            told = called(address, "score_batch", [{"picture": payload | meta}, {"title": "My cat"}])
            [scored] = json.loads(told.split("data: ")[1])
            assert scored["scored"][0]["error"] == sentence and scored["scored"][1]["answer"]
    printed = capfd.readouterr()
    assert picture.name not in printed.out + printed.err and "Traceback" not in printed.err


def upload(address: str, data: bytes, name: str = "draft.png") -> httpx.Response:
    return httpx.post(f"{address}gradio_api/upload", files={"files": (name, data, "image/png")})


def test_uploads_beyond_the_limit_are_refused(address: str, folder: Path) -> None:
    before = files(folder)
    for size, told in ((20_000_001, TOO_LARGE), (40_200_000, FORM_TOO_LARGE)):
        refused = upload(address, b"\0" * size)
        assert (refused.status_code, refused.text) == (413, told)
    seven = [("files", ("draft.png", b"\0", "image/png"))] * 7
    for wrong, told in (({"content": b"no form"}, NO_FORM), ({"files": seven}, TOO_MANY)):
        refused = httpx.post(f"{address}gradio_api/upload", **wrong)  # type: ignore[arg-type]
        assert (refused.status_code, refused.text) == (400, told)
    assert files(folder) == before


def test_files_are_refused_while_too_many_are_kept(
    address: str, folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_KEPT", sum(upload.size for upload in uploads.UPLOADS._uploads.values()) + 1)

    def send() -> httpx.Response:
        return httpx.post(f"{address}gradio_api/upload", files={"files": picture.read_bytes()})

    first, second = send(), send()
    assert first.status_code == 200 and second.status_code == 503 and "try again in a few minutes" in second.text
    uploads.UPLOADS.drop(first.json()[0])
    third = send()
    assert third.status_code == 200
    uploads.UPLOADS.drop(third.json()[0])


def test_no_body_is_read_whose_length_is_unknown(address: str) -> None:
    for path in ("login", "gradio_api/call/predict", "nowhere"):
        assert httpx.post(f"{address}{path}", content=iter([b"x"] * 9)).status_code == 413, path


def test_a_page_that_asks_how_far_an_upload_is_gets_no_error(address: str) -> None:
    told = httpx.get(f"{address}gradio_api/upload_progress", params={"upload_id": "one"})
    assert told.status_code == 200 and told.headers["content-type"].startswith("text/event-stream") and not told.content


def test_nothing_of_a_program_stays(client: Client, folder: Path, picture: Path) -> None:
    before = files(folder)
    broken = picture.with_name("broken.png")
    broken.write_bytes(picture.read_bytes()[:-40])
    ask(client, picture, "My cat")
    refused(client, broken)
    refused(client, picture, "a" * 501)
    client.predict(picture=handle_file(picture), api_name="/explain")
    client.predict(picture=handle_file(picture), api_name="/signals")
    client.predict(titles=["My cat", "My dog"], pictures=[handle_file(picture)] * 2, api_name="/compare")
    with pytest.raises(AppError):
        client.predict(titles=["a" * 501, "b"], pictures=[handle_file(picture)], api_name="/compare")
    with pytest.raises(AppError):
        client.predict(picture=handle_file(picture), method="none", api_name="/explain")
    assert files(folder) == before


def test_only_uploads_can_be_deleted(address: str, folder: Path, picture: Path) -> None:
    other = folder / "other.png"
    picture.rename(other)
    payload = {"path": str(other), "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{address}gradio_api/call/predict", json={"data": [payload, "", "", ""]})
    assert "event: complete" in httpx.get(f"{address}gradio_api/call/predict/{call.json()['event_id']}").text
    assert other.exists()
    other.unlink()


def test_uploads_keep_their_pixels_and_nothing_else(address: str, folder: Path, picture: Path) -> None:
    [path] = upload(address, marked(picture), f"{MARKER}.jpg").json()
    UPLOADS.wait(path)
    kept = Path(path)
    assert kept.parent == folder and kept.suffix == ".bmp" and MARKER not in path
    assert MARKER.encode() not in kept.read_bytes()
    with Image.open(kept) as image:
        assert set(image.info) <= {"dpi", "compression"} and not image.getexif()
    shown = httpx.get(f"{address}gradio_api/file={path}")
    assert shown.headers["content-type"] == "image/bmp" and shown.content == kept.read_bytes()
    assert pixel_hash(load_image(kept)) == pixel_hash(load_image(marked(picture)))
    kept.unlink()


def test_tables_and_zips_wait_under_names_of_ours(address: str, folder: Path) -> None:
    for name, data in ((f"{MARKER}.CSV", b"title\nMy cat\n"), (f"{MARKER}.zip", b"PK not yet read")):
        [path] = upload(address, data, name).json()
        UPLOADS.wait(path)
        kept = Path(path)
        assert kept.parent == folder and MARKER not in path and kept.suffix == Path(name.lower()).suffix
        assert kept.read_bytes() == data
        UPLOADS.drop(path)
        assert not kept.exists()
    assert upload(address, bytes(20_000_001), "posts.csv").status_code == 413


def test_a_session_has_one_picture_and_leaves_none(picture: Path, folder: Path, address: str) -> None:
    visitor, another = (Request(session_hash=name) for name in ("one", "two"))
    first, second, third, unclaimed = (UPLOADS.keep(picture.read_bytes())[0] for _ in range(4))
    for path in (first, second, third, unclaimed):
        UPLOADS.wait(path)
    UPLOADS.remember(first, visitor)
    UPLOADS.remember(second, another)
    UPLOADS.remember(third, visitor)
    for path in (first, second, third, unclaimed):
        UPLOADS.expire(path)
    assert [Path(path).exists() for path in (first, second, third, unclaimed)] == [False, True, True, False]
    UPLOADS.forget(visitor)
    assert Path(second).exists() and not Path(third).exists()
    UPLOADS.forget(another)
    assert not Path(second).exists()


def test_a_program_need_not_wait_for_a_slow_picture(
    address: str, picture: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = threading.Event()
    monkeypatch.setattr(uploads, "load_image", lambda source: decoding.wait(30) and load_image(source))
    [path] = upload(address, picture.read_bytes()).json()
    assert not Path(path).exists()
    payload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{address}gradio_api/call/predict", json={"data": [payload, "", "", ""]})
    decoding.set()
    assert "event: complete" in httpx.get(f"{address}gradio_api/call/predict/{call.json()['event_id']}").text
    assert not Path(path).exists()


def test_no_draft_is_written_for_a_link(address: str, client: Client, folder: Path) -> None:
    ask(client, title="My cat")
    link = httpx.get(f"{address}gradio_api/deep_link", params={"session_hash": client.session_hash})
    assert link.status_code == 404 and not (folder / "deep_links").exists()


def test_the_head_of_the_page_is_ours(address: str) -> None:
    page = httpx.get(address, headers={"Accept": "text/html"}).text
    head = page.split("</head>")[0]
    tags = dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]*)" content="([^"]*)"', head))
    assert tags["og:title"] == "First Impressions" and tags["og:url"] == address
    assert "<title>First Impressions</title>" in head
    assert "gradio" not in " ".join([*tags, *tags.values()]).lower()
    assert len(re.findall('"og:image"', head)) == 1
    with Image.open(BytesIO(httpx.get(tags["og:image"]).raise_for_status().content)) as card:
        assert card.format == "PNG" and card.size == (1200, 630)
    icon = httpx.get(f"{address}favicon.ico").text
    assert "<svg" in icon and "#1f4fa3" in icon


def test_privacy_settings_of_the_page(address: str) -> None:
    config = httpx.get(f"{address}config").json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")
    assert not any(component["type"] == "deeplinkbutton" for component in config["components"])
    assert httpx.get(f"{address}monitoring").status_code >= 400


def test_a_missing_bundle_leaves_the_page_up(serve: Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    def missing() -> PagePredictor:
        raise BundleError("There is no bundle at /srv/models; train one.")

    address = serve(missing)
    assert httpx.get(address).status_code == 200
    client = program(address)
    shown = refused(client, title="My cat")
    assert UNAVAILABLE in shown and "/srv" not in shown
    assert "no bundle at /srv/models" in caplog.text
    client.close()


def test_unforeseen_errors_become_one_neutral_sentence(
    serve: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    class Failing(PagePredictor):
        def predict(self, posts):
            raise ZeroDivisionError(posts[0].title)

    client = program(serve(Failing))
    assert "Something went wrong on our side" in refused(client, title="a private draft")
    client.close()
    printed = capfd.readouterr()
    assert "a private draft" not in printed.out + printed.err
