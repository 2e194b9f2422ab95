"""What members and the model say of posts: as arrays for many at once, and in the words of the page for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.scoring import LEVELS

Array = npt.NDArray[np.float64]

View = Literal["both", "text", "image"]
VIEWS: tuple[View, ...] = ("both", "text", "image")


@dataclass(frozen=True)
class CategoryOutput:
    """Of n posts: `probabilities` (n, k) of the k categories of these `names`, rows summing to 1."""

    names: tuple[str, ...]
    probabilities: Array


@dataclass(frozen=True)
class MemberOutput:
    """Of n posts: `probabilities` (n, 5) in level order, rows summing to 1, and `score` (n,) on the normal scale.

    `category` is there of a member that also says which category a post is of.
    """

    probabilities: Array
    score: Array
    category: CategoryOutput | None = None

    def take(self, rows: npt.NDArray[np.intp]) -> "MemberOutput":
        """The output of some of the posts, in any order and as often as named."""
        category = self.category and CategoryOutput(self.category.names, self.category.probabilities[rows])
        return MemberOutput(self.probabilities[rows], self.score[rows], category)


def joined(outputs: Sequence[MemberOutput]) -> MemberOutput:
    """Outputs of one member to several lots of posts, one behind the other."""
    first = outputs[0].category
    categories = [output.category.probabilities for output in outputs if output.category]
    return MemberOutput(
        np.concatenate([output.probabilities for output in outputs]),
        np.concatenate([output.score for output in outputs]),
        first and CategoryOutput(first.names, np.concatenate(categories)),
    )


@dataclass(frozen=True)
class BatchPrediction:
    """Of n posts of one view: `probabilities` (n, 5), `log_score` (n,) with its 80 % `interval` (n, 2), conformal
    `level_sets` (n, 2) as first and last level, `abstain` (n,), each member's uncalibrated output, and the categories
    where a member says them."""

    view: View
    probabilities: Array
    log_score: Array
    interval: Array
    level_sets: npt.NDArray[np.int64]
    abstain: npt.NDArray[np.bool_]
    members: Mapping[str, MemberOutput] = field(default_factory=dict)
    category: CategoryOutput | None = None

    @property
    def expected_level(self) -> Array:
        """Σ k·p_k, 0 to 4, shape (n,)."""
        return self.probabilities @ np.arange(self.probabilities.shape[1])


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
    log) with its 80 % interval, `percentiles` the share of training posts below the score and below both ends of the
    interval. `level_set` is the conformal 90 % set, consecutive levels. `prior` is the share of
    each level in the training split. `reason` says why `abstain` is set ("" otherwise); `strange` names the side that
    is unlike all that the model learned from: then `view` is the other side, answered on its own, or, where there is
    none, the probabilities are the prior. `note` says which side of the
    post the model did not see, or did not read. `categories` are names with their probability, the likeliest first, of
    a model that says them and is not kept from answering.
    """

    post_id: str
    view: View
    level: int
    probabilities: tuple[float, ...]
    expected_level: float
    score: float
    score_low: float
    score_high: float
    percentiles: tuple[float, float, float]
    level_set: tuple[int, ...]
    prior: tuple[float, ...]
    abstain: bool
    reason: str
    note: str
    strange: Literal["image", "text"] | None = None
    members: tuple[MemberPrediction, ...] = ()
    categories: tuple[tuple[str, float], ...] = ()

    @property
    def is_usual(self) -> bool:
        """Whether it is only what is usual, for want of a side that is not strange."""
        return self.strange is not None and self.view in ("both", self.strange)

    @property
    def level_name(self) -> str:
        return LEVELS[self.level]

    @property
    def confidence(self) -> float:
        """Probability of the predicted level."""
        return self.probabilities[self.level]
