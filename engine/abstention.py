"""When the model does not answer: its set of levels is wide, and it says little more than the prior."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from engine.calibration import SMALLEST, Array, Stored, labels_of, proper
from engine.intervals import cluster_weights
from engine.scoring import LEVELS

# One-sided 5 % of a normal distribution.
_SIGNIFICANT = 1.645
_RESAMPLES = 200


def divergence(probabilities: npt.ArrayLike, prior: npt.ArrayLike) -> Array:
    """Kullback–Leibler divergence of each row from the prior, in nats, shape (n,): what the post told the model."""
    array = np.maximum(proper(probabilities), SMALLEST)
    found: Array = np.maximum(
        (array * np.log(array / np.maximum(np.asarray(prior, dtype=np.float64), SMALLEST))).sum(axis=1), 0
    )
    return found


@dataclass(frozen=True)
class Abstention(Stored):
    """Abstain when the level set is wide and the distribution is nearly the prior.

    A post is left unanswered when its set has at least `min_levels` levels and its divergence from `prior` is below
    `threshold` (nats). The other fields say what that did on the posts it was fitted on.
    """

    prior: tuple[float, ...]
    threshold: float
    min_levels: int
    share: float
    accuracy_abstained: float | None
    accuracy_kept: float | None

    @classmethod
    def fit(
        cls,
        probabilities: npt.ArrayLike,
        level_sets: npt.ArrayLike,
        levels: npt.ArrayLike,
        prior: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        min_levels: int = 4,
        lost: float = 0.5,
    ) -> Self:
        """Tunes the threshold on n posts: probabilities (n, k), sets (n, 2), true levels (n,), prior (k,), groups (n,).

        The largest threshold is taken at which the model has `lost` at least this share of its gain in accuracy over
        guessing the commonest level, and is less accurate than on the other posts (two-proportion z, one-sided 5 %);
        0, which never abstains, if there is none. A model that gains nothing abstains on every wide set. A single post
        may decide about that, so the threshold is the median over resamples of `groups`, or of posts (bagging of a
        hard decision: Bühlmann & Yu 2002).
        """
        array = proper(probabilities)
        labels = labels_of(levels, array)
        known = np.asarray(prior, dtype=np.float64)
        distance = divergence(array, known)
        right = (array.argmax(axis=1) == labels).astype(np.float64)
        guessed = (labels == known.argmax()).astype(np.float64)
        sets = np.asarray(level_sets)
        wide = np.flatnonzero(sets[:, 1] - sets[:, 0] + 1 >= min_levels)
        wide = wide[np.argsort(distance[wide], kind="stable")]
        # Posts that are equally far from the prior stay together.
        last = np.append(np.diff(distance[wide]) > 1e-9, True)[: len(wide)]
        thresholds = []
        for chunk in cluster_weights(np.arange(len(labels)) if groups is None else groups, _RESAMPLES):
            for weights in chunk:
                total = weights.sum()
                mean, guess = weights @ right / total, weights @ guessed / total
                if mean <= guess:
                    thresholds.append(-math.log(max(known.min(), SMALLEST)))
                    continue
                taken, hits = weights[wide].cumsum(), (weights * right)[wide].cumsum()
                there, rest = np.maximum(taken, 1), np.maximum(total - taken, 1)
                error = np.sqrt(mean * (1 - mean) * (1 / there + 1 / rest))
                gap = (mean * total - hits) / rest - hits / there
                poor = (
                    last & (taken > 0) & (hits / there <= mean - lost * (mean - guess)) & (gap >= _SIGNIFICANT * error)
                )
                end = distance[wide[np.flatnonzero(poor)[-1]]] if poor.any() else None
                thresholds.append(0.0 if end is None else float(np.nextafter(end, np.inf)))
        threshold = float(np.median(thresholds))
        rule = cls(tuple(known.tolist()), threshold, min_levels, 0.0, None, None)
        left = rule.apply(array, sets)
        return replace(
            rule,
            share=float(left.mean()),
            accuracy_abstained=float(right[left].mean()) if left.any() else None,
            accuracy_kept=float(right[~left].mean()) if (~left).any() else None,
        )

    def apply(self, probabilities: npt.ArrayLike, level_sets: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """True for each of n posts on which the model does not answer; sets as `LevelSets.apply` gives them."""
        sets = np.asarray(level_sets)
        wide = sets[:, 1] - sets[:, 0] + 1 >= self.min_levels
        left: npt.NDArray[np.bool_] = wide & (divergence(probabilities, self.prior) < self.threshold)
        return left

    @staticmethod
    def reason(first: int, last: int) -> str:
        """The sentence that goes with an abstention whose level set runs from `first` to `last`."""
        return (
            f"The model cannot tell this post from a typical one: any of {last - first + 1} levels, "
            f"from {LEVELS[first]} to {LEVELS[last]}, is possible."
        )
