"""Further pictures of a work folder: covers of which only a class of likes per view is known, no words and no counts.

A network that sees pictures alone learns from them too. What their class says of a level and of a target is read off
the training posts, whose likes per view are known exactly.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.features.base import digest
from engine.scoring import LEVELS
from training.data.alike import PHASH_DISTANCE
from training.data.further import BOUNDS, PICTURES
from training.data.workspace import Workspace
from training.features.pictures import decoded_pictures
from training.modeling.training_set import TrainingSet, rounded

# Class and exact rate disagree for about one in ten of those where both are known: upstream, some missing likes were
# replaced by a mean.
WRONG = 0.1


@dataclass(frozen=True)
class Further:
    """n pictures with the target (n,), on the normal scale, and level shares (n, 5) that their class suggests.

    `rows` (n,) are their places among all of the file, whose `files` are the hashes of the stored pictures.
    """

    workspace: Workspace
    files: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    target: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, workspace: Workspace) -> "Further | None":
        """Those of a work folder, None without any.

        Left out are those that look like any post, of whatever part, and those of a class that no training post has.
        """
        path = workspace.folder / PICTURES
        if not path.exists():
            return None
        table = pd.read_parquet(path, columns=["file_hash", "phash", *BOUNDS])
        low, high = (table[name].to_numpy() for name in BOUNDS)
        train = workspace.posts.iloc[workspace.rows("train")]
        rate = train["likes_per_view"].to_numpy(dtype=np.float64, na_value=np.nan)
        level, target = train["level"].to_numpy(), train["target"].to_numpy()
        prior = np.bincount(level, minlength=len(LEVELS)) / len(level)
        targets, shares = np.full(len(table), np.nan), np.tile(prior, (len(table), 1))
        for bounds in {*zip(low, high, strict=True)}:
            inside = (rate >= bounds[0]) & (rate < bounds[1])
            if inside.any():
                own = (low == bounds[0]) & (high == bounds[1])
                found = np.bincount(level[inside], minlength=len(LEVELS)) / inside.sum()
                targets[own] = (1 - WRONG) * target[inside].mean()
                shares[own] = (1 - WRONG) * found + WRONG * prior
        rows = np.flatnonzero(np.isfinite(targets) & ~_resemble(table["phash"], workspace))
        return cls(workspace, tuple(table["file_hash"]), rows, targets[rows], shares[rows])

    def pixels(self, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """All pictures of the file at one size, mapped from the disk; `rows` are the places of these n."""
        return decoded_pictures(self.workspace.folder, self.files, size, PICTURES)

    @property
    def fingerprint(self) -> str:
        """Hash of the pictures and of what is said of them."""
        return digest([[self.files[row] for row in self.rows], rounded(self.target), rounded(self.shares)])

    def behind(self, data: TrainingSet) -> TrainingSet:
        """The posts of `data` with these behind them; its `fetch` must give them there."""
        known = np.full((len(data), len(LEVELS)), np.nan)
        return TrainingSet(
            np.concatenate([data.target, self.target]),
            np.concatenate([data.level, self.shares.argmax(axis=1)]),
            data.fetch,
            data.fingerprint,
            np.concatenate([known, self.shares]),
        )


def _resemble(hashes: "pd.Series[str]", workspace: Workspace) -> npt.NDArray[np.bool_]:
    """Whether each picture is, nearly, that of a post."""
    known = np.array([int(value, 16) for value in workspace.metadata["phash"].dropna()], dtype=np.uint64)
    own = np.array([int(value, 16) for value in hashes], dtype=np.uint64)
    return np.array([bool((np.bitwise_count(known ^ value) <= PHASH_DISTANCE).any()) for value in own], dtype=bool)
