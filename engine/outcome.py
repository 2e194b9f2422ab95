"""The calibrated answer for many posts at once, as arrays."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.members import MemberOutput
from engine.prediction import View

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BatchPrediction:
    """Of n posts of one view: `probabilities` (n, 5), `log_score` (n,) with its 80 % `interval` (n, 2), conformal
    `level_sets` (n, 2) as first and last level, `abstain` (n,), and each member's uncalibrated answer."""

    view: View
    probabilities: Array
    log_score: Array
    interval: Array
    level_sets: npt.NDArray[np.int64]
    abstain: npt.NDArray[np.bool_]
    answers: dict[str, MemberOutput] = field(default_factory=dict)

    @property
    def expected_level(self) -> Array:
        """Σ k·p_k, 0 to 4, shape (n,)."""
        return self.probabilities @ np.arange(self.probabilities.shape[1])
