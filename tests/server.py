"""A server of the project as its own process, for tests that look at it from outside."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
PATIENCE = 120


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def at_home(home: Path, port: int) -> dict[str, str]:
    """Settings under which the page is served on a port, and its temporary files and caches go to a folder."""
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR"), str(home))
    return places | {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "PYTHONUNBUFFERED": "1"}


@contextmanager
def serving(
    arguments: Sequence[str], settings: Mapping[str, str], probe: str, log: Path, folder: Path = ROOT
) -> Iterator[subprocess.Popen]:
    """Python with these arguments in `folder`, from when the address `probe` answers; what it says goes into `log`."""
    environment = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"} | dict(settings)
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=file, stderr=file)
        try:
            deadline = time.monotonic() + PATIENCE
            while not _answers(probe):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise TimeoutError(f"{probe} does not answer:\n{log.read_text()}")
                time.sleep(0.2)
            yield process
        finally:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
