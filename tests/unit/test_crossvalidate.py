"""Nested folds and the choice in a grid: nothing is chosen where it is evaluated; fewer trees are the first trees."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import DataError
from engine.files import write_json
from tests import made_up
from training.data.splits import stratified_folds
from training.data.workspace import Workspace
from training.evaluation import cross_validation as step
from training.evaluation.cross_validation import assignments, crossvalidate, summary
from training.features.matrix import FeatureMatrix
from training.modeling.choosing import learning_and_choosing
from training.modeling.grid_search import CRITERION, first_trees, fit_grid
from training.modeling.members import fit_catboost, outputs_of
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes.base import CatBoost, Network, Ngrams, Recipe

SHORT = CatBoost(name="short", iterations=50, depth=2, learning_rate=0.05, early_stopping=None, rsm=0.5)
LONG = replace(SHORT, name="long", iterations=100)
RECIPE = Recipe(
    name="folded",
    summary="Made-up folds.",
    members=(replace(SHORT, name="own", iterations=40, early_stopping=5),),
    grid=(SHORT, LONG, replace(SHORT, name="deep", depth=4)),
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("folds"), 300)


@pytest.fixture(scope="module")
def table(work: Path) -> pd.DataFrame:
    return crossvalidate(work, RECIPE, folds=3)


def test_first_trees_are_what_as_many_grow_to(work: Path) -> None:
    matrix = FeatureMatrix(Workspace(work), RECIPE.features)
    grown, wanted = (fit_catboost(spec, matrix, ()).member for spec in (LONG, SHORT))
    cut = first_trees(grown, "short", 50)  # type: ignore[arg-type]
    assert [model.tree_count_ for pair in cut.models.values() for model in pair] == [50] * 6
    for split in ("train", "validation"):
        found, expected, longer = (outputs_of(member, matrix, (split,))[split] for member in (cut, wanted, grown))
        for view in ("both", "text", "image"):
            np.testing.assert_allclose(found[view].probabilities, expected[view].probabilities, atol=1e-12)
            np.testing.assert_allclose(found[view].score, expected[view].score, atol=1e-12)
            assert np.abs(found[view].score - longer[view].score).max() > 1e-3


def test_grid_takes_the_least_log_loss_and_grows_each_depth_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grown = []

    def counting(spec: CatBoost, *arguments: object, **options: object) -> object:
        grown.append((spec.name, options.get("views")))
        return fit_catboost(spec, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("training.modeling.grid_search.fit_catboost", counting)
    matrix = FeatureMatrix(Workspace(work), RECIPE.features)
    fitted, figures = fit_grid((*RECIPE.members, *RECIPE.grid), matrix, ("validation",))  # type: ignore[arg-type]
    losses = figures[figures["metric"] == CRITERION].set_index("candidate")["value"]
    assert fitted.member.name == losses.idxmin()
    assert list(figures[figures["chosen"]]["candidate"].unique()) == [losses.idxmin()]
    assert set(losses.index) == {"own", "short", "long", "deep"}
    assert [name for name, views in grown if views == ("both",)] == ["own", "long", "deep"]
    assert grown[-1] == (losses.idxmin(), ["text", "image"])
    assert set(fitted.outputs["validation"]) == set(fitted.member.reads) == {"both", "text", "image"}
    trees = figures.drop_duplicates("candidate").set_index("candidate")["iterations"]
    assert (trees["short"], trees["long"]) == (50, 100) and trees["own"] <= 40


def test_train_chooses_and_keeps_every_candidates_figures(work: Path) -> None:
    train(work, RECIPE)
    figures = pd.read_parquet(Run(work, RECIPE).folder / "grid.parquet")
    assert list(figures.columns) == "candidate iterations depth chosen metric value n".split()
    assert figures["n"].unique() == len(learning_and_choosing(Workspace(work))[1])


@pytest.mark.parametrize("protocol", ["grouped", "random"])
def test_parts_are_nested_and_leave_test_alone(work: Path, protocol: str) -> None:
    whole = Workspace(work)
    posts = whole.posts.set_index("post_id")
    outer: list[str] = []
    for part in assignments(whole, 3, protocol):  # type: ignore[arg-type]
        assert set(part) == {"train", "validation", "test"}
        assert not posts["split"].loc[part.index].eq("test").any()
        if protocol == "grouped":
            assert (
                pd.DataFrame({"part": part, "group": posts["group_number"]}).groupby("group")["part"].nunique().max()
                == 1
            )
        held = (part == "validation").sum() / (part != "test").sum()
        assert 0.1 < held < 0.3
        outer += part.index[part == "test"].tolist()
    assert sorted(outer) == sorted(posts.index[posts["split"] != "test"])


def test_everything_is_fitted_on_the_inner_training_part(work: Path) -> None:
    whole = Workspace(work)
    part = next(assignments(whole, 3, "grouped"))
    inner = Workspace(work, assignment=part)
    scores = whole.posts.set_index("post_id")["score"].loc[part.index]
    np.testing.assert_allclose(inner.cuts, np.percentile(scores[part == "train"], (20, 40, 60, 80)))
    assert not np.allclose(inner.cuts, whole.cuts)
    for split in ("train", "validation", "test"):
        assert set(inner.posts["post_id"].iloc[inner.rows(split)]) == set(part.index[part == split])
    unread = inner.posts["split"].isna()
    assert set(inner.posts["post_id"][unread]) == set(whole.posts["post_id"].iloc[whole.rows("test")])


def test_the_outer_fold_chooses_nothing(work: Path) -> None:
    """Other engagement on the outer fold changes its figures and nothing of the model."""
    part = next(assignments(Workspace(work), 3, "grouped"))
    chosen, outputs = [], []
    for change in (False, True):
        workspace = Workspace(work, assignment=part)
        posts = workspace.posts
        outer = posts["split"] == "test"
        if change:
            posts.loc[outer, ["score", "level", "target", "log_score"]] = (
                posts.loc[outer, ["score", "level", "target", "log_score"]].sample(frac=1, random_state=1).to_numpy()
            )
            posts["level"] = posts["level"].astype(np.int64)
        fitted, _ = fit_grid((*RECIPE.members, *RECIPE.grid), FeatureMatrix(workspace, RECIPE.features), ("test",))  # type: ignore[arg-type]
        chosen.append(fitted.member.name)
        outputs.append(fitted.outputs["test"]["both"].probabilities)
    assert chosen[0] == chosen[1]
    np.testing.assert_array_equal(*outputs)


def test_table_is_that_of_the_architecture(work: Path, table: pd.DataFrame) -> None:
    assert list(table.columns) == "recipe protocol fold candidates chosen metric value n".split()
    assert set(table["fold"]) == {0, 1, 2} and set(table["candidates"]) == {4}
    assert set(table["chosen"]) <= {"own", "short", "long", "deep"}
    posts = Workspace(work).posts
    assert table.drop_duplicates("fold")["n"].sum() == (posts["split"] != "test").sum()
    assert table[table["metric"] == "src"]["value"].mean() > 0.4
    line = summary(table)
    assert line.startswith("folded, 3 grouped folds of") and "src 0." in line and "±" in line and "among 4" in line


def test_finished_folds_are_kept_and_others_refused(work: Path, table: pd.DataFrame, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(step, "fit_members", refuse)
    assert crossvalidate(work, RECIPE, folds=3).equals(table)
    path = Run(work, RECIPE).folder / "crossvalidation" / "grouped" / "fold-1.parquet"
    path.rename(path.with_suffix(".kept"))
    with pytest.raises(AssertionError, match="fitted again"):
        crossvalidate(work, RECIPE, folds=3)
    path.with_suffix(".kept").rename(path)
    for changed in ({"folds": 4}, {"folds": 3, "deepest": 2}, {"folds": 3, "seed": 1}):
        with pytest.raises(DataError, match=r"holds folds made from another (grid|parts)"):
            crossvalidate(work, RECIPE, **changed)  # type: ignore[arg-type]


def test_protocols_stand_side_by_side_and_deep_trees_can_stay_out(work: Path) -> None:
    recipe = replace(RECIPE, name="beside", grid=RECIPE.grid[2:])
    for protocol in ("grouped", "random"):
        found = crossvalidate(work, recipe, folds=2, protocol=protocol, deepest=2)  # type: ignore[arg-type]
        assert set(found["protocol"]) == {protocol} and set(found["candidates"]) == {1}
    run = Run(work, recipe)
    report = pd.read_parquet(run.report / "crossvalidation.parquet")
    assert set(report["protocol"]) == {"grouped", "random"}
    # Folds of a protocol that was stopped on its way are not taken for all of them.
    (run.folder / "crossvalidation" / "random" / "fold-1.parquet").unlink()
    crossvalidate(work, recipe, folds=2, deepest=2)
    assert set(pd.read_parquet(run.report / "crossvalidation.parquet")["protocol"]) == {"grouped"}


def test_a_fold_that_cannot_be_calibrated_is_refused_before_any_is_fitted(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "BLENDED", 1000)
    monkeypatch.setattr(step, "evaluate_fold", None)
    with pytest.raises(DataError, match=r"Only \d+ groups of posts would make the choices of fold 0 of 2, which takes"):
        crossvalidate(work, replace(RECIPE, name="few"), folds=2)


def test_folds_go_into_the_report_of_a_shipped_model(
    work: Path, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of the same folds, beside those of other recipes and the other protocol."""
    report, workspace = tmp_path / "model" / "report", Workspace(work)
    report.mkdir(parents=True)
    facts = {
        "recipe": "another",
        "data": {"fingerprint": workspace.dataset["fingerprint"]},
        "split": workspace.split_digest,
        "apart": {"the grid": "2026-01-01"},
        "notes": ["Read once.", "Of another run on the same posts and split (2026-01-01): the grid."],
    }
    noted = []
    monkeypatch.setattr("training.evaluation.shipped.amend_bundle", lambda bundle, notes: noted.append(notes))
    write_json(report / "report.json", facts)
    others = [table.assign(recipe="another"), table.assign(protocol="random"), table.assign(value=0.0)]
    pd.concat(others).to_parquet(report / "crossvalidation.parquet")
    gathered = step._gathered

    def meanwhile(*asked: Any) -> pd.DataFrame:
        # Folds take hours, and another step may have written of its own.
        facts["notes"].insert(0, "Written meanwhile.")
        write_json(report / "report.json", facts)
        return gathered(*asked)

    monkeypatch.setattr(step, "_gathered", meanwhile)
    crossvalidate(work, RECIPE, folds=3, model=tmp_path / "model")
    found = pd.read_parquet(report / "crossvalidation.parquet")
    expected = pd.concat([others[0], table, others[1]], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)
    notes = json.loads((report / "report.json").read_text())["notes"]
    assert notes[:3] == facts["notes"] and notes[3].endswith("): nested folds.") and noted == [tuple(notes)]
    write_json(report / "report.json", {**facts, "split": "another"})
    with pytest.raises(DataError, match="no report on the posts and the split"):
        crossvalidate(work, RECIPE, folds=3, model=tmp_path / "model")


def test_networks_and_blends_are_evaluated_too(work: Path, vit_and_bert: dict[str, str]) -> None:
    settings = {"tuning": "frozen", "epochs": 1, "batch_size": 16}
    network = Network(settings=settings, shape={"width": 16, "heads": 2})
    recipe = Recipe(name="blended", summary="Two.", members=(Ngrams(), network), encoders=vit_and_bert)
    found = crossvalidate(work, recipe, folds=2)
    assert set(found["candidates"]) == {1}
    assert all(set(name.split(" + ")) <= {"ngrams", "network"} for name in found["chosen"])
    folds = Run(work, recipe).folder / "crossvalidation" / "grouped"
    assert (folds / "fold-1" / "network" / "best.safetensors").exists()
    assert found[found["metric"] == "accuracy"]["value"].between(0, 1).all()


def test_too_few_posts_or_groups_are_a_sentence(work: Path, tmp_path: Path) -> None:
    strata = np.arange(60) % 5
    said = r"60 posts with a picture in 60 groups are too few for 20 folds: that takes 100 .*; prepare more posts\.$"
    with pytest.raises(DataError, match=said):
        stratified_folds(strata, np.arange(60), 20, 0)
    with pytest.raises(DataError, match=r"in 4 groups are too few for 5 folds: .*; name finer groups, or prepare"):
        stratified_folds(np.arange(200) % 5, np.arange(200) % 4, 5, 0)
    with pytest.raises(DataError, match="too few for 20 folds"):
        made_up.make_work(tmp_path, 40)
    with pytest.raises(DataError, match="1 folds cannot be set"):
        crossvalidate(work, RECIPE, folds=1)


def test_scores_too_equal_for_five_levels_are_a_sentence(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posts = Workspace(work).posts.assign(score=0.5)
    with monkeypatch.context() as patch:
        patch.setattr("training.data.workspace.engagement_score", lambda counts: np.zeros(len(counts["views"])))
        with pytest.raises(DataError, match=r"for five levels: .* have 0; leave out"):
            Workspace(work).posts  # noqa: B018
    monkeypatch.setattr(Workspace, "posts", posts)
    workspace = Workspace(work)
    for read in (lambda: workspace.cuts, lambda: next(assignments(workspace, 3, "grouped"))):
        with pytest.raises(DataError, match=r"for five levels: .* have 0\.5; leave out"):
            read()
