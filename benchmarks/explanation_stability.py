"""Do explanations of one post agree with one another, and with what they estimate?

    python -m benchmarks.explanation_stability --work work/youtube [--posts 100] [--seeds 5] [--json FILE]

Posts are drawn from the test split of a work folder. Each is explained with several seeds, as the page does it, and
the values of regions are set beside their reference: the Owen values by their definition, from all 2^k coalitions, to
which any number of orders can only come close. Printed are the share of 95 % intervals that hold their reference, the
share of posts whose strongest word, and strongest region shown as certain, is the same with every seed, and the time.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import hardware
from engine.explain import owen
from engine.explain.base import Explanation
from engine.explain.game import Game
from engine.explain.regions import SEGMENTS
from engine.posts import Post
from engine.predictor import Predictor
from training.data.workspace import Workspace
from training.features.extract import with_pictures
from training.features.matrix import post_of

TARGET = 0.93
# All coalitions of more would take minutes a post.
MOST_REGIONS = 13


def sample(work: Path, count: int) -> Iterator[Post]:
    """`count` random test posts with their pictures, in file order."""
    workspace = Workspace(work)
    rows = np.random.default_rng(0).permutation(workspace.rows("test"))[:count]
    posts = [post_of(row) for _, row in workspace.posts.iterrows()]
    for _, post in with_pictures(work, posts, rows.tolist()):
        if isinstance(post, Post):
            yield post


def reference(predictor: Predictor, post: Post) -> owen.Values | None:
    """Values of the regions from all their coalitions; None where there are too many."""
    sides = owen.Sides(Game(predictor, post, segments=SEGMENTS))
    return owen.exact(sides.regions, sides.of_regions) if sides.regions <= MOST_REGIONS else None


def strongest(explanation: Explanation) -> tuple[int, int]:
    """Numbers of the strongest word, and of the strongest region whose value is more than noise; −1 for none."""
    regions = len(explanation.values) - len(explanation.text_values)
    shown = np.where(explanation.certain, np.abs(explanation.values), 0.0)
    return tuple(int(part.argmax()) if part.any() else -1 for part in (shown[regions:], shown[:regions]))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="a work folder, for its test posts")
    parser.add_argument("--bundle", default=None, help="folder of a bundle; the shipped one by default")
    parser.add_argument("--posts", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a report's hardware.json, to put the figures into")
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    held: list[bool] = []
    widths: list[float] = []
    seconds: list[float] = []
    same: list[tuple[bool, bool]] = []
    for post in tqdm(sample(options.work, options.posts), total=options.posts, mininterval=5):
        truth = reference(predictor, post)
        # However long the error takes that the page asks for: a busy machine must not change the figures.
        found = [owen.explain(predictor, post, seed=seed, seconds=None) for seed in range(options.seeds)]
        leaders = [strongest(explanation) for explanation in found]
        # A region that one seed calls certain and another does not is no contradiction; another region is.
        named = [{leader[side] for leader in leaders} - {-1} for side in (0, 1)]
        same.append((len(named[0]) <= 1, len(named[1]) <= 1))
        seconds += [explanation.seconds for explanation in found]
        for explanation in found:
            if truth is None or explanation.half_widths is None or explanation.segment_values is None:
                continue
            noise = explanation.half_widths[: len(truth)]
            held += (np.abs(explanation.segment_values - truth) <= noise + 1e-9).tolist()
            widths += noise.tolist()
    coverage = float(np.mean(held))
    words, regions = (float(np.mean([pair[side] for pair in same])) for side in (0, 1))
    print(f"{len(same)} posts, {options.seeds} seeds: 95 % intervals hold {coverage:.1%} of {len(held):,} references")
    print(f"strongest word the same in {words:.1%}, strongest certain region in {regions:.1%} of posts")
    print(
        f"half width {statistics.median(widths):.4f} levels, explanation {statistics.median(seconds):.2f} s (medians)"
    )
    if options.json:
        figures = {
            "intervals that hold": (100 * coverage, "%"),
            "same strongest word": (100 * words, "%"),
            "same strongest region": (100 * regions, "%"),
            "median half width": (statistics.median(widths), "levels"),
        }
        what = (
            f"95 % intervals of region values that hold the reference, {len(same)} test posts × {options.seeds} seeds"
        )
        found_here = hardware.entry(
            what, coverage, TARGET, figures, len(same), "higher", hardware.identity(options.bundle)
        )
        hardware.merge(options.json, "explanation_stability", found_here)


if __name__ == "__main__":
    main()
