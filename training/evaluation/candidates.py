"""Models of a report side by side: every one calibrated on validation by the same lines, judged on the same posts."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.bundle import ViewFit
from engine.members import MemberOutput
from engine.outcome import BatchPrediction
from engine.prediction import View
from engine.predictor import Calibration
from engine.scoring import LEVELS
from training.data.workspace import Workspace
from training.modeling.blend import fit_view

PROBABILITIES = [f"p_{name.lower().replace(' ', '_')}" for name in LEVELS]


@dataclass(frozen=True)
class Candidate:
    """A model to judge: its answers on validation and on test posts, in row order, for one view."""

    name: str
    kind: str
    view: View
    validation: MemberOutput
    test: MemberOutput


def truth_of(workspace: Workspace, split: str) -> pd.DataFrame:
    """What really happened to the posts of a split: post_id, level, score, likes_per_view, group."""
    posts = workspace.posts.iloc[workspace.rows(split)]
    return posts[["post_id", "level", "score", "likes_per_view"]].assign(group=posts["group_number"])


def prior_of(workspace: Workspace) -> npt.NDArray[np.float64]:
    """Share of each level among the training posts."""
    counts = np.bincount(workspace.posts["level"].to_numpy()[workspace.rows("train")], minlength=len(LEVELS))
    return counts / counts.sum()


def fit_on_validation(answers: Mapping[str, MemberOutput], workspace: Workspace) -> ViewFit:
    """Blend weights and calibration of one view; `answers` are the members' on the validation posts."""
    held = workspace.posts.iloc[workspace.rows("validation")]
    level, target, log_scores = (held[name].to_numpy() for name in ("level", "target", "log_score"))
    return fit_view(answers, level, target, log_scores, prior_of(workspace))


def calibrated(candidate: Candidate, workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Predictions in the report's columns on validation and test, calibrated on the candidate's validation answers."""
    calibration = Calibration(fit_on_validation({candidate.name: candidate.validation}, workspace))
    tables = {}
    for split, answer in (("validation", candidate.validation), ("test", candidate.test)):
        outcome = calibration.outcome(candidate.view, {candidate.name: answer})
        tables[split] = prediction_table(candidate.name, split, outcome, truth_of(workspace, split))
    return tables


def prediction_table(model: str, split: str, outcome: BatchPrediction, truth: pd.DataFrame) -> pd.DataFrame:
    """Rows of predictions.parquet for the posts of `truth`, in its order."""
    bounds = np.exp(outcome.interval)
    columns: Mapping[str, object] = {
        "model": model,
        "view": outcome.view,
        "post_id": truth["post_id"].to_numpy(),
        "split": split,
        "level": truth["level"].to_numpy(),
        **{name: outcome.probabilities[:, place] for place, name in enumerate(PROBABILITIES)},
        "predicted_level": outcome.probabilities.argmax(axis=1),
        "expected_level": outcome.expected_level,
        "score": np.exp(outcome.log_score),
        "score_low": bounds[:, 0],
        "score_high": bounds[:, 1],
        "set_low": outcome.level_sets[:, 0],
        "set_high": outcome.level_sets[:, 1],
        "abstain": outcome.abstain,
    }
    return pd.DataFrame(columns)
