"""How much of what nobody publishes is turned away, and how many real posts with it.

    python -m benchmarks.junk --work work/youtube [--bundle models/youtube/bundle] [--each 200]

Junk is made up of the kinds that something was learned from and of kinds that nothing was; the thresholds were set on
real posts alone. Real posts are those of the test split of a work folder: their titles and pictures, each alone and
together. Printed are, by kind, the share withheld by the guard, and the share that abstains for any reason or is
answered within .05 of the prior. Sides of different posts are no junk each; of these it is printed how often the card
"Picture and words" says that they hardly belong together, or are about different things, and how often of posts as
they are.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.explanation_stability import sample
from benchmarks.robustness import answers_of
from engine.bundle import Bundle
from engine.commands import outcome
from engine.features import make_features
from engine.features.base import FeatureSettings
from engine.features.extractor import Extractor
from engine.posts import Post
from engine.predictor import Predictor
from engine.signals import ENCODERS, objection
from training.data.junk import LEARNED, junk_titles
from training.data.junk_pictures import LEARNED_PICTURES, junk_pictures
from training.data.workspace import Workspace
from training.evaluation.guard import PICTURES, TITLES, shares_of
from ui.signals import HARDLY, LITTLE
from ui.strip import share_below

SEED = 21


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="a work folder, for its test posts")
    parser.add_argument("--bundle", default=None, help="folder of a bundle; the shipped one by default")
    parser.add_argument("--each", type=int, default=200, help="made up of each kind")
    parser.add_argument("--posts", type=int, default=400, help="real test posts")
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    workspace = Workspace(options.work)
    lent = workspace.posts["title"].to_numpy()[workspace.rows("test")].tolist()
    junk: dict[str, list[Post]] = {}
    for kind in TITLES:
        made = junk_titles({kind: TITLES[kind]}, options.each, lent, SEED)
        junk[f"{kind}{'' if kind in LEARNED else ' *'}"] = [Post(title) for _, title in made]
    for kind in PICTURES:
        shown = junk_pictures({kind: PICTURES[kind]}, options.each, SEED)
        junk[f"{kind}{'' if kind in LEARNED_PICTURES else ' *'}"] = [Post(image=picture) for _, picture in shown]
    found = {kind: _shares(predictor, posts) for kind, posts in junk.items()}
    for kind, (withheld, near) in found.items():
        print(f"{kind:24} withheld {withheld:6.1%}   abstains or near the prior {near:6.1%}")
    withheld, near = np.mean([*found.values()], axis=0)
    print(f"{'all junk':24} withheld {withheld:6.1%}   abstains or near the prior {near:6.1%}")
    print("* of a kind that nothing was learned from")
    real = list(sample(options.work, options.posts))
    for name, posts in (
        ("picture and title", real),
        ("title", [Post(post.title) for post in real if post.title]),
        ("picture", [Post(image=post.image) for post in real]),
    ):
        print(f"{len(posts)} real posts, {name}: withheld {_shares(predictor, posts)[0]:.1%}")
    swapped = [replace(post, image=other.image) for post, other in zip(real, [*real[1:], real[0]], strict=True)]
    for name, posts in (("sides of different posts", swapped), ("posts as they are", real)):
        below = _alike(predictor.bundle, [post for post in posts if not objection("similarity", post)])
        hardly, little = (float((below <= share).mean()) for share in (HARDLY, LITTLE))
        print(f"{len(below)} {name}: hardly belong together {hardly:.1%}, about different things {little:.1%}")


def _alike(bundle: Bundle, posts: list[Post]) -> np.ndarray:
    """Of each post the share of the dataset's posts whose title and picture are less alike, as the card has it."""
    features = make_features(["similarity"], FeatureSettings(encoders=ENCODERS))
    cosines = Extractor(features, ["similarity"]).compute(posts, "both")["similarity"][:, 0]
    return np.array([share_below(float(cosine), bundle.typical["similarity"], bundle.prior) for cosine in cosines])


def _shares(predictor: Predictor, posts: list[Post]) -> tuple[float, float]:
    """Share withheld, and share that abstains or is near the prior."""
    answers = np.array([shares_of(found) for found in answers_of(predictor, posts)])
    return float(answers[:, 0].mean()), float(answers[:, 1:].any(axis=1).mean())


if __name__ == "__main__":
    sys.exit(outcome(main))
