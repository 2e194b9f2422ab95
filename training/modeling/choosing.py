"""The training posts that choose: a network's epoch, the replicates of its soup, the candidate of a grid.

They are whole groups of the training split, and no model that they choose among learns from them. So validation posts
choose nothing but the few numbers of a blend, and what is promised of new posts can be calibrated on all of them
(`training.modeling.blend`). Choosing on a part of the validation posts would cost the promises more than it costs the
training: on half of the shipped recipe's validation groups, coverage of new groups scatters by .02 with the half.
"""

import numpy as np
import numpy.typing as npt

from training.data.splits import stratified_folds
from training.data.workspace import Workspace

# One training group in so many chooses: enough to tell a few epochs apart, few to miss.
SHARE = 16

Rows = npt.NDArray[np.int64]


def learning_and_choosing(workspace: Workspace, share: int = SHARE) -> tuple[Rows, Rows]:
    """Row numbers of `workspace.posts` in the training split: those that models learn from, and those that choose.

    One group in `share` chooses; no group is on both sides, and every level is as frequent on both. Raises DataError as
    `stratified_folds` does.
    """
    rows = workspace.rows("train")
    train = workspace.posts.iloc[rows]
    folds = stratified_folds(train["level"].to_numpy(), train["group_number"].to_numpy(), share, 0)
    return rows[folds > 0], rows[folds == 0]
