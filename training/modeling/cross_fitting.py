"""Cross-fitting: every member answers every post outside of test from a fit that did not see its group.

Blend weights, temperature, sets, intervals and abstention are then fitted on those answers, of six times as many posts
as validation holds, and the members refitted on all of these posts. A finished fold is kept in
`runs/<recipe>/folds/<number>/` and not fitted again; networks resume there, and folds may be fitted side by side by
processes that each name one (`train --fold`).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog

from engine.features.base import digest
from engine.prediction import VIEWS, MemberOutput, View
from engine.scoring import LEVELS
from training.data.splits import stratified_folds
from training.modeling.fitting import fit_members
from training.modeling.members import Fitted
from training.modeling.processes import own_process
from training.modeling.run import OUTSIDE_OF_TEST, Run
from training.tables import write_table

log = structlog.get_logger()
SHARES = [f"p{level}" for level in range(len(LEVELS))]
ANSWERS = "answers.parquet"
SECONDS = "seconds.parquet"

Answers = dict[View, dict[str, MemberOutput]]
Rows = npt.NDArray[np.int64]


def outside_of_test(run: Run) -> Rows:
    """Row numbers of the posts that are answered out of fold."""
    return np.flatnonzero(run.workspace.posts["split"].isin(OUTSIDE_OF_TEST).to_numpy())


def folds_of(run: Run) -> npt.NDArray[np.int64]:
    """The fold of each post outside of test: no group in two folds, every level as frequent in each."""
    posts = run.workspace.posts.iloc[outside_of_test(run)]
    return stratified_folds(posts["level"].to_numpy(), posts["group_number"].to_numpy(), run.recipe.folds, 0)


def fold_rows(run: Run, fold: int) -> Rows:
    """Row numbers of the posts of a fold."""
    return outside_of_test(run)[folds_of(run) == fold]


def parts_without(run: Run, fold: int | None) -> pd.Series:
    """post_id → part, the posts outside of test parted anew: the fold is validation, the others train.

    Where `fold` is None all are to train on.
    """
    parts = run.workspace.posts.set_index("post_id")["split"].replace("validation", "train")
    if fold is not None:
        parts.iloc[fold_rows(run, fold)] = "validation"
    return parts


def fit_fold(run: Run, fold: int, fewer: pd.Series | None = None, name: str = "") -> Path:
    """Fit all members without a fold and keep their answers to it; a fold that is there is left as it is.

    `fewer` are parts with posts left out of those to learn from; the run's folder `name` then takes the place of the
    fold's. Returns the file of the answers.
    """
    left_out = {} if fewer is None else {"learned": digest(sorted(fewer.index[fewer == "train"]))}
    folder = run.part(name or f"folds/{fold}", {"fold": [fold, run.recipe.folds], **left_out}, "a fold")
    path = folder / ANSWERS
    if path.exists():
        return path
    fitted, _ = fit_members(run.recipe, run.elsewhere(parts_without(run, fold) if fewer is None else fewer), folder)
    if own_process().is_main_process:
        post_ids = run.workspace.posts["post_id"].to_numpy()[fold_rows(run, fold)]
        write_table(folder / SECONDS, pd.DataFrame({name: [found.seconds] for name, found in fitted.items()}))
        write_table(path, _table(fitted, post_ids))
        log.info("fold", fold=fold, posts=len(post_ids))
    return path


def _table(fitted: Mapping[str, Fitted], post_ids: npt.NDArray[np.object_]) -> pd.DataFrame:
    parts = []
    for name, found in fitted.items():
        for view, output in found.outputs["validation"].items():
            columns = {column: output.probabilities[:, place] for place, column in enumerate(SHARES)}
            identity = {"member": name, "view": view, "post_id": post_ids}
            parts.append(pd.DataFrame({**identity, **columns, "score": output.score}))
    return pd.concat(parts, ignore_index=True)


def out_of_fold(run: Run, rows: Rows | None = None) -> Answers:
    """Every member's answers out of fold by view, to the posts of `rows`, all outside of test where None.

    Folds that are missing are fitted.
    """
    wanted = run.workspace.posts["post_id"].iloc[outside_of_test(run) if rows is None else rows].tolist()
    paths = [fit_fold(run, fold) for fold in range(run.recipe.folds)]
    # The first process writes them, once it has fitted what is no network.
    own_process().wait_for_everyone()
    return answers_of(paths, wanted)


def answers_of(paths: Iterable[Path], wanted: Sequence[str]) -> Answers:
    """Every member's answers by view to the posts of these ids, from files of `fit_fold`."""
    table = pd.concat([pd.read_parquet(path) for path in paths])
    answers: Answers = {}
    for view in VIEWS:
        for name, found in table[table["view"] == view].groupby("member", sort=False):
            own = found.set_index("post_id").loc[list(wanted)]
            output = MemberOutput(own[SHARES].to_numpy(), own["score"].to_numpy())
            answers.setdefault(view, {})[str(name)] = output
    return answers


def seconds_of(run: Run) -> dict[str, float]:
    """Seconds that fitting each member took in all folds together."""
    tables = [pd.read_parquet(run.folder / f"folds/{fold}" / SECONDS) for fold in range(run.recipe.folds)]
    return {str(name): float(value) for name, value in pd.concat(tables).sum().items()}
