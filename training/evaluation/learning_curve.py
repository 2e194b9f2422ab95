"""The `learn` step: what more posts would bring, from what fewer posts give.

    python -m training learn --recipe youtube_blend

The members of a recipe with folds are fitted on a half, a quarter and an eighth of the posts that one fold leaves to
learn from (whole groups, each part within the larger one), and answer that fold, as the fit on all of them did. The
blend of each is weighed anew by other groups of the fold, so no post is judged by what learned from it. Further
pictures stay whole. Test is not read. A size that is finished is kept in `runs/<recipe>/learning_curve/`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from engine.errors import DataError
from engine.intervals import RESAMPLES
from engine.prediction import MemberOutput
from training.metrics.bootstrap import paired_bootstrap, with_intervals
from training.metrics.predictions import PROBABILITIES, truth_at
from training.modeling.blend import Truth, blended_out_of_fold
from training.modeling.cross_fitting import answers_of, fit_fold, fold_rows, parts_without
from training.modeling.run import Run
from training.recipes.base import Recipe
from training.tables import write_table

FOLD = 0
HALVINGS = 3
BLEND = "blend"
# None of the size of a score: those of members are on the scale of the training target.
METRICS = ("src", "accuracy", "macro_f1", "log_loss", "ranked_probability_score")
COLUMNS = ["view", "member", "posts", "metric", "value", "low", "high", "gain", "gain_low", "gain_high", "n"]


def learn(work: Path, recipe: Recipe, *, halvings: int = HALVINGS, resamples: int = RESAMPLES) -> Path:
    """Fit what is missing of every size and write learning_curve.parquet of the report, whose folder is returned.

    Columns: view, member (or `BLEND`), posts (that were learned from), metric, value with its 95 % interval low, high
    (whole groups drawn), gain over the next smaller size with its paired interval (null for the smallest), n (posts
    answered). Raises DataError for a recipe without folds or a run without a report.
    """
    run = Run(work, recipe)
    if not recipe.folds:
        raise DataError(f"The recipe {recipe.name} has no folds, so there are no answers to set smaller fits beside.")
    report = run.need_report()
    rows = fold_rows(run, FOLD)
    known, truth = Truth.of(run.workspace, rows), truth_at(run.workspace, rows)
    found = []
    smaller: dict[tuple[str, str], pd.DataFrame] = {}
    for posts, path in _sizes(run, halvings):
        for view, answers in answers_of([path], truth["post_id"].tolist()).items():
            blended = MemberOutput(*blended_out_of_fold(answers, known))
            for member, output in {**answers, BLEND: blended}.items():
                table = pd.DataFrame(output.probabilities, columns=PROBABILITIES)
                table = table.assign(post_id=truth["post_id"].to_numpy(), score=np.exp(output.score))
                metrics = with_intervals(table, truth, resamples).query("metric in @METRICS")
                gains = dict.fromkeys(metrics["metric"], (np.nan,) * 3)
                if (view, member) in smaller:
                    gains = paired_bootstrap([*gains], table, smaller[view, member], truth, resamples)
                smaller[view, member] = table
                metrics[["gain", "gain_low", "gain_high"]] = [*gains.values()]
                found.append(metrics.assign(view=view, member=member, posts=posts))
    write_table(report / "learning_curve.parquet", pd.concat(found, ignore_index=True)[COLUMNS])
    return report


def _sizes(run: Run, halvings: int) -> Iterator[tuple[int, Path]]:
    """How many posts were learned from, and the file of the answers to the fold, smallest first."""
    parts = [parts_without(run, FOLD)]
    for halving in range(1, halvings + 1):
        parts.append(_less(run, parts[0], 2**halving, parts[-1]))
    before = 0
    for halving in range(halvings, 0, -1):
        posts = int((parts[halving] == "train").sum())
        # Of large groups a half may hold no more than a quarter.
        if posts > before:
            yield posts, fit_fold(run, FOLD, parts[halving], f"learning_curve/{2**halving}")
        before = posts
    yield int((parts[0] == "train").sum()), fit_fold(run, FOLD)


def _less(run: Run, parts: pd.Series, divisor: int, larger: pd.Series) -> pd.Series:
    """The parts with one in `divisor` of the posts to learn from, or a little less, by whole groups in one fixed order.

    They are some of those in `larger`, parts of which less is left out. A group too large for what is left is passed
    over; where all are too large the smallest is taken.
    """
    groups = run.workspace.posts.set_index("post_id")["group_number"].loc[parts.index]
    learning = groups[parts == "train"]
    sizes = groups[larger.index[larger == "train"]].value_counts()
    left, kept = len(learning) / divisor, []
    for group in np.random.default_rng(0).permutation(learning.unique()):
        if group in sizes and sizes[group] <= left:
            left -= sizes[group]
            kept.append(group)
    return parts[(parts != "train") | groups.isin(kept or [sizes.index[-1]])]
