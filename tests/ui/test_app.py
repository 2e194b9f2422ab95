"""The page as a client meets it: a real server, a predictor without weights."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from engine.errors import BundleError
from engine.scoring import LEVELS
from tests.page_predictor import PagePredictor
from ui.model import UNAVAILABLE
from ui.theme import launch_settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def serve(folder: Path) -> Iterator[Callable[..., str]]:
    """Start the page with a predictor loader; everything stops with the module."""
    started = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_HEARTBEAT_INTERVAL", "0.5")

        def start(loader: Callable) -> str:
            demo = app.build(loader)
            started.append(demo)
            settings = {**launch_settings(), "quiet": True, "prevent_thread_lock": True}
            return demo.launch(**settings, server_name="127.0.0.1")[1]

        yield start
        for demo in started:
            demo.close(verbose=False)


@pytest.fixture(scope="module")
def address(serve: Callable[..., str]) -> str:
    return serve(PagePredictor)


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    connected = Client(address, verbose=False)
    yield connected
    connected.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sunset.png"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(path)
    return path


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def ask(client: Client, picture: Path | None = None, title: object = "") -> dict:
    upload = handle_file(picture) if picture else None
    return client.predict(picture=upload, title=title, tags="", description="", api_name="/predict")


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
    for title in ("<script>alert(1)</script>", "{{this}} ${value}", "\x00\u202e émoji 😀 猫", 12345):
        assert ask(client, title=title)["view"] == "text"


def test_explain_gives_words_and_regions_that_add_up(client: Client, picture: Path) -> None:
    title = "My cat & <b>rocket</b>"
    reasons = client.predict(handle_file(picture), title, "", "", "Whole model (Shapley)", api_name="/explain")
    assert "".join(word["text"] for word in reasons["words"]) == title
    total = sum(part["value"] for part in (*reasons["words"], *reasons["regions"]))
    assert total == pytest.approx(reasons["value"] - reasons["base_value"], abs=1e-4)


def test_explain_refuses_an_empty_draft(client: Client) -> None:
    with pytest.raises(AppError, match="picture or a title"):
        client.predict(None, "", "", "", "Whole model (Shapley)", api_name="/explain")


def test_only_two_documented_endpoints_are_public(client: Client) -> None:
    described = client.view_api(return_format="dict")["named_endpoints"]
    assert set(described) == {"/predict", "/explain"}
    for endpoint in described.values():
        assert endpoint["description"]
        assert [p["parameter_name"] for p in endpoint["parameters"]][:4] == ["picture", "title", "tags", "description"]


def test_files_of_the_server_cannot_be_judged(client: Client, address: str, picture: Path) -> None:
    for payload in ({"path": str(picture)}, {"path": "https://example.org/a.png"}):
        for meta in ({}, {"meta": {"_type": "gradio.FileData"}}):
            call = httpx.post(f"{address}gradio_api/call/predict", json={"data": [payload | meta, "", "", ""]})
            told = httpx.get(f"{address}gradio_api/call/predict/{call.json()['event_id']}").text
            assert "event: error" in told and "probabilities" not in told and "Traceback" not in told


def test_uploads_beyond_the_limit_are_refused(address: str, folder: Path) -> None:
    upload = httpx.post(f"{address}gradio_api/upload", files={"files": ("big.png", b"\0" * 20_000_001, "image/png")})
    assert upload.status_code == 413
    assert not [path for path in files(folder) if path.name == "big.png"]


def test_nothing_of_a_visitor_stays_in_the_temporary_folder(address: str, folder: Path, picture: Path) -> None:
    visitor = Client(address, verbose=False)
    ask(visitor, picture, "My cat")
    assert [path for path in files(folder) if path.name == picture.name]
    visitor.close()
    deadline = time.monotonic() + 30
    while [path for path in files(folder) if path.name == picture.name] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [path for path in files(folder) if path.name == picture.name]


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
    client = Client(address, verbose=False)
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

    client = Client(serve(Failing), verbose=False)
    assert "Something went wrong on our side" in refused(client, title="a private draft")
    client.close()
    printed = capfd.readouterr()
    assert "a private draft" not in printed.out + printed.err
