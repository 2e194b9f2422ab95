"""Do score, split and report keep their pace from ten thousand posts to a million? Ratios near 1 are good.

    python -m benchmarks.scale [--sizes 10000 100000] [--whole] [--steps score split report] [--json FILE]

Measured on made-up posts, each step and size in a new process, in seconds of the processor, which other work on the
machine changes less than the clock's: score is `engine.batch.score.score_file` with the shipped bundle on posts of
which 512 titles recur, with the features of these read off beforehand; split is grouping by channel, names, titles and
pictures, and both splits; report is the tables that `evaluate` makes of one model's answers, with so many resamples,
and writes. Reference: the same step on the smallest size, before and after the others. The ratio is that of the most
seconds a post to the mean there; beside it stands that of the peak memory of score, which streams. What grows of split
is that the more posts there are, the likelier one is tied alike to two communities, which then are sought twice
(`training.data.communities`). `--whole` adds a million posts, which takes hours.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import hardware
from benchmarks.steady import megabytes
from engine.batch.score import score_file
from engine.commands import outcome
from engine.features.base import Features, Values
from engine.features.extractor import Extractor
from engine.posts import Post
from engine.prediction import View
from engine.predictor import Predictor
from training.data.splits import split_posts
from training.metrics.bootstrap import with_intervals
from training.metrics.predictions import PROBABILITIES, coverage, reliability
from training.tables import write_table

TARGET, MEMORY = 1.2, 1.3
WHOLE = 1_000_000
TITLES = 512
# Of 1,000 as `evaluate` draws them; each costs the same.
RESAMPLES = 20


class Remembered(Extractor):
    """An extractor that has computed the features of some titles, and looks them up."""

    def __init__(self, extractor: Extractor, titles: Sequence[str]) -> None:
        super().__init__(extractor.features, extractor.features)
        self.places = {title: place for place, title in enumerate(titles)}
        self.values = extractor.compute([Post(title) for title in titles], "text")

    def compute(
        self,
        posts: Sequence[Post],
        view: View,
        known: Mapping[str, Values] | None = None,
        without: Collection[str] = (),
    ) -> Features:
        rows = [self.places[post.title] for post in posts]
        return {name: values[rows] for name, values in self.values.items()}


def made_up_posts(count: int) -> pd.DataFrame:
    """Posts with title, group (channel, half of them unknown), phash and score.

    A title has some words that are as frequent as in a language (Zipf) and some names, of which there are the more the
    more posts there are, so that alike posts are as many of ten as of a thousand. A third of the titles name a series
    of ten posts behind a bar, one in fifty is another's with a word more, and so many pictures are others' with a few
    bits changed.
    """
    generator = np.random.default_rng(0)
    letters = generator.integers(0, 26, (20_000 + count, 7))
    words = np.array(["".join(chr(97 + letter) for letter in some) for some in letters])
    common = words[np.minimum(generator.zipf(1.2, (count, 5)), 20_000) - 1]
    names = words[20_000 + generator.integers(0, count, (count, 3))]
    lengths = generator.integers(1, 6, count)
    titles = [" ".join([*row[:length], *own]) for row, own, length in zip(common, names, lengths, strict=True)]
    series = 20_000 + generator.integers(0, max(count // 30, 1), count)
    for row in np.flatnonzero(generator.random(count) < 1 / 3):
        titles[row] += f" | {words[series[row]]} show"
    for row in np.flatnonzero(generator.random(count) < 0.02):
        titles[row] = f"{titles[generator.integers(0, count)]} {common[row, 0]}"
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
    again = np.flatnonzero(generator.random(count) < 0.02)
    flips = np.bitwise_or.reduce(np.uint64(1) << generator.integers(0, 64, (len(again), 4), dtype=np.uint64), axis=1)
    hashes[again] = hashes[generator.integers(0, count, len(again))] ^ flips
    channel = generator.integers(0, max(count // 6, 1), count)
    return pd.DataFrame(
        {
            "post_id": [f"p{number}" for number in range(count)],
            "title": titles,
            "group": [f"channel {name}" if name % 2 else None for name in channel],
            "phash": [f"{value:016x}" for value in hashes],
            "score": 0.02 * np.exp(generator.normal(0, 0.6, count)),
        }
    )


def score(count: int, folder: Path) -> Callable[[], object]:
    generator = np.random.default_rng(0)
    titles = made_up_posts(TITLES)["title"].tolist()
    predictor = Predictor.load()
    predictor.extractor = Remembered(predictor.extractor, titles)
    source = folder / "posts.parquet"
    with pq.ParquetWriter(source, pa.schema({"title": pa.string()})) as writer:
        for start in range(0, count, 10_000):
            drawn = generator.integers(0, TITLES, min(10_000, count - start))
            writer.write_table(pa.table({"title": [titles[place] for place in drawn]}))
    return lambda: score_file(predictor, source, folder / "predictions.parquet")


def split(count: int, folder: Path) -> Callable[[], object]:
    posts = made_up_posts(count)
    return lambda: split_posts(posts, posts["score"])


def report(count: int, folder: Path) -> Callable[[], object]:
    generator = np.random.default_rng(0)
    level = generator.integers(0, 5, count)
    probabilities = generator.dirichlet(np.ones(5), count)
    found = 0.02 * np.exp(generator.normal(0, 0.6, count))
    predictions = pd.DataFrame(
        {
            **{"model": "made up", "view": "both", "split": "test", "level": level},
            "post_id": [f"p{number}" for number in range(count)],
            **dict(zip(PROBABILITIES, probabilities.T, strict=True)),
            "predicted_level": probabilities.argmax(axis=1),
            **{"score": found, "score_low": found / 2, "score_high": found * 2},
            "set_low": np.maximum(level - 1, 0),
            "set_high": np.minimum(level + 1, 4),
        }
    )
    truth = pd.DataFrame(
        {
            "post_id": predictions["post_id"],
            "level": level,
            "score": 0.02 * np.exp(generator.normal(0, 0.6, count)),
            "likes_per_view": generator.random(count),
            "group": generator.integers(0, max(count // 10, 1), count),
        }
    )

    def build() -> None:
        tables = {
            "predictions": predictions,
            "metrics": with_intervals(predictions, truth, resamples=RESAMPLES),
            "reliability": reliability(predictions, truth, resamples=RESAMPLES),
            "coverage": coverage(predictions, truth, RESAMPLES),
        }
        for name, table in tables.items():
            write_table(folder / f"{name}.parquet", table)

    return build


STEPS = {"score": score, "split": split, "report": report}


def measure(step: str, count: int) -> dict[str, float]:
    """Seconds of the processor and by the clock, and GiB at the peak, of this process, which should be new."""
    with TemporaryDirectory() as folder:
        run = STEPS[step](count, Path(folder))
        before, began = time.process_time(), time.perf_counter()
        run()
        seconds, clock = time.process_time() - before, time.perf_counter() - began
    peak = megabytes(os.getpid(), "VmHWM") * 1e6 / 2**30
    return {"seconds": seconds, "clock": clock, "memory": peak}


def main() -> None:
    parser = hardware.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="posts, the fewest first")
    parser.add_argument("--whole", action="store_true", help=f"{WHOLE:,} posts too")
    parser.add_argument("--steps", nargs="+", choices=list(STEPS), default=list(STEPS), help="all by default")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.steps[0], options.sizes[0])))
        return
    sizes = [*options.sizes, *([WHOLE] if options.whole else [])]
    if len(sizes) < 2:
        parser.error("there must be two sizes, to compare them")
    figures: dict[str, tuple[float, str]] = {}
    slower = {}
    for step in options.steps:
        found = []
        for count in (*sizes, sizes[0]):
            command = [sys.executable, "-m", "benchmarks.scale", "--measure", "--steps", step, "--sizes", str(count)]
            found.append(json.loads(hardware.ran(command).splitlines()[-1]))
            print(
                f"{step}, {count:,} posts: {count / found[-1]['seconds']:,.0f} posts a second of the processor, "
                f"{count / found[-1]['clock']:,.0f} by the clock, peak {found[-1]['memory']:.2f} GiB",
                flush=True,
            )
        first, *costs, last = (one["seconds"] / count for one, count in zip(found, (*sizes, sizes[0]), strict=True))
        reference = (first + last) / 2
        for count, cost in zip(sizes, (reference, *costs), strict=True):
            figures[f"{step}, {count:,} posts"] = (1 / cost, "posts/s of the processor")
        slower[step] = max(costs) / reference
        told = f"{step}: ratio {slower[step]:.3f} of seconds a post (target ≤ {TARGET})"
        if step == "score":
            larger = max(one["memory"] for one in found) / found[0]["memory"]
            figures["score, memory"] = (larger, "of the fewest posts'")
            told += f", {larger:.3f} of memory (target ≤ {MEMORY})"
        print(told)
    steps = ", ".join(options.steps)
    what = f"{steps} of up to {sizes[-1]:,} posts: most seconds a post, against those of {sizes[0]:,}"
    hardware.note(options, "scale", what, max(slower.values()), TARGET, figures, 1)


if __name__ == "__main__":
    sys.exit(outcome(main))
