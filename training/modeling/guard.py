"""Fitting the guards of a bundle: training posts against titles and pictures that nobody publishes.

Drafts are shorter than published titles, so a few words out of each training title count as real ones too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from engine import threads
from engine.bundle import GuardFit, GuardKind, Side
from engine.features.base import FOLDS, Feature, FittedFeature, Values
from engine.guard import Classifier, Guard, LinearClassifier, TreesClassifier
from engine.posts import Post
from training.data.junk import LEARNED, junk_titles
from training.data.junk_pictures import LEARNED_PICTURES, junk_pictures
from training.features.matrix import FeatureMatrix

Rows = npt.NDArray[np.int64]
FEATURES: Mapping[Side, str] = {"text": "title_surprise", "image": "picture_moments"}
KINDS: Mapping[Side, GuardKind] = {"text": "trees", "image": "linear"}
# Share of the posts outside of test that may be turned away: what the answers know of these is lost. Pictures that
# nobody publishes are told apart more clearly.
LOST: Mapping[Side, float] = {"text": 0.0075, "image": 0.0025}
# Inverse of the penalty on standardised columns: many of them say the same.
STRENGTH = 0.001
# Words of several titles, shuffled, are made of what titles are made of: to turn those away would cost many real ones.
LEFT_OUT = "shuffled words"
# Made-up ones for every real one.
JUNK = 0.5
ITERATIONS = 150
# Words of an excerpt. Single ones of titles, among them names, are no more like a title than what is typed at random.
EXCERPT = (2, 4)


def fit_guards(matrix: FeatureMatrix, sides: Collection[str]) -> dict[Side, Guard]:
    """The guard of each of `sides`, those that the members read.

    Thresholds come from the validation posts and from the training posts, each judged by a guard that its group did not
    teach.
    """
    # An encoder's last digits hang on how many threads compute an operator: as many as where visitors are answered.
    threads.configure()
    return {side: _fit(matrix, side, name) for side, name in FEATURES.items() if side in sides}


def _fit(matrix: FeatureMatrix, side: Side, name: str) -> Guard:
    train, validation = (matrix.workspace.rows(split) for split in ("train", "validation"))
    count = max(round(JUNK * len(train)), len(LEARNED))
    feature, groups = matrix.feature(name), matrix.workspace.posts["group_number"].to_numpy()[train]
    folds = list(GroupKFold(min(FOLDS, len(np.unique(groups)))).split(train, groups=groups))
    # What is real of each training post, (m, n, columns).
    real = matrix[name][train][None]
    if side == "text":
        real = np.concatenate([real, _excerpts(matrix, feature, folds)[None]])
        kinds = {kind: make for kind, make in LEARNED.items() if kind != LEFT_OUT}
        lent = [matrix.posts[row].title for row in train]
        made_up = [Post(title) for _, title in junk_titles(kinds, count, lent, seed=1)]
    else:
        made_up = [Post(image=picture) for _, picture in junk_pictures(LEARNED_PICTURES, count, seed=1)]
    junk = feature.compute(made_up, {})

    def guard(posts: Rows | slice) -> Guard:
        kind = KINDS[side]
        classify = _trees if kind == "trees" else _linear
        model = classify(real[:, posts].reshape(-1, real.shape[-1]), junk)
        return Guard(side, GuardFit(feature=name, kind=kind, threshold=0.0, share=0.0), model)

    whole = guard(slice(None))
    outside = [guard(rest).strangeness(real[0, held]) for rest, held in folds]
    found = np.concatenate([whole.strangeness(matrix[name][validation]), *outside])
    threshold = float(np.quantile(found, 1 - LOST[side]))
    fit = whole.fit.model_copy(update={"threshold": threshold, "share": float(np.mean(found > threshold))})
    return replace(whole, fit=fit)


def _linear(real: Values, junk: Values) -> Classifier:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    values = np.concatenate([real, junk]).astype(np.float64)
    scaler = StandardScaler().fit(values)
    model = LogisticRegression(C=STRENGTH, max_iter=300).fit(
        scaler.transform(values), np.repeat([0, 1], [len(real), len(junk)])
    )
    weights = model.coef_[0] / scaler.scale_
    return LinearClassifier(weights, model.intercept_ - weights @ scaler.mean_)


def _trees(real: Values, junk: Values) -> Classifier:
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        iterations=ITERATIONS,
        depth=6,
        learning_rate=0.15,
        border_count=32,
        random_seed=0,
        thread_count=1,
        allow_writing_files=False,
        verbose=False,
    )
    return TreesClassifier(model.fit(np.concatenate([real, junk]), np.repeat([0, 1], [len(real), len(junk)])))


def _excerpts(matrix: FeatureMatrix, feature: Feature, folds: Iterable[tuple[Rows, Rows]]) -> Values:
    """The feature of some words in a row of each training title, by a copy fitted without its group."""
    assert isinstance(feature, FittedFeature)
    train = matrix.workspace.rows("train")
    target = matrix.workspace.posts["target"].to_numpy()[train]
    draw = np.random.default_rng(2)
    found = np.zeros((len(train), *feature.shape), dtype=np.float32)
    for rest, held in folds:
        part = feature.fitted([matrix.posts[row] for row in train[rest]], {}, target[rest])
        shortened = []
        for row in train[held]:
            words = matrix.posts[row].title.split()
            count = int(draw.integers(EXCERPT[0], EXCERPT[1] + 1))
            start = int(draw.integers(0, max(1, len(words) - count + 1)))
            shortened.append(replace(matrix.posts[row], title=" ".join(words[start : start + count])))
        found[held] = part.compute(shortened, {})
    return found
