"""A work folder: what `prepare` and `split` wrote there, read with the labels that the training split defines."""

import hashlib
import json
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.errors import DataError
from engine.scoring import SCORE_FORMULA, engagement_score, fit_popularity_weights, log_popularity, log_score, to_level
from training.data.splits import level_cuts, split_posts
from training.recipes.base import Target
from training.tables import COUNTS, alone, readable, write_table

Protocol = Literal["grouped", "random"]


def _counts(posts: pd.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
    return {name: posts[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in COUNTS}


def published_score(posts: pd.DataFrame) -> npt.NDArray[np.float64]:
    """2 to the power of the popularity that a dataset publishes, (n,)."""
    return np.exp2(posts["popularity"].to_numpy(dtype=np.float64))


def normal_scores(values: npt.ArrayLike, reference: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Ranks of `values` among `reference` as standard normal quantiles: the training target, free of outliers."""
    from scipy.special import ndtri

    ordered = np.sort(np.asarray(reference, dtype=np.float64))
    rank = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return ndtri(np.clip((rank / 2 + 0.5) / (len(ordered) + 1), 1e-4, 1 - 1e-4))


@dataclass(frozen=True)
class Workspace:
    """Tables of one work folder under one split protocol. Raises DataError when a step has not run.

    `target` is what `score` means: the engagement score, or 1 + the popularity score in one of its two published
    variants, whose natural log is the log popularity (a post without reactions has a log of 0). A dataset that
    publishes a popularity in the place of counts has that for an engagement score (`is_published`). `assignment`,
    post_id → split, takes the place of the protocol's split; posts that it leaves out are of no split and nothing reads
    them. Cuts, targets and all else that labels are made with come from the posts of the splits in `learned`: of
    validation too where models are refitted on it (`training.modeling.cross_fitting`).
    """

    folder: Path
    protocol: Protocol = "grouped"
    target: Target = "score"
    assignment: pd.Series | None = field(default=None, repr=False, compare=False)
    learned: tuple[str, ...] = ("train",)

    def _need(self, name: str, step: str) -> Path:
        path = self.folder / name
        if not path.exists():
            raise DataError(f"{path} is missing; run `python -m training {step} --work {self.folder}` first.")
        return path

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """What `prepare` recorded of the dataset: name, fingerprint, rows read and dropped, absent counts."""
        path = self._need("dataset.json", "prepare")
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is broken; run `python -m training prepare` again.") from error
        return facts

    def _rows(self, name: str) -> pd.DataFrame:
        path = self._need(name, "prepare")
        columns = [column for column in readable(path).names if column != "image"]
        table = pd.read_parquet(path, columns=columns)
        table["title"] = table["title"].fillna("")
        table["likes_per_view"] = table["likes"] / table["views"].clip(lower=1)
        known = self.splits.set_index("post_id")
        split = known[self.protocol] if self.assignment is None else self.assignment
        table["split"] = split.reindex(table["post_id"]).to_numpy()
        table["group_number"] = known["group"].reindex(table["post_id"]).to_numpy()
        if table["group_number"].isna().any():
            raise DataError(f"{path} has posts that splits.parquet lacks; run `python -m training split` again.")
        return table

    @property
    def is_published(self) -> bool:
        """Whether the dataset brings its own score, a log2, in the place of counts."""
        return self.dataset.get("score_formula") is not None

    def _scored(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.is_published:
            if self.target != "score":
                raise DataError(f"{self.folder} holds no counts to make a {self.target} of; take the target “score”.")
            return table.assign(score=published_score(table))
        counts = _counts(table)
        if self.target == "score":
            return table.assign(score=engagement_score(counts))
        log = log_popularity(counts, self.popularity_weights, with_views=self._with_views)
        return table.assign(score=np.exp(log))

    @property
    def _with_views(self) -> bool:
        return self.target == "popularity_with_views"

    @cached_property
    def popularity_weights(self) -> dict[str, float]:
        """Weights of the popularity score, of the training posts with a picture under this protocol."""
        table = self._rows("posts.parquet")
        return fit_popularity_weights(_counts(table[table["split"].isin(self.learned)]))

    @property
    def score_formula(self) -> str:
        """What `score` is, in words and with its fitted weights."""
        if self.target == "score":
            return self.dataset.get("score_formula") or SCORE_FORMULA
        terms = [f"{weight:.4f}·{name}" for name, weight in self.popularity_weights.items()]
        views = ["1·views"] if self._with_views else []
        return f"popularity v1: {' + '.join(['1', *views, *terms])}, weights 1 − Cor(views, count) of training posts"

    @cached_property
    def splits(self) -> pd.DataFrame:
        path = self._need("splits.parquet", "split")
        return pd.read_parquet(path, columns=readable(path).names)

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """Per post, what `prepare` read off its picture and title: sizes, hashes, language."""
        return pd.read_parquet(self._need("metadata.parquet", "prepare"))

    @cached_property
    def posts(self) -> pd.DataFrame:
        """Pictured posts without the pictures, in file order, with score, level, target, split and group_number."""
        table = self._scored(self._rows("posts.parquet"))
        train_scores = table.loc[table["split"].isin(self.learned), "score"]
        table["level"] = to_level(table["score"], level_cuts(train_scores))
        table["log_score"] = log_score(table["score"])
        table["target"] = normal_scores(table["score"], train_scores)
        return table

    @property
    def cuts(self) -> npt.NDArray[np.float64]:
        """The four level cuts: percentiles of the scores that levels are learned from under this protocol."""
        return level_cuts(self.posts["score"].to_numpy()[self.learned_rows])

    @property
    def learned_rows(self) -> npt.NDArray[np.int64]:
        """Row numbers of the posts that cuts and targets come from."""
        return np.flatnonzero(self.posts["split"].isin(self.learned).to_numpy())

    def parted(self, assignment: pd.Series) -> "Workspace":
        """The same posts under another assignment, with labels made of its training part alone."""
        return replace(self, assignment=assignment, learned=("train",))

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Row numbers of `posts` in one split."""
        return np.flatnonzero((self.posts["split"] == split).to_numpy())

    @cached_property
    def split_digest(self) -> str:
        """Hash of which post is in which part and group."""
        columns = self.posts[["post_id", "split", "group_number"]].astype(str)
        return hashlib.sha256(columns.to_csv(index=False).encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def target_digest(self) -> str:
        """Hash of what is to be predicted of every post."""
        # The last digits of logarithms differ from processor to processor.
        columns = self.posts[["post_id", "level", "target", "log_score"]].round(9)
        return hashlib.sha256(columns.to_csv(index=False).encode("utf-8", "surrogatepass")).hexdigest()


def split(work: Path, *, seed: int = 0) -> pd.DataFrame:
    """The `split` step: read posts, texts and metadata of a work folder, write splits.parquet, and return it."""
    # `alone` would make a folder that is not there.
    with alone(work) if work.exists() else nullcontext():
        workspace = Workspace(work)
        # It stands there once all the others do.
        workspace._need("dataset.json", "prepare")
        columns = ["post_id", "title", "group", *(["popularity"] if workspace.is_published else COUNTS)]
        posts = pd.read_parquet(workspace._need("posts.parquet", "prepare"), columns=columns)
        phash = workspace.metadata.set_index("post_id")["phash"]
        posts["phash"] = phash.reindex(posts["post_id"]).to_numpy()
        if (work / "texts.parquet").exists():
            texts = pd.read_parquet(work / "texts.parquet", columns=columns)
            posts = pd.concat([posts, texts.assign(phash=None)], ignore_index=True)
        score = published_score(posts) if workspace.is_published else engagement_score(_counts(posts))
        table = split_posts(posts, score, seed=seed)
        write_table(work / "splits.parquet", table)
    return table
