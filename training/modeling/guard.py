"""Fitting the guards of a bundle: training posts against titles and pictures that nobody publishes.

Drafts are shorter than published titles, so a few words out of each training title count as real ones too.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from engine import threads
from engine.bundle import GuardFit, Side
from engine.features.base import FOLDS, Values
from engine.guard import Guard
from engine.posts import Post
from training.data.junk import LEARNED, junk_titles
from training.data.junk_pictures import LEARNED_PICTURES, junk_pictures
from training.features.matrix import FeatureMatrix

Rows = npt.NDArray[np.int64]
FEATURES: Mapping[Side, str] = {"text": "title_moments", "image": "picture_moments"}
# Share of the posts outside of test that may be turned away: what the answers know of these is lost. Pictures that
# nobody publishes are told apart more clearly.
LOST: Mapping[Side, float] = {"text": 0.004, "image": 0.0025}
# Inverse of the penalty on standardised columns: many of them say the same.
STRENGTH = 0.001
# Words of several titles, shuffled, are made of what titles are made of: to turn those away would cost many real ones.
LEFT_OUT = "shuffled words"
# Made-up ones for every real one.
JUNK = 0.5
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
    # What is real of each training post, (m, n, columns).
    real = matrix[name][train][None]
    if side == "text":
        posts = [matrix.posts[row] for row in train]
        real = np.concatenate([real, feature.compute(excerpts(posts), {})[None]])
        kinds = {kind: make for kind, make in LEARNED.items() if kind != LEFT_OUT}
        made_up = [Post(title) for _, title in junk_titles(kinds, count, [post.title for post in posts], seed=1)]
    else:
        made_up = [Post(image=picture) for _, picture in junk_pictures(LEARNED_PICTURES, count, seed=1)]
    junk = feature.compute(made_up, {})

    def guard(posts: Rows | slice) -> Guard:
        fit = GuardFit(feature=name, threshold=0.0, share=0.0)
        return Guard(side, fit, *_weighed(real[:, posts].reshape(-1, real.shape[-1]), junk))

    whole = guard(slice(None))
    folds = GroupKFold(min(FOLDS, len(np.unique(groups)))).split(train, groups=groups)
    outside = [guard(rest).strangeness(real[0, held]) for rest, held in folds]
    found = np.concatenate([whole.strangeness(matrix[name][validation]), *outside])
    threshold = float(np.quantile(found, 1 - LOST[side]))
    fit = whole.fit.model_copy(update={"threshold": threshold, "share": float(np.mean(found > threshold))})
    return replace(whole, fit=fit)


def _weighed(real: Values, junk: Values) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What each column weighs for junk, and the offset (1,)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    values = np.concatenate([real, junk]).astype(np.float64)
    scaler = StandardScaler().fit(values)
    model = LogisticRegression(C=STRENGTH, max_iter=300).fit(
        scaler.transform(values), np.repeat([0, 1], [len(real), len(junk)])
    )
    weights = model.coef_[0] / scaler.scale_
    return weights, model.intercept_ - weights @ scaler.mean_


def excerpts(posts: Collection[Post]) -> list[Post]:
    """Some words in a row of the title of each post."""
    draw = np.random.default_rng(2)
    found = []
    for post in posts:
        words = post.title.split()
        count = int(draw.integers(EXCERPT[0], EXCERPT[1] + 1))
        start = int(draw.integers(0, max(1, len(words) - count + 1)))
        found.append(replace(post, title=" ".join(words[start : start + count])))
    return found
