"""Whether the edits that are shown stand out: does what an edit does to a draft hold when the draft is disturbed?

    python -m benchmarks.edits --work work/youtube [--bundle FOLDER] [--posts 60]

Posts are drawn from the test split of a work folder. Each is tried with its edits, and so is a disturbed copy: three
dots behind its title, its picture 120 px small, neither of which the noise was measured with. Printed are how many
edits are shown of a post, how large the noise is, and how often an edit moves the disturbed copy in the direction in
which it moves the post: of the edits beyond the noise, and as a reference of those within it.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.explanation_stability import sample
from engine.commands import outcome
from engine.drafts.changes import retitled, small_copy
from engine.drafts.edits import Trial, attempt, edits_of
from engine.posts import Post
from engine.predictor import Predictor


def disturbed(post: Post) -> Post:
    """The post as nobody would tell it apart, in a way that the noise is not measured with."""
    return small_copy(retitled(post, f"{post.title}…"))


def moves(predictor: Predictor, post: Post) -> dict[str, float]:
    """How far each edit moves the share of posts that a post is ranked above, by the edit's label."""
    edits = list(edits_of(post))
    now, *found = predictor.predict([post, *(edit.post for edit in edits)])
    shares = {edit.label: answer.percentiles[0] for edit, answer in zip(edits, found, strict=True)}
    return {label: share - now.percentiles[0] for label, share in shares.items()}


def agreement(trial: Trial, post: dict[str, float], copy: dict[str, float]) -> Iterator[tuple[bool, bool]]:
    """Of each edit that both have and that moves the post: whether it is beyond the noise, and whether it moves both
    in one direction."""
    shown = {effect.edit.label for effect in (*trial.better, *trial.worse)}
    for label in (label for label in post if post[label] and label in copy):
        yield label in shown, post[label] * copy[label] > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="a work folder, for its test posts")
    parser.add_argument("--bundle", default=None, help="folder of a bundle; the shipped one by default")
    parser.add_argument("--posts", type=int, default=60)
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    trials: list[Trial] = []
    held: list[tuple[bool, bool]] = []
    for post in sample(options.work, options.posts):
        if predictor.predict([post])[0].strange is None:
            trials.append(attempt(predictor, post))
            held += agreement(trials[-1], moves(predictor, post), moves(predictor, disturbed(post)))
    report(trials, held)


def report(trials: Sequence[Trial], held: Sequence[tuple[bool, bool]]) -> None:
    """Print what was found of some posts and of all their edits."""
    counts = [(trial.tried, len(trial.better), len(trial.worse)) for trial in trials]
    tried, better, worse = np.median(counts, axis=0)
    print(
        f"{len(trials)} test posts; median of {tried:.0f} edits tried, {better:.0f} shown as better, {worse:.0f} worse"
    )
    for side in ("text", "image"):
        noise = [trial.noise[side] for trial in trials if side in trial.noise]
        if noise:
            middle, high = np.quantile(noise, [0.5, 0.95])
            print(f"noise of the {side}: median {100 * middle:.1f}, 95th percentile {100 * high:.1f} of 100 posts")
    for beyond, name in ((True, "beyond"), (False, "within")):
        same = [agrees for shown, agrees in held if shown == beyond]
        if same:
            print(f"edits {name} the noise: {np.mean(same):.1%} of {len(same):,} move the disturbed copy the same way")


if __name__ == "__main__":
    sys.exit(outcome(main))
