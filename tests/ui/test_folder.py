"""The folder of uploads: one a process, gone with it, and swept when it was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ui.folder import PREFIX, VARIABLE, own_folder, sweep

HOLD = "import time\nfrom ui.folder import own_folder\nwith own_folder() as f: print(f, flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def hold() -> tuple[subprocess.Popen, Path]:
    """Another process and its folder, with a file in it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    (folder / "draft.png").touch()
    return process, folder


def test_a_folder_ends_with_its_block(parent: Path) -> None:
    with own_folder() as folder:
        assert os.environ[VARIABLE] == str(folder) and folder.parent == parent
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "draft.png").touch()
    assert os.environ[VARIABLE] == str(parent) and not any(parent.iterdir())


def test_a_folder_ends_with_sigterm() -> None:
    process, folder = hold()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0 and not folder.exists()


def test_only_the_folders_of_dead_processes_are_swept(parent: Path) -> None:
    living, dying = hold(), hold()
    # What GitHub calls a checkout that it packs, and what somebody may call a copy of his own.
    others = {"another", "first-impressions-main", f"{PREFIX}of-2025"}
    for name in others:
        (parent / name).mkdir()
    dying[0].kill()
    dying[0].wait()
    assert (dying[1] / "draft.png").exists()
    with own_folder() as mine:
        sweep(parent)
        assert {path.name for path in parent.iterdir()} == {*others, living[1].name, mine.name}
        assert (living[1] / "draft.png").exists()
    living[0].kill()
    living[0].wait()
    deadline = time.monotonic() + 60
    while living[1].exists() and time.monotonic() < deadline:
        sweep(parent)
    assert {path.name for path in parent.iterdir()} == others
