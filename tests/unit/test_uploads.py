"""Fields of files keep what was changed of them when Gradio makes them anew: whenever a handler leaves one as it is."""

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.data_classes import FileData

from ui.context import context_field
from ui.uploads import as_it_arrived, picture_field, pictures_field


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
        assert own.preprocess(FileData(path=str(tmp_path / "fake.jpg"))) == str((tmp_path / "fake.jpg").resolve())
        assert own.preprocess(None) is None and own.example_payload() is None
        with pytest.raises(gr.Error, match="upload the file"):
            own.preprocess(FileData(path="/etc/passwd"))
