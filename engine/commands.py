"""What commands do alike: a mistake is one sentence, a signal ends them cleanly, and nobody need read what they say."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from engine.errors import FirstImpressionsError

ROOT = Path(__file__).resolve().parents[1]


class Stopped(BaseException):
    """A signal asked for the end. No Exception, so that nothing on the way takes it for a fault of a row."""


def outcome(run: Callable[[], object], stopped: str = "stopped") -> int:
    """Run a command; returns its exit code: 0 done, 2 for a mistake, which is one sentence on stderr, 130 `stopped`."""
    with redirect_stdout(_Unheard(sys.stdout)), redirect_stderr(_Unheard(sys.stderr)):
        try:
            with stopped_by_signals():
                run()
        except FirstImpressionsError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
            advice = "mend that and run the same command again"
            print(f"error: A file cannot be read or written ({reason}); {advice}.", file=sys.stderr)
            return 2
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if not missing or any(ROOT.glob(f"{missing}*")):
                raise
            made = f"{sys.executable} lacks the package {missing}; run this with .venv/bin/python, which make installs"
            print(f"error: {made}, or install the requirements that the README names.", file=sys.stderr)
            return 2
        # CatBoost makes the one of the other.
        except (Stopped, KeyboardInterrupt):
            print(stopped, file=sys.stderr)
            return 130
        return 0


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


class _Unheard:
    """A stream whose reader may go away, as `head` does: what is said from then on is lost, and the work goes on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, say: Callable[[], object]) -> None:
        try:
            say()
        except BrokenPipeError:
            # What is still held back goes nowhere, also when Python ends.
            with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
