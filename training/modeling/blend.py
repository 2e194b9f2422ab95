"""Blend weights and calibration of one view, fitted on validation posts."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, nnls

from engine.bundle import ViewFit
from engine.calibration import Abstention, LevelSets, ScoreInterval, Temperature
from engine.members import MemberOutput
from engine.predictor import SMALLEST, blend

Array = npt.NDArray[np.float64]


def _probability_weights(answers: Mapping[str, MemberOutput], levels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Non-negative weights of the log-linear pool with the least log-loss, without those that add nothing."""
    logs = np.stack([np.log(np.maximum(answer.probabilities, SMALLEST)) for answer in answers.values()])
    rows = np.arange(len(levels))

    def loss(weights: Array) -> tuple[float, Array]:
        pooled = np.tensordot(weights, logs, axes=1)
        peak = pooled.max(axis=1, keepdims=True)
        probabilities = np.exp(pooled - peak)
        total = probabilities.sum(axis=1, keepdims=True)
        value = float(np.mean((peak + np.log(total))[:, 0] - pooled[rows, levels]))
        expected = (logs * (probabilities / total)).sum(axis=2)
        return value, (expected - logs[:, rows, levels]).mean(axis=1)

    start = np.full(len(logs), 1 / len(logs))
    found = minimize(loss, start, jac=True, bounds=[(0, None)] * len(logs), method="L-BFGS-B").x
    if not found.any():
        found = start
    found = np.where(found < 0.02 * found.max(), 0.0, found)
    return {name: float(weight) for name, weight in zip(answers, found, strict=True) if weight > 0}


def _score_weights(answers: Mapping[str, MemberOutput], target: Array) -> dict[str, float]:
    """Non-negative least squares of the target on the members' scores, without those that add nothing."""
    scores = np.stack([answer.score for answer in answers.values()], axis=1)
    found, _ = nnls(scores - scores.mean(axis=0), target - target.mean())
    if not found.any():
        found = np.full(len(found), 1 / len(found))
    found = np.where(found < 0.02 * found.max(), 0.0, found)
    return {name: float(weight) for name, weight in zip(answers, found, strict=True) if weight > 0}


def _line(score: Array, log_scores: Array) -> tuple[float, float]:
    """Least-squares slope, never negative, and intercept of the log scores on a score; flat where it is constant."""
    spread = score - score.mean()
    slope = max(float(spread @ log_scores) / max(float(spread @ spread), 1e-12), 0.0)
    return slope, float(log_scores.mean() - slope * score.mean())


def fit_view(
    answers: Mapping[str, MemberOutput],
    levels: npt.NDArray[np.int64],
    target: Array,
    log_scores: Array,
    prior: npt.ArrayLike,
) -> ViewFit:
    """Weights, temperature, conformal sets, score interval and abstention of one view.

    `answers` are the members' on n validation posts, `levels` (n,), `target` (n,) and `log_scores` (n,) the truth.
    """
    draft = ViewFit(
        probability_weights=_probability_weights(answers, levels),
        score_weights=_score_weights(answers, target),
        slope=1.0,
        intercept=0.0,
        temperature={},
        level_sets={},
        interval={},
        abstention={},
    )
    pooled = blend(answers, draft)
    temperature = Temperature.fit(pooled.probabilities, levels)
    probabilities = temperature.apply(pooled.probabilities)
    slope, intercept = _line(pooled.score, log_scores)
    level_sets = LevelSets.fit(probabilities, levels)
    sets = level_sets.apply(probabilities)
    return draft.model_copy(
        update={
            "slope": slope,
            "intercept": intercept,
            "temperature": temperature.to_dict(),
            "level_sets": level_sets.to_dict(),
            "interval": ScoreInterval.fit(probabilities, intercept + slope * pooled.score, log_scores).to_dict(),
            "abstention": Abstention.fit(probabilities, sets, levels, prior).to_dict(),
        }
    )
