"""Blend weights and calibration of one view, fitted on validation posts.

What is promised of new posts (how often level sets and score intervals hold the truth, and when to abstain) must come
from groups that chose nothing. Epochs, soups and candidates are chosen on training groups
(`training.modeling.choosing`); weights, temperature and slope are cross-fitted over the validation groups. A recipe
with `folds` has answers out of fold to all posts outside of test in their place (`training.modeling.cross_fitting`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, nnls

from engine.abstention import Abstention
from engine.blending import SMALLEST, blend
from engine.bundle import ViewFit
from engine.calibration import LevelSets, ScoreInterval, Temperature
from engine.prediction import MemberOutput
from engine.scoring import LEVELS
from training.data.splits import stratified_folds
from training.data.workspace import Workspace

Array = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int64]

FOLDS = 5
COLUMNS = ("level", "target", "log_score", "group_number")


def _probability_weights(answers: Mapping[str, MemberOutput], levels: Levels) -> dict[str, float]:
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
    return _that_add(answers, minimize(loss, start, jac=True, bounds=[(0, None)] * len(logs), method="L-BFGS-B").x)


def _score_weights(answers: Mapping[str, MemberOutput], target: Array) -> dict[str, float]:
    """Non-negative least squares of the target on the members' scores, without those that add nothing."""
    scores = np.stack([answer.score for answer in answers.values()], axis=1)
    return _that_add(answers, nnls(scores - scores.mean(axis=0), target - target.mean())[0])


def _that_add(names: Iterable[str], weights: Array) -> dict[str, float]:
    """The weights of those that add something, by name; all alike where none does."""
    if not weights.any():
        weights = np.full(len(weights), 1 / len(weights))
    least = 0.02 * weights.max()
    return {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0 and weight >= least}


def _line(score: Array, log_scores: Array) -> tuple[float, float]:
    """Least-squares slope, never negative, and intercept of the log scores on a score; flat where it is constant."""
    spread = score - score.mean()
    slope = max(float(spread @ log_scores) / max(float(spread @ spread), 1e-12), 0.0)
    return slope, float(log_scores.mean() - slope * score.mean())


@dataclass(frozen=True)
class Truth:
    """Of n validation posts: levels (n,), training targets (n,), log scores (n,) and groups (n,)."""

    levels: Levels
    target: Array
    log_scores: Array
    groups: npt.NDArray[np.int64]

    @classmethod
    def of(cls, workspace: Workspace, rows: npt.NDArray[np.int64]) -> "Truth":
        """That of the posts with these row numbers."""
        held = workspace.posts.iloc[rows]
        return cls(*(held[name].to_numpy() for name in COLUMNS))

    def at(self, rows: npt.NDArray[np.int64]) -> "Truth":
        """The truth of some of the posts."""
        return Truth(self.levels[rows], self.target[rows], self.log_scores[rows], self.groups[rows])


def prior_of(workspace: Workspace) -> Array:
    """Share of each level among the posts that levels are learned from."""
    counts = np.bincount(workspace.posts["level"].to_numpy()[workspace.learned_rows], minlength=len(LEVELS))
    return counts / counts.sum()


def fit_on(answers: Mapping[str, MemberOutput], workspace: Workspace, rows: npt.NDArray[np.int64]) -> ViewFit:
    """Blend weights and calibration of one view; `answers` are the members' to the posts of `rows`."""
    return fit_view(answers, Truth.of(workspace, rows), prior_of(workspace))


def fit_view(answers: Mapping[str, MemberOutput], truth: Truth, prior: npt.ArrayLike) -> ViewFit:
    """Weights, temperature, conformal sets, score interval and abstention of one view from n validation posts.

    Weights, temperature and slope are fitted on all of them. Sets, interval and abstention are calibrated on answers
    that were blended and tempered as the other groups say: cross-conformal prediction (Vovk 2015; Barber et al. 2021)
    over `FOLDS` folds of whole groups, whose scores are pooled. One rule, that of all posts, is then applied to a new
    post: its coverage is that of the folds as far as the few numbers fitted do not hang on a fold (Steinberger & Leeb
    2023). Raises DataError for too few groups.
    """
    fit = _fit(answers, truth)
    probabilities, log_scores = blended_out_of_fold(answers, truth)
    level_sets = LevelSets.fit(probabilities, truth.levels)
    sets = level_sets.apply(probabilities)
    return fit.model_copy(
        update={
            "level_sets": level_sets.to_dict(),
            "interval": ScoreInterval.fit(probabilities, log_scores, truth.log_scores).to_dict(),
            "abstention": Abstention.fit(probabilities, sets, truth.levels, prior, truth.groups).to_dict(),
        }
    )


def blended_out_of_fold(answers: Mapping[str, MemberOutput], truth: Truth) -> tuple[Array, Array]:
    """Calibrated probabilities (n, 5) and log scores (n,), each as the groups of the other folds blend and temper."""
    folds = stratified_folds(truth.levels, truth.groups, FOLDS, 0)
    probabilities, log_scores = np.empty((len(folds), len(LEVELS))), np.empty(len(folds))
    for fold in range(FOLDS):
        rest, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known, asked = ({name: answer.take(rows) for name, answer in answers.items()} for rows in (rest, own))
        probabilities[own], log_scores[own] = _applied(_fit(known, truth.at(rest)), asked)
    return probabilities, log_scores


def _fit(answers: Mapping[str, MemberOutput], truth: Truth) -> ViewFit:
    """Weights, temperature and slope; what is promised is left open."""
    draft = ViewFit(
        probability_weights=_probability_weights(answers, truth.levels),
        score_weights=_score_weights(answers, truth.target),
        slope=1.0,
        intercept=0.0,
        temperature={},
        level_sets={},
        interval={},
        abstention={},
    )
    pooled = blend(answers, draft)
    slope, intercept = _line(pooled.score, truth.log_scores)
    temperature = Temperature.fit(pooled.probabilities, truth.levels).to_dict()
    return draft.model_copy(update={"slope": slope, "intercept": intercept, "temperature": temperature})


def _applied(fit: ViewFit, answers: Mapping[str, MemberOutput]) -> tuple[Array, Array]:
    """Calibrated probabilities (n, 5) and log scores (n,)."""
    pooled = blend(answers, fit)
    probabilities = Temperature.from_dict(fit.temperature).apply(pooled.probabilities)
    return probabilities, fit.intercept + fit.slope * pooled.score
