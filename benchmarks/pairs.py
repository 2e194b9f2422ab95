"""How far to trust what is said of two drafts: of those called 70 % likely to do better, do 70 % do better?

    python -m benchmarks.pairs [--report models/youtube/report] [--posts work/youtube/posts.parquet] [--partners 20]

Measured on the predictions of a report, of posts that trained nothing. Pairs are drawn at random: of any two posts of
different groups (channel, series or community), and of two of one group, as drafts of one account are. Printed are, by
view and kind of pair, how often the one called likelier does better where it is called so by .5 to .6, .6 to .7 and so
on; the mean distance between the two (weighted by the pairs); the log loss as a share of a coin's; and how the
residuals of the two go together, which are taken as independent. Intervals are 95 %, whole groups drawn. `--posts`
names a table with post_id and group, the channel or account, such as a work folder's: then groups are those, and as few
posts have a channel that is known, of validation too, which was answered out of fold.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.commands import outcome
from engine.drafts.compare import TOO_CLOSE, beats
from engine.intervals import bounds, cluster_numbers, cluster_weights
from engine.prediction import VIEWS, View
from engine.settings import Settings

Array = npt.NDArray[np.float64]
Kind = Literal["of any two groups", "of one group"]
KINDS: tuple[Kind, ...] = ("of any two groups", "of one group")
EDGES = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
RESAMPLES = 200
SMALLEST = 1e-6


@dataclass(frozen=True)
class Posts:
    """Of n posts `spans` (n, 3) as `engine.drafts.compare.span` gives them, `actual` log scores, `groups` and `names`
    (their ids), (n,)."""

    spans: Array
    actual: Array
    groups: npt.NDArray[np.int64]
    names: npt.NDArray[np.object_]


@dataclass(frozen=True)
class Bin:
    """Pairs called likely by `low` to `high`: what was `said` on average, and the share `won` with its interval."""

    low: float
    high: float
    share: float
    said: float
    won: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Found:
    """Of `pairs`, all wins by the draft that is called likelier: see the module."""

    pairs: int
    bins: tuple[Bin, ...]
    error: float
    loss: float
    correlation: float


def read(report: Path, view: View, splits: Sequence[str] = ("test",), table: Path | None = None) -> Posts:
    """The posts of some splits in a report, under its own model's answer to a view.

    In the report's groups or in those of a `table`; a post that has none there is left out.
    """
    name = json.loads((report / "report.json").read_text(encoding="utf-8"))["recipe"]
    rows = pd.read_parquet(report / "predictions.parquet")
    rows = rows[(rows["model"] == name) & (rows["view"] == view) & rows["split"].isin(splits)]
    rows = rows.merge(
        pd.read_parquet(report / "posts.parquet", columns=["post_id", "log_score", "group"]), on="post_id"
    )
    if table is not None:
        channels = pd.read_parquet(table, columns=["post_id", "group"]).dropna().set_index("post_id")["group"]
        rows = rows[rows["post_id"].isin(channels.index)]
        rows = rows.assign(group=cluster_numbers(rows["post_id"].map(channels)))
    spans = np.log(rows[["score", "score_low", "score_high"]].to_numpy(np.float64))
    names = rows["post_id"].to_numpy(object)
    return Posts(spans, rows["log_score"].to_numpy(np.float64), rows["group"].to_numpy(np.int64), names)


def draw(groups: npt.NDArray[np.int64], kind: Kind, partners: int) -> npt.NDArray[np.int64]:
    """Rows (m, 2) of two posts each: of n posts in groups (n,) every one with `partners` others at random."""
    generator = np.random.default_rng(0)
    first = np.repeat(np.arange(len(groups)), partners)
    second = generator.integers(0, len(groups), len(first))
    if kind == "of one group":
        order = np.argsort(groups, kind="stable")
        _, starts, place, sizes = np.unique(groups[order], return_index=True, return_inverse=True, return_counts=True)
        of_post = np.empty_like(place)
        of_post[order] = place
        of_first = of_post[first]
        second = order[starts[of_first] + generator.integers(0, sizes[of_first])]
    apart = (first != second) & ((groups[first] == groups[second]) == (kind == "of one group"))
    return np.stack([first, second], axis=1)[apart]


def measure(posts: Posts, kind: Kind, partners: int = 20) -> Found:
    """What became of random pairs of posts. Raises ValueError where there are none of the kind."""
    first, second = draw(posts.groups, kind, partners).T
    if not len(first):
        raise ValueError(f"there are no pairs {kind}")
    chance = beats(posts.spans[first], posts.spans[second])
    won = (np.sign(posts.actual[first] - posts.actual[second]) + 1) / 2
    limited = np.clip(chance, SMALLEST, 1 - SMALLEST)
    loss = -np.mean(won * np.log(limited) + (1 - won) * np.log(1 - limited)) / np.log(2)
    favourite, won = np.where(chance < 0.5, 1 - chance, chance), np.where(chance < 0.5, 1 - won, won)
    place = np.clip(np.searchsorted(EDGES, favourite, side="right") - 1, 0, len(EDGES) - 2)
    # A pair of one group is drawn with it; one of two groups as often as both are drawn together.
    drawn = np.concatenate(
        [
            weights[:, first] * (1.0 if kind == "of one group" else weights[:, second])
            for weights in cluster_weights(posts.groups, RESAMPLES)
        ]
    )
    bins = []
    for number in np.unique(place):
        inside = place == number
        total = drawn[:, inside].sum(axis=1)
        shares = (drawn[:, inside] @ won[inside])[total > 0] / total[total > 0]
        edges = float(EDGES[number]), float(EDGES[number + 1])
        said, true = float(favourite[inside].mean()), float(won[inside].mean())
        bins.append(Bin(*edges, float(inside.mean()), said, true, bounds(shares)))
    error = float(sum(one.share * abs(one.said - one.won) for one in bins))
    residuals = posts.actual - posts.spans[:, 0]
    together = float(np.corrcoef(residuals[first], residuals[second])[0, 1])
    return Found(len(first), tuple(bins), error, float(loss), together)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """What reads the command line of a benchmark with this docstring, for `read`."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--report", type=Path, default=Settings().bundle.parent / "report", help="folder of a report")
    made.add_argument("--posts", type=Path, help="a table with post_id and group, in the place of the report's groups")
    return made


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--partners", type=int, default=20, help="others that every post is paired with")
    options = command.parse_args()
    for view, kind in product(VIEWS, KINDS):
        posts = read(options.report, view, ("validation", "test") if options.posts else ("test",), options.posts)
        found = measure(posts, kind, options.partners)
        print(f"{view}, pairs {kind}: {len(posts.actual):,} posts, {found.pairs:,} pairs")
        print(
            f"  mean error {found.error:.3f}   log loss {found.loss:.2f} of a coin's   "
            f"residuals go together by {found.correlation:+.2f}"
        )
        for one in found.bins:
            low, high = one.interval
            close = "   too close to call" if one.high <= TOO_CLOSE else ""
            print(f"  said {one.said:.2f}   did better {one.won:.2f} ({low:.2f}–{high:.2f})   {one.share:.0%}{close}")


if __name__ == "__main__":
    sys.exit(outcome(main))
