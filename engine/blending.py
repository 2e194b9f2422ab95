"""From the members' outputs to one calibrated answer: pooled, tempered, with its sets and interval."""

from collections.abc import Mapping

import numpy as np

from engine.abstention import Abstention
from engine.bundle import ViewFit
from engine.calibration import LevelSets, ScoreInterval, Temperature
from engine.prediction import BatchPrediction, MemberOutput, View

SMALLEST = 1e-6


def blend(outputs: Mapping[str, MemberOutput], fit: ViewFit) -> MemberOutput:
    """Members' outputs pooled with the weights of a view: log-linear for probabilities, linear for scores."""
    logs = sum(
        weight * np.log(np.maximum(outputs[name].probabilities, SMALLEST))
        for name, weight in fit.probability_weights.items()
    )
    raw = np.exp(logs - np.max(logs, axis=1, keepdims=True))
    score = sum(weight * outputs[name].score for name, weight in fit.score_weights.items())
    return MemberOutput(raw / raw.sum(axis=1, keepdims=True), np.asarray(score))


class Calibration:
    """The calibrators of one view, ready to apply."""

    def __init__(self, fit: ViewFit) -> None:
        self.fit = fit
        self.temperature = Temperature.from_dict(fit.temperature)
        self.level_sets = LevelSets.from_dict(fit.level_sets)
        self.interval = ScoreInterval.from_dict(fit.interval)
        self.abstention = Abstention.from_dict(fit.abstention)

    def apply(self, view: View, outputs: Mapping[str, MemberOutput]) -> BatchPrediction:
        """The calibrated answer for n posts from the outputs of (at least) the members that have a weight."""
        pooled = blend(outputs, self.fit)
        probabilities = self.temperature.apply(pooled.probabilities)
        log_score = self.fit.intercept + self.fit.slope * pooled.score
        sets = self.level_sets.apply(probabilities)
        return BatchPrediction(
            view=view,
            probabilities=probabilities,
            log_score=log_score,
            interval=self.interval.apply(probabilities, log_score),
            level_sets=sets,
            abstain=self.abstention.apply(probabilities, sets),
            members=dict(outputs),
            category=next((output.category for output in outputs.values() if output.category is not None), None),
        )
