"""Models of a report side by side: all calibrated on validation by the same lines, evaluated on the same posts."""

from dataclasses import dataclass

import pandas as pd

from engine.blending import Calibration
from engine.prediction import MemberOutput, View
from training.data.workspace import Workspace
from training.metrics.predictions import prediction_table, truth_of
from training.modeling.blend import fit_on


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate: its outputs on validation and on test posts, in row order, for one view."""

    name: str
    kind: str
    view: View
    validation: MemberOutput
    test: MemberOutput


def calibrated(candidate: Candidate, workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Predictions in the report's columns on validation and test, calibrated on the candidate's validation outputs."""
    answers = {candidate.name: candidate.validation}
    calibration = Calibration(fit_on(answers, workspace, workspace.rows("validation")))
    tables = {}
    for split, output in (("validation", candidate.validation), ("test", candidate.test)):
        batch = calibration.apply(candidate.view, {candidate.name: output})
        tables[split] = prediction_table(candidate.name, split, batch, truth_of(workspace, split))
    return tables
