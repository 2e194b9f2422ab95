"""Whether the page stays as it is however long it runs: memory over time, and how it serves a crowd.

    python -m benchmarks.steady [--bundle models/youtube/bundle] [--predictions 1000] [--explanations 100] [--json FILE]
    python -m benchmarks.steady --clients 20 [--seconds 120] [--json FILE]

Measured, first form: the resident memory of the page's own process while programs ask it for predictions and
explanations of either kind, mixed, with pictures of many sizes. Reference: the same after its first prediction. The
ratio is that of the peak. Second form: a prediction over HTTP, upload and all, against `Predictor.predict` of the same
files in this process, in turns, and the ratio is that of the medians; then so many clients at once, each with one
prediction after the other, how long they wait, and how much memory the page takes at most.
"""

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import httpx
import numpy as np

from benchmarks import hardware
from benchmarks.made_up import WORDS, cut_out
from benchmarks.single_post import seconds
from engine.bundle import folder_of
from engine.commands import outcome
from engine.images import load_image
from engine.posts import Post

PEAK_TARGET = 1.5
HTTP_TARGET = 1.5
# What platforms show; cameras' pictures take longer to decode than to judge.
USUAL = ("320x180", "480x640", "1280x720")
METHODS = ("owen", "integrated_gradients")
SIZES = ((96, 64), (320, 180), (480, 640), (1024, 1024), (1280, 720), (2000, 3000), (4000, 3000), (7000, 5000))
ROUNDS = 40
# Drafts, of which one is explained.
TRIES = 20


@contextmanager
def page(bundle: str | None) -> Iterator[tuple[int, str]]:
    """The page as its own process: its number and address. It ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # With one model named there is none to choose, and no field for it in a call.
    named = {"FIRST_IMPRESSIONS_BUNDLE": str(folder_of(bundle).resolve())}
    environment = {**os.environ, **named, "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=hardware.ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            try:
                urlopen(address).close()
                break
            except OSError:
                time.sleep(0.2)
        yield process.pid, address
    finally:
        process.terminate()
        process.wait()


def megabytes(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of a process in MB; its peak is "VmHWM". Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"This system does not say {what}.")


def write_pictures(folder: Path) -> list[Path]:
    """A picture of each size, as JPEG and as PNG."""
    generator = np.random.default_rng(0)
    paths = []
    for width, height in SIZES:
        photograph = cut_out(generator, (width, height))
        for suffix in ("jpg", "png"):
            paths.append(folder / f"{width}x{height}.{suffix}")
            photograph.save(paths[-1])
    return paths


def drafts(pictures: list[Path], seed: int = 0) -> Iterator[tuple[Path, str]]:
    """Pictures with titles of any length, without end."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(pictures), " ".join(chance.choices(WORDS, k=chance.randint(1, 25)))


def connect(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=600)


def ask(client: httpx.Client, draft: tuple[Path, str], method: str = "") -> None:
    """A prediction, or with a method an explanation, as a program asks for it. Raises RuntimeError if there is none."""
    picture, title = draft
    kept = client.post("gradio_api/upload", files={"files": (picture.name, picture.read_bytes())})
    payload = {"path": kept.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}
    call = f"gradio_api/call/{'explain' if method else 'predict'}"
    joined = client.post(call, json={"data": [payload, title, "", "", *([method] if method else [])]})
    told = client.get(f"{call}/{joined.raise_for_status().json()['event_id']}").text
    if "event: complete" not in told:
        raise RuntimeError(told)


def ask_until_explained(client: httpx.Client, source: Iterator[tuple[Path, str]], method: str) -> None:
    """An explanation of the next draft of which there is one: some titles of a few random words look like none."""
    for draft in islice(source, TRIES):
        try:
            return ask(client, draft, method)
        except RuntimeError as error:
            if "nothing is explained" not in str(error):
                raise
    raise RuntimeError(f"Of {TRIES} drafts the page explains none.")


def watch_memory(options: argparse.Namespace, pictures: list[Path]) -> None:
    calls = [""] * options.predictions + [method for method in METHODS for _ in range(options.explanations)]
    random.Random(1).shuffle(calls)
    with page(options.bundle) as (pid, address):
        client = connect(address)
        source = drafts(pictures)
        ask(client, next(source))
        start = megabytes(pid)
        began = time.monotonic()
        for number, method in enumerate(calls):
            if method:
                ask_until_explained(client, source, method)
            else:
                ask(client, next(source))
            if (number + 1) % max(1, len(calls) // 20) == 0:
                minutes = (time.monotonic() - began) / 60
                print(f"{minutes:6.1f} min, {number + 1:5} calls: {megabytes(pid):6.0f} MB", flush=True)
        end, peak = megabytes(pid), megabytes(pid, "VmHWM")
    print(f"after the first prediction {start:.0f} MB, at the end {end:.0f} MB, at most {peak:.0f} MB")
    figures = {"first": (start, "MB"), "end": (end, "MB"), "peak": (peak, "MB")}
    what = (
        f"memory of the page at its peak in {options.predictions} predictions and {options.explanations} explanations "
        "of either kind, against that after its first prediction"
    )
    hardware.note(options, "steady_memory", what, peak / start, PEAK_TARGET, figures, len(calls))


def serve_crowd(options: argparse.Namespace, pictures: list[Path]) -> None:
    from engine.predictor import Predictor

    predictor = Predictor.load(options.bundle)
    with page(options.bundle) as (pid, address):
        client = connect(address)
        source = drafts(pictures)
        over_http, engine = [], []
        for number in range(ROUNDS + 5):
            path, title = draft = next(source)
            whole, part = (
                seconds(lambda draft=draft: ask(client, draft)),  # type: ignore[misc]
                seconds(lambda path=path, title=title: predictor.predict([Post(title, load_image(path))])),  # type: ignore[misc]
            )
            if number >= 5:
                over_http.append(whole)
                engine.append(part)
        end = time.monotonic() + options.seconds
        with ThreadPoolExecutor(options.clients) as crowd:
            visits = [crowd.submit(visit, address, pictures, seed, end) for seed in range(options.clients)]
        peak = megabytes(pid, "VmHWM")
        waits = sorted(wait for found in visits for wait in found.result()[0])
        errors = sum(found.result()[1] for found in visits)
    whole, part = statistics.median(over_http), statistics.median(engine)
    middle, slow = statistics.median(waits), waits[int(0.95 * len(waits))]
    print(f"one client: over HTTP {1000 * whole:.0f} ms, the engine alone {1000 * part:.0f} ms")
    print(
        f"{options.clients} clients for {options.seconds} s: {len(waits)} predictions, {errors} errors, "
        f"median {middle:.2f} s, 95 % within {slow:.2f} s, {len(waits) / options.seconds:.1f} a second, "
        f"memory of the page at most {peak:.0f} MB"
    )
    figures: dict[str, tuple[float, str]] = {"over HTTP": (1000 * whole, "ms"), "engine alone": (1000 * part, "ms")}
    crowded = {
        "median": (middle, "s"),
        "95th percentile": (slow, "s"),
        "errors": (float(errors), ""),
        "memory at most": (peak, "MB"),
    }
    figures |= {f"{options.clients} clients, {name}": value for name, value in crowded.items()}
    what = "one prediction over HTTP, upload and all, against the engine's alone"
    hardware.note(options, "steady_crowd", what, whole / part, HTTP_TARGET, figures, ROUNDS)


def visit(address: str, pictures: list[Path], seed: int, end: float) -> tuple[list[float], int]:
    """Seconds of each prediction of one client until `end`, and how many failed."""
    client = connect(address)
    waits: list[float] = []
    errors = 0
    for draft in drafts(pictures, seed):
        if time.monotonic() >= end:
            return waits, errors
        try:
            waits.append(seconds(lambda draft=draft: ask(client, draft)))  # type: ignore[misc]
        # Whatever a client is told instead of an answer is an error to it.
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            errors += 1
    return waits, errors


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True)
    parser.add_argument("--predictions", type=int, default=1000, help="predictions while memory is watched")
    parser.add_argument("--explanations", type=int, default=100, help="explanations of each kind meanwhile")
    parser.add_argument("--clients", type=int, default=0, help="so many clients at once instead")
    parser.add_argument("--seconds", type=int, default=120, help="how long they ask")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        pictures = write_pictures(Path(folder))
        if options.clients:
            serve_crowd(options, [path for path in pictures if path.stem in USUAL])
        else:
            watch_memory(options, pictures)


if __name__ == "__main__":
    sys.exit(outcome(main))
