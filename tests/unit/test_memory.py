"""Memory that is free goes back to the system, where it can."""

import sys
import threading
import time
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
    with memory.released():
        timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
        assert sum(timer.function is memory._release_now for timer in timers) == 1
    latest = time.monotonic() + 20
    while full - resident() < 60_000_000 and time.monotonic() < latest:
        time.sleep(0.05)
    assert full - resident() > 60_000_000 and keeper


@pytest.mark.skipif(memory._glibc() is None, reason="needs glibc")
def test_who_asks_later_is_heard_again(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[float] = []
    monkeypatch.setattr(memory, "release", lambda: released.append(time.monotonic()))
    monkeypatch.setattr(memory, "SOON", 0.01)
    for times in (1, 2):
        memory.release_soon()
        memory.release_soon()
        latest = time.monotonic() + 20
        while len(released) < times and time.monotonic() < latest:
            time.sleep(0.01)
        assert len(released) == times


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    memory.configure()
    memory.release()
    assert memory.released()(lambda: 3)() == 3
