"""How long the page takes to be there: one ratio, near 1 or below is good.

    python -m benchmarks.startup [--bundle models/youtube/bundle] [--rounds 5] [--json FILE]

Measured: a new Python process that imports the app, serves it and answers an HTTP request for the page. Reference:
a new process that imports torch, transformers and gradio and does nothing else. Both run in turns, after one of each
that warms the disk; the ratio is that of the medians. The model loads behind the page: how long until it is there as
well is printed beside it.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from benchmarks import hardware
from engine.commands import outcome

TARGET = 1.5

REFERENCE = "import torch, transformers, gradio"
# The app's own start, as in `python app.py`, with a loader that says when it is done.
APP = """
import threading, time, urllib.request
import app
from ui.model import load_shipped
from ui.theme import launch_settings
loaded = threading.Event()
def load():
    try:
        return load_shipped()
    finally:
        loaded.set()
demo = app.build(load)
settings = launch_settings() | {"prevent_thread_lock": True, "quiet": True, "inbrowser": False}
address = demo.launch(**settings)[1]
assert urllib.request.urlopen(address).status == 200
print("page", time.time(), flush=True)
loaded.wait()
print("model", time.time(), flush=True)
demo.close(verbose=False)
"""


def seconds_of(code: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds from the process's start to its end and to each moment that it printed."""
    started = time.time()
    printed = hardware.ran([sys.executable, "-c", code], env=environment, timeout=300)
    moments = {"end": time.time() - started}
    for line in printed.splitlines():
        name, _, moment = line.partition(" ")
        if name in ("page", "model"):
            moments[name] = float(moment) - started
    return moments


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True, rounds=5)
    options = parser.parse_args()
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    if options.bundle is not None:
        environment["FIRST_IMPRESSIONS_BUNDLE"] = str(Path(options.bundle).resolve())
    pages, models, references = [], [], []
    for number in range(options.rounds + 1):
        reference, moments = seconds_of(REFERENCE, environment), seconds_of(APP, environment)
        if number:
            references.append(reference["end"])
            pages.append(moments["page"])
            models.append(moments["model"])
    page, model, bare = (statistics.median(seconds) for seconds in (pages, models, references))
    print(
        f"page {page:.2f} s, model behind it {model:.2f} s, importing torch, transformers and gradio alone {bare:.2f} s"
    )
    print(f"ratio until the model is there too {model / bare:.3f}")
    figures = {"page": (page, "s"), "model behind it": (model, "s"), "imports": (bare, "s")}
    what = "until the page answers, against importing torch, transformers and gradio"
    hardware.note(options, "startup", what, page / bare, TARGET, figures, options.rounds)


if __name__ == "__main__":
    sys.exit(outcome(main))
