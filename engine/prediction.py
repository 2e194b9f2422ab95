"""What a prediction says, in the words of the page and of the batch file."""

from dataclasses import dataclass
from typing import Literal

from engine.scoring import LEVELS

View = Literal["both", "text", "image"]
VIEWS: tuple[View, ...] = ("both", "text", "image")


@dataclass(frozen=True)
class MemberPrediction:
    """One member's opinion before blending: five probabilities in level order, and a log engagement score."""

    member: str
    probabilities: tuple[float, ...]
    log_score: float
    weight: float


@dataclass(frozen=True)
class Prediction:
    """The answer for one post.

    `probabilities` are calibrated, in level order 0..4, and sum to 1. `score` is an engagement score (a rate, not a
    log) with its 80 % interval. `level_set` is the conformal 90 % set, consecutive levels. `prior` is the share of
    each level in the training split. `reason` says why `abstain` is set ("" otherwise). `note` says which side of
    the post the model did not see, or did not read.
    """

    post_id: str
    view: View
    level: int
    probabilities: tuple[float, ...]
    expected_level: float
    score: float
    score_low: float
    score_high: float
    level_set: tuple[int, ...]
    prior: tuple[float, ...]
    abstain: bool
    reason: str
    note: str
    members: tuple[MemberPrediction, ...] = ()

    @property
    def level_name(self) -> str:
        return LEVELS[self.level]

    @property
    def confidence(self) -> float:
        """Probability of the predicted level."""
        return self.probabilities[self.level]
