"""A small space for the vectors of one encoder: a few principal axes, a byte a coordinate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float32]
STEPS = 127
TENSORS = ("bytes", "steps", "mean", "axes")


def unit(vectors: npt.ArrayLike) -> Table:
    """Vectors (n, d) scaled to length 1; a vector of zeros stays one."""
    table = np.asarray(vectors, dtype=np.float32)
    scaled: Table = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    return scaled


@dataclass(frozen=True)
class Space:
    """n posts in `width` dimensions, and how to put others beside them.

    An encoder's vectors all point one way, so cosines between them say little: `mean` (dim,) is taken away from
    vectors of length 1 before they are put on the principal `axes` (dim, width) of the posts (Jolliffe, Principal
    Component Analysis, 2002) and scaled to length 1 again. `rows` (n, width) are the posts there.
    """

    rows: Table
    mean: Table
    axes: Table

    @classmethod
    def fit(cls, vectors: npt.ArrayLike, width: int) -> Self:
        """The space of n posts' vectors (n, dim); its `rows` are as `tensors` and `load` give them back."""
        table = unit(vectors)
        mean = table.mean(axis=0)
        centred = (table - mean).astype(np.float64)
        _, axes = np.linalg.eigh(centred.T @ centred)
        # The largest eigenvalues come last; half precision is what is stored.
        axes = axes[:, ::-1][:, :width].astype(np.float16).astype(np.float32)
        space = cls(unit(centred.astype(np.float32) @ axes), mean, axes)
        return cls.load(space.tensors())

    def place(self, vectors: npt.ArrayLike) -> Table:
        """Where vectors (m, dim) of the same encoder lie, (m, width), of length 1."""
        return unit((unit(vectors) - self.mean) @ self.axes)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """What is stored, by the names in `TENSORS`: `rows` a byte a coordinate, and the step of each column."""
        steps = np.maximum(np.abs(self.rows).max(axis=0, initial=0.0), 1e-9).astype(np.float32) / STEPS
        rounded = np.round(self.rows / steps).astype(np.int8)
        return {"bytes": rounded, "steps": steps, "mean": self.mean, "axes": self.axes.astype(np.float16)}

    @classmethod
    def load(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The space of stored tensors. Raises ValueError or KeyError when they are none or do not fit together."""
        stored, steps, mean, axes = (tensors[name] for name in TENSORS)
        if stored.shape[1:] != steps.shape or axes.shape != (len(mean), len(steps)):
            raise ValueError("shapes that do not fit together")
        space = cls(unit(stored * steps), mean.astype(np.float32), axes.astype(np.float32))
        if not all(np.isfinite(table).all() for table in (space.rows, space.mean, space.axes)):
            raise ValueError("numbers that are not finite")
        return space
