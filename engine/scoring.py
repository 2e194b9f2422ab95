"""Engagement score, popularity score and level bins: the one function for each, used for cuts and labels alike."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

LEVELS = ("Very Low", "Low", "Average", "High", "Very High")
PERCENTILES = (20, 40, 60, 80)
SCORE_FORMULA = "v1: (1·likes + 2·comments + 3·shares) / max(views, 1)"
SCORE_WEIGHTS = {"likes": 1.0, "comments": 2.0, "shares": 3.0}
POPULARITY_COUNTS = ("likes", "shares", "comments", "favorites")

# One reaction on 100,000 views: below every real score seen, so the log of a score of zero stays finite.
LOG_FLOOR = 1e-5

Counts = Mapping[str, npt.ArrayLike]
Array = npt.NDArray[np.float64]


def _column(counts: Counts, name: str, length: int) -> Array:
    if name not in counts:
        return np.full(length, np.nan)
    return np.asarray(counts[name], dtype=np.float64)


def engagement_score(counts: Counts) -> Array:
    """Engagement score of n posts, a rate: (1·likes + 2·comments + 3·shares) / max(views, 1).

    `counts` maps count names to arrays of shape (n,). An absent count (no column, or NaN) adds nothing;
    a post without views, or with no counted reaction at all, has no score (NaN). Raises KeyError without views.
    """
    views = np.asarray(counts["views"], dtype=np.float64)
    columns = np.stack([_column(counts, name, len(views)) for name in SCORE_WEIGHTS])
    weighted = np.nansum(columns * np.array(list(SCORE_WEIGHTS.values()))[:, None], axis=0)
    unknown = np.isnan(views) | np.isnan(columns).all(axis=0)
    return np.where(unknown, np.nan, weighted / np.maximum(views, 1.0))


def log_score(score: npt.ArrayLike) -> Array:
    """Natural log of engagement scores, floored at `LOG_FLOOR`; NaN stays NaN."""
    return np.log(np.maximum(np.asarray(score, dtype=np.float64), LOG_FLOOR))


def fit_popularity_weights(counts: Counts) -> dict[str, float]:
    """Weights 1 − Cor(views, count) of the popularity score, from the training split only.

    Pearson correlation over the posts where both are known; a count that is absent or constant gets no weight.
    """
    views = np.asarray(counts["views"], dtype=np.float64)
    weights = {}
    for name in POPULARITY_COUNTS:
        values = _column(counts, name, len(views))
        known = ~(np.isnan(values) | np.isnan(views))
        if known.sum() > 1 and np.ptp(values[known]) > 0 and np.ptp(views[known]) > 0:
            weights[name] = float(1.0 - np.corrcoef(views[known], values[known])[0, 1])
    return weights


def popularity_score(counts: Counts, weights: Mapping[str, float], *, with_views: bool = False) -> Array:
    """Popularity score of n posts, a reach: Σ (1 − Cor(views, c))·c over likes, shares, comments, favorites.

    Two variants are published: the text's formula, and the code's, which adds 1.0·views (`with_views=True`). An absent
    count adds nothing; a post with no counted reaction at all has no score (NaN). Raises KeyError without views.
    """
    views = np.asarray(counts["views"], dtype=np.float64)
    total = views.copy() if with_views else np.zeros(len(views))
    unknown = np.ones(len(views), dtype=bool)
    for name, weight in weights.items():
        column = _column(counts, name, len(views))
        total += weight * np.nan_to_num(column)
        unknown &= np.isnan(column)
    return np.where(unknown, np.nan, total)


def log_popularity(counts: Counts, weights: Mapping[str, float], *, with_views: bool = False) -> Array:
    """log(1 + popularity score), shape (n,)."""
    return np.log1p(np.maximum(popularity_score(counts, weights, with_views=with_views), 0.0))


def fit_cuts(score: npt.ArrayLike) -> Array:
    """The four level cuts, ascending: 20/40/60/80 percentiles of the training scores (NaN left out).

    Raises ValueError when the scores are too few or too equal to give five levels.
    """
    known = np.asarray(score, dtype=np.float64)
    known = known[~np.isnan(known)]
    if len(known) < len(LEVELS):
        raise ValueError(f"{len(known)} scores are too few for {len(LEVELS)} levels")
    cuts = np.percentile(known, PERCENTILES)
    if (np.diff(cuts) <= 0).any():
        raise ValueError("the scores repeat too much for five distinct levels")
    return cuts


def to_level(score: npt.ArrayLike, cuts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Levels 0..4 of scores: the number of cuts a score lies above (a score on a cut belongs below it).

    Raises ValueError for a NaN, which a search among the cuts would put into the highest level.
    """
    known = np.asarray(score, dtype=np.float64)
    if np.isnan(known).any():
        raise ValueError(f"{np.isnan(known).sum()} posts have no score and so no level; drop them first")
    return np.searchsorted(np.asarray(cuts, dtype=np.float64), known, side="left").astype(np.int64)
