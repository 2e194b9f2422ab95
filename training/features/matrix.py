"""Features of every pictured post of a work folder by name, through the very `compute` that answers visitors."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine import readers
from engine.errors import DataError
from engine.features import make_features
from engine.features.base import Feature, Features, FeatureSettings, FittedFeature, Values
from engine.features.extractor import Extractor
from engine.posts import Post
from engine.prediction import View
from training.data.junk import LEARNED, NEUTRAL, junk_titles
from training.data.workspace import Workspace
from training.features.batches import Sent, here
from training.features.extract import Engine, Extraction, extract, file_hashes, post_hashes
from training.features.pictures import decoded_pictures
from training.features.store import FeatureTable

# Of posts.parquet, what a post is made of.
COLUMNS = (
    *("post_id", "title", "tags", "description"),
    *("published_at", "latitude", "longitude", "author", "category"),
)


def post_of(row: pd.Series) -> Post:
    """The post of one row of posts.parquet, without its picture. Columns of its context need not be there."""
    tags = row["tags"] if isinstance(row["tags"], list | tuple | np.ndarray) else ()
    title, description, category = (
        found if isinstance(found := row.get(name), str) else "" for name in ("title", "description", "category")
    )
    published_at, author = row.get("published_at"), row.get("author")
    latitude, longitude = (float(row.get(name, np.nan)) for name in ("latitude", "longitude"))
    return Post(
        title,
        None,
        tuple(tags),
        description,
        row["post_id"],
        None if pd.isna(published_at) else published_at.to_pydatetime(),
        None if np.isnan([latitude, longitude]).any() else (latitude, longitude),
        tuple(author) if isinstance(author, list | np.ndarray) else (),
        category,
    )


class FeatureMatrix:
    """Named features of n posts in file order, made when first asked for.

    On training posts a fitted feature is out of fold, so that a model that stacks it sees it as it will be on new
    posts. Supervised ones also learn from titles that nobody publishes (`training.data.junk`), a share `junk` of the
    training posts, whose target is the middle.
    """

    def __init__(self, workspace: Workspace, settings: FeatureSettings, junk: float = 0.0) -> None:
        self.workspace = workspace
        self.settings = settings
        self.junk = junk
        self._features: dict[str, Feature] = {}
        self._values: Features = {}

    @cached_property
    def posts(self) -> list[Post]:
        """The posts, without pictures."""
        known = self.workspace.posts
        return [post_of(row) for _, row in known[[name for name in COLUMNS if name in known]].iterrows()]

    @cached_property
    def files(self) -> list[str]:
        """Hashes of the stored pictures."""
        return file_hashes(self.workspace.folder)

    @cached_property
    def texts(self) -> list[str]:
        """What text encoders read of each post."""
        return [post.text(self.settings.text_fields) for post in self.posts]

    def features(self, names: Iterable[str]) -> Features:
        """The named features, every array with n rows."""
        return {name: self[name] for name in names}

    def rows(self, names: Iterable[str], rows: npt.NDArray[np.int64]) -> Features:
        """The given rows of the named features."""
        return {name: self[name][rows] for name in names}

    def __getitem__(self, name: str) -> Values:
        if name not in self._values:
            for feature in make_features([name], self.settings).values():
                if feature.name not in self._values:
                    self._add(feature)
        return self._values[name]

    def feature(self, name: str) -> Feature:
        """The feature of a name, fitted on the training posts where it is a fitted one."""
        self[name]
        return self._features[name]

    def behind(self, names: Iterable[str]) -> dict[str, Feature]:
        """The named features and those that they are computed from, these first."""
        found: dict[str, Feature] = {}
        for name in names:
            feature = self.feature(name)
            found |= {**self.behind(above.name for above in feature.upstream), name: feature}
        return found

    def under_titles(self, names: Sequence[str], rows: npt.NDArray[np.int64], titles: Sequence[str]) -> Features:
        """The named features of the posts of some rows, each under another title."""
        posts = [
            replace(self.posts[row], title=title, tags=(), description="")
            for row, title in zip(rows, titles, strict=True)
        ]
        behind = self.behind(names)
        pictured = {name: self[name][rows] for name, feature in behind.items() if feature.modalities == ("image",)}
        sides = {side for feature in behind.values() for side in feature.modalities}
        view: View = "both" if len(sides) > 1 else "image" if sides == {"image"} else "text"
        return Extractor(behind, names).compute(posts, view, pictured)

    def junk_titles(self, count: int, seed: int = 0) -> list[str]:
        """Titles that nobody publishes, made up; words are lent by training titles."""
        lent = [self.posts[row].title for row in self.workspace.rows("train")]
        return [title for _, title in junk_titles(LEARNED, count, lent, seed)]

    def role(self, side: str) -> str:
        """Role of the first encoder of a side."""
        features = make_features(self.settings.encoders, self.settings).values()
        return next(feature.name for feature in features if feature.modalities == (side,))

    def pictures(self, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """All pictures at one size, (n, height, width, 3)."""
        return decoded_pictures(self.workspace.folder, self.files, size)

    def extract(self, names: Iterable[str], engine: Engine = here) -> list[Extraction]:
        """Compute and store what is missing of the named features and of those behind them; fitted ones are left.

        `engine` says where.
        """
        # Two features are read off the same lettering; here nobody's drafts would pile up.
        readers.KEPT = max(readers.KEPT, len(self.posts))
        return [
            self._extract(feature, engine)
            for feature in make_features(names, self.settings).values()
            if not isinstance(feature, FittedFeature)
        ]

    def _extract(self, feature: Feature, engine: Engine = here) -> Extraction:
        upstream = {above.name: self[above.name] for above in feature.upstream}
        sent = Sent(feature, self.settings)
        return extract(self.workspace.folder, feature, self.posts, self.files, upstream, engine, sent)

    def _add(self, feature: Feature) -> None:
        """Make one feature whose upstream is there."""
        feature.upstream = tuple(self._features[above.name] for above in feature.upstream)
        upstream = {above.name: self._values[above.name] for above in feature.upstream}
        if isinstance(feature, FittedFeature):
            feature, values = self._fitted(feature, upstream)
        else:
            values = self._stored(feature)
        self._features[feature.name], self._values[feature.name] = feature, values

    def _stored(self, feature: Feature) -> Values:
        """The stored values of a feature. Only what is missing or damaged is computed: processes may read together."""
        folder, hashes = self.workspace.folder / "features", post_hashes(feature, self.posts, self.files)
        table = FeatureTable(folder, feature)
        with suppress(DataError):
            return table.get(hashes)
        self._extract(feature)
        return FeatureTable(folder, feature).get(hashes)

    def _fitted(self, feature: FittedFeature, upstream: Features) -> tuple[FittedFeature, Values]:
        train = self.workspace.rows("train")
        target, groups = (self.workspace.posts[name].to_numpy()[train] for name in ("target", "group_number"))
        posts = [self.posts[row] for row in train]
        above = {name: values[train] for name, values in upstream.items()}
        if self.junk and feature.supervised and feature.modalities == ("text",):
            titles = self.junk_titles(round(self.junk * len(train)))
            posts += [Post(title, post_id=f"junk-{number}") for number, title in enumerate(titles)]
            rows = train[: len(titles)]
            made_up = self.under_titles(list(above), rows, titles)
            above = {name: np.concatenate([values, made_up[name]]) for name, values in above.items()}
            target = np.concatenate([target, np.full(len(titles), NEUTRAL)])
            groups = np.concatenate([groups, groups.max() + 1 + np.arange(len(titles))])
        fitted = feature.fit(posts, above, target)
        values = fitted.compute(self.posts, upstream)
        values[train] = feature.out_of_fold(posts, above, target, groups)[: len(train)]
        return fitted, values
