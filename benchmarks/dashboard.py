"""How fast the dashboard shows a large report: seconds and memory of every page, against what a reader waits for.

    python -m benchmarks.dashboard [--posts 1000000] [--pages results errors] [--json FILE]

Measured: each page by Streamlit's AppTest, a new process a page, on a report of so many posts. It is made of the
shipped ones (for the page System 3, that with categories): their posts again and again under new ids and in new groups,
their numbers a little changed, written as `evaluate` writes. First the process shows the shipped report, so that all is
imported. Then it opens and checks the large one, which is done once for all readers and told apart, shows the page
(first figures), and changes its choices, one at a time; the slowest is told. Reference: what a reader is promised of
first figures and changes on 2 cores, and the memory that a small machine has. In brackets stand the seconds of the
processor, which say more than the clock's where others work on the same machine.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks import hardware
from benchmarks.steady import megabytes
from engine.commands import outcome
from engine.files import write_json
from training.tables import write_table

FIRST, CHANGE, MEMORY = 1.5, 0.7, 1.5
REPORTS = {name: hardware.ROOT / "models" / name / "report" for name in ("youtube", "youtube_system3")}
# What is changed on each page, one after the other: the key of a choice and its value.
SELECTIONS = (("selection", "true:3"), ("selection", "language:en"), ("selection", "off:2,title:41 to 60,set:2|3"))
CHANGES: dict[str, tuple[tuple[str, Any], ...]] = {
    "dataset": (("histogram", "train"), ("histogram", "test"), ("log", False), ("histogram", "validation")),
    "results": (("metric", "accuracy"), ("views", ["text"]), ("split", "validation"), ("views", [])),
    "calibration": (
        *(("reliability", level) for level in range(5)),
        *(("risk", "distance"), ("view-0", "text"), ("on", "validation"), ("model", "n-gram ridge")),
    ),
    "errors": (
        *(("order", order) for order in ("Most confident misses", "Least certain", "Random")),
        *(("order", "Score furthest outside its interval"), ("page", 5000), ("least", 1000)),
        *(("measure-5", measure) for measure in ("Set holds the true level", "Model abstains")),
        *(("filter-field", field) for field in ("language", "title", "picture", "set", "abstain")),
        *SELECTIONS,
        *(("view-0", "text"), ("on", "validation"), ("model", "n-gram ridge")),
    ),
    "system3": (
        *(("system3-order", order) for order in ("Surest and right", "Surest and wrong", "Likes furthest off")),
        ("system3-curve", "category_loss"),
    ),
    "picture_against_words": (
        *(("signal", signal) for signal in ("log_perplexity", "faces")),
        *(("cleaning", "cleaned"), ("control", "controlled"), ("tool", "click")),
        *SELECTIONS,
    ),
    "ablations": (("metric", "accuracy"), ("member-metric", "accuracy"), ("member-view", "text")),
    "embedding": (("map", 3), ("part", "test"), ("map", 2), ("tool", "click"), *SELECTIONS),
    "recipes": (("size-metric", "accuracy"), ("size-view", "text")),
    "explanations": (),
}


def enlarge(source: Path, target: Path, count: int) -> Path:
    """A report of `count` posts: those of `source`, whole groups of them again and again under other names."""
    generator = np.random.default_rng(0)
    posts = pd.read_parquet(source / "posts.parquet")
    known = pd.Index(posts["post_id"])
    copies = -(-count // len(known))
    ids = np.array(
        [blake2b(f"{post}/{copy}".encode(), digest_size=6).hexdigest()[:11] for copy in range(copies) for post in known]
    )
    for path in sorted(source.glob("*.parquet")):
        table = pd.read_parquet(path)
        if "post_id" in table and path.stem != "cleaning":
            table = _enlarged(table, known, ids[:count], generator)
        write_table(target / path.name, table)
    for path in source.glob("*.json"):
        write_json(target / path.name, json.loads(path.read_text(encoding="utf-8")))
    return target


def _enlarged(table: pd.DataFrame, known: pd.Index, ids: Any, generator: np.random.Generator) -> pd.DataFrame:
    """The rows of a table for the posts `ids`, which are those of `known` over and over."""
    place = known.get_indexer(pd.Index(table["post_id"]))
    starts = range(0, len(ids), len(known))
    row = np.concatenate([np.flatnonzero(place + start < len(ids)) for start in starts])
    start = np.concatenate([np.full((place + start < len(ids)).sum(), start) for start in starts])
    keys = [name for name in ("model", "view", "split", "stage", "dimensions") if name in table]
    if keys:
        # One model's answers to one view stand together, and posts of one part, as `evaluate` writes them.
        order = np.argsort(table.groupby(keys, sort=False).ngroup().to_numpy()[row], kind="stable")
        row, start = row[order], start[order]
    found = table.iloc[row].reset_index(drop=True)
    old, new = found["post_id"], pd.Series(ids[place[row] + start])
    factor = 1 - 1e-3 * generator.random(len(found))
    floats = found.select_dtypes("float").columns
    found[floats] = found[floats].mul(factor, axis=0).astype(found[floats].dtypes)
    if "group" in found:
        found["group"] += (start // len(known) * (found["group"].max() + 1)).astype(found["group"].dtype)
        found["thumbhash"] = found["thumbhash"].str[:12] + new.str[:8] + found["thumbhash"].str[20:]
        found["pixel_hash"] = new
        found["image_url"] = [
            url if url is None else url.replace(before, after)
            for url, before, after in zip(found["image_url"], old, new, strict=True)
        ]
    return found.assign(post_id=new)


@contextmanager
def scanning_once() -> Iterator[None]:
    """Within the block installed packages are scanned for components once, as by a server, and not by every AppTest."""
    from streamlit.components.v2 import manifest_scanner

    once = cache(manifest_scanner.scan_component_manifests)
    with patch.object(manifest_scanner, "scan_component_manifests", once):
        yield


@scanning_once()
def measure(page: str, folder: Path, warm: Path) -> dict[str, Any]:
    """Seconds until a report is open, of a page's first figures and of each change, and the peak of memory in GiB.

    Seconds are by the clock and of the processor. Measured in this process, which should be new. Raises SystemExit
    where the page shows an error.
    """
    from streamlit.testing.v1 import AppTest

    from dashboard import app

    _shown(AppTest.from_function(_script, args=(page, str(warm)), default_timeout=600))
    run = AppTest.from_function(_script, args=(page, str(folder)), default_timeout=600)
    opened = _timed(lambda: app.open_once(folder))
    first = _shown(run)
    changes = {}
    for key, value in CHANGES[page]:
        if key == "selection":
            run.query_params[key] = value
        elif key in run.session_state:
            run.session_state[key] = value
        else:
            raise SystemExit(f"The page {page} has no choice {key}.")
        changes[f"{key}={value}"] = _shown(run)
    peak = megabytes(os.getpid(), "VmHWM") * 1e6 / 2**30
    return {"open": opened, "first": first, "changes": changes, "memory": peak}


def _script(page: str, folder: str) -> None:
    from importlib import import_module
    from pathlib import Path

    from dashboard import app

    app.show(import_module(f"dashboard.app_pages.{page}.page"), app.open_once(Path(folder)))


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    began, before = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - before


def _shown(run: Any) -> tuple[float, float]:
    found = _timed(run.run)
    if run.exception or run.error:
        raise SystemExit(f"The page failed: {[*run.exception, *run.error][0].value}")
    return found


def main() -> None:
    parser = hardware.parser(__doc__)
    parser.add_argument("--posts", type=int, default=1_000_000, help="posts of the report")
    parser.add_argument("--pages", nargs="+", choices=sorted(CHANGES), default=list(CHANGES), help="all by default")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        found = measure(options.pages[0], options.measure, REPORTS[options.measure.name])
        print(json.dumps(found))
        return
    found = {}
    with TemporaryDirectory() as folder:
        for page in options.pages:
            name = "youtube_system3" if page == "system3" else "youtube"
            large = Path(folder, name)
            if not large.exists():
                enlarge(REPORTS[name], large, options.posts)
            command = [sys.executable, "-m", "benchmarks.dashboard", "--pages", page, "--measure", str(large)]
            found[page] = json.loads(hardware.ran(command, timeout=3600).splitlines()[-1])
            print(_told(page, found[page]), flush=True)
    worst = {
        "first figures": (max(page["first"][0] for page in found.values()), FIRST, "s"),
        "a change": (max(clock for page in found.values() for clock, _ in page["changes"].values()), CHANGE, "s"),
        "peak memory": (max(page["memory"] for page in found.values()), MEMORY, "GiB"),
    }
    ratio = max(value / target for value, target, _ in worst.values())
    print(", ".join(f"{name} {value:.2f} {unit} (target ≤ {target})" for name, (value, target, unit) in worst.items()))
    figures = {name: (value, unit) for name, (value, _, unit) in worst.items()}
    what = f"the dashboard on a report of {options.posts:,} posts, the worst page against what a reader is promised"
    hardware.note(options, "dashboard", what, ratio, 1, figures, 1, answered=False)


def _told(page: str, found: dict[str, Any]) -> str:
    times = {"opening": found["open"], "first figures": found["first"]}
    if found["changes"]:
        slowest = max(found["changes"], key=found["changes"].__getitem__)
        times[f"slowest of {len(found['changes'])} changes, {slowest},"] = found["changes"][slowest]
    told = ", ".join(f"{what} {clock:.2f} s ({processor:.2f})" for what, (clock, processor) in times.items())
    return f"{page}: {told}, peak {found['memory']:.2f} GiB"


if __name__ == "__main__":
    sys.exit(outcome(main))
