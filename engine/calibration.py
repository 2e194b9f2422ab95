"""How sure a prediction is: temperature, conformal level sets and score intervals.

What is fitted is a handful of plain numbers, on posts that trained nothing; sets and intervals on posts that chose
nothing either (`training.modeling.blend`). Conformal coverage holds on average over posts like those, not for each.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from engine.errors import BundleError
from engine.scoring import LEVELS

Array = npt.NDArray[np.float64]

# Probabilities below this count as this: a level called impossible must not cost an infinite loss.
SMALLEST = 1e-12
_TEMPERATURES = (0.05, 20.0)
_SMALLEST_SPREAD = 0.25
_FEWEST = 100


def proper(values: npt.ArrayLike) -> Array:
    """Probabilities (n, levels) with rows summing to 1. Raises ValueError for what is none."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).all() or (array < 0).any() or (array.sum(axis=1) <= 0).any():
        raise ValueError("probabilities must be finite, not negative, and of shape (n, levels)")
    shares: Array = array / array.sum(axis=1, keepdims=True)
    return shares


def labels_of(levels: npt.ArrayLike, probabilities: Array) -> npt.NDArray[np.int64]:
    """Levels (n,) of as many posts. Raises ValueError for what is none."""
    array = np.asarray(levels)
    if array.shape != probabilities.shape[:1] or len(array) == 0:
        raise ValueError(f"{array.shape} levels do not fit {probabilities.shape} probabilities")
    if not np.isin(array, np.arange(probabilities.shape[1])).all():
        raise ValueError(f"levels must be whole numbers from 0 to {probabilities.shape[1] - 1}")
    return array.astype(np.int64)


def conformal_quantile(scores: npt.ArrayLike, level: float) -> float:
    """The ⌈(n + 1)·level⌉-th smallest of n scores: a new exchangeable score is at most that with probability ≥ level.

    Infinite when n is too small for `level` (Vovk et al. 2005). Raises ValueError without scores.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if len(ordered) == 0:
        raise ValueError("no scores to take a quantile of")
    # The small term undoes rounding: 0.9·10 must be the ninth score, never the tenth.
    rank = max(math.ceil((len(ordered) + 1) * level - 1e-9), 1)
    return float(ordered[rank - 1]) if rank <= len(ordered) else math.inf


def level_spread(probabilities: npt.ArrayLike) -> Array:
    """Standard deviation of the level under each row of (n, levels) probabilities, in levels; shape (n,)."""
    array = proper(probabilities)
    positions = np.arange(array.shape[1])
    return np.sqrt(np.maximum(array @ positions**2 - (array @ positions) ** 2, 0.0))


class Stored:
    """JSON in and out for the frozen dataclasses of this module."""

    def to_dict(self) -> dict[str, Any]:
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()  # type: ignore[call-overload]
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises BundleError for a key that is missing or one too many, and for no number."""
        names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        if set(values) != names:
            odd = ", ".join(sorted(set(values) ^ names))
            raise BundleError(
                f"The bundle's {cls.__name__} does not fit this version ({odd}); train or download it again."
            )
        numbers = [number for value in values.values() for number in (value if isinstance(value, list) else [value])]
        if not all(number is None or (type(number) in (int, float) and math.isfinite(number)) for number in numbers):
            raise BundleError(
                f"The bundle's {cls.__name__} holds what is no finite number; train or download it again."
            )
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


@dataclass(frozen=True)
class Temperature(Stored):
    """Temperature scaling (Guo et al. 2017): p_k^(1/T) / Σ p_j^(1/T). T > 1 flattens; the order of levels is kept."""

    value: float

    def __post_init__(self) -> None:
        if not self.value > 0:
            raise BundleError(f"{self.value} is no temperature; train or download the bundle again.")

    @classmethod
    def fit(cls, probabilities: npt.ArrayLike, levels: npt.ArrayLike) -> Self:
        """The T between 0.05 and 20 with the least log-loss on n posts: probabilities (n, levels), levels (n,)."""
        array = proper(probabilities)
        labels = labels_of(levels, array)
        logits = np.log(np.maximum(array, SMALLEST))
        rows = np.arange(len(labels))

        def loss(log_temperature: float) -> float:
            scaled = logits / math.exp(log_temperature)
            peak = scaled.max(axis=1)
            return float(np.mean(peak + np.log(np.exp(scaled - peak[:, None]).sum(axis=1)) - scaled[rows, labels]))

        low, high = np.log(_TEMPERATURES)
        found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
        return cls(float(np.exp(found.x)))

    def apply(self, probabilities: npt.ArrayLike) -> Array:
        """Calibrated probabilities, shape (n, levels), rows summing to 1."""
        scaled = np.log(np.maximum(proper(probabilities), SMALLEST)) / self.value
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares: Array = powers / powers.sum(axis=1, keepdims=True)
        return shares


def _mass_before(probabilities: Array) -> Array:
    """Mass already gathered when each level joins the interval that grows from the mode by its likelier neighbour."""
    count, levels = probabilities.shape
    rows = np.arange(count)
    # A column of −1 on both sides stands for "no neighbour there".
    padded = np.pad(probabilities, ((0, 0), (1, 1)), constant_values=-1.0)
    low = high = probabilities.argmax(axis=1)
    mass = probabilities[rows, low]
    before = np.zeros_like(probabilities)
    for _ in range(levels - 1):
        below, above = padded[rows, low], padded[rows, high + 2]
        down = below > above
        low, high = low - down, high + ~down
        joined = np.where(down, low, high)
        before[rows, joined] = mass
        mass = mass + probabilities[rows, joined]
    return before


@dataclass(frozen=True)
class LevelSets(Stored):
    """Conformal sets of consecutive levels: ordinal adaptive prediction sets (Lu et al. 2022, arXiv:2207.02238).

    From the likeliest level the interval grows by the likelier of its two neighbours until it holds the mass
    `threshold`, which split-conformal calibration chose so that 1 − `alpha` of the sets hold the true level. Plain
    adaptive sets take levels by probability alone, and so can leave a gap.
    """

    threshold: float
    alpha: float

    @classmethod
    def fit(cls, probabilities: npt.ArrayLike, levels: npt.ArrayLike, alpha: float = 0.1) -> Self:
        """Calibrates on n posts: calibrated probabilities (n, levels), true levels (n,)."""
        array = proper(probabilities)
        labels = labels_of(levels, array)
        reached = _mass_before(array)[np.arange(len(labels)), labels]
        return cls(min(conformal_quantile(reached, 1.0 - alpha), 1.0), alpha)

    def apply(self, probabilities: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """First and last level of each set, shape (n, 2); the likeliest level is always inside."""
        array = proper(probabilities)
        # Sums of the same five numbers may differ in the last bits between calibration and use.
        inside = _mass_before(array) <= self.threshold + 1e-9
        return np.stack([inside.argmax(axis=1), array.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)], axis=1)


@dataclass(frozen=True)
class ScoreInterval(Stored):
    """Interval on the log score: normalised split-conformal residuals with one quantile a side and predicted level.

    A residual is divided by the post's difficulty, the spread of its level distribution (Papadopoulos et al. 2008;
    Lei et al. 2018, section 5.2); the lower and the upper quantile each leave `alpha`/2 outside (Romano et al. 2019).
    They are those of the posts of one likeliest level (Mondrian categories, Vovk et al. 2003), for levels are of very
    different width in the score: what is promised then holds of each predicted level, not on average alone. `low` and
    `high` are one number for every level, or one for each.
    """

    low: float | tuple[float, ...]
    high: float | tuple[float, ...]
    alpha: float

    def __post_init__(self) -> None:
        if any(isinstance(ends, tuple) and len(ends) != len(LEVELS) for ends in (self.low, self.high)):
            raise BundleError("A score interval has not one number for each level; train or download the bundle again.")

    @classmethod
    def fit(
        cls, probabilities: npt.ArrayLike, log_scores: npt.ArrayLike, actual: npt.ArrayLike, alpha: float = 0.2
    ) -> Self:
        """Calibrates on n posts: probabilities (n, levels), predicted and actual log scores (n,).

        A level that fewer than `_FEWEST` posts are likeliest to have takes the numbers of all. Raises ValueError when
        n < 2/alpha − 1, too few for quantiles that far out.
        """
        array = proper(probabilities)
        residuals = np.asarray(actual, dtype=np.float64) - np.asarray(log_scores, dtype=np.float64)
        scaled = residuals / cls._difficulty(array)
        if not np.isfinite(scaled).all():
            raise ValueError("log scores must be finite")
        whole, predicted = cls._ends(scaled, alpha), array.argmax(axis=1)
        own = [scaled[predicted == level] for level in range(array.shape[1])]
        ends = [cls._ends(posts, alpha) if len(posts) >= max(_FEWEST, 2 / alpha) else whole for posts in own]
        return cls(tuple(low for low, _ in ends), tuple(high for _, high in ends), alpha)

    @staticmethod
    def _ends(scaled: Array, alpha: float) -> tuple[float, float]:
        """The lower and the upper quantile of scaled residuals (n,)."""
        low, high = -conformal_quantile(-scaled, 1.0 - alpha / 2), conformal_quantile(scaled, 1.0 - alpha / 2)
        if math.isinf(high):
            raise ValueError(f"{len(scaled)} posts are too few for an interval that leaves {alpha / 2:.0%} out a side")
        # An interval that misses its own prediction would puzzle; widening it can only raise the coverage.
        return min(low, 0.0), max(high, 0.0)

    @staticmethod
    def _difficulty(probabilities: npt.ArrayLike) -> Array:
        return np.maximum(level_spread(probabilities), _SMALLEST_SPREAD)

    def apply(self, probabilities: npt.ArrayLike, log_scores: npt.ArrayLike) -> Array:
        """Lower and upper bound on the log score, shape (n, 2); the predicted log score lies between."""
        array = proper(probabilities)
        difficulty = self._difficulty(array)
        predicted = array.argmax(axis=1)
        centre = np.asarray(log_scores, dtype=np.float64)
        low, high = (np.broadcast_to(ends, array.shape[1])[predicted] for ends in (self.low, self.high))
        return np.stack([centre + low * difficulty, centre + high * difficulty], axis=1)
