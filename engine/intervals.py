"""The one interval rule: whole groups of related posts are drawn (cluster bootstrap), 95 % percentile intervals.

Posts of one channel resemble each other, and drawing them singly would make every interval too narrow (Field & Welsh
2007). A resample is a row of whole-number weights, how often each post's group was drawn, so a metric that takes
weights gives its value and its interval by the same lines.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 1000
# Resamples × posts held at once: keeps each of a chunk's arrays within a few MB, near to the processor.
_CHUNK = 300_000


def cluster_numbers(groups: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Groups (n,) of any type as 0..k − 1; a post whose group is unknown (None or NaN) is a group of its own."""
    import pandas as pd

    codes = pd.factorize(np.asarray(groups))[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def cluster_weights(groups: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Array]:
    """Bootstrap weights in chunks of shape (some, n), `resamples` rows in all; groups as `cluster_numbers` takes."""
    codes = cluster_numbers(groups)
    size = int(codes.max(initial=-1)) + 1
    share = np.full(size, 1.0 / max(size, 1))
    generator = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // max(len(codes), 1))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        yield generator.multinomial(size, share, size=rows).astype(np.float64).take(codes, axis=1)


def gathered(count: int, most: int) -> npt.NDArray[np.int64]:
    """A number below `most` for each of `count` groups, as many groups under each as under any other, by chance.

    Groups under one number are drawn together. As they have nothing to do with one another, the sums of so many of
    them vary as the groups themselves do (random groups; Wolter 2007, ch. 2), at a cost that no longer grows. Where
    there are not more than `most`, each keeps a number of its own: its place.
    """
    if count <= most:
        return np.arange(count)
    return np.random.default_rng(0).permutation(count) % most


def bounds(values: npt.ArrayLike) -> tuple[float, float]:
    """The 95 % percentile interval of resampled values (resamples,), undefined ones left out; NaN where none is."""
    tail = (1.0 - CONFIDENCE) / 2.0
    array = np.asarray(values, dtype=np.float64)
    defined = array[~np.isnan(array)]
    low, high = np.quantile(defined, [tail, 1.0 - tail]) if len(defined) else (np.nan, np.nan)
    return float(low), float(high)


def mean_interval(values: npt.ArrayLike, groups: npt.ArrayLike, resamples: int = RESAMPLES) -> tuple[float, float]:
    """Interval of the mean of values (n,) of posts in groups (n,); NaN for no values."""
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        return float("nan"), float("nan")
    codes = cluster_numbers(groups)
    sums, sizes = np.bincount(codes, array), np.bincount(codes).astype(np.float64)
    means = []
    for weights in cluster_weights(np.arange(len(sizes)), resamples):
        total = weights @ sizes
        means.append(np.divide(weights @ sums, total, out=np.full(len(total), np.nan), where=total > 0))
    return bounds(np.concatenate(means))
