"""The blend of one view: what it promises comes from groups that chose nothing, and choosing is left to training."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import DataError
from engine.members import MemberOutput, normal_levels
from engine.predictor import Calibration
from tests.made_up import make_work
from training.data.workspace import Workspace
from training.modeling.blend import Truth, fit_on, fit_view, prior_of
from training.modeling.choosing import SHARE, learning_and_choosing

PRIOR = np.full(5, 0.2)


def world(count: int, members: int, seed: int) -> tuple[dict[str, MemberOutput], Truth]:
    """Posts of ten a group, and members that know a little of the truth beside much noise of their own."""
    generator = np.random.default_rng(seed)
    groups = np.arange(count) // 10
    target = generator.normal(size=count)
    levels = np.searchsorted([-0.84, -0.25, 0.25, 0.84], target)
    answers = {}
    for number in range(members):
        score = 0.2 * target + generator.normal(size=count)
        answers[f"m{number}"] = MemberOutput(normal_levels(score, 0.3, 0.95), score)
    return answers, Truth(levels, target, target - 3, groups)


def test_promises_hold_where_the_blend_fits_its_own_posts_too_well() -> None:
    """Forty members on a hundred posts: their weights follow the noise, and residuals of the same posts are small."""
    sets, intervals = [], []
    for seed in range(25):
        answers, truth = world(100 + 400, 40, seed)
        rows = np.arange(500) < 100

        def part(rows: np.ndarray, answers: dict = answers) -> dict[str, MemberOutput]:
            return {name: MemberOutput(a.probabilities[rows], a.score[rows]) for name, a in answers.items()}

        outcome = Calibration(fit_view(part(rows), truth.at(rows), PRIOR)).apply("both", part(~rows))
        new = truth.at(~rows)
        held = (outcome.level_sets[:, 0] <= new.levels) & (new.levels <= outcome.level_sets[:, 1])
        inside = (outcome.interval[:, 0] <= new.log_scores) & (new.log_scores <= outcome.interval[:, 1])
        sets.append(held.mean())
        intervals.append(inside.mean())
    # A fold's weights are worse than those of all posts, so a little more than promised.
    assert 0.89 <= np.mean(sets) <= 0.95
    assert 0.79 <= np.mean(intervals) <= 0.87


def test_weights_and_temperature_are_those_of_all_posts() -> None:
    answers, truth = world(200, 3, 0)
    fit = fit_view(answers, truth, PRIOR)
    turned = fit_view(answers, Truth(truth.levels, truth.target, truth.log_scores, truth.groups[::-1]), PRIOR)
    for name in ("probability_weights", "score_weights", "slope", "intercept", "temperature"):
        assert getattr(fit, name) == getattr(turned, name)
    assert fit.probability_weights and sum(fit.score_weights.values()) > 0


def test_too_few_groups_are_refused() -> None:
    answers, truth = world(30, 2, 0)
    with pytest.raises(DataError, match="3 groups are too few for 5 folds"):
        fit_view(answers, truth, PRIOR)


def test_groups_that_choose_teach_nothing_and_validation_does_not_choose(tmp_path: Path) -> None:
    workspace = Workspace(make_work(tmp_path))
    learning, choosing = learning_and_choosing(workspace)
    train = workspace.rows("train")
    assert sorted([*learning, *choosing]) == train.tolist()
    groups = workspace.posts["group_number"].to_numpy()
    assert not set(groups[learning]) & set(groups[choosing])
    assert len(choosing) == pytest.approx(len(train) / SHARE, abs=5)
    assert set(workspace.posts["level"].iloc[choosing]) == set(range(5))
    held = workspace.rows("validation")
    score = workspace.posts["target"].to_numpy()[held]
    fit = fit_on({"m": MemberOutput(normal_levels(score, 1.0, 0.5), score)}, workspace, held)
    assert fit.slope > 0
    levels = workspace.posts["level"].iloc[train]
    np.testing.assert_allclose(prior_of(workspace), [(levels == level).mean() for level in range(5)])
