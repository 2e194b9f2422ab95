"""The folder for uploads that one process has to itself: gone when it ends, and swept by the next if it was killed."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

# And eight characters that `mkdtemp` adds: a name that nobody else gives a folder, since it is deleted.
PREFIX = "first-impressions-uploads-"
VARIABLE = "GRADIO_TEMP_DIR"


@contextmanager
def own_folder() -> Iterator[Path]:
    """Have Gradio keep its files in a folder that ends with this block, or with SIGTERM.

    It lies in the folder for temporary files, or in that of the variable GRADIO_TEMP_DIR.
    """
    before = os.environ.get(VARIABLE)
    parent = Path(before or tempfile.gettempdir()).resolve()
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    folder, lock = claim(parent)

    def stop(number: int, frame: FrameType | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        # Gradio closes its server on this, and then returns.
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGTERM, stop)
    os.environ[VARIABLE] = str(folder)
    try:
        with suppress(KeyboardInterrupt):
            yield folder
    finally:
        signal.signal(signal.SIGTERM, handler)
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def claim(parent: Path) -> tuple[Path, int | None]:
    """A new folder and the lock that says it is in use, which the system lifts when the process ends however it may."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = take(folder)
        # Another process may have swept it in the moment before it was locked.
        if folder.is_dir():
            return folder, lock


def sweep(parent: Path) -> None:
    """Delete the folders of processes that are no more."""
    for folder in parent.glob(f"{PREFIX}{'?' * 8}"):
        lock = take(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def take(folder: Path) -> int | None:
    """The lock on a folder as an open descriptor; None where another process holds it or the system knows no such."""
    with suppress(ImportError, OSError):
        import fcntl

        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        return lock
    return None
