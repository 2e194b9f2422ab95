"""Memory that is free goes back to the system, where it can."""

import sys
from pathlib import Path

import pytest

from engine import memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux" or memory._glibc() is None, reason="needs glibc")
def test_what_is_free_goes_back() -> None:
    # Pieces below the threshold from which glibc asks the system for each, and one that keeps the heap from shrinking.
    pieces = [bytes(60_000) for _ in range(2_000)]
    keeper = bytes(60_000)
    full = resident()
    with memory.released():
        del pieces
    assert full - resident() > 60_000_000 and keeper


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    memory.configure()
    memory.release()
    assert memory.released()(lambda: 3)() == 3
