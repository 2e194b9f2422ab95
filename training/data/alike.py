"""Which of many pictures and titles are nearly the same, found without comparing each with every other.

What is equal in some respect is brought together by sorting, and only what has met so is compared. The work grows with
the number of posts, not with its square.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

# Bits of 64 that the perceptual hashes of the same picture differ in at most, and the parts that a hash is cut into.
PHASH_DISTANCE, PHASH_PARTS = 6, 9
TITLE_SIMILARITY = 0.75
# N-grams drawn from each title, and how many in a row two titles must share to be compared.
DRAWS, IN_A_ROW = 150, 3
# Pairs compared, or titles drawn from, at once: keeps what that takes within some tens of MB.
_AT_ONCE = 50_000

Rows = npt.NDArray[np.int64]


def near_pictures(hashes: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """Pairs of places whose hashes, 16 hex digits, differ in `PHASH_DISTANCE` bits or less; of equal ones, a chain.

    So few bits touch no more than as many of `PHASH_PARTS` parts. Two near hashes agree in all the other parts, so
    those are compared that agree in some choice of so many: none is missed.
    """
    rows = np.array([row for row, value in enumerate(hashes) if value], dtype=np.int64)
    bits, first, own = np.unique(
        np.array([int(hashes[row] or "0", 16) for row in rows], dtype=np.uint64), return_index=True, return_inverse=True
    )
    again = np.delete(np.arange(len(rows)), first)
    yield from zip(rows[first[own[again]]].tolist(), rows[again].tolist(), strict=True)
    parts = [sum(1 << bit for bit in range(part, 64, PHASH_PARTS)) for part in range(PHASH_PARTS)]
    for agreed in combinations(parts, PHASH_PARTS - PHASH_DISTANCE):
        for left, right in _equal(bits & np.uint64(sum(agreed))):
            near = np.bitwise_count(bits[left] ^ bits[right]) <= PHASH_DISTANCE
            yield from zip(rows[first[left[near]]].tolist(), rows[first[right[near]]].tolist(), strict=True)


def near_titles(titles: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of places whose TF-IDF vectors of letter n-grams have a cosine of `TITLE_SIMILARITY` or more.

    Those are compared that share `IN_A_ROW` of `DRAWS` n-grams, each drawn from a title with the square of its weight
    as chance, by the same luck for all titles (Moulton & Jiang 2018, https://arxiv.org/abs/1809.04052). Titles as near
    as that draw the same n-gram about every second time: one pair in thousands is missed. Of equal titles the first
    stands for all, and titles of 3 letters or less are near to none.
    """
    longer = np.array([row for row, title in enumerate(titles) if len(title) > 3], dtype=np.int64)
    texts, first = np.unique([titles[row] for row in longer], return_index=True)
    if len(texts) < 2:
        return
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), dtype=np.float32)
    grams, rows = vectors.fit_transform([titles[row] for row in longer])[first], longer[first]
    for drawn in _drawn(grams):
        for left, right in _equal(drawn):
            near = np.asarray(grams[left].multiply(grams[right]).sum(axis=1)).ravel() >= TITLE_SIMILARITY
            yield from zip(rows[left[near]].tolist(), rows[right[near]].tolist(), strict=True)


def _drawn(grams: csr_matrix) -> Iterator[npt.NDArray[np.uint64]]:
    """For each of n rows, none of them empty, a number that stands for `IN_A_ROW` columns drawn of it, (n,)."""
    generator = np.random.default_rng(0)
    rare = 1 / np.square(grams.data, dtype=np.float64)
    for _ in range(DRAWS // IN_A_ROW):
        keys = np.zeros(grams.shape[0], dtype=np.uint64)
        for _ in range(IN_A_ROW):
            luck = generator.standard_exponential(grams.shape[1])
            for start in range(0, len(keys), _AT_ONCE):
                ends = grams.indptr[start : start + _AT_ONCE + 1]
                columns, lengths = grams.indices[ends[0] : ends[-1]], np.diff(ends)
                # The first of independent arrivals at rates w is that of i in w_i of all cases.
                arrival = luck[columns] * rare[ends[0] : ends[-1]]
                best = arrival == np.repeat(np.minimum.reduceat(arrival, ends[:-1] - ends[0]), lengths)
                place = np.repeat(np.arange(len(lengths)), lengths)[best] + start
                keys[place] = keys[place] * np.uint64(0x9E3779B97F4A7C15) + columns[best].astype(np.uint64)
        yield keys


def _equal(keys: npt.NDArray[np.uint64]) -> Iterator[tuple[Rows, Rows]]:
    """Every two places of equal keys (n,), `_AT_ONCE` pairs at a time."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff([*starts, len(ordered)])
    # Of each place in the order, how many equal ones follow it.
    after = np.repeat(starts + sizes, sizes) - np.arange(len(ordered)) - 1
    total = np.concatenate([[0], np.cumsum(after)])
    for begin in range(0, int(total[-1]), _AT_ONCE):
        pair = np.arange(begin, min(begin + _AT_ONCE, int(total[-1])))
        left = np.searchsorted(total, pair, side="right") - 1
        yield order[left], order[left + 1 + pair - total[left]]
