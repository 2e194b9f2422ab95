"""Metrics of one model on one split, their intervals, and comparisons of two models on the same posts.

Tables are those of `training.metrics.predictions`. Everything is computed over the whole split, never averaged over
batches, and every interval is that of `engine.intervals`: whole groups are drawn.

What the names mean where a name leaves room:
- ranked_probability_score: Epstein (1969), mean over the four cuts of the squared gap of cumulative probabilities
- src, top20_src, pairwise_accuracy rank by the predicted score, or by the expected level of a model without scores;
  top20_src is among the fifth of posts with the highest true score
- r2 is on the natural log of the score, mae_log10 on its decimal log, both floored as `engine.scoring.log_score` does;
  mae_log2 is there where a dataset publishes a log2 for its score, and in its unit
- brier is the sum over the five levels, 0..2
- classwise_ece is the mean over levels (Kull et al. 2019), ece that of the likeliest level; both use 15 adaptive bins
  of equal mass (Nguyen & O'Connor 2015)
- pairwise_accuracy_within_group compares posts of one group only; NaN when those all have the same score
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.errors import DataError
from engine.intervals import RESAMPLES, bounds, cluster_weights
from training.metrics.predictions import evaluated
from training.metrics.weighted import METRICS, Array, Evaluated, Ranking, available, spearman

# Metrics that every resample shifts to one side, with the range that they may have: noise inside the bins adds to the
# absolute gaps of a calibration error, and a fitted line is never as good on a resample as on its own posts.
BIASED = {"classwise_ece": (0.0, 1.0), "ece": (0.0, 1.0), "r2": (-np.inf, 1.0)}
BY_CHANCE = "_by_chance"


def _values(posts: Evaluated) -> dict[str, float]:
    ones = np.ones((1, len(posts.level)))
    return {name: float(METRICS[name](posts, ones)[0]) for name in available(posts)}


def evaluate_metrics(predictions: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """Every metric that the tables allow, by name. Raises DataError as `evaluated` does."""
    return _values(evaluated(predictions, truth))


def _interval(metric: str, value: float, drawn: Array) -> tuple[float, float]:
    """The 95 % interval of a metric from its resampled values.

    Where resampling is biased, its bias, the median's distance from the value, is subtracted (Efron & Tibshirani 1993,
    An Introduction to the Bootstrap, chapter 10): the interval then holds the value, and says how much the figure of
    as many posts varies.
    """
    low, high = bounds(drawn)
    if metric in BIASED and not np.isnan(low):
        bias = float(np.nanmedian(drawn)) - value
        least, most = BIASED[metric]
        low, high = max(low - bias, least), min(high - bias, most)
    return low, high


def with_intervals(
    predictions: pd.DataFrame, truth: pd.DataFrame, resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """Metrics with their 95 % intervals: columns metric, value, low, high, n. Raises DataError as `evaluated` does."""
    posts = evaluated(predictions, truth)
    values = _values(posts)
    drawn: dict[str, list[Array]] = {name: [] for name in values}
    for weights in cluster_weights(posts.cluster, resamples, seed):
        for name, parts in drawn.items():
            parts.append(METRICS[name](posts, weights))
    rows = [
        (name, values[name], *_interval(name, values[name], np.concatenate(parts)), len(posts.level))
        for name, parts in drawn.items()
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def rank_correlation(said: Array, true: Array, groups: npt.ArrayLike, resamples: int) -> tuple[float, float, float]:
    """Spearman correlation of what is said of n posts and what is true of them, and its 95 % interval over groups."""
    sides = Ranking(said), Ranking(true)
    value = float(spearman(*sides, np.ones((1, len(said))))[0])
    drawn = [spearman(*sides, weights) for weights in cluster_weights(groups, resamples)]
    return value, *bounds(np.concatenate(drawn))


def calibration_by_chance(predictions: pd.DataFrame, truth: pd.DataFrame, draws: int = 300) -> pd.DataFrame:
    """What calibration errors would be if every level were drawn by its stated probability, which none can go below.

    Bins of finitely many posts differ from what was said of them by chance alone (Bröcker & Smith 2007, doi
    10.1175/WAF993.1). Columns as `with_intervals`: the mean over the draws, and where 95 % of them lie. Posts are drawn
    each by its own, though those of one group share their luck, so it is rather too low. Raises DataError as
    `evaluated` does.
    """
    posts, rng = evaluated(predictions, truth), np.random.default_rng(0)
    below = posts.probabilities.cumsum(axis=1)[:, :-1]
    found: dict[str, list[float]] = {"classwise_ece": [], "ece": []}
    for _ in range(draws):
        drawn = replace(posts, level=(rng.random((len(below), 1)) > below).sum(axis=1))
        for name, values in found.items():
            values.append(METRICS[name](drawn, np.ones((1, len(below))))[0])
    rows = [(name + BY_CHANCE, np.mean(values), *bounds(values), len(below)) for name, values in found.items()]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def paired_bootstrap(
    metrics: Sequence[str],
    a: pd.DataFrame | Sequence[pd.DataFrame],
    b: pd.DataFrame | Sequence[pd.DataFrame],
    truth: pd.DataFrame,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """By metric: mean of metric(a) − metric(b) and its 95 % percentile interval, over groups and, if several, seeds.

    `a` and `b` are predictions of the same posts: one table each, or one a seed in the same order of seeds (a single
    table is paired with every seed of the other). Each resample draws groups and seeds, the same for both. Raises
    DataError when the posts differ, ValueError for an unknown metric or seeds that do not pair.
    """
    if unknown := set(metrics) - set(METRICS):
        raise ValueError(f"unknown metric {', '.join(sorted(unknown))}")
    firsts, seconds = ([side] if isinstance(side, pd.DataFrame) else list(side) for side in (a, b))
    seeds = max(len(firsts), len(seconds))
    if not all(len(side) in (1, seeds) and side for side in (firsts, seconds)):
        raise ValueError(f"{len(firsts)} and {len(seconds)} seeds do not pair")
    ids = set(firsts[0]["post_id"])
    if any(set(table["post_id"]) != ids for table in (*firsts, *seconds)):
        raise DataError("The compared predictions are not of the same posts.")
    sides = [[evaluated(table, truth) for table in side] for side in (firsts, seconds)]
    if lacking := set(metrics) - {*METRICS}.intersection(*(available(posts) for side in sides for posts in side)):
        raise DataError(f"The tables lack a column that {', '.join(sorted(lacking))} needs.")

    def gaps(metric: str, weights: Array) -> Array:
        one, other = (np.stack([METRICS[metric](posts, weights) for posts in side]) for side in sides)
        return np.broadcast_to(one - other, (seeds, len(weights)))

    # A stream of its own for the seeds, so that more seeds do not change which groups are drawn.
    chooser = np.random.default_rng([seed, 1])
    means: dict[str, list[Array]] = {metric: [] for metric in metrics}
    for weights in cluster_weights(sides[0][0].cluster, resamples, seed):
        shares = chooser.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=len(weights)) / seeds
        for metric, found in means.items():
            found.append((gaps(metric, weights) * shares.T).sum(axis=0))
    whole = np.ones((1, len(ids)))
    return {
        metric: (float(gaps(metric, whole).mean()), *bounds(np.concatenate(found))) for metric, found in means.items()
    }
