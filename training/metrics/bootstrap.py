"""Metrics of one model on one split, their intervals, and comparisons of two models on the same posts.

Tables are those of a report: `predictions` has one row a post (one model, one view, one split) with the columns of
`predictions.parquet`, `truth` the columns of its `posts.parquet`; they are joined on post_id. Everything is computed
over the whole split, never averaged over batches.

What the names mean where a name leaves room:
- ranked_probability_score: Epstein (1969), mean over the four cuts of the squared gap of cumulative probabilities
- src, top20_src, pairwise_accuracy rank by the predicted score, or by the expected level of a model without scores;
  top20_src is among the fifth of posts with the highest true score
- r2 is on the natural log of the score, mae_log10 on its decimal log, both floored as `engine.scoring.log_score` does
- brier is the sum over the five levels, 0..2
- classwise_ece is the mean over levels (Kull et al. 2019), ece that of the likeliest level; both use 15 adaptive bins
  of equal mass (Nguyen & O'Connor 2015). Resampling adds noise inside the bins, so their intervals lie a little high
- pairwise_accuracy_within_group compares posts of one group only; NaN when those all have the same score
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from engine.errors import DataError
from engine.scoring import LEVELS, log_score
from training.metrics.weighted import ECE_BINS, METRICS, Array, Integers, Judged, Ranking, available, equal_mass_bins

PROBABILITY_COLUMNS = [f"p_{level.lower().replace(' ', '_')}" for level in LEVELS]
CONFIDENCE = 0.95

# Resamples × posts held at once: keeps a chunk's arrays within some tens of MB.
_CHUNK = 1_000_000


def _columns(table: pd.DataFrame, names: Sequence[str], what: str) -> Array:
    missing = [name for name in names if name not in table]
    if missing:
        raise DataError(f"The {what} have no column {', '.join(missing)}.")
    values = table[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(values).all():
        raise DataError(f"The {what} have empty or infinite values in {', '.join(names)}.")
    return values


def _optional(table: pd.DataFrame, names: Sequence[str], what: str) -> Array | None:
    """Values of columns that a model may leave out altogether, but not for some posts only."""
    if any(name not in table or table[name].isna().all() for name in names):
        return None
    return _columns(table, names, what)


def _clusters(groups: pd.Series) -> Integers:
    """Group numbers 0..k − 1; a post without a group is a group of its own."""
    codes = pd.factorize(groups)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def judge(predictions: pd.DataFrame, truth: pd.DataFrame, groups: str = "group") -> Judged:
    """Predictions beside the truth of their posts, in order of post_id.

    Raises DataError when a post is predicted twice or has no truth, or when a needed column is missing or has holes.
    """
    for name, table in (("predictions", predictions), ("truth", truth)):
        if "post_id" not in table:
            raise DataError(f"The {name} have no column post_id.")
        if table["post_id"].duplicated().any():
            raise DataError(f"The {name} hold a post twice; give one model, one view and one split at a time.")
    if not len(predictions):
        raise DataError("There are no predictions to judge.")
    predictions = predictions.sort_values("post_id")
    unknown = ~predictions["post_id"].isin(truth["post_id"])
    if unknown.any():
        raise DataError(
            f"{unknown.sum()} predicted posts have no truth, such as {predictions['post_id'][unknown].iloc[0]}."
        )
    truth = truth.set_index("post_id").loc[predictions["post_id"]]
    probabilities = _columns(predictions, PROBABILITY_COLUMNS, "predictions")
    level, score = _columns(truth, ["level", "score"], "truth").T
    guessed = _optional(predictions, ["predicted_level"], "predictions")
    expected = probabilities @ np.arange(len(LEVELS))
    predicted = probabilities.argmax(axis=1) if guessed is None else guessed[:, 0].astype(np.int64)
    predicted_score = _optional(predictions, ["score"], "predictions")
    log_prediction = None if predicted_score is None else log_score(predicted_score[:, 0])
    sets = _optional(predictions, ["set_low", "set_high"], "predictions")
    bounds = _optional(predictions, ["score_low", "score_high"], "predictions")
    likes = truth.get("likes_per_view")
    return Judged(
        level=level.astype(np.int64),
        predicted=predicted,
        probabilities=probabilities,
        order=expected if log_prediction is None else log_prediction,
        log_truth=log_score(score),
        log_prediction=log_prediction,
        # Likes can be hidden for some posts: those are left out of their own metric only.
        likes_per_view=None if likes is None else likes.to_numpy(dtype=np.float64, na_value=np.nan),
        sets=None if sets is None else sets.astype(np.int64),
        intervals=None if bounds is None else log_score(bounds),
        cluster=_clusters(truth[groups]) if groups in truth else None,
    )


def evaluate_metrics(predictions: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """Every metric that the tables allow, by name. Raises DataError as `judge` does."""
    judged = judge(predictions, truth)
    ones = np.ones((1, len(judged.level)))
    return {name: float(METRICS[name](judged, ones)[0]) for name in available(judged)}


def _resamples(judged: Judged, groups: str | None, count: int, generator: np.random.Generator) -> Iterator[Array]:
    """Bootstrap weights in chunks of shape (some, n): posts drawn with replacement, or whole groups."""
    if groups is not None and judged.cluster is None:
        raise DataError(f"The truth has no column {groups} to resample by.")
    units = np.arange(len(judged.level)) if groups is None or judged.cluster is None else judged.cluster
    size = int(units.max()) + 1
    at_once = max(1, _CHUNK // len(units))
    for start in range(0, count, at_once):
        rows = min(at_once, count - start)
        yield generator.multinomial(size, np.full(size, 1.0 / size), size=rows)[:, units].astype(np.float64)


def _bounds(values: Array) -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    defined = np.asarray(values)[~np.isnan(values)]
    low, high = np.quantile(defined, [tail, 1.0 - tail]) if len(defined) else (np.nan, np.nan)
    return float(low), float(high)


def with_intervals(
    predictions: pd.DataFrame,
    truth: pd.DataFrame,
    resamples: int = 1000,
    seed: int = 0,
    groups: str | None = None,
) -> pd.DataFrame:
    """Metrics with 95 % percentile bootstrap intervals: columns metric, value, low, high, n.

    With `groups`, a column of the truth, whole groups are drawn (cluster bootstrap): posts of one channel resemble each
    other, and drawing them singly would make the intervals too narrow.
    """
    judged = judge(predictions, truth, groups or "group")
    values = evaluate_metrics(predictions, truth)
    drawn: dict[str, list[Array]] = {name: [] for name in values}
    for weights in _resamples(judged, groups, resamples, np.random.default_rng(seed)):
        for name, parts in drawn.items():
            parts.append(METRICS[name](judged, weights))
    rows = [(name, values[name], *_bounds(np.concatenate(parts)), len(judged.level)) for name, parts in drawn.items()]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def paired_bootstrap(
    metric: str,
    a: pd.DataFrame | Sequence[pd.DataFrame],
    b: pd.DataFrame | Sequence[pd.DataFrame],
    truth: pd.DataFrame,
    groups: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean of metric(a) − metric(b) and its 95 % percentile interval, over posts and, where there are several, seeds.

    `a` and `b` are predictions of the same posts: one table each, or one a seed in the same order of seeds (a single
    table is paired with every seed of the other). Each resample draws posts (or whole `groups`) and seeds, the same
    for both. Raises DataError when the posts differ, ValueError for an unknown metric or seeds that do not pair.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric}")
    firsts, seconds = ([side] if isinstance(side, pd.DataFrame) else list(side) for side in (a, b))
    seeds = max(len(firsts), len(seconds))
    if not all(len(side) in (1, seeds) and side for side in (firsts, seconds)):
        raise ValueError(f"{len(firsts)} and {len(seconds)} seeds do not pair")
    posts = set(firsts[0]["post_id"])
    if any(set(table["post_id"]) != posts for table in (*firsts, *seconds)):
        raise DataError("The compared predictions are not of the same posts.")
    judged = [[judge(table, truth, groups or "group") for table in side] for side in (firsts, seconds)]
    if any(metric not in available(table) for side in judged for table in side):
        raise DataError(f"The tables lack a column that {metric} needs.")

    def gaps(weights: Array) -> Array:
        one, other = (np.stack([METRICS[metric](table, weights) for table in side]) for side in judged)
        return np.broadcast_to(one - other, (seeds, len(weights)))

    generator = np.random.default_rng(seed)
    # A stream of its own for the seeds, so that more seeds do not change which posts are drawn.
    chooser = np.random.default_rng([seed, 1])
    means = []
    for weights in _resamples(judged[0][0], groups, resamples, generator):
        shares = chooser.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=len(weights)) / seeds
        means.append((gaps(weights) * shares.T).sum(axis=0))
    delta = float(gaps(np.ones((1, len(posts)))).mean())
    return (delta, *_bounds(np.concatenate(means)))


def _reliability_of(predictions: pd.DataFrame, bins: int) -> pd.DataFrame:
    probabilities = _columns(predictions, PROBABILITY_COLUMNS, "predictions")
    level = _columns(predictions, ["level"], "predictions")[:, 0]
    curves = {-1: (probabilities.max(axis=1), probabilities.argmax(axis=1) == level)}
    curves |= {index: (probabilities[:, index], level == index) for index in range(len(LEVELS))}
    ones = np.ones((1, len(level)))
    parts = []
    for index, (confidence, hit) in curves.items():
        cells = equal_mass_bins(Ranking(confidence), ones, bins)[0]
        table = pd.DataFrame({"cell": cells, "confidence": confidence, "hit": hit}).groupby("cell")
        rows = table["confidence"].agg(bin_low="min", bin_high="max", confidence="mean")
        parts.append(rows.assign(level=index, frequency=table["hit"].mean(), n=table.size()))
    return pd.concat(parts, ignore_index=True)[["level", "bin_low", "bin_high", "confidence", "frequency", "n"]]


def reliability(predictions: pd.DataFrame, bins: int = ECE_BINS) -> pd.DataFrame:
    """Reliability curves of every model, view and split in `predictions` (with the true `level`).

    Columns of `reliability.parquet`: model, view, split, level (−1 for the likeliest level), bin_low, bin_high,
    confidence, frequency, n. Bins hold equal numbers of posts; their limits are the least and greatest confidence.
    """
    keys = ["model", "view", "split"]
    parts = []
    for (model, view, split), table in predictions.groupby(keys, sort=False):
        rows = _reliability_of(table, bins).assign(model=str(model), view=str(view), split=str(split))
        parts.append(rows[[*keys, *rows.columns.drop(keys)]])
    if not parts:
        raise DataError("There are no predictions to judge.")
    return pd.concat(parts, ignore_index=True)


def risk_coverage(predictions: pd.DataFrame, truth: pd.DataFrame, steps: int = 20) -> pd.DataFrame:
    """What answering only the most confident posts would buy (El-Yaniv & Wiener 2010).

    One row a step: coverage (share answered), threshold (least confidence answered), risk (share wrong), class_mae of
    the answered, n. Confidence is the probability of the likeliest level; ties stay in order of post_id.
    """
    judged = judge(predictions, truth)
    confidence = judged.probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    miss = np.abs(judged.level - judged.predicted)[order]
    counts = np.unique(np.ceil(np.linspace(1.0 / steps, 1.0, steps) * len(order) - 1e-9).astype(np.int64))
    return pd.DataFrame(
        {
            "coverage": counts / len(order),
            "threshold": confidence[order][counts - 1],
            "risk": (miss > 0).cumsum()[counts - 1] / counts,
            "class_mae": miss.cumsum()[counts - 1] / counts,
            "n": counts,
        }
    )
