"""The `consistency` step: do picture and words say the same thing, how usual is the wording, and who gains by it?

    python -m training consistency --recipe youtube_blend

Every signal is averaged for each level and each interval of popularity, with and without the cleaning of
`training.data.quality`, as it is and controlled for title length, language and category; a verdict in words follows
from the rank correlations. Intervals draw whole groups. These are associations among posts that are out already.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from engine.bundle import amend_bundle
from engine.features import make_features
from engine.features.base import FeatureSettings
from engine.intervals import bounds, cluster_weights, mean_interval
from training.data.quality import reasons
from training.data.workspace import Workspace
from training.evaluation.adapter import adapter
from training.evaluation.shipped import note_reads
from training.evaluation.verdicts import verdicts
from training.features.matrix import FeatureMatrix
from training.modeling.alignment import ALIGNMENT, CAPTIONER, is_packaged
from training.modeling.run import Run
from training.tables import write_table

# Column of signals.parquet ← feature and its column.
COLUMNS: Mapping[str, tuple[str, str]] = {
    "similarity": ("similarity", "cosine"),
    "caption_consistency": ("caption_consistency", "cosine"),
    "log_perplexity": ("perplexity", "log_perplexity"),
    "bits_per_character": ("perplexity", "bits_per_character"),
    "title_written": ("lettering_agreement", "title_written"),
    "lettering_in_title": ("lettering_agreement", "lettering_in_title"),
    "lettering_boxes": ("lettering", "boxes"),
    "lettering_area": ("lettering", "area"),
    "faces": ("faces", "count"),
    "smile": ("faces", "smile"),
}
SETTINGS = FeatureSettings(encoders={"picture": "aligned-image", "words": "aligned-text"})
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Width of an interval of popularity, in doublings; the ends are joined until they hold so many posts.
DOUBLINGS = 2
LEAST_POSTS = 100
# Languages and categories that get a column of their own among the controls.
LEAST_SHARE = 0.005
RESAMPLES = 500
Numbers = npt.NDArray[np.float64]


def signals_of(matrix: FeatureMatrix) -> pd.DataFrame:
    """Every signal of n posts in file order. Raises DataError where one cannot be computed."""
    values = {}
    for column, (name, part) in COLUMNS.items():
        place = make_features([name], matrix.settings)[name].columns.index(part)
        values[column] = matrix[name][:, place].astype(np.float64)
    signals = pd.DataFrame(values)
    # The feature says 0 where nobody is to be seen.
    signals.loc[signals["faces"] == 0, "smile"] = np.nan
    # The alignment learned from these very pairs, and matches them better than it does any other.
    signals.loc[(matrix.workspace.posts["split"] == "train").to_numpy(), "similarity"] = np.nan
    return signals


def intervals_of(popularity: Numbers) -> npt.NDArray[np.int64]:
    """Interval of each post's log2 popularity, 0..k − 1: `DOUBLINGS` wide, the ends joined to `LEAST_POSTS` posts."""
    step = np.floor(popularity / DOUBLINGS).astype(np.int64)
    values, counts = np.unique(step, return_counts=True)
    first = values[min(int(np.searchsorted(np.cumsum(counts), LEAST_POSTS)), len(values) - 1)]
    last = values[max(len(values) - 1 - int(np.searchsorted(np.cumsum(counts[::-1]), LEAST_POSTS)), 0)]
    joined = np.clip(step, first, max(last, first))
    return np.searchsorted(np.unique(joined), joined)


def controls_of(posts: pd.DataFrame, metadata: pd.DataFrame) -> Numbers:
    """Controls (n, k): log length of the title in characters and words with their squares, language, category."""
    lengths = np.log1p(metadata[["title_characters", "title_words"]].to_numpy(dtype=np.float64))
    columns = [np.ones((len(posts), 1)), lengths, lengths**2]
    for values in (metadata["language"], posts["category"]):
        named = pd.Series(values).astype("string").fillna("unknown").to_numpy()
        for value, count in pd.Series(named).value_counts().items():
            if LEAST_SHARE <= count / len(named) < 1:
                columns.append((named == value).astype(np.float64)[:, None])
    return np.concatenate(columns, axis=1)


def _residuals(values: Numbers, controls: Numbers, weights: Numbers | None = None) -> Numbers:
    """What is left of values (n, m) once a line through the controls (n, k) is taken away."""
    weighed = controls.T if weights is None else controls.T * weights
    # The normal equations: every resample fits anew, and a decomposition of all posts each time would take minutes.
    fitted = np.linalg.pinv(weighed @ controls, hermitian=True) @ (weighed @ values)
    left: Numbers = values - controls @ fitted
    return left


def _correlation(pair: Numbers, weights: Numbers) -> float:
    """Weighted correlation of the two columns of (n, 2)."""
    centred = pair - np.average(pair, axis=0, weights=weights)
    covariance = (centred * weights[:, None]).T @ centred
    below = np.sqrt(covariance[0, 0] * covariance[1, 1])
    return float(covariance[0, 1] / below) if below > 0 else float("nan")


def trend(signal: Numbers, against: Numbers, groups: Numbers, controls: Numbers | None) -> tuple[float, float, float]:
    """Spearman correlation of a signal with popularity or score, (n,) each, and its 95 % interval.

    With controls (n, k) the partial one: of what a line through the controls leaves of both ranks. Every resample fits
    that line anew.
    """
    ranks = np.stack([rankdata(signal), rankdata(against)], axis=1)

    def value(weights: Numbers) -> float:
        return _correlation(ranks if controls is None else _residuals(ranks, controls, weights), weights)

    drawn = [value(row) for weights in cluster_weights(groups, RESAMPLES) for row in weights]
    return (value(np.ones(len(ranks))), *bounds(np.array(drawn)))


class Study:
    """The signals of one work folder's posts with all that they are set against."""

    def __init__(self, workspace: Workspace, signals: pd.DataFrame) -> None:
        posts = workspace.posts
        metadata = workspace.metadata.set_index("post_id").loc[posts["post_id"]].reset_index()
        train = (posts["split"] == "train").to_numpy()
        self.signals, self.groups = signals, posts["group_number"].to_numpy()
        self.score = posts["log_score"].to_numpy(dtype=np.float64)
        # What is popular is the count of reactions, or what the dataset publishes in their place; the score is a rate.
        popular = workspace if workspace.is_published else Workspace(workspace.folder, target="popularity")
        self.popularity = popular.posts["log_score"].to_numpy(dtype=np.float64) / np.log(2)
        # A dataset that publishes a popularity says nothing else of how a post did.
        rate = {} if workspace.is_published else {"score": self.score}
        self.against = {**rate, "popularity": self.popularity}
        self.level, self.interval = posts["level"].to_numpy(), intervals_of(self.popularity)
        self.controls = controls_of(posts, metadata)
        self.removed = reasons(posts["title"], metadata, signals["log_perplexity"].to_numpy(), train)
        self.post_ids, self.cuts = posts["post_id"], workspace.cuts

    @property
    def table(self) -> pd.DataFrame:
        """signals.parquet."""
        facts = {"level": self.level, "popularity": self.popularity, "interval": self.interval, "removed": self.removed}
        return pd.concat([self.post_ids.rename("post_id"), self.signals], axis=1).assign(**facts)

    def _bins(self, by: str) -> tuple[npt.NDArray[np.int64], list[tuple[float, float]]]:
        """Bin of each post, and the bounds of each bin: of the score for levels, of log2 popularity for intervals."""
        if by == "level":
            edges = [np.nan, *self.cuts.tolist(), np.nan]
            return self.level, list(pairwise(edges))
        starts = [
            float(np.floor(self.popularity[self.interval == k].min() / DOUBLINGS) * DOUBLINGS)
            for k in range(self.interval.max() + 1)
        ]
        edges = [np.nan, *starts[1:], np.nan]
        return self.interval, list(pairwise(edges))

    def _known(self, least: int) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
        """Signal, cleaning, and of which posts (n,) there is such a value, where there are at least so many."""
        for signal, known in self.signals[[*COLUMNS]].notna().items():
            for cleaning, kept in (("uncleaned", True), ("cleaned", self.removed == "")):
                there = known.to_numpy() & kept
                if there.sum() >= least:
                    yield str(signal), cleaning, there

    def _binned(self, values: Numbers, there: npt.NDArray[np.bool_], **facts: str) -> Iterator[dict[str, Any]]:
        """Rows of the mean of values, one of each post that is `there` (n,), by level and by interval."""
        for by in ("level", "interval"):
            bins, limits = self._bins(by)
            for number, (low, high) in enumerate(limits):
                own = bins[there] == number
                if own.any():
                    ends = mean_interval(values[own], self.groups[there][own], RESAMPLES)
                    place = {"by": by, "bin": number, "bin_low": low, "bin_high": high}
                    figures = {"value": values[own].mean(), "low": ends[0], "high": ends[1], "n": int(own.sum())}
                    yield {**place, **facts, **figures}

    def means(self) -> pd.DataFrame:
        """consistency.parquet."""
        rows: list[dict[str, Any]] = []
        for signal, cleaning, there in self._known(least=1):
            raw = self.signals[signal].to_numpy()[there]
            left = raw.mean() + _residuals(raw[:, None], self.controls[there])[:, 0]
            for control, values in (("raw", raw), ("controlled", left)):
                found = self._binned(values, there, cleaning=cleaning, control=control)
                rows += [{"signal": signal, **row} for row in found]
        return pd.DataFrame(rows)

    def trends(self) -> pd.DataFrame:
        """trends.parquet."""
        rows: list[tuple[Any, ...]] = []
        for signal, cleaning, there in self._known(LEAST_POSTS):
            own, groups = self.signals[signal].to_numpy()[there], self.groups[there]
            for against, values in self.against.items():
                for control, controls in (("raw", None), ("controlled", self.controls[there])):
                    found = trend(own, values[there], groups, controls)
                    rows.append((signal, against, cleaning, control, *found, len(own)))
        return pd.DataFrame(rows, columns=["signal", "against", "cleaning", "control", "value", "low", "high", "n"])

    def removal(self) -> pd.DataFrame:
        """removal.parquet."""
        rows: list[dict[str, Any]] = []
        for reason in ("any", *sorted(set(self.removed) - {""})):
            hit = (self.removed != "" if reason == "any" else self.removed == reason).astype(np.float64)
            rows += self._binned(hit, np.ones(len(hit), dtype=bool), reason=reason)
        return pd.DataFrame(rows)

    def typical(self) -> dict[str, tuple[tuple[float, ...], ...]]:
        """Quantiles of each signal among the posts of each level, for the page: those it did not learn from."""
        found = {}
        for signal in COLUMNS:
            values = self.signals[signal].to_numpy()
            own = [values[(self.level == level) & ~np.isnan(values)] for level in range(5)]
            if all(len(part) for part in own):
                found[signal] = tuple(tuple(np.quantile(part, QUANTILES).tolist()) for part in own)
        return found


def consistency(run: Run) -> pd.DataFrame:
    """Write the study into a run's report and the typical signals into its bundle; returns the verdicts.

    What `align` and `caption` measured in the same work folder goes into the report with it where the page reads what
    they trained there, as the study does.
    """
    report = run.need_report()
    # Levels and counts of test posts are read, and nothing is chosen by them.
    run.read_test("consistency")
    note_reads(run)
    # Whatever the recipe learns: the study asks of the engagement score, and of popularity beside it.
    workspace = run.workspace if run.workspace.is_published else replace(run.workspace, target="score")
    matrix = FeatureMatrix(workspace, SETTINGS)
    matrix.extract(dict.fromkeys(name for name, _ in COLUMNS.values()))
    study = Study(workspace, signals_of(matrix))
    trends = study.trends()
    said = verdicts(trends, published=workspace.is_published)
    tables = {"signals": study.table, "consistency": study.means(), "trends": trends, "removal": study.removal()}
    for name, table in {**tables, "verdicts": said, **adapter(matrix)}.items():
        write_table(report / f"{name}.parquet", table)
    for name, source in (("matching", ALIGNMENT), ("captions", CAPTIONER), ("caption_examples", CAPTIONER)):
        path = run.work / source / f"{name}.parquet"
        if path.exists() and is_packaged(run.work, source):
            write_table(report / path.name, pd.read_parquet(path))
    amend_bundle(run.bundle, typical=study.typical())
    return said
