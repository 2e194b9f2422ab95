"""Runs of one work folder beside one another."""

import json
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import DataError
from tests import made_up
from training.data.workspace import Workspace
from training.evaluation.runs import compare
from training.metrics.bootstrap import evaluate_metrics
from training.metrics.predictions import PROBABILITIES, truth_of
from training.modeling.run import Run
from training.recipes.base import Ngrams, Recipe

RECIPE = Recipe(name="one", summary="Of n-grams.", members=(Ngrams(),))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("made"), 200)


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "work"))


def write_run(work: Path, name: str, src: float, *, folds: bool = False, trees: str = "", **other: object) -> Path:
    report = work / "runs" / name / "report"
    report.mkdir(parents=True)
    workspace = Workspace(work)
    content = {
        "recipe": name,
        "summary": f"{name}.",
        "config": {"name": name, "expects": {"src": src}, "target": "score", "members": [trees or name]},
        "data": {"fingerprint": workspace.dataset["fingerprint"]},
        "split": workspace.split_digest,
        "notes": [],
        "test_reads": [],
    }
    (report / "report.json").write_text(json.dumps({**content, **other}))
    rows = [(kind, split, src) for kind in ("model", "baseline") for split in ("validation", "test")]
    metrics = pd.DataFrame(rows, columns=["kind", "split", "value"])
    metrics.assign(
        model=name, protocol="grouped", view="both", metric="src", low=src, high=src, n=9, seed=None
    ).to_parquet(report / "metrics.parquet")
    guesses(workspace, name).to_parquet(report / "predictions.parquet")
    if folds:
        pd.DataFrame({"recipe": [name], "fold": [0], "value": [src]}).to_parquet(report / "crossvalidation.parquet")
        pd.DataFrame({"candidate": ["big"], "value": [src]}).to_parquet(report / "grid.parquet")
    return report


def guesses(workspace: Workspace, name: str) -> pd.DataFrame:
    """What the model of a run says, half right, of the test posts."""
    truth = truth_of(workspace, "test")
    generator = np.random.default_rng(len(name))
    score = truth["score"] * np.exp(generator.normal(size=len(truth)) * truth["score"].std())
    told = truth[["post_id"]].assign(model=name, view="both", split="test", score=score)
    return told.assign(**dict.fromkeys(PROBABILITIES, 0.2))


def test_what_another_run_ranks_better_is_paired_on_the_same_posts(work: Path) -> None:
    report = write_run(work, "one", 0.6)
    write_run(work, "other", 0.5)
    write_run(work, "popular", 0.5, config={"target": "popularity"})
    lacking = write_run(work, "lacking", 0.5) / "predictions.parquet"
    pd.read_parquet(lacking).iloc[1:].to_parquet(lacking)
    compare(work, RECIPE)
    table = pd.read_parquet(report / "recipes.parquet").set_index("recipe")
    workspace = Workspace(work)
    one, other = (
        evaluate_metrics(guesses(workspace, name), truth_of(workspace, "test"))["src"] for name in ("one", "other")
    )
    found = table.loc["other"]
    assert found["gain"] == pytest.approx(other - one) and found["gain_low"] <= found["gain"] <= found["gain_high"]
    assert found["gain_low"] < found["gain_high"]
    assert table.loc[["one", "popular", "lacking"], "gain"].isna().all()


def test_test_figures_of_all_runs_stand_in_one_table(work: Path) -> None:
    report = write_run(work, "one", 0.6)
    write_run(work, "two", 0.5, folds=True)
    write_run(work, "elsewhere", 0.9, data={"fingerprint": "b"})
    write_run(work, "split_otherwise", 0.9, split="b")
    (work / "runs" / "unfinished").mkdir()
    for _ in range(2):
        assert compare(work, RECIPE) == report
        table = pd.read_parquet(report / "recipes.parquet")
        assert table[["recipe", "value"]].to_numpy().tolist() == [["one", 0.6], ["two", 0.5]]
        assert set(table["split"]) == {"test"} and set(table["target"]) == {"score"} and set(table["same_as"]) == {""}
        assert pd.read_parquet(report / "crossvalidation.parquet")["recipe"].tolist() == ["two"]
        assert pd.read_parquet(report / "grid.parquet")[["candidate", "recipe"]].to_numpy().tolist() == [["big", "two"]]
    folds = work / "runs" / "two" / "report" / "crossvalidation.parquet"
    pd.DataFrame({"recipe": ["two"], "fold": [0], "value": [0.7]}).to_parquet(folds)
    compare(work, RECIPE)
    assert pd.read_parquet(report / "crossvalidation.parquet")["value"].tolist() == [0.7]


def test_one_experiment_under_two_names_is_one_row(work: Path) -> None:
    """Recipes of two encoders are the same run where both stand on the encoders that are there."""
    report = write_run(work, "one", 0.6, folds=True)
    for name in ("clip", "siglip", "elsewhere"):
        write_run(work, name, 0.4, trees="small", **({"split": "b"} if name == "elsewhere" else {}))
    write_run(work, "again", 0.6, trees="one", folds=True)
    compare(work, RECIPE)
    table = pd.read_parquet(report / "recipes.parquet").set_index("recipe")
    assert table["same_as"].to_dict() == {"clip": "siglip", "one": "again"}
    assert table.loc["clip", "summary"] == "clip. On these encoders siglip is the same run."
    assert pd.read_parquet(report / "crossvalidation.parquet")["recipe"].tolist() == ["one"]


@pytest.fixture
def shipped(work: Path, tmp_path: Path) -> Path:
    """A model that was shipped from a work folder like this one, beside which another recipe stands."""
    model = tmp_path / "model"
    (model / "bundle").mkdir(parents=True)
    report = write_run(work, "one", 0.6, notes=["Read once."], test_reads=[])
    write_run(work, "gone", 0.3, folds=True)
    compare(work, RECIPE)
    shutil.move(report, model / "report")
    shutil.rmtree(work / "runs" / "gone")
    return model


def test_a_shipped_model_stands_in_for_its_run(work: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained later stands beside it, and what it says of recipes that are no longer there stays."""
    noted, seconds = [], count()
    # Of two reads in one second, one would stand for both.
    monkeypatch.setattr("training.modeling.run.now", lambda: f"9999-01-01T00:00:{next(seconds):02d}Z")
    monkeypatch.setattr("training.evaluation.shipped.amend_bundle", lambda bundle, notes: noted.append((bundle, notes)))
    write_run(work, "later", 0.5, folds=True)
    write_run(work, "one", 0.9, notes=["Read once."], test_reads=[])
    Run(work, replace(RECIPE, name="later")).read_test("evaluate")
    for _ in range(2):
        assert compare(work, RECIPE, shipped) == shipped / "report"
        table = pd.read_parquet(shipped / "report" / "recipes.parquet").set_index("recipe")
        assert table["value"].to_dict() == {"gone": 0.3, "later": 0.5, "one": 0.6}
        assert table["gain"].notna().to_dict() == {"gone": True, "later": True, "one": False}
        for name in ("crossvalidation", "grid"):
            rows = pd.read_parquet(shipped / "report" / f"{name}.parquet")
            assert rows["recipe"].tolist() == ["gone", "later"]
    facts = json.loads((shipped / "report" / "report.json").read_text())
    read = [(read["step"], read["recipe"]) for read in facts["test_reads"]]
    # The first comparison is the fixture's.
    assert read == [("compare", "one"), ("evaluate", "later"), ("compare", "one"), ("compare", "one")]
    assert noted == [(shipped / "bundle", tuple(facts["notes"]))] * 2
    assert list(facts["apart"]) == ["other recipes"] and facts["notes"][-1].endswith("): other recipes.")


def test_a_shipped_model_of_other_posts_is_refused(work: Path, shipped: Path) -> None:
    with pytest.raises(DataError, match="has no report of the recipe two on the posts and the split of"):
        compare(work, replace(RECIPE, name="two"), shipped)
    path = shipped / "report" / "report.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "data": {"fingerprint": "another"}}))
    with pytest.raises(DataError, match="name the model that was shipped from there"):
        compare(work, RECIPE, shipped)


def test_a_recipe_without_a_report_has_nothing_to_compare(work: Path) -> None:
    with pytest.raises(DataError, match=r"holds no report\.json; run `python -m training evaluate` for it"):
        compare(work, RECIPE)
