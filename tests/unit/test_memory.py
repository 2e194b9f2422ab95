"""Memory that is free goes back to the system, where it can."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

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
    latest = time.monotonic() + 60
    while full - resident() < 60_000_000 and time.monotonic() < latest:
        time.sleep(0.05)
    assert full - resident() > 60_000_000 and keeper


@pytest.mark.skipif(memory._glibc() is None, reason="needs glibc")
def test_all_who_ask_meanwhile_are_answered_at_once_and_who_asks_later_is_heard_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released: list[int] = []
    started: list[SimpleNamespace] = []

    def timer(seconds: float, function: Callable[[], None]) -> SimpleNamespace:
        made = SimpleNamespace(function=function, daemon=False, start=lambda: started.append(made))
        return made

    monkeypatch.setattr(memory, "release", lambda: released.append(len(started)))
    monkeypatch.setattr(memory, "_waiting", threading.Lock())
    monkeypatch.setattr(memory, "threading", SimpleNamespace(Timer=timer))
    for times in (1, 2):
        memory.release_soon()
        with memory.released():
            memory.release_soon()
        assert len(started) == times and len(released) == times - 1
        started[-1].function()
    assert released == [1, 2] and all(made.daemon for made in started)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    memory.configure()
    memory.release()
    assert memory.released()(lambda: 3)() == 3
