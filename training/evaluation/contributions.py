"""What each member earns in the blend: the blend without it against the whole, on the posts outside of test.

Members answer out of fold, and weights and temperatures are those of other groups too, so no post is judged by what
learned from it. Test is not read.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from engine.intervals import RESAMPLES
from training.metrics.bootstrap import paired_bootstrap
from training.metrics.predictions import PROBABILITIES, truth_at
from training.modeling.blend import Truth, blended_out_of_fold
from training.modeling.cross_fitting import out_of_fold, outside_of_test
from training.modeling.run import Run

METRICS = ("src", "accuracy", "log_loss", "ranked_probability_score")
COLUMNS = ["view", "member", "metric", "delta", "low", "high", "n"]


def contributions(run: Run, resamples: int = RESAMPLES) -> pd.DataFrame:
    """contributions.parquet: for each view of several members and each of these, metric(whole) − metric(without it).

    Columns: view, member, metric, delta with its paired 95 % interval low, high (whole groups drawn), n. Of a recipe
    with folds.
    """
    rows = outside_of_test(run)
    known, truth = Truth.of(run.workspace, rows), truth_at(run.workspace, rows)
    found = []
    for view, answers in out_of_fold(run).items():
        if len(answers) < 2:
            continue

        def blended(names: Iterable[str], answers: dict = answers) -> pd.DataFrame:
            probabilities, log_scores = blended_out_of_fold({name: answers[name] for name in names}, known)
            table = pd.DataFrame(probabilities, columns=PROBABILITIES)
            return table.assign(post_id=truth["post_id"].to_numpy(), score=np.exp(log_scores))

        whole = blended(answers)
        for name in answers:
            without = blended(other for other in answers if other != name)
            for metric in METRICS:
                gain = paired_bootstrap(metric, whole, without, truth, resamples=resamples)
                found.append((view, name, metric, *gain, len(rows)))
    return pd.DataFrame(found, columns=COLUMNS)
