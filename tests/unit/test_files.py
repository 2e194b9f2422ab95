"""Files and folders appear whole or not at all."""

import os
from pathlib import Path

import pytest

from engine import files


def test_a_file_is_replaced_whole_and_is_as_readable_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    files.write_json(path, {"title": "é"})
    files.write_text(path, "second")
    (tmp_path / "plain").touch()
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["a.json"]
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_after_an_error_the_former_file_stands_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("former")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "former"
    assert os.listdir(tmp_path) == ["a"]


def test_a_scratch_folder_keeps_the_own_folder_free_of_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir()
    with files.replacing(folder / "a", scratch=tmp_path) as temporary:
        temporary.write_text("x")
        assert os.listdir(folder) == []
    assert os.listdir(folder) == ["a"] and os.listdir(tmp_path) == ["sealed"]


def test_what_killed_processes_left_long_ago_is_cleared_up(tmp_path: Path) -> None:
    left = [tmp_path / name for name in (".[a].npy-1.tmp", ".[a].npy-2.tmp", ".[a].npy-3.tmp", ".b.npy-4.tmp")]
    for path in left[:2]:
        path.write_text("half")
    for path in left[2:]:
        path.mkdir()
        (path / "half").touch()
    for path in (left[0], *left[2:]):
        os.utime(path, (0, 0))
    files.write_text(tmp_path / "[a].npy", "whole")
    # A younger one may be another process's at work, and others' names are theirs.
    assert {path.name for path in tmp_path.iterdir()} == {"[a].npy", left[1].name, left[3].name}
    with files.replacing_folder(tmp_path / "b.npy"):
        assert not left[3].exists()


@pytest.mark.parametrize("exchange", ["system", "renames"])
def test_a_folder_is_exchanged_with_the_new_one(tmp_path: Path, exchange: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if exchange == "renames":
        monkeypatch.setattr(files.sys, "platform", "plan9")
    target = tmp_path / "bundle"
    for content in ("first", "second"):
        with files.replacing_folder(target) as staging:
            (staging / "inner").mkdir()
            (staging / "inner" / content).touch()
            assert not (target / "inner" / content).exists()
        assert os.listdir(target / "inner") == [content]
    assert os.listdir(tmp_path) == ["bundle"]


def test_what_is_in_a_folder_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    target = tmp_path / "bundle"
    with files.replacing_folder(target) as staging:
        (staging / "members").mkdir(mode=0o700)
        # As safetensors writes it.
        (staging / "members" / "weights").touch(mode=0o600)
    modes = [path.stat().st_mode for path in (target, target / "members", target / "members" / "weights")]
    assert modes == [(tmp_path / name).stat().st_mode for name in ("folder", "folder", "file")]


def test_there_is_always_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    with files.replacing_folder(target):
        # The system's own call swaps both in one step: no rename may be needed.
        monkeypatch.setattr(files.os, "replace", lambda *_: pytest.fail("there was a moment without a folder"))


def test_after_an_error_the_former_folder_stands(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "former").touch()
    with pytest.raises(RuntimeError), files.replacing_folder(target) as staging:
        (staging / "half").touch()
        raise RuntimeError
    assert os.listdir(target) == ["former"] and os.listdir(tmp_path) == ["bundle"]
