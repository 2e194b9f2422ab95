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

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ECE_BINS = 15
_TOP_SHARE = 0.2
_PAIR_BLOCK = 2_048
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
        upto = weights[:, self.order].cumsum(axis=1)[:, self.ends]
        before = np.concatenate([np.zeros((len(weights), 1)), upto[:, :-1]], axis=1)
        return ((before + upto + 1.0) / 2.0)[:, self.tie]


@dataclass(frozen=True)
class Judged:
    """n predictions of one model beside the truth, in the same order; what is None was not predicted or not known.

    `log_prediction` and `log_truth` are natural logs of engagement scores; `order` is what ranks the posts: the
    predicted log score, or the expected level of a model without scores. `sets` (n, 2) and `intervals` (n, 2, log
    scores) are inclusive. `cluster` numbers the groups.
    """

    level: Integers
    predicted: Integers
    probabilities: Array
    order: Array
    log_truth: Array
    log_prediction: Array | None
    likes_per_view: Array | None
    sets: Integers | None
    intervals: Array | None
    cluster: Integers | None

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
    def shared_cluster(self) -> Integers | None:
        """`cluster`, or None where no group has two posts to compare."""
        alone = self.cluster is None or len(np.unique(self.cluster)) == len(self.cluster)
        return None if alone else self.cluster


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


def _top20_src(judged: Judged, weights: Array) -> Array:
    place = (judged.true_ranking.ranks(weights) - 0.5) / weights.sum(axis=1, keepdims=True)
    top = weights * (place >= 1.0 - _TOP_SHARE)
    return spearman(judged.predicted_ranking, judged.true_ranking, top)


def _macro_f1(judged: Judged, weights: Array) -> Array:
    guesses = np.eye(len(LEVELS))[judged.predicted]
    sizes = weights @ (judged.hits + guesses)
    right = weights @ (judged.hits * guesses)
    return np.divide(2.0 * right, sizes, out=np.zeros_like(sizes), where=sizes > 0).mean(axis=1)


def _quadratic_kappa(judged: Judged, weights: Array) -> Array:
    cost = np.subtract.outer(_POSITIONS, _POSITIONS).astype(np.float64) ** 2
    true = weights @ judged.hits
    guessed = weights @ np.eye(len(LEVELS))[judged.predicted]
    expected = np.einsum("bi,ij,bj->b", true, cost, guessed) / weights.sum(axis=1)
    observed = weights @ (judged.level - judged.predicted).astype(np.float64) ** 2
    return 1.0 - _ratio(observed, expected, 1.0)


def _ranked_probability_score(judged: Judged, weights: Array) -> Array:
    gaps = (judged.probabilities - judged.hits).cumsum(axis=1)[:, :-1]
    return _mean((gaps**2).mean(axis=1), weights)


def _r2(judged: Judged, weights: Array) -> Array:
    assert judged.log_prediction is not None
    mean = _mean(judged.log_truth, weights)
    total = _mean(judged.log_truth**2, weights) - mean**2
    return 1.0 - _ratio(_mean((judged.log_truth - judged.log_prediction) ** 2, weights), total, np.nan)


def _mae_log10(judged: Judged, weights: Array) -> Array:
    assert judged.log_prediction is not None
    return _mean(np.abs(judged.log_truth - judged.log_prediction) / np.log(10.0), weights)


def _log_loss(judged: Judged, weights: Array) -> Array:
    own = (judged.probabilities * judged.hits).sum(axis=1)
    return _mean(-np.log(np.maximum(own, np.finfo(np.float64).eps)), weights)


def equal_mass_bins(ranking: Ranking, weights: Array, bins: int = ECE_BINS) -> Integers:
    """Bin 0..bins − 1 of each post so that every bin holds the same weight, ties together; shape (resamples, n)."""
    place = (ranking.ranks(weights) - 0.5) / weights.sum(axis=1, keepdims=True)
    return np.clip((place * bins).astype(np.int64), 0, bins - 1)


def _calibration_error(confidence: Array, hit: Array, weights: Array) -> Array:
    bins = equal_mass_bins(Ranking(confidence), weights)
    cells = bins + ECE_BINS * np.arange(len(weights))[:, None]
    gaps = np.bincount(cells.ravel(), (weights * (confidence - hit)).ravel(), minlength=ECE_BINS * len(weights))
    return np.abs(gaps.reshape(len(weights), ECE_BINS)).sum(axis=1) / weights.sum(axis=1)


def _classwise_ece(judged: Judged, weights: Array) -> Array:
    columns = zip(judged.probabilities.T, judged.hits.T, strict=True)
    return np.mean([_calibration_error(confidence, hit, weights) for confidence, hit in columns], axis=0)


def _top_label_ece(judged: Judged, weights: Array) -> Array:
    right = judged.probabilities.argmax(axis=1) == judged.level
    return _calibration_error(judged.probabilities.max(axis=1), right.astype(np.float64), weights)


def _conformal_coverage(judged: Judged, weights: Array) -> Array:
    assert judged.sets is not None
    return _mean((judged.sets[:, 0] <= judged.level) & (judged.level <= judged.sets[:, 1]), weights)


def _conformal_set_size(judged: Judged, weights: Array) -> Array:
    assert judged.sets is not None
    return _mean(judged.sets[:, 1] - judged.sets[:, 0] + 1, weights)


def _interval_coverage(judged: Judged, weights: Array) -> Array:
    assert judged.intervals is not None
    inside = (judged.intervals[:, 0] <= judged.log_truth) & (judged.log_truth <= judged.intervals[:, 1])
    return _mean(inside, weights)


def _pairwise(judged: Judged, weights: Array, cluster: Integers | None) -> Array:
    """Share of pairs of different true score that are ordered right, a tied prediction counting half. Exact."""
    drawn = weights.astype(np.float32)
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for start in range(0, len(judged.level), _PAIR_BLOCK):
        rows = slice(start, start + _PAIR_BLOCK)
        valid = judged.log_truth[rows, None] > judged.log_truth
        if cluster is not None:
            valid &= cluster[rows, None] == cluster
        gap = np.sign(judged.order[rows, None] - judged.order)
        points = (valid * (gap + 1.0) / 2.0).astype(np.float32)
        block = drawn[:, rows].astype(np.float64)
        right += (block * (drawn @ points.T)).sum(axis=1)
        pairs += (block * (drawn @ valid.astype(np.float32).T)).sum(axis=1)
    return _ratio(right, pairs, np.nan)


Metric = Callable[[Judged, Array], Array]

METRICS: dict[str, Metric] = {
    "accuracy": lambda judged, weights: _mean(judged.level == judged.predicted, weights),
    "within_one_accuracy": lambda judged, weights: _mean(np.abs(judged.level - judged.predicted) <= 1, weights),
    "macro_f1": _macro_f1,
    "quadratic_kappa": _quadratic_kappa,
    "class_mae": lambda judged, weights: _mean(np.abs(judged.level - judged.predicted), weights),
    "ranked_probability_score": _ranked_probability_score,
    "src": lambda judged, weights: spearman(judged.predicted_ranking, judged.true_ranking, weights),
    "src_likes_per_view": lambda judged, weights: spearman(
        judged.predicted_ranking, Ranking(np.asarray(judged.likes_per_view)), weights
    ),
    "r2": _r2,
    "mae_log10": _mae_log10,
    "top20_src": _top20_src,
    "log_loss": _log_loss,
    "brier": lambda judged, weights: _mean(((judged.probabilities - judged.hits) ** 2).sum(axis=1), weights),
    "classwise_ece": _classwise_ece,
    "ece": _top_label_ece,
    "conformal_coverage": _conformal_coverage,
    "conformal_set_size": _conformal_set_size,
    "interval_coverage": _interval_coverage,
    "pairwise_accuracy": lambda judged, weights: _pairwise(judged, weights, None),
    "pairwise_accuracy_within_group": lambda judged, weights: _pairwise(judged, weights, judged.shared_cluster),
}

# The field of `Judged` without which a metric has no meaning.
NEEDS = {
    "src_likes_per_view": "likes_per_view",
    "r2": "log_prediction",
    "mae_log10": "log_prediction",
    "conformal_coverage": "sets",
    "conformal_set_size": "sets",
    "interval_coverage": "intervals",
    "pairwise_accuracy_within_group": "shared_cluster",
}


def available(judged: Judged) -> list[str]:
    """Names of the metrics that can be computed, in reporting order."""
    return [name for name in METRICS if name not in NEEDS or getattr(judged, NEEDS[name]) is not None]
