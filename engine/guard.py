"""Whether a title or a picture is unlike all that the model learned from, so that its answer would be a guess.

A weighted sum of the columns of one feature of that side tells the training posts from titles and pictures that nobody
publishes. It says nothing of whether a post is good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.bundle import GuardFit, Side
from engine.errors import BundleError
from engine.features.base import Feature, Values

REASONS: Mapping[Side, str] = {
    "text": "This does not look like a title the model has learned from, so it says no more than what is usual.",
    "image": "This does not look like a picture the model has learned from, so it says no more than what is usual.",
}
# Where the other side is none of that.
BESIDE: Mapping[Side, str] = {
    "text": "This does not look like a title the model has learned from, so this is what the picture alone suggests.",
    "image": "This does not look like a picture the model has learned from, so this is what the title alone suggests.",
}


def left_over(strange: Mapping[Side, npt.NDArray[np.bool_]]) -> dict[Side, npt.NDArray[np.bool_]]:
    """Of n posts with both sides, by side, which have it left to be answered on its own: only the other is strange."""
    pairs: tuple[tuple[Side, Side], ...] = ("image", "text"), ("text", "image")
    return {side: strange[other] & ~strange.get(side, np.False_) for side, other in pairs if other in strange}


@dataclass(frozen=True)
class Guard:
    """The guard of one side: what the columns of `fit.feature` weigh, `weights` (columns,) and one `offset` (1,)."""

    side: Side
    fit: GuardFit
    weights: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    def strangeness(self, values: Values) -> npt.NDArray[np.float64]:
        """Log odds of junk for n posts, (n,), from the feature's values (n, columns)."""
        found: npt.NDArray[np.float64] = values.astype(np.float64) @ self.weights + self.offset
        return found

    def is_strange(self, values: Values) -> npt.NDArray[np.bool_]:
        """Whether each of n posts looks stranger than is let through, (n,)."""
        strange: npt.NDArray[np.bool_] = self.strangeness(values) > self.fit.threshold
        return strange

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"weights": self.weights, "offset": self.offset}, folder / f"{self.side}.safetensors")

    @classmethod
    def load(cls, folder: Path, side: Side, fit: GuardFit, feature: Feature) -> "Guard":
        """Raises BundleError for a guard that is not of finite numbers, or not of this feature of this side."""
        from safetensors.numpy import load_file

        found = load_file(folder / f"{side}.safetensors")
        guard = cls(side, fit, found["weights"].reshape(-1), found["offset"].reshape(1))
        if feature.modalities != (side,) or feature.shape != guard.weights.shape:
            raise BundleError(f"The guard of the {side} cannot read {fit.feature}; fetch or train the bundle again.")
        if not (np.isfinite(guard.weights).all() and np.isfinite(guard.offset).all()):
            raise BundleError(f"The guard of the {side} is not of finite numbers; fetch or train the bundle again.")
        return guard
