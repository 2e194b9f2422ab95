"""The posts that a network learns from: what is to be learned of each, and where its inputs come from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from engine.features.base import digest
from engine.fusion import soft_levels
from engine.scoring import LEVELS

Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class SoftTargets:
    """What others say of n posts: targets (n,) on the normal scale and shares (n, 5) of the levels.

    `weight` is the share of them in what is learned, `fingerprint` the hash of what was said; to find them took
    `seconds`.
    """

    target: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]
    weight: float
    fingerprint: str
    seconds: float

    def of(self, rows: npt.NDArray[np.int64]) -> "SoftTargets":
        """Those of some rows."""
        return replace(self, target=self.target[rows], shares=self.shares[rows])


class Fetch(Protocol):
    """Inputs of both sides for some rows, None of one not seen; augmented, by this seed alone, when one is given."""

    def __call__(self, index: npt.NDArray[np.int64], *, seed: int | None) -> tuple[Inputs | None, Inputs | None]: ...


@dataclass
class TrainingSet:
    """Posts to learn from: targets (n,) on the normal scale, levels (n,), and the inputs of any rows.

    `fingerprint` names the posts, what is read of them, their targets and the encoders that read them. `shares` (n, 5)
    says how likely each level is where it is not known, with rows of NaN where it is. Rows of like `lengths` (n,) go
    into a batch together, which leaves little padding to compute.
    """

    target: npt.NDArray[np.float64]
    level: npt.NDArray[np.int64]
    fetch: Fetch
    fingerprint: str
    shares: npt.NDArray[np.float64] | None = None
    lengths: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.target)

    def taught(self, soft: SoftTargets, *, ordinal: bool) -> "TrainingSet":
        """The same with its first posts' targets and levels, as many as `soft` has, drawn towards these.

        Distillation (Hinton et al. 2015): what others say of a post holds less of its own luck.
        """
        count, weight = len(soft.target), soft.weight
        target = self.target.copy()
        target[:count] += weight * (soft.target - target[:count])
        known = _shares(torch.tensor(self.level[:count]), ordinal=ordinal)
        shares = np.full((len(self), soft.shares.shape[1]), np.nan) if self.shares is None else self.shares.copy()
        shares[:count] = (1 - weight) * known.numpy() + weight * soft.shares
        made_from = digest([self.fingerprint, soft.fingerprint, weight])
        return replace(self, target=target, shares=shares, fingerprint=made_from)

    def levels(self, rows: npt.NDArray[np.int64], *, ordinal: bool) -> torch.Tensor:
        """Levels (n,) of some rows, or the shares (n, 5) of each level where not all are known."""
        level = torch.as_tensor(self.level[rows])
        if self.shares is None:
            return level
        shares = torch.as_tensor(self.shares[rows], dtype=torch.float32)
        return torch.where(shares.isnan(), _shares(level, ordinal=ordinal), shares)


def _shares(level: torch.Tensor, *, ordinal: bool) -> torch.Tensor:
    """Shares (n, levels) of known levels (n,): spread over those beside where they are in order."""
    return soft_levels(level) if ordinal else functional.one_hot(level, len(LEVELS)).float()


def rounded(values: npt.NDArray[np.float64]) -> list[Any]:
    """Numbers for a fingerprint, the same on every machine: their last digits are not."""
    found: list[Any] = (values.round(9) + 0.0).tolist()
    return found
