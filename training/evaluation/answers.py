"""What a bundle says of the posts of a split, through the very `Predictor` that users get, on every view."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from engine.blending import Calibration
from engine.errors import DataError
from engine.features.base import Features
from engine.posts import Post
from engine.prediction import VIEWS, BatchPrediction, View, joined
from engine.predictor import Predictor
from training.features.extract import with_pictures
from training.modeling.cross_fitting import out_of_fold
from training.modeling.run import Run

# Also how many posts exchange their sides in a shuffled control.
BATCH = 256
PASSES = 8
SHUFFLES = ("shuffled picture", "shuffled text")

# Name of a shuffled control, "" without, and the view.
Key = tuple[str, View]


def _order(count: int) -> npt.NDArray[np.int64]:
    """The posts 0..count − 1 as they are read: every `PASSES`-th, then those behind them, and so on.

    Related posts stand side by side in a file; those that exchange their sides must not be related.
    """
    return np.concatenate([np.arange(first, count, PASSES) for first in range(PASSES)])


def _batches(run: Run, split: str) -> Iterator[list[Post]]:
    """The posts of a split with their pictures, in `_order`. Raises DataError when a picture is gone."""
    rows = run.workspace.rows(split)
    passes = (rows[first::PASSES].tolist() for first in range(PASSES))
    found = chain.from_iterable(with_pictures(run.work, run.matrix.posts, some) for some in passes)
    read = iter(tqdm(found, total=len(rows), desc=f"{split} posts", mininterval=5))
    while part := list(islice(read, BATCH)):
        for row, post in part:
            if isinstance(post, str):
                name = run.matrix.posts[row].post_id
                raise DataError(f"The picture of {name} cannot be read any more ({post}); run prepare and split again.")
        yield [post for _, post in part if isinstance(post, Post)]


def _predicted(predictor: Predictor, posts: list[Post], seed: int) -> Iterator[tuple[Key, BatchPrediction]]:
    """Predictions of some posts on every view, and with the pictures, or the words, of others among them."""
    views = [view for view in VIEWS if view in predictor.bundle.views]
    text, image = (predictor.extractor.compute(posts, side) for side in ("text", "image"))

    def both(pictures: npt.NDArray[np.int64], words: npt.NDArray[np.int64]) -> Features:
        paired = [
            replace(posts[word], image=posts[picture].image) for picture, word in zip(pictures, words, strict=True)
        ]
        known = {name: values[words] for name, values in text.items()}
        known |= {name: values[pictures] for name, values in image.items()}
        # What both have is of neither side: it stays with the post.
        known |= {name: values for name, values in text.items() if name in image}
        return predictor.extractor.compute(paired, "both", known)

    own = np.arange(len(posts))
    other = np.random.default_rng(seed).permutation(own)
    features: Mapping[View, Callable[[], Features]] = {
        "both": lambda: both(own, own),
        "text": lambda: text,
        "image": lambda: image,
    }
    for view in views:
        yield ("", view), predictor.predict_features(view, features[view]())
    if "both" in views:
        for name, orders in zip(SHUFFLES, ((other, own), (own, other)), strict=True):
            yield (name, "both"), predictor.predict_features("both", both(*orders))


def _joined(parts: Sequence[BatchPrediction]) -> BatchPrediction:
    """Predictions of batches as those of all posts, in the order of the split."""
    back = _order(sum(len(part.log_score) for part in parts)).argsort()
    arrays = [field.name for field in fields(BatchPrediction) if field.name not in ("view", "members", "category")]
    whole = {name: np.concatenate([getattr(part, name) for part in parts])[back] for name in arrays}
    found = {name: joined([part.members[name] for part in parts]).take(back) for name in parts[0].members}
    category = next((output.category for output in found.values() if output.category is not None), None)
    # Of a member on its own no category is evaluated.
    members = {name: replace(output, category=None) for name, output in found.items()}
    return BatchPrediction(view=parts[0].view, members=members, category=category, **whole)


def answers_of(predictor: Predictor, run: Run, split: str) -> dict[Key, BatchPrediction]:
    """What the bundle says of the posts of a split on every view, and with a side shuffled."""
    parts: dict[Key, list[BatchPrediction]] = {}
    for seed, posts in enumerate(_batches(run, split)):
        for key, batch in _predicted(predictor, posts, seed):
            parts.setdefault(key, []).append(batch)
    return {key: _joined(found) for key, found in parts.items()}


def answers_out_of_fold(predictor: Predictor, run: Run) -> dict[Key, BatchPrediction]:
    """What is said of the validation posts where the bundle itself has learned from them: the members out of fold."""
    answers = out_of_fold(run, run.workspace.rows("validation"))
    found: dict[Key, BatchPrediction] = {}
    for view, fit in predictor.bundle.views.items():
        # As in an answer of the bundle, of members without a say nothing is said.
        weighed = {*fit.probability_weights, *fit.score_weights}
        outputs = {name: output for name, output in answers[view].items() if name in weighed}
        found["", view] = Calibration(fit).apply(view, outputs)
    return found
