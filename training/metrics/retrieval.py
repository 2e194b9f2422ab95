"""How well two encoders match pictures and sentences: recall among many, and matched against mismatched pairs.

Every interval draws whole pictures, with all their sentences (`engine.intervals`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from engine.intervals import RESAMPLES, bounds, cluster_weights

Array = npt.NDArray[np.floating]
DEPTHS = (1, 5, 10)
# Pairs of each title with other titles that a matched pair is judged against.
MISMATCHES = 8


def ranks(pictures: Array, sentences: Array, owner: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    """How many others stand before the right one, of n pictures (n, d) and m sentences (m, d); `owner` (m) is whose.

    text_to_image has m ranks, image_to_text n: the best of the picture's own sentences counts.
    """
    similarity = pictures @ sentences.T
    own = similarity[owner, np.arange(len(owner))]
    best = np.full(len(pictures), -np.inf)
    np.maximum.at(best, owner, own)
    return {
        "text_to_image": (similarity > own[None]).sum(axis=0),
        "image_to_text": (similarity > best[:, None]).sum(axis=1),
    }


def recalls(
    pictures: Array, sentences: Array, owner: npt.NDArray[np.int64], resamples: int = RESAMPLES
) -> list[dict[str, object]]:
    """Recall at 1, 5 and 10 both ways with intervals: rows of direction, metric, value, low, high, n."""
    found = ranks(pictures, sentences, owner)
    rows = []
    for direction, places in found.items():
        cluster = owner if direction == "text_to_image" else np.arange(len(places))
        hits = np.stack([places < depth for depth in DEPTHS], axis=1).astype(float)
        drawn = [w @ hits / w.sum(axis=1, keepdims=True) for w in cluster_weights(cluster, resamples)]
        for depth, value, column in zip(DEPTHS, hits.mean(axis=0), np.concatenate(drawn).T, strict=True):
            low, high = bounds(column)
            rows.append(
                {"direction": direction, "metric": f"recall@{depth}", "value": float(value), "low": low, "high": high}
                | {"n": len(places)}
            )
    return rows


def area(matched: Array, mismatched: Array) -> float:
    """Area under the ROC curve: how often a matched pair's cosine lies above a mismatched one's."""
    places = rankdata(np.concatenate([matched, mismatched]))[: len(matched)]
    n, m = len(matched), len(mismatched)
    return float((places.sum() - n * (n + 1) / 2) / (n * m))


def mismatched_rows(count: int, groups: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each of `count` posts `MISMATCHES` other posts (count, MISMATCHES), of other groups."""
    generator = np.random.default_rng(0)
    group = np.asarray(groups)
    found = generator.integers(count, size=(count, MISMATCHES))
    for _ in range(20):
        same = group[found] == group[:, None]
        if not same.any():
            break
        found[same] = generator.integers(count, size=int(same.sum()))
    return found


def matching(
    pictures: Array, titles: Array, groups: npt.NDArray[np.int64], resamples: int = RESAMPLES
) -> dict[str, object]:
    """AUC of matched against mismatched pairs of n posts, both sides (n, d) of length 1, drawn by group."""
    others = mismatched_rows(len(pictures), groups)
    matched = (pictures * titles).sum(axis=1)
    mismatched = np.einsum("nd,nkd->nk", pictures, titles[others])
    drawn = []
    for weights in cluster_weights(groups, resamples):
        for row in weights.astype(np.int64):
            drawn.append(area(np.repeat(matched, row), np.repeat(mismatched, row, axis=0).ravel()))
    low, high = bounds(np.array(drawn))
    value = area(matched, mismatched.ravel())
    return {"direction": "pairs", "metric": "auc", "value": value, "low": low, "high": high, "n": len(matched)}
