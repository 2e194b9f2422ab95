"""Calls that hold something else than they should: one sentence for the caller, nothing of a draft in the log."""

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from engine.posts import HALF
from ui.calls import ODD, lenient
from ui.uploads import UPLOADS, picture_field


@pytest.fixture
def page() -> Any:
    with gr.Blocks() as demo:
        picture, number = picture_field(), gr.Slider()
        for visibility in ("public", "private"):
            gr.Button().click(lambda *given: None, [picture, number], api_visibility=visibility)
    lenient(demo)
    return demo


def understood(page: Any, event: int, *given: Any) -> Any:
    return asyncio.run(page.preprocess_data(page.fns[event], [*given], None))


@pytest.mark.parametrize("event", [0, 1])
def test_what_is_of_another_kind_is_quoted_nowhere(
    page: Any, event: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    given = [None, "my secret launch"][event:]
    with pytest.raises(gr.Error) as error:
        understood(page, event, *given)
    assert error.value.message == ODD and not error.value.print_exception
    printed = capfd.readouterr()
    assert "secret" not in printed.out + printed.err + caplog.text


def test_files_of_a_call_that_is_refused_are_deleted(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    file, ready = UPLOADS.keep_whole(b"", ".bmp")
    ready.result()
    picture = {"path": file, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(gr.Error, match="no file"):
        understood(page, 1, [picture], 5)
    assert Path(file).exists()
    assert understood(page, 1, picture, 5) == [file, 5]
    with pytest.raises(gr.Error, match="no file"):
        understood(page, 0, [picture], 5)
    assert not Path(file).exists()


@pytest.mark.parametrize("given", [{"\ud800": 1}, [{"title": "a"}, {"context": {"author.\udc00": 2}}]])
def test_a_name_with_half_of_a_character_is_said_and_quoted_nowhere(page: Any, given: object) -> None:
    for event in (0, 1):
        with pytest.raises(gr.Error) as error:
            understood(page, event, given, 5)
        assert error.value.message == HALF and not error.value.print_exception


def test_the_mark_of_a_file_opens_no_other(page: Any) -> None:
    for mark in ({}, {"meta": {"_type": "gradio.FileData"}}):
        with pytest.raises(gr.Error, match="not among the uploads"):
            understood(page, 0, {"path": "/etc/hostname"} | mark)
