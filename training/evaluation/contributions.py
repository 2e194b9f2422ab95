"""What each member earns in the blend: the blend without it against the whole, on the posts outside of test.

So too what members earn that see both sides at once, over their own answers to one side each added up. Members answer
out of fold, and weights and temperatures are those of other groups too, so no post is judged by what learned from it.
Test is not read.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from engine.intervals import RESAMPLES
from engine.prediction import MemberOutput
from training.metrics.bootstrap import paired_bootstrap
from training.metrics.predictions import PROBABILITIES, truth_at
from training.modeling.blend import Truth, blended_out_of_fold
from training.modeling.cross_fitting import Answers, out_of_fold, outside_of_test
from training.modeling.run import Run

METRICS = ("src", "accuracy", "log_loss", "ranked_probability_score")
COLUMNS = ["view", "member", "metric", "delta", "low", "high", "n"]
INTERACTION = "both sides at once"


def contributions(run: Run, resamples: int = RESAMPLES) -> pd.DataFrame:
    """contributions.parquet: for each view and each member, metric(whole blend) − metric(blend without it).

    Columns: view, member (or `INTERACTION`), metric, delta with its paired 95 % interval low, high (whole groups
    drawn), n. Of a recipe with folds.
    """
    rows = outside_of_test(run)
    known, truth = Truth.of(run.workspace, rows), truth_at(run.workspace, rows)

    def blended(answers: Mapping[str, MemberOutput]) -> pd.DataFrame:
        probabilities, log_scores = blended_out_of_fold(answers, known)
        table = pd.DataFrame(probabilities, columns=PROBABILITIES)
        return table.assign(post_id=truth["post_id"].to_numpy(), score=np.exp(log_scores))

    found = []
    by_view = out_of_fold(run)
    for view, answers in by_view.items():
        whole = blended(answers)
        for name, others in _less(by_view, view):
            without = blended(others)
            gains = paired_bootstrap(METRICS, whole, without, truth, resamples=resamples)
            found += [(view, name, metric, *gain, len(rows)) for metric, gain in gains.items()]
    return pd.DataFrame(found, columns=COLUMNS)


def _less(by_view: Answers, view: str) -> Iterator[tuple[str, dict[str, MemberOutput]]]:
    """What is left out, and the members of the blend that is left."""
    answers = by_view[view]  # type: ignore[index]
    for name in answers if len(answers) > 1 else ():
        yield name, {other: output for other, output in answers.items() if other != name}
    sides = {side: by_view.get(side, {}) for side in ("text", "image")}  # type: ignore[call-overload]
    # A network of one side says of both what it says of that one: there is nothing to take apart.
    joint = [name for name in answers if all(name in found for found in sides.values())]
    if view == "both" and joint:
        apart = {f"{name}, {side}": found[name] for name in joint for side, found in sides.items()}
        yield INTERACTION, {name: output for name, output in answers.items() if name not in joint} | apart
