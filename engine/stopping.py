"""Ending a command when a signal asks for it, so that what was begun is cleaned away."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """A signal asked for the end. No Exception, so that nothing on the way takes it for a fault of a row."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within the block, signals that ask for the end raise Stopped; for the main thread alone."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    # nohup, or a shell's background, has had some of them ignored: that stays.
    listened = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in listened:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in listened.items():
            signal.signal(number, handler)
