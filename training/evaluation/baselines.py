"""What stands beside every result: baselines that see little, controls that should see nothing, and the leak.

Each is a `Candidate` fitted on the training split and calibrated like the model itself.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.features import default_names
from engine.members import CatBoostMember, normal_levels
from engine.prediction import MemberOutput, View
from engine.scoring import LEVELS
from training.evaluation.candidates import Candidate
from training.features.matrix import FeatureMatrix
from training.modeling.blend import prior_of
from training.modeling.trees import fit_trees
from training.recipes.base import CatBoost

# Enough for a reference, and quick: what a baseline would gain by longer growing is no question of ours.
QUICK = CatBoost(iterations=300, learning_rate=0.06, early_stopping=30)
HELD = ("validation", "test")
NGRAM_RIDGE = "n-gram ridge"
NGRAMS = "ngrams"
NEIGHBOURS = 50
SMOOTHING = 5.0
COUNTS = ("views", "likes", "comments")
# A score of all posts, so that a model which cannot tell posts apart has one; it carries no order.
NOTHING = 0.0


def _constant(probabilities: npt.ArrayLike, count: int) -> MemberOutput:
    return MemberOutput(np.tile(np.asarray(probabilities, dtype=np.float64), (count, 1)), np.full(count, NOTHING))


class Baselines:
    """Baselines, controls and the leak run of one work folder; `matrix` gives their features.

    There may be no validation posts: then nothing is said of them.
    """

    def __init__(self, matrix: FeatureMatrix) -> None:
        self.matrix = matrix
        self.workspace = matrix.workspace
        self.posts = matrix.workspace.posts
        self.rows = {split: matrix.workspace.rows(split) for split in ("train", *HELD)}

    def all(self, vectors: tuple[str, ...] = ()) -> Iterator[Candidate]:
        """Every candidate that the data allows; `vectors` are roles of encoders whose vectors a kNN may use."""
        prior = prior_of(self.workspace)
        majority = 0.8 * np.eye(len(LEVELS))[int(prior.argmax())] + 0.2 * prior
        for name, probabilities in (("majority", majority), ("prior", prior)):
            yield Candidate(
                name, "baseline", "both", *(_constant(probabilities, len(self.rows[split])) for split in HELD)
            )
        yield from self._category()
        sides: tuple[tuple[View, str], ...] = (("text", "text_statistics"), ("image", "picture_statistics"))
        for view, feature in sides:
            # Posts may have no title, or all the same picture: trees would see nothing.
            if pd.DataFrame(self.matrix[feature][self.rows["train"]]).nunique().max() > 1:
                yield self._fitted(feature.replace("_", " "), "baseline", view, self.matrix[feature])
        yield self._ngrams()
        for role in vectors:
            yield self._neighbours(role)
        table = np.concatenate([self.matrix[feature] for feature in default_names()], axis=1)
        yield self._fitted("shuffled labels", "control", "both", table, shuffle=True)
        if not self.workspace.is_published:
            yield self._leak()

    def _category(self) -> Iterator[Candidate]:
        known = self.posts["category"].notna()
        if known.mean() < 0.5:
            return
        train = self.posts.iloc[self.rows["train"]]
        outputs = []
        for split in HELD:
            target = train.groupby("category")["target"].mean().reindex(self.posts["category"].iloc[self.rows[split]])
            score = target.fillna(train["target"].mean()).to_numpy()
            outputs.append(MemberOutput(normal_levels(score, 1.0, 1.0), score))
        yield Candidate("category", "baseline", "both", *outputs)

    def _fitted(
        self, name: str, kind: str, view: View, table: npt.NDArray[np.float32], *, shuffle: bool = False
    ) -> Candidate:
        train = self.rows["train"]
        order = np.random.default_rng(0).permutation(len(train)) if shuffle else np.arange(len(train))
        level, target = (self.posts[column].to_numpy()[train][order] for column in ("level", "target"))
        groups = self.posts["group_number"].to_numpy()[train]
        models = fit_trees(QUICK, table[train], level, target, groups)
        member = CatBoostMember(name, {view: ("table",)}, {view: models})
        outputs = [
            member.predict(view, {"table": table[rows]}) if len(rows) else _constant(prior_of(self.workspace), 0)
            for rows in (self.rows[split] for split in HELD)
        ]
        return Candidate(name, kind, view, *outputs)

    def _ngrams(self) -> Candidate:
        score = self.matrix[NGRAMS][:, 0].astype(np.float64)
        parts = (score[self.rows[split]] for split in HELD)
        outputs = (MemberOutput(normal_levels(part, 1.0, 0.8), part) for part in parts)
        return Candidate(NGRAM_RIDGE, "baseline", "text", *outputs)

    def _neighbours(self, role: str) -> Candidate:
        """Mean level and target of the nearest training posts by cosine of one encoder's vectors."""
        vectors = self.matrix[role].astype(np.float32)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        train = self.rows["train"]
        level, target = (self.posts[column].to_numpy()[train] for column in ("level", "target"))
        prior = prior_of(self.workspace)
        outputs = []
        for split in HELD:
            likeness = vectors[self.rows[split]] @ vectors[train].T
            nearest = np.argpartition(-likeness, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            counts = np.stack([(level[nearest] == k).sum(axis=1) for k in range(len(LEVELS))], axis=1)
            probabilities = (counts + SMOOTHING * prior) / (NEIGHBOURS + SMOOTHING)
            outputs.append(MemberOutput(probabilities, target[nearest].mean(axis=1)))
        side: View = "text" if role == self.matrix.role("text") else "image"
        return Candidate(f"kNN on {role}", "baseline", side, *outputs)

    def _leak(self) -> Candidate:
        """Counts as inputs, as the first reference system fed them: what a leak looks like, not a result."""
        counts = self.posts[list(COUNTS)].to_numpy(dtype=np.float32, na_value=np.nan)
        rate = counts[:, 1:] / np.maximum(counts[:, :1], 1)
        return self._fitted("engagement rate as input", "leak", "both", np.concatenate([counts, rate], axis=1))
