"""Which of two posts did better, and how often a model says so: every pair counted, without going over the pairs.

Truths of a cluster are numbered in order, from 0. Any two different numbers agree in their first bits and part at one,
where the higher truth has a 1 and the lower a 0, so every pair belongs to one bit. At each bit, posts that agree in the
bits before are sorted by their prediction, and the weight of lower truths below each higher one is a cumulative sum.
This takes n log n, of which what does not hang on the weights is done once (a wavelet tree; Grossi et al. 2003).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]

# Posts × resamples at once, which stay in a processor's own memory, and the fewest resamples that are worth a call.
_AT_ONCE, _FEWEST = 50_000, 8


@dataclass(frozen=True)
class _Bit:
    """Pairs that part at one bit: `lower` and `higher` posts, each sorted by block and prediction.

    Of each of `higher`, `least` of `lower` are in blocks before its own and `most` are that or below it. `tied` are
    those places in `higher` with equals in `lower`, which end at `ends`.
    """

    lower: Places
    higher: Places
    least: Places
    most: Places
    tied: Places
    ends: Places


class Pairs:
    """The pairs of n posts of one cluster with different truths. `truth`, `predicted` and `cluster` are (n,)."""

    def __init__(self, truth: Array, predicted: Array, cluster: npt.NDArray[np.int64]) -> None:
        self.by_truth = np.lexsort((truth, cluster))
        starts = _starts(cluster[self.by_truth])
        changes = starts | _starts(truth[self.by_truth])
        self.clusters, self.ties = np.flatnonzero(starts), np.flatnonzero(changes)
        numbers = changes.cumsum()
        number = np.empty(len(truth), dtype=np.int64)
        number[self.by_truth] = numbers - numbers[self.clusters][starts.cumsum() - 1]
        self.bits = list(_bits(number, predicted, cluster))

    def right(self, weights: Array) -> Array:
        """Share of pairs that are ordered right, a tied prediction counting half; NaN without pairs.

        Weights are (resamples, n), and a pair's is the product of its posts'.
        """
        rows = max(_FEWEST, _AT_ONCE // weights.shape[1])
        return np.concatenate([self._right(weights[at : at + rows].T) for at in range(0, len(weights), rows)])

    def _right(self, weights: Array) -> Array:
        weights = np.ascontiguousarray(weights)
        right = np.zeros(weights.shape[1])
        for bit in self.bits:
            higher = weights.take(bit.higher, axis=0)
            below = np.zeros((len(bit.lower) + 1, weights.shape[1]))
            weights.take(bit.lower, axis=0).cumsum(axis=0, out=below[1:])
            right += np.einsum("ij,ij->j", higher, below.take(bit.most, axis=0) - below.take(bit.least, axis=0))
            if len(bit.tied):
                equal = below.take(bit.ends, axis=0) - below.take(bit.most[bit.tied], axis=0)
                right += np.einsum("ij,ij->j", higher.take(bit.tied, axis=0), equal) / 2.0
        alike = np.add.reduceat(weights[self.by_truth], self.ties)
        within = np.add.reduceat(weights[self.by_truth], self.clusters)
        pairs = ((within**2).sum(axis=0) - (alike**2).sum(axis=0)) / 2.0
        return np.divide(right, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _starts(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Where another value than the one before begins, (n,)."""
    return np.concatenate([[True], values[1:] != values[:-1]])


def _bits(number: npt.NDArray[np.int64], predicted: Array, cluster: npt.NDArray[np.int64]) -> Iterator[_Bit]:
    """The pairs of n posts by the bit of `number` (n,) at which they part, the highest first."""
    place = np.lexsort((predicted, cluster))
    starts = _starts(cluster[place])
    for bit in reversed(range(int(number.max()).bit_length())):
        one = (number[place] >> bit) & 1 == 1
        block, first = starts.cumsum() - 1, np.flatnonzero(starts)
        runs = starts | _starts(predicted[place])
        run, edges = runs.cumsum() - 1, np.append(np.flatnonzero(runs), len(place))
        lower = ~one & np.logical_or.reduceat(one, first)[block]
        higher = one & np.logical_or.reduceat(~one, first)[block]
        before = np.append(0, lower.cumsum())
        most, ends = before[edges[run[higher]]], before[edges[run[higher] + 1]]
        tied = np.flatnonzero(ends > most)
        found = place[lower], place[higher], before[first[block[higher]]], most, tied, ends[tied]
        yield _Bit(*(part.astype(np.int32) for part in found))
        key = 2 * block + one
        order = np.argsort(key, kind="stable")
        place, starts = place[order], _starts(key[order])
