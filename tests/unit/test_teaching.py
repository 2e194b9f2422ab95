"""Teachers: every training post is answered out of fold, and what they say becomes part of what is learned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import DataError
from engine.features.base import FeatureSettings
from tests import made_up
from training.data.workspace import Workspace
from training.features.matrix import FeatureMatrix
from training.modeling import teaching
from training.modeling.fitting import fit_member
from training.modeling.teaching import ANSWERS, FOLDS, soft_targets
from training.modeling.training_set import SoftTargets, TrainingSet
from training.recipes.base import Network, Teacher

SETTINGS = {"epochs": 1, "batch_size": 16, "patience": 0}


@pytest.fixture(scope="module")
def matrix(vit_and_bert: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> FeatureMatrix:
    workspace = Workspace(made_up.make_work(tmp_path_factory.mktemp("taught"), 200))
    return FeatureMatrix(workspace, FeatureSettings({"words": vit_and_bert["words"]}, ("title",), {}))


@pytest.fixture(scope="module")
def spec(matrix: FeatureMatrix) -> Network:
    encoder = matrix.settings.encoders["words"]
    teachers = tuple(
        Teacher(name, "text", encoder, {**SETTINGS, "seed": seed}, {"width": 8}) for seed, name in enumerate("ab")
    )
    return Network(name="title", image_encoder=None, settings=SETTINGS, shape={"width": 8}, teachers=teachers)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("title") / "teachers"


@pytest.fixture(scope="module")
def asked(matrix: FeatureMatrix, spec: Network, folder: Path) -> tuple[SoftTargets, list[FeatureMatrix]]:
    """What the teachers say, and what each of their trainings was given."""
    given: list[FeatureMatrix] = []

    def recorded(network: Network, own: FeatureMatrix, *rest: Any) -> Any:
        given.append(own)
        return train(network, own, *rest)

    train = teaching.train_replicates
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teaching, "train_replicates", recorded)
        found = soft_targets(spec, matrix, folder)
    assert found is not None
    return found, given


def test_no_teacher_answers_a_post_whose_group_it_saw(
    asked: tuple[SoftTargets, list[FeatureMatrix]], matrix: FeatureMatrix, spec: Network
) -> None:
    given = [own.workspace for own in asked[1]]
    assert len(given) == FOLDS * len(spec.teachers)
    train = matrix.workspace.rows("train")
    for teacher in range(len(spec.teachers)):
        own = given[teacher * FOLDS : (teacher + 1) * FOLDS]
        answered = np.concatenate([workspace.rows("validation") for workspace in own])
        assert sorted(answered) == list(train)
        for workspace in own:
            groups = [
                set(workspace.posts["group_number"].iloc[workspace.rows(part)]) for part in ("train", "validation")
            ]
            assert groups[0] and groups[1] and not groups[0] & groups[1]
            assert set(workspace.rows("train")) | set(workspace.rows("validation")) == set(train)


def test_what_they_say_is_of_the_training_posts_alone(
    asked: tuple[SoftTargets, list[FeatureMatrix]], matrix: FeatureMatrix, folder: Path
) -> None:
    soft, _ = asked
    train = matrix.workspace.rows("train")
    others = np.setdiff1d(np.arange(len(matrix.workspace.posts)), train)
    assert np.isfinite(soft.target[train]).all() and np.isnan(soft.target[others]).all()
    np.testing.assert_allclose(soft.shares[train].sum(axis=1), 1)
    assert np.isnan(soft.shares[others]).all()
    # The regression is that of both teachers' kept scores, post by post.
    said = [pd.concat(pd.read_parquet(path) for path in sorted(folder.glob(f"{name}/*/{ANSWERS}"))) for name in "ab"]
    ids = matrix.workspace.posts["post_id"].to_numpy()[train]
    scores = np.column_stack([np.ones(len(ids)), *(table.set_index("post_id")["score"][ids] for table in said)])
    target = matrix.workspace.posts["target"].to_numpy()[train]
    expected = scores @ np.linalg.lstsq(scores, target, rcond=None)[0]
    np.testing.assert_allclose(soft.target[train], expected, atol=1e-6)
    assert soft.seconds == pytest.approx(sum(table["seconds"].unique().sum() for table in said))


def test_what_was_said_is_kept_without_the_weights(
    asked: tuple[SoftTargets, list[FeatureMatrix]],
    matrix: FeatureMatrix,
    spec: Network,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teaching, "train_replicates", lambda *_: pytest.fail("a fold was trained again"))
    # Killed between writing what it said and removing its weights.
    (folder / "a" / "0" / "network").mkdir()
    again = soft_targets(spec, matrix, folder)
    assert again is not None and again.fingerprint == asked[0].fingerprint
    assert not list(folder.rglob("network")) and not list(folder.rglob("*.safetensors"))


def test_a_teacher_may_choose_its_epoch_and_its_pupil_may_not(
    matrix: FeatureMatrix, spec: Network, tmp_path: Path
) -> None:
    choosing = replace(spec.teachers[0], settings={**SETTINGS, "patience": 1})
    found = soft_targets(replace(spec, teachers=(choosing,)), matrix, tmp_path)
    assert found is not None and np.isfinite(found.target[matrix.workspace.rows("train")]).all()
    with pytest.raises(DataError, match="set patience to 0"):
        soft_targets(replace(spec, settings={**SETTINGS, "patience": 1}), matrix, tmp_path)


def test_answers_of_another_teacher_are_refused(
    asked: tuple[SoftTargets, list[FeatureMatrix]], matrix: FeatureMatrix, spec: Network, folder: Path
) -> None:
    other = replace(spec.teachers[0], settings={**SETTINGS, "epochs": 2})
    with pytest.raises(DataError, match="holds a teacher made from another teacher"):
        soft_targets(replace(spec, teachers=(other,)), matrix, folder)
    fields = FeatureMatrix(matrix.workspace, replace(matrix.settings, text_fields=("title", "tags")))
    with pytest.raises(DataError, match="holds a teacher made from another texts"):
        soft_targets(spec, fields, folder)


def test_a_taught_network_learns_what_they_say(
    asked: tuple[SoftTargets, list[FeatureMatrix]], matrix: FeatureMatrix, spec: Network, folder: Path
) -> None:
    taught = fit_member(spec, matrix, folder.parent)
    alone = fit_member(replace(spec, teachers=()), matrix, folder.parent / "alone")
    assert taught.seconds > asked[0].seconds
    assert np.abs(taught.outputs["validation"]["both"].score - alone.outputs["validation"]["both"].score).max() > 1e-4
    claims = {(place / "settings.json").read_text() for place in (folder.parent, folder.parent / "alone")}
    assert len(claims) == 2
    untaught = fit_member(replace(spec, taught=0.0), matrix, folder.parent / "nothing")
    np.testing.assert_allclose(
        untaught.outputs["validation"]["both"].score, alone.outputs["validation"]["both"].score, atol=1e-5
    )


def test_a_share_of_target_and_levels_is_theirs_and_what_stands_behind_stays() -> None:
    data = TrainingSet(
        np.array([1.0, -1.0, 0.5]), np.array([4, 0, 2]), lambda *_, **__: (None, None), "posts",
        np.array([[np.nan] * 5, [np.nan] * 5, [0.1, 0.2, 0.4, 0.2, 0.1]]),
    )  # fmt: skip
    shares = np.array([[0.0, 0, 0, 0.5, 0.5], [0.2] * 5])
    soft = SoftTargets(np.array([0.0, 0.0]), shares, 0.25, "what they say", 1.0)
    taught = data.taught(soft, ordinal=False)
    np.testing.assert_allclose(taught.target, [0.75, -0.75, 0.5])
    np.testing.assert_allclose(
        taught.levels(np.arange(3), ordinal=False),
        [[0, 0, 0, 0.125, 0.875], [0.8, 0.05, 0.05, 0.05, 0.05], [0.1, 0.2, 0.4, 0.2, 0.1]],
        atol=1e-6,
    )
    assert list(data.target) == [1.0, -1.0, 0.5]
    others = {
        data.taught(replace(soft, **change), ordinal=True).fingerprint
        for change in ({"weight": 0.5}, {"fingerprint": "b"})
    }
    assert len({*others, data.fingerprint, taught.fingerprint}) == 4
