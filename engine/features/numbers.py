"""Numbers known before a post is published, standardised: those named of its author, and when it is published.

What they are differs from dataset to dataset, so their names come from the training posts, and so do the means and
deviations. `refitted` ones are standardised by whatever batch they come in, as published work did with its test posts:
it is there to be shown, for the answer to a post then hangs on its neighbours.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from engine.context import AUTHOR
from engine.encoders.base import Modality
from engine.features.base import Feature, FeatureSettings, FittedFeature, Values
from engine.features.time_and_place import PLACE
from engine.posts import Post

TIME = "time_and_place"
# A dataset may name any number of them.
MOST = 64
# Standard deviations beyond which a number says no more.
FURTHEST = 5.0
# Of a column's largest number: a deviation below that is rounding.
LEAST_SPREAD = 1e-9


class Numbers(FittedFeature):
    """Values (n, columns): sign·log(1 + |x|) of each named number, and the time as it is, in deviations from the mean.

    What is not known is 0, the mean of the training posts.
    """

    kind: ClassVar[str] = "numbers"
    by_default: ClassVar[bool] = False
    supervised: ClassVar[bool] = False
    foldwise: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ()

    def __init__(
        self,
        name: str | None = None,
        columns: Sequence[str] = (),
        mean: Sequence[float] = (),
        deviation: Sequence[float] = (),
        refitted: bool = False,
        upstream: tuple[Feature, ...] = (),
    ) -> None:
        super().__init__(name)
        self.columns, self.upstream = tuple(columns), upstream
        self.mean, self.deviation = tuple(mean), tuple(deviation)
        self.refitted = refitted

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, **settings.options.get(name, {}), upstream=(need(TIME),))

    @property
    def context(self) -> dict[str, tuple[str, ...]]:
        time = self.upstream[0].columns
        names: dict[str, tuple[str, ...]] = {}
        for name in self.columns:
            place = PLACE if name in (*PLACE, "has_place") else ("published_at",)
            names |= dict.fromkeys(place if name in time else (f"{AUTHOR}{name}",), ())
        return names

    def fitted(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        time = self.upstream[0].columns
        facts = sorted({name for post in posts for name, _ in post.author})[:MOST]
        raw = self._raw([*time, *facts], posts, upstream)
        # Nothing is learned of what no training post has, or all have alike.
        known = np.isfinite(raw).any(axis=0)
        spread = np.zeros(raw.shape[1])
        spread[known] = np.nanstd(raw[:, known], axis=0)
        # Equal numbers have a spread too, that of rounding.
        kept = spread > LEAST_SPREAD * np.fmax.reduce(np.abs(raw), initial=1.0)
        names = [name for name, is_kept in zip([*time, *facts], kept, strict=True) if is_kept]
        mean = np.nanmean(raw[:, kept], axis=0)
        return type(self)(self.name, names, mean.tolist(), spread[kept].tolist(), self.refitted, self.upstream)

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        raw = self._raw(self.columns, posts, upstream)
        mean, deviation = np.array(self.mean), np.array(self.deviation)
        if self.refitted and len(raw):
            filled = np.where(np.isfinite(raw), raw, mean)
            mean, deviation = filled.mean(axis=0), np.maximum(filled.std(axis=0), 1e-9)
        values = np.clip((raw - mean) / deviation, -FURTHEST, FURTHEST)
        found: Values = np.nan_to_num(values, nan=0.0).astype(np.float32)
        return found

    def _raw(
        self, names: Sequence[str], posts: Sequence[Post], upstream: Mapping[str, Values]
    ) -> npt.NDArray[np.float64]:
        """The named numbers of n posts, (n, names), NaN where one has none."""
        time = {name: upstream[TIME][:, place] for place, name in enumerate(self.upstream[0].columns)}
        known = [dict(post.author) for post in posts]
        columns = [
            time[name]
            if name in time
            else np.array([np.sign(x) * np.log1p(abs(x)) for x in (facts.get(name, np.nan) for facts in known)])
            for name in names
        ]
        return np.array(columns, dtype=np.float64).reshape(len(names), len(posts)).T

    @property
    def config(self) -> dict[str, Any]:
        numbers = {"mean": list(self.mean), "deviation": list(self.deviation)}
        return {"columns": list(self.columns), **numbers, "refitted": self.refitted}

    @classmethod
    def load(
        cls, folder: Any, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        return cls(name, **config, upstream=upstream)


FEATURE = Numbers
