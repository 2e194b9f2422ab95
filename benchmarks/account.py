"""What is said of a draft against an account's own posts: does its 80 % interval hold what happened 8 times in 10?

    python -m benchmarks.account [--report models/youtube/report] [--posts work/youtube/posts.parquet] [--fewest 20]

Of every account with at least `fewest` posts in a split of the report, each post in turn is the draft, the median of
all the others is what is usual, and so many of these, drawn at random, are what its owner gives. Printed is by view
how often the draft's real score against what is usual lies in the interval, and how many times its lower end the upper
one is (the median). Intervals are 95 %, whole accounts drawn.

Accounts are the report's groups: a channel, a series, and what shares rare words with them. One account's posts are
more alike than a group's, so this is the harder case. `--posts` names a table with post_id and group, the channel or
account, such as a work folder's, and takes those instead; there are few posts whose channel is known.

The first lines are the two shares that `engine/drafts/account.py` takes from validation posts.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.pairs import Posts, parser, read
from engine.commands import outcome
from engine.drafts.account import OF_ACCOUNT, WITHIN, beside, variance_of
from engine.intervals import mean_interval
from engine.prediction import VIEWS
from training.modeling.train import STEPS

Array = npt.NDArray[np.float64]
KNOWN = (1, 2, 3, 5, 10, 19)
# Of fewer the median of the others would be no measure of what is usual.
FEWEST = 20


@dataclass(frozen=True)
class Held:
    """Of `drafts` with `known` posts of their account each: the share in the interval, and how wide that is."""

    known: int
    drafts: int
    share: float
    interval: tuple[float, float]
    width: float


def within_and_between(values: Array, groups: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Variances of values (n,) within groups and between them, by a one-way analysis of variance (Searle 1992)."""
    table = pd.DataFrame({"value": values, "group": groups}).groupby("group")["value"].agg(["mean", "var", "size"])
    table = table[table["size"] > 1]
    size, total = table["size"], table["size"].sum()
    within = float(((size - 1) * table["var"]).sum() / (total - len(table)))
    middle = (size * table["mean"]).sum() / total
    among = float((size * (table["mean"] - middle) ** 2).sum() / (len(table) - 1))
    return within, max((among - within) / float((total - (size**2).sum() / total) / (len(table) - 1)), 0.0)


def shares(posts: Posts, variance: float) -> tuple[float, float]:
    """What a group has in common of what the model leaves open, and the variance of log scores within one as a share.

    Shares of the residuals' variance, and of `variance`.
    """
    residuals = posts.actual - posts.spans[:, 0]
    within, between = within_and_between(residuals, posts.groups)
    return between / (within + between), within_and_between(posts.actual, posts.groups)[0] / variance


def measure(posts: Posts, known: int, fewest: int, variance: float, seed: int = 0) -> Held | None:
    """How often the interval holds with so many posts known; None where no account has them and a draft."""
    generator = np.random.default_rng(seed)
    drafts, given, usual = [], [], []
    for number in np.unique(posts.groups):
        rows = np.flatnonzero(posts.groups == number)
        if len(rows) < max(fewest, known + 1):
            continue
        for row in rows:
            others = rows[rows != row]
            drafts.append(row)
            given.append(np.median(posts.actual[generator.choice(others, known, replace=False)]))
            usual.append(np.median(posts.actual[others]))
    if not drafts:
        return None
    _, low, high = beside(posts.spans[drafts], np.array(given), known, variance).T
    happened = posts.actual[drafts] - np.array(usual)
    inside = ((low <= happened) & (happened <= high)).astype(float)
    interval = mean_interval(inside, posts.groups[drafts])
    return Held(known, len(drafts), float(inside.mean()), interval, float(np.exp(np.median(high - low))))


def main(arguments: Sequence[str] | None = None) -> None:
    command = parser(__doc__)
    command.add_argument("--fewest", type=int, default=FEWEST, help="posts that an account must have")
    options = command.parse_args(arguments)
    scores = pd.read_parquet(options.report / "posts.parquet", columns=["split", "log_score"])
    variance = variance_of(np.quantile(scores.loc[scores["split"] == "train", "log_score"], STEPS))
    for view in VIEWS:
        posts = read(options.report, view, ["validation"], options.posts)
        common, within = shares(posts, variance)
        print(
            f"{view}: of what the model leaves open accounts have {common:.2f} in common (taken: {OF_ACCOUNT}); "
            f"within one lies {within:.2f} of the variance (taken: {WITHIN}); {len(posts.actual):,} validation posts"
        )
        for known in KNOWN:
            held = measure(read(options.report, view, ["test"], options.posts), known, options.fewest, variance)
            if held is None:
                continue
            low, high = held.interval
            print(
                f"  {known:>2} posts known   holds {held.share:.2f} ({low:.2f}–{high:.2f}) of {held.drafts:,}   "
                f"upper end {held.width:.1f} times the lower"
            )


if __name__ == "__main__":
    sys.exit(outcome(main))
