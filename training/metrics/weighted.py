"""Every reported metric, computed for many weightings of the same posts at once.

A bootstrap resample is a row of whole-number weights: how often each post was drawn. All functions here take weights of
shape (resamples, n) and return one value a resample, and a plain metric is the one with a row of ones. So the value
and its interval come from the same lines. Ranks, bins and cuts are those of the resample, ties shared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.scoring import LEVELS
from training.metrics.pairs import Pairs

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ECE_BINS = 15
_TOP_SHARE = 0.2
_POSITIONS = np.arange(len(LEVELS))


class Ranking:
    """Mid-ranks of n values under weights. A NaN has no rank, and its post no weight."""

    def __init__(self, values: Array) -> None:
        self.known = ~np.isnan(values)
        filled = np.where(self.known, values, 0.0)
        self.order = np.argsort(filled, kind="stable")
        _, self.tie, counts = np.unique(filled, return_inverse=True, return_counts=True)
        self.ends = counts.cumsum() - 1

    def ranks(self, weights: Array) -> Array:
        """Rank of each post in its resample, from 1, shape (resamples, n)."""
        upto = weights.take(self.order, axis=1).cumsum(axis=1).take(self.ends, axis=1)
        middle = upto + 1.0
        middle[:, 1:] += upto[:, :-1]
        return (middle / 2.0).take(self.tie, axis=1)


class Stated:
    """How probable n posts were said to have some property, and whether they had it, 0 or 1."""

    def __init__(self, confidence: Array, hit: Array) -> None:
        self.ranking = Ranking(confidence)
        self.excess = confidence - hit


@dataclass(frozen=True)
class Evaluated:
    """n predictions of one model beside the truth, in the same order; what is None was not predicted or not known.

    `log_prediction` and `log_truth` are natural logs of scores; `popularity` is the truth as published, a log2, where
    scores are predicted; `order` is what ranks the posts: the predicted log score, or the expected level of a model
    without scores. `sets` (n, 2) and `intervals` (n, 2, log scores) are inclusive.
    `cluster` numbers the groups; a post of no known group is one of its own.
    """

    level: Integers
    predicted: Integers
    probabilities: Array
    order: Array
    log_truth: Array
    log_prediction: Array | None
    likes_per_view: Array | None
    popularity: Array | None
    sets: Integers | None
    intervals: Array | None
    cluster: Integers

    @cached_property
    def hits(self) -> Array:
        """One-hot true levels, shape (n, levels)."""
        return np.eye(len(LEVELS))[self.level]

    @cached_property
    def predicted_ranking(self) -> Ranking:
        return Ranking(self.order)

    @cached_property
    def true_ranking(self) -> Ranking:
        return Ranking(self.log_truth)

    @cached_property
    def likes_ranking(self) -> Ranking:
        assert self.likes_per_view is not None
        return Ranking(self.likes_per_view)

    @cached_property
    def likeliest(self) -> Stated:
        """What is said of the likeliest level, whichever that is."""
        hit = self.probabilities.argmax(axis=1) == self.level
        return Stated(self.probabilities.max(axis=1), hit.astype(np.float64))

    @cached_property
    def each_level(self) -> list[Stated]:
        return [Stated(*columns) for columns in zip(self.probabilities.T, self.hits.T, strict=True)]

    @cached_property
    def pairs(self) -> Pairs:
        return Pairs(self.log_truth, self.order, np.zeros_like(self.cluster))

    @cached_property
    def pairs_within_group(self) -> Pairs | None:
        """None where no group has two posts to compare."""
        if len(np.unique(self.cluster)) == len(self.cluster):
            return None
        return Pairs(self.log_truth, self.order, self.cluster)

    @cached_property
    def in_set(self) -> npt.NDArray[np.bool_]:
        """Whether each post's conformal set holds its level, (n,)."""
        assert self.sets is not None
        return (self.sets[:, 0] <= self.level) & (self.level <= self.sets[:, 1])

    @cached_property
    def in_interval(self) -> npt.NDArray[np.bool_]:
        """Whether each post's interval holds its log score, (n,)."""
        assert self.intervals is not None
        return (self.intervals[:, 0] <= self.log_truth) & (self.log_truth <= self.intervals[:, 1])


def _ratio(above: Array, below: Array, otherwise: float) -> Array:
    return np.divide(above, below, out=np.full(len(above), otherwise), where=below > 0)


def _mean(values: npt.ArrayLike, weights: Array) -> Array:
    return weights @ np.asarray(values, dtype=np.float64) / weights.sum(axis=1)


def spearman(one: Ranking, other: Ranking, weights: Array) -> Array:
    """Spearman correlation: Pearson correlation of mid-ranks. 0 where one side is constant, as it orders nothing."""
    weights = weights * (one.known & other.known)
    x, y = one.ranks(weights), other.ranks(weights)
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    # Below this the spread of ranks is rounding.
    return _ratio((weights * x * y).sum(axis=1), np.where(spread > 1e-9, spread, 0.0), 0.0)


def _top20_src(posts: Evaluated, weights: Array) -> Array:
    place = (posts.true_ranking.ranks(weights) - 0.5) / weights.sum(axis=1, keepdims=True)
    top = weights * (place >= 1.0 - _TOP_SHARE)
    return spearman(posts.predicted_ranking, posts.true_ranking, top)


def _macro_f1(posts: Evaluated, weights: Array) -> Array:
    guesses = np.eye(len(LEVELS))[posts.predicted]
    sizes = weights @ (posts.hits + guesses)
    right = weights @ (posts.hits * guesses)
    return np.divide(2.0 * right, sizes, out=np.zeros_like(sizes), where=sizes > 0).mean(axis=1)


def _quadratic_kappa(posts: Evaluated, weights: Array) -> Array:
    cost = np.subtract.outer(_POSITIONS, _POSITIONS).astype(np.float64) ** 2
    true = weights @ posts.hits
    guessed = weights @ np.eye(len(LEVELS))[posts.predicted]
    expected = np.einsum("bi,ij,bj->b", true, cost, guessed) / weights.sum(axis=1)
    observed = weights @ (posts.level - posts.predicted).astype(np.float64) ** 2
    return 1.0 - _ratio(observed, expected, 1.0)


def _ranked_probability_score(posts: Evaluated, weights: Array) -> Array:
    gaps = (posts.probabilities - posts.hits).cumsum(axis=1)[:, :-1]
    return _mean((gaps**2).mean(axis=1), weights)


def _r2(posts: Evaluated, weights: Array) -> Array:
    assert posts.log_prediction is not None
    mean = _mean(posts.log_truth, weights)
    total = _mean(posts.log_truth**2, weights) - mean**2
    return 1.0 - _ratio(_mean((posts.log_truth - posts.log_prediction) ** 2, weights), total, np.nan)


def _mae_log10(posts: Evaluated, weights: Array) -> Array:
    assert posts.log_prediction is not None
    return _mean(np.abs(posts.log_truth - posts.log_prediction) / np.log(10.0), weights)


def _mae_log2(posts: Evaluated, weights: Array) -> Array:
    assert posts.log_prediction is not None and posts.popularity is not None
    return _mean(np.abs(posts.popularity - posts.log_prediction / np.log(2.0)), weights)


def _log_loss(posts: Evaluated, weights: Array) -> Array:
    own = (posts.probabilities * posts.hits).sum(axis=1)
    return _mean(-np.log(np.maximum(own, np.finfo(np.float64).eps)), weights)


def equal_mass_bins(ranking: Ranking, weights: Array, bins: int = ECE_BINS) -> Integers:
    """Bin 0..bins − 1 of each post so that every bin holds the same weight, ties together; shape (resamples, n)."""
    place = (ranking.ranks(weights) - 0.5) / weights.sum(axis=1, keepdims=True)
    return np.clip((place * bins).astype(np.int64), 0, bins - 1)


def _calibration_error(stated: Stated, weights: Array) -> Array:
    bins = equal_mass_bins(stated.ranking, weights)
    cells = bins + ECE_BINS * np.arange(len(weights))[:, None]
    gaps = np.bincount(cells.ravel(), (weights * stated.excess).ravel(), minlength=ECE_BINS * len(weights))
    return np.abs(gaps.reshape(len(weights), ECE_BINS)).sum(axis=1) / weights.sum(axis=1)


def _classwise_ece(posts: Evaluated, weights: Array) -> Array:
    return np.mean([_calibration_error(stated, weights) for stated in posts.each_level], axis=0)


def _conformal_set_size(posts: Evaluated, weights: Array) -> Array:
    assert posts.sets is not None
    return _mean(posts.sets[:, 1] - posts.sets[:, 0] + 1, weights)


def _pairwise_within_group(posts: Evaluated, weights: Array) -> Array:
    assert posts.pairs_within_group is not None
    # A group that is drawn k times counts k times: both of a pair have its weight k.
    return posts.pairs_within_group.right(np.sqrt(weights))


Metric = Callable[[Evaluated, Array], Array]

METRICS: dict[str, Metric] = {
    "accuracy": lambda posts, weights: _mean(posts.level == posts.predicted, weights),
    "within_one_accuracy": lambda posts, weights: _mean(np.abs(posts.level - posts.predicted) <= 1, weights),
    "macro_f1": _macro_f1,
    "quadratic_kappa": _quadratic_kappa,
    "class_mae": lambda posts, weights: _mean(np.abs(posts.level - posts.predicted), weights),
    "ranked_probability_score": _ranked_probability_score,
    "src": lambda posts, weights: spearman(posts.predicted_ranking, posts.true_ranking, weights),
    "src_likes_per_view": lambda posts, weights: spearman(posts.predicted_ranking, posts.likes_ranking, weights),
    "r2": _r2,
    "mae_log10": _mae_log10,
    "mae_log2": _mae_log2,
    "top20_src": _top20_src,
    "log_loss": _log_loss,
    "brier": lambda posts, weights: _mean(((posts.probabilities - posts.hits) ** 2).sum(axis=1), weights),
    "classwise_ece": _classwise_ece,
    "ece": lambda posts, weights: _calibration_error(posts.likeliest, weights),
    "conformal_coverage": lambda posts, weights: _mean(posts.in_set, weights),
    "conformal_set_size": _conformal_set_size,
    "interval_coverage": lambda posts, weights: _mean(posts.in_interval, weights),
    "pairwise_accuracy": lambda posts, weights: posts.pairs.right(weights),
    "pairwise_accuracy_within_group": _pairwise_within_group,
}

# The field of `Evaluated` without which a metric has no meaning.
NEEDS = {
    "src_likes_per_view": "likes_per_view",
    "r2": "log_prediction",
    "mae_log10": "log_prediction",
    "mae_log2": "popularity",
    "conformal_coverage": "sets",
    "conformal_set_size": "sets",
    "interval_coverage": "intervals",
    "pairwise_accuracy_within_group": "pairs_within_group",
}


def available(posts: Evaluated) -> list[str]:
    """Names of the metrics that can be computed, in reporting order."""
    return [name for name in METRICS if name not in NEEDS or getattr(posts, NEEDS[name]) is not None]
