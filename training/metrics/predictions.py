"""Tables of predictions: how a report keeps them, how they meet the truth, and how often what they say comes true.

Tables are those of a report: `predictions` has one row a post (one model, one view, one split, unless said otherwise)
with the columns of `predictions.parquet`, `truth` the columns of its `posts.parquet`; they are joined on post_id.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.batch.table import PROBABILITIES
from engine.errors import DataError
from engine.intervals import RESAMPLES, cluster_numbers, mean_interval
from engine.prediction import BatchPrediction
from engine.scoring import LEVELS, log_score
from training.data.workspace import Workspace
from training.metrics.weighted import ECE_BINS, Array, Evaluated, Ranking, equal_mass_bins

KEYS = ["model", "view", "split"]
# Of the curve of the likeliest level, whichever that is.
TOP = -1


def truth_of(workspace: Workspace, split: str) -> pd.DataFrame:
    """What really happened to the posts of a split: post_id, level, score, likes_per_view, category, split, group.

    Where the dataset publishes a popularity, a log2, that too.
    """
    return truth_at(workspace, workspace.rows(split))


def truth_at(workspace: Workspace, rows: npt.NDArray[np.int64]) -> pd.DataFrame:
    """`truth_of` of the posts with these row numbers."""
    posts = workspace.posts.iloc[rows]
    columns = ["post_id", "level", "score", "likes_per_view", *(["popularity"] if workspace.is_published else [])]
    columns += [name for name in ("category", "split") if name in posts]
    return posts[columns].assign(group=posts["group_number"])


def prediction_table(model: str, split: str, batch: BatchPrediction, truth: pd.DataFrame) -> pd.DataFrame:
    """Rows of predictions.parquet for the posts of `truth`, in its order, and of their category if it is said."""
    bounds = np.exp(batch.interval)
    columns: Mapping[str, object] = {
        "model": model,
        "view": batch.view,
        "post_id": truth["post_id"].to_numpy(),
        "split": split,
        "level": truth["level"].to_numpy(),
        **{name: batch.probabilities[:, place] for place, name in enumerate(PROBABILITIES)},
        "predicted_level": batch.probabilities.argmax(axis=1),
        "expected_level": batch.expected_level,
        "score": np.exp(batch.log_score),
        "score_low": bounds[:, 0],
        "score_high": bounds[:, 1],
        "set_low": batch.level_sets[:, 0],
        "set_high": batch.level_sets[:, 1],
        "abstain": batch.abstain,
    }
    table = pd.DataFrame(columns)
    if batch.category is not None:
        likeliest = batch.category.probabilities.argmax(axis=1)
        table["category"] = truth["category"].to_numpy()
        table["predicted_category"] = np.array(batch.category.names, dtype=object)[likeliest]
        table["category_probability"] = batch.category.probabilities.max(axis=1)
    return table


def _columns(table: pd.DataFrame, names: Sequence[str], what: str) -> Array:
    missing = [name for name in names if name not in table]
    if missing:
        raise DataError(f"The {what} have no column {', '.join(missing)}.")
    values = table[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(values).all():
        raise DataError(f"The {what} have empty or infinite values in {', '.join(names)}.")
    return values


def _optional(table: pd.DataFrame, names: Sequence[str]) -> Array | None:
    """Values of columns that a model may leave out altogether, but not for some posts only."""
    if any(name not in table or table[name].isna().all() for name in names):
        return None
    return _columns(table, names, "predictions")


def evaluated(predictions: pd.DataFrame, truth: pd.DataFrame) -> Evaluated:
    """Predictions beside the truth of their posts, in order of post_id; a truth without `group` has each post alone.

    Raises DataError when a post is predicted twice or has no truth, or when a needed column is missing or has holes.
    """
    for name, table in (("predictions", predictions), ("truth", truth)):
        if "post_id" not in table:
            raise DataError(f"The {name} have no column post_id.")
        if table["post_id"].duplicated().any():
            raise DataError(f"The {name} hold a post twice; give one model, one view and one split at a time.")
    if not len(predictions):
        raise DataError("There are no predictions to evaluate.")
    predictions = predictions.sort_values("post_id")
    unknown = ~predictions["post_id"].isin(truth["post_id"])
    if unknown.any():
        raise DataError(
            f"{unknown.sum()} predicted posts have no truth, such as {predictions['post_id'][unknown].iloc[0]}."
        )
    truth = truth.set_index("post_id").loc[predictions["post_id"]]
    probabilities = _columns(predictions, PROBABILITIES, "predictions")
    level, score = _columns(truth, ["level", "score"], "truth").T
    guessed = _optional(predictions, ["predicted_level"])
    expected = probabilities @ np.arange(len(LEVELS))
    predicted = probabilities.argmax(axis=1) if guessed is None else guessed[:, 0].astype(np.int64)
    predicted_score = _optional(predictions, ["score"])
    log_prediction = None if predicted_score is None else log_score(predicted_score[:, 0])
    sets = _optional(predictions, ["set_low", "set_high"])
    bounds = _optional(predictions, ["score_low", "score_high"])
    likes, popularity = (_known(truth.get(name)) for name in ("likes_per_view", "popularity"))
    return Evaluated(
        level=level.astype(np.int64),
        predicted=predicted,
        probabilities=probabilities,
        order=expected if log_prediction is None else log_prediction,
        log_truth=log_score(score),
        log_prediction=log_prediction,
        # Likes can be hidden for some posts: those are left out of their own metric only.
        likes_per_view=likes,
        popularity=popularity if log_prediction is not None else None,
        sets=None if sets is None else sets.astype(np.int64),
        intervals=None if bounds is None else log_score(bounds),
        cluster=cluster_numbers(truth["group"] if "group" in truth else np.arange(len(truth))),
    )


def _known(column: pd.Series | None) -> Array | None:
    """A column's numbers, NaN where there is none; None for a column that is empty or not there."""
    if column is None or column.isna().all():
        return None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _each(predictions: pd.DataFrame, truth: pd.DataFrame) -> Iterator[tuple[dict[str, str], Evaluated]]:
    """The name and posts of every model, view and split in `predictions`."""
    if not len(predictions):
        raise DataError("There are no predictions to evaluate.")
    for names, table in predictions.groupby(KEYS, sort=False):
        yield dict(zip(KEYS, map(str, names), strict=True)), evaluated(table, truth)


def reliability(
    predictions: pd.DataFrame, truth: pd.DataFrame, bins: int = ECE_BINS, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Reliability curves of every model, view and split in `predictions`, whose posts `truth` holds.

    Columns of `reliability.parquet`: model, view, split, level (−1 for the likeliest level), bin_low, bin_high,
    confidence, frequency with its 95 % interval low, high, and n. Bins hold equal numbers of posts; their limits are
    the least and greatest confidence. Raises DataError as `evaluated` does.
    """
    rows = []
    for names, posts in _each(predictions, truth):
        curves = {TOP: (posts.probabilities.max(axis=1), posts.probabilities.argmax(axis=1) == posts.level)}
        curves |= {index: (posts.probabilities[:, index], posts.level == index) for index in range(len(LEVELS))}
        for level, (confidence, hit) in curves.items():
            cells = equal_mass_bins(Ranking(confidence), np.ones((1, len(hit))), bins)[0]
            for cell in np.unique(cells):
                inside = cells == cell
                stated, came = confidence[inside], hit[inside]
                low, high = mean_interval(came, posts.cluster[inside], resamples)
                found = {"bin_low": stated.min(), "bin_high": stated.max(), "confidence": stated.mean()}
                share = {"frequency": came.mean(), "low": low, "high": high, "n": len(came)}
                rows.append({**names, "level": level, **found, **share})
    return pd.DataFrame(rows)


def coverage(predictions: pd.DataFrame, truth: pd.DataFrame, resamples: int = RESAMPLES) -> pd.DataFrame:
    """How often sets and intervals hold the truth, by true level: a promise kept on average may fail at the ends.

    Columns of `coverage.parquet`: model, view, split, level, metric (conformal_coverage | interval_coverage), value
    with its 95 % interval low, high, and n; of every model, view and split in `predictions`. Raises DataError as
    `evaluated` does.
    """
    rows = []
    for names, posts in _each(predictions, truth):
        for metric, held in (("conformal_coverage", posts.in_set), ("interval_coverage", posts.in_interval)):
            for level in np.unique(posts.level):
                own = held[posts.level == level]
                low, high = mean_interval(own, posts.cluster[posts.level == level], resamples)
                figures = {"metric": metric, "value": own.mean(), "low": low, "high": high, "n": len(own)}
                rows.append({**names, "level": int(level), **figures})
    return pd.DataFrame(rows)
