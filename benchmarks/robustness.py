"""How much an answer moves when a draft is changed in ways that mean nothing.

    python -m benchmarks.robustness --work work/youtube [--bundle FOLDER ...] [--posts 400]

Posts are drawn from the test split of a work folder, the same ones for every bundle, so that before and after stand
side by side. Each change is made to every post alone; a post that it leaves as it was does not count. Printed are, by
change and for all changes together, n, the share of posts that the guard withholds on one side only, and, of those
answered on both, the share of predicted levels that flip, and the mean and 95th percentile of how far the expected
level (0 to 4) moves.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.explanation_stability import sample
from engine.commands import outcome
from engine.drafts.changes import (
    QUALITY,
    SMALL,
    lower_case,
    mirrored,
    more_spaces,
    punctuation_added,
    punctuation_removed,
    recompressed,
    small_copy,
)
from engine.posts import Post
from engine.prediction import Prediction
from engine.predictor import Predictor
from engine.settings import Settings

BATCH = 64

Pair = tuple[Prediction, Prediction]

CHANGES: Mapping[str, Callable[[Post], Post]] = {
    "title in lower case": lower_case,
    "title with ! behind": punctuation_added,
    "title without its last .!": punctuation_removed,
    "title with more spaces": more_spaces,
    "picture mirrored": mirrored,
    f"picture at quality {QUALITY}": recompressed,
    f"picture of {SMALL} px": small_copy,
}


@dataclass(frozen=True)
class Summary:
    """Of n pairs of answers: share `withheld` on one side only; of the `answered`, withheld on neither, the share of
    levels that `flipped`, mean and 95th percentile (`high`) of the move in levels. NaN where none is answered."""

    n: int
    withheld: float
    answered: int
    flipped: float
    mean: float
    high: float

    def __str__(self) -> str:
        moves = f"flips {self.flipped:6.1%}   moves {self.mean:.3f}, 95th percentile {self.high:.3f}"
        return f"{moves} (n {self.answered:,})   withheld changes {self.withheld:6.1%} (n {self.n:,})"


def summary(pairs: Sequence[Pair]) -> Summary:
    """What became of answers, each given as (before, after); at least one pair."""
    withheld = [(before.strange is None) != (after.strange is None) for before, after in pairs]
    answered = [pair for pair in pairs if pair[0].strange is None and pair[1].strange is None]
    flips = [np.argmax(before.probabilities) != np.argmax(after.probabilities) for before, after in answered]
    moves = [abs(after.expected_level - before.expected_level) for before, after in answered]
    shares = (float(np.mean(flips)), float(np.mean(moves)), float(np.quantile(moves, 0.95))) if moves else (np.nan,) * 3
    return Summary(len(pairs), float(np.mean(withheld)), len(answered), *shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="a work folder, for its test posts")
    parser.add_argument("--bundle", nargs="+", default=[Settings().bundle], help="folders; the shipped one by default")
    parser.add_argument("--posts", type=int, default=400)
    options = parser.parse_args()
    predictors = {str(folder): Predictor.load(folder) for folder in options.bundle}
    posts = list(sample(options.work, options.posts))
    for folder, predictor in predictors.items():
        print(f"{folder}: {len(posts)} test posts")
        before = answers_of(predictor, posts)
        every: list[Pair] = []
        for name, change in CHANGES.items():
            changed = [change(post) for post in posts]
            rows = [row for row, post in enumerate(changed) if post is not posts[row]]
            after = answers_of(predictor, [changed[row] for row in rows])
            pairs = list(zip([before[row] for row in rows], after, strict=True))
            print(f"{name:26}{summary(pairs) if pairs else 'changes none of them'}", flush=True)
            every += pairs
        print(f"{'all changes':26}{summary(every) if every else 'change none of them'}\n")


def answers_of(predictor: Predictor, posts: Sequence[Post]) -> list[Prediction]:
    """What is said of any number of posts, some at a time."""
    batches = (posts[start : start + BATCH] for start in range(0, len(posts), BATCH))
    return [found for batch in batches for found in predictor.predict(batch)]


if __name__ == "__main__":
    sys.exit(outcome(main))
