"""Whether a title or a picture is unlike all that the model learned from, so that its answer would be a guess.

A classifier tells the training posts from titles and pictures that nobody publishes, by one feature of that side:
boosted trees, or a weighted sum. It says nothing of whether a post is good.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from engine.bundle import GuardFit, GuardKind, Side
from engine.errors import BundleError
from engine.features.base import Feature, Values
from engine.trees import save_trees

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


class Classifier(Protocol):
    """Log odds of junk, from the values of a feature."""

    suffix: ClassVar[str]

    def strangeness(self, values: Values) -> npt.NDArray[np.float64]: ...

    def save(self, path: Path) -> None: ...

    @classmethod
    def load(cls, path: Path) -> Self: ...

    @property
    def columns(self) -> int: ...

    @property
    def is_finite(self) -> bool: ...


@dataclass(frozen=True)
class TreesClassifier:
    """`model` is a CatBoost classifier, junk above real."""

    model: Any
    suffix: ClassVar[str] = "cbm"

    def strangeness(self, values: Values) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = self.model.predict(values, prediction_type="RawFormulaVal", thread_count=1)
        return found

    def save(self, path: Path) -> None:
        save_trees(self.model, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        from catboost import CatBoostClassifier

        return cls(CatBoostClassifier().load_model(str(path)))

    @property
    def columns(self) -> int:
        return len(self.model.feature_names_)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.model.get_leaf_values()).all())


@dataclass(frozen=True)
class LinearClassifier:
    """A weighted sum of the columns: `weights` (columns,) and one `offset` (1,), float64."""

    weights: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    suffix: ClassVar[str] = "safetensors"

    def strangeness(self, values: Values) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = values.astype(np.float64) @ self.weights + self.offset
        return found

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"weights": self.weights, "offset": self.offset}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        from safetensors.numpy import load_file

        found = load_file(path)
        return cls(found["weights"].reshape(-1), found["offset"].reshape(1))

    @property
    def columns(self) -> int:
        return len(self.weights)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.weights).all() and np.isfinite(self.offset).all())


CLASSIFIERS: Mapping[GuardKind, type[Classifier]] = {"trees": TreesClassifier, "linear": LinearClassifier}


@dataclass(frozen=True)
class Guard:
    """The guard of one side: its `model` reads the columns of `fit.feature`."""

    side: Side
    fit: GuardFit
    model: Classifier

    def strangeness(self, values: Values) -> npt.NDArray[np.float64]:
        """Log odds of junk for n posts, (n,), from the feature's values (n, columns)."""
        return self.model.strangeness(values)

    def is_strange(self, values: Values) -> npt.NDArray[np.bool_]:
        """Whether each of n posts looks stranger than is let through, (n,)."""
        strange: npt.NDArray[np.bool_] = self.strangeness(values) > self.fit.threshold
        return strange

    def save(self, folder: Path) -> None:
        self.model.save(folder / f"{self.side}.{self.model.suffix}")

    @classmethod
    def load(cls, folder: Path, side: Side, fit: GuardFit, feature: Feature) -> "Guard":
        """Raises BundleError for a classifier that is not of finite numbers, or not of this feature of this side."""
        kind = CLASSIFIERS[fit.kind]
        model = kind.load(folder / f"{side}.{kind.suffix}")
        if feature.modalities != (side,) or feature.shape != (model.columns,):
            raise BundleError(f"The guard of the {side} cannot read {fit.feature}; fetch or train the bundle again.")
        if not model.is_finite:
            raise BundleError(f"The guard of the {side} is not of finite numbers; fetch or train the bundle again.")
        return cls(side, fit, model)
