"""Do explanations of one post agree with one another, and with what they estimate?

    python -m benchmarks.explanation_stability --work work/youtube [--posts 100] [--seeds 5] [--json FILE]

Posts are drawn from the test split of a work folder. Each is explained with several seeds, as the page does it, and
the values of regions are set beside their reference: the Owen values by their definition, from all 2^k coalitions, to
which any number of orders can only come close. Printed are the share of 95 % intervals that hold their reference, the
share of posts whose strongest word, and strongest region shown as certain, is the same with every seed.

All coalitions of a hundred posts take an hour; the seeds are answered from them. What each post gave is kept in the
work folder, so that a run that was stopped goes on.
"""

import json
import statistics
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import engine
from benchmarks import hardware
from engine.commands import outcome
from engine.explain import owen
from engine.explain.base import Explanation
from engine.explain.game import Game
from engine.explain.regions import SEGMENTS
from engine.features.base import digest
from engine.files import write_json
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


def reference(game: Game) -> owen.Values | None:
    """Values of the regions from all their coalitions; None where there are too many."""
    sides = owen.Sides(game)
    return owen.exact(sides.regions, sides.of_regions) if sides.regions <= MOST_REGIONS else None


def strongest(explanation: Explanation) -> tuple[int, int]:
    """Numbers of the strongest word, and of the strongest region whose value is more than noise; −1 for none."""
    regions = len(explanation.values) - len(explanation.text_values)
    shown = np.where(explanation.certain, np.abs(explanation.values), 0.0)
    return tuple(int(part.argmax()) if part.any() else -1 for part in (shown[regions:], shown[:regions]))  # type: ignore[return-value]


def measure(predictor: Predictor, post: Post, seeds: int) -> dict[str, Any]:
    """Of one post: whether each interval holds its reference, half widths, and strongest parts of each seed."""
    game = Game(predictor, post, segments=SEGMENTS)
    truth = reference(game)
    # However long the error takes that the page asks for: a busy machine must not change the figures.
    found = [last for seed in range(seeds) for *_, (_, last) in [owen.play(game, seed=seed, seconds=None)]]
    held: list[bool] = []
    widths: list[float] = []
    for explanation in found:
        if truth is None or explanation.half_widths is None or explanation.segment_values is None:
            continue
        noise = explanation.half_widths[: len(truth)]
        held += (np.abs(explanation.segment_values - truth) <= noise + 1e-9).tolist()
        widths += noise.tolist()
    leaders = [strongest(explanation) for explanation in found]
    return {"held": held, "widths": widths, "leaders": leaders}


def made_from(work: Path, *chosen: object) -> str:
    """Hash of all that decides what is kept: posts and their parts, the code that answers, and what was `chosen`."""
    workspace = Workspace(work)
    code = [path.read_text(encoding="utf-8") for path in (Path(__file__), *Path(engine.__file__).parent.rglob("*.py"))]
    return digest([workspace.dataset["fingerprint"], workspace.split_digest, sorted(code), *chosen])


def agree(leaders: Iterable[int]) -> bool:
    """A part that one seed calls certain and another does not is no contradiction; another part is."""
    return len({*leaders} - {-1}) <= 1


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True)
    parser.add_argument("--work", type=Path, required=True, help="a work folder, for its test posts")
    parser.add_argument("--posts", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    predictor, bundle = Predictor.load(options.bundle), hardware.identity(options.bundle)
    kept = options.work / "explanation_stability" / made_from(options.work, bundle, options.posts, options.seeds)
    posts: list[dict[str, Any]] = []
    for number, post in enumerate(tqdm(sample(options.work, options.posts), total=options.posts, mininterval=5)):
        path = kept / f"{number}.json"
        if not path.exists():
            write_json(path, measure(predictor, post, options.seeds))
        posts.append(json.loads(path.read_text(encoding="utf-8")))
    held, widths = (list(chain.from_iterable(post[name] for post in posts)) for name in ("held", "widths"))
    coverage = float(np.mean(held))
    words, regions = (
        float(np.mean([agree(pair[side] for pair in post["leaders"]) for post in posts])) for side in (0, 1)
    )
    print(f"{len(posts)} posts, {options.seeds} seeds: 95 % intervals hold {coverage:.1%} of {len(held):,} references")
    print(f"strongest word the same in {words:.1%}, strongest certain region in {regions:.1%} of posts")
    print(f"half width {statistics.median(widths):.4f} levels (median)")
    figures = {
        "intervals that hold": (100 * coverage, "%"),
        "same strongest word": (100 * words, "%"),
        "same strongest region": (100 * regions, "%"),
        "median half width": (statistics.median(widths), "levels"),
    }
    what = f"95 % intervals of region values that hold the reference, {len(posts)} test posts × {options.seeds} seeds"
    hardware.note(options, "explanation_stability", what, coverage, TARGET, figures, len(posts), "higher")


if __name__ == "__main__":
    sys.exit(outcome(main))
