"""Train, validation and test splits: random, and grouped so that no name a model knows stands on both sides."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from engine.errors import DataError
from engine.scoring import LEVELS, fit_cuts, to_level
from training.data.grouping import group_posts

# The stratified grouping fills folds with the largest groups first, so each part takes every seventh fold.
FOLDS = 20
STRIDE = 7
# The last that NumPy takes.
MAX_SEED = 2**32 - 1
VALIDATION_FOLD = 5
TEST_FOLD = 2
TRAIN_ONLY = -1
TOO_FEW = (
    "{:,} posts with a picture in {:,} groups are too few for {} folds: that takes {} posts in {} groups or more; {}."
)
# Of validation and of test: what is calibrated on the one takes so many folds, and intervals draw groups of the other.
LEAST_GROUPS = 5
TOO_COARSE = (
    "The {} part would hold {:,} posts in {:,} groups, of which it takes {} or more: the largest of all {:,} holds "
    "{:,} of {:,} posts; try another --seed, name finer groups, or prepare more posts."
)
MORE_POSTS, MORE_GROUPS = "prepare more posts", "name finer groups, or prepare posts of more of them"
TOO_EQUAL = (
    "The posts' scores are too few or too equal for five levels: {:,} of {:,} have {:.4g}; leave out posts with too "
    "few views, or give counts that differ."
)


def _name_folds(folds: npt.NDArray[np.int64]) -> npt.NDArray[np.str_]:
    names = np.full(len(folds), "train", dtype="<U10")
    names[(folds >= 0) & (folds % STRIDE == VALIDATION_FOLD)] = "validation"
    names[(folds >= 0) & (folds % STRIDE == TEST_FOLD)] = "test"
    return names


def _too_few(posts: int, groups: int, folds: int) -> DataError:
    needed = folds * len(LEVELS)
    # With posts enough, it is groups that lack.
    advice = MORE_GROUPS if posts >= needed else MORE_POSTS
    return DataError(TOO_FEW.format(posts, groups, folds, needed, folds, advice))


def _check_parts(parts: npt.NDArray[np.str_], groups: npt.NDArray[np.int64]) -> None:
    """Raises DataError where validation or test, of n posts in `parts` (n,), has too few of the `groups` (n,)."""
    sizes = np.unique(groups, return_counts=True)[1]
    for part in ("validation", "test"):
        own = parts == part
        count = len(np.unique(groups[own]))
        if count < LEAST_GROUPS:
            said = part, own.sum(), count, LEAST_GROUPS, len(sizes), sizes.max(), len(groups)
            raise DataError(TOO_COARSE.format(*said))


def level_cuts(score: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """`fit_cuts` of the scores of posts, (n,). Raises DataError where they are too few or too equal."""
    try:
        return fit_cuts(score)
    except ValueError as error:
        values, counts = np.unique(score, return_counts=True)
        raise DataError(TOO_EQUAL.format(counts.max(), counts.sum(), values[counts.argmax()])) from error


def stratified_folds(
    strata: npt.NDArray[np.int64], groups: npt.NDArray[np.int64] | None, folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """The fold of each of n posts, (n,): every fold with all `strata` (n,) alike, no group (n,) in two folds.

    Raises DataError when there are too few posts or groups to fill the folds.
    """
    own = len(strata) if groups is None else len(np.unique(groups))
    if own < folds or np.bincount(strata, minlength=1).max() < folds:
        raise _too_few(len(strata), own, folds)
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    found = np.empty(len(strata), dtype=np.int64)
    splitter = kind(folds, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(splitter.split(strata, strata, groups)):
        found[held] = fold
    return found


def split_posts(posts: pd.DataFrame, score: npt.ArrayLike, *, seed: int = 0) -> pd.DataFrame:
    """Both splits of n posts: post_id, group, grouped, random; 70 % train, 15 % validation, 15 % test.

    Both are stratified by quintile of `score` (n,), which serves nothing but the balance of the parts: levels are cut
    later, on the training part alone. Posts without a picture take their group's part and are left out of the balance.
    Raises DataError as `stratified_folds` and `level_cuts` do, for a seed that is none, and where a few large groups
    leave too little to validation or test.
    """
    if not 0 <= seed <= MAX_SEED:
        raise DataError(f"{seed} is no seed; give a whole number from 0 to {MAX_SEED}.")
    groups = group_posts(posts)
    if len(posts) < len(LEVELS):
        raise _too_few(len(posts), len(np.unique(groups)), FOLDS)
    strata = to_level(score, level_cuts(score))
    pictured = posts["phash"].notna().to_numpy()
    rows = np.flatnonzero(pictured)
    grouped_folds = np.full(len(posts), TRAIN_ONLY, dtype=np.int64)
    random_folds = np.full(len(posts), TRAIN_ONLY, dtype=np.int64)
    grouped_folds[rows] = stratified_folds(strata[rows], groups[rows], FOLDS, seed)
    random_folds[rows] = stratified_folds(strata[rows], None, FOLDS, seed)
    _check_parts(_name_folds(grouped_folds[rows]), groups[rows])
    part_of_group = dict(zip(groups[rows], grouped_folds[rows], strict=True))
    for row in np.flatnonzero(~pictured):
        grouped_folds[row] = part_of_group.get(groups[row], TRAIN_ONLY)
    return pd.DataFrame(
        {
            "post_id": posts["post_id"].to_numpy(),
            "group": groups,
            "grouped": _name_folds(grouped_folds),
            "random": _name_folds(random_folds),
        }
    )
