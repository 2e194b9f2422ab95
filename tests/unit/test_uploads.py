"""Fields of files keep what was changed of them when Gradio makes them anew: whenever a handler leaves one as it is."""

import asyncio
import gc
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from engine.errors import ImageError
from ui.arrivals import _done
from ui.context import context_field
from ui.uploads import UPLOADS, as_it_arrived, picture_field, pictures_field


def anew(field: Any) -> Any:
    """The field as a session has it once a handler returned gr.skip() for it."""
    return type(field)(**{**field.constructor_args, "render": False})


@pytest.mark.parametrize(
    "make", [picture_field, lambda: pictures_field(gr.File), lambda: as_it_arrived(gr.File()), context_field]
)
def test_a_field_made_anew_fetches_nothing(make: Any) -> None:
    with gr.Blocks():
        field = make()
    for own in (field, anew(field)):
        assert own.get_block_name() == type(field).__base__.__name__.lower()
        with pytest.raises(gr.Error, match="not fetched from web addresses"):
            asyncio.run(own.async_move_resource_to_block_cache("https://example.org/a.png"))


def test_a_picture_field_made_anew_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / "fake.jpg").write_bytes(b"no picture")
    with gr.Blocks():
        field = picture_field()
    for own in (field, anew(field)):
        assert own.preprocess({"path": str(tmp_path / "fake.jpg")}) == str((tmp_path / "fake.jpg").resolve())
        assert own.preprocess(None) is None and own.example_payload() is None
        with pytest.raises(gr.Error, match="not among the uploads"):
            own.preprocess({"path": "/etc/passwd"})


@pytest.mark.parametrize(
    "given",
    [
        "a.jpg",
        5,
        True,
        [],
        {},
        {"path": None},
        {"path": 5},
        {"path": "a\0"},
        {"path": "\ud800"},
        {"url": "data:image/png,a"},
    ],
)
def test_what_is_no_file_is_no_picture(given: object) -> None:
    with gr.Blocks():
        field, several = picture_field(), pictures_field(gr.File)
    for own in (field, anew(field)):
        assert own.data_model is None
        with pytest.raises(gr.Error, match=r"The picture is no file; give one, as handle_file\(path\)"):
            own.preprocess(given)
    for own in (several, anew(several)):
        with pytest.raises(gr.Error, match="The picture is no file"):
            own.preprocess([given])


def test_pictures_are_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    file = {"path": str(tmp_path / "a.bmp")}
    with gr.Blocks():
        several = pictures_field(gr.File)
    assert several.preprocess([file]) == [str((tmp_path / "a.bmp").resolve())]
    assert several.preprocess(None) == several.preprocess([]) == several.preprocess("") == []
    for given in (file, {}, 5, True, "a.jpg", [None]):
        with pytest.raises(gr.Error, match="Give the pictures as a list of files"):
            several.preprocess(given)


def test_what_is_no_picture_is_said_when_it_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    told: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda message, **_: told.append(message))
    request = gr.Request(session_hash="arrived")
    path, _ = UPLOADS.keep(b"just words")
    assert UPLOADS.arrived(path, request) is None and not UPLOADS.holds(path)
    assert "no picture that can be read" in told[0]
    assert UPLOADS.arrived(None, request) == gr.skip() and len(told) == 1


def test_a_file_that_cannot_be_read_floods_no_log() -> None:
    complaints: list[object] = []

    async def wait() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        ready: Future[None] = Future()
        ready.set_exception(ImageError("This is no picture."))
        await _done(ready)
        gc.collect()

    asyncio.run(wait())
    gc.collect()
    assert not complaints
