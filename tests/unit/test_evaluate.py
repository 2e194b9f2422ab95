"""A recipe on a made-up dataset: a whole report, figures that are what they claim, leaks that look like leaks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.bundle import read_bundle
from engine.errors import DataError
from engine.posts import Post
from engine.predictor import Predictor
from engine.scoring import fit_cuts, to_level
from tests import class_folders
from tests.made_up import make_work, without_baselines
from training.data.prepare import prepare
from training.data.workspace import Workspace, split
from training.evaluation.gains import _promise
from training.evaluation.report import evaluate
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes.base import CatBoost, Ngrams, Recipe

JUNK = 6
RECIPE = Recipe(
    name="made_up",
    summary="Trees on statistics of a made-up dataset.",
    members=(Ngrams(), CatBoost(name="trees", iterations=40, early_stopping=None, learning_rate=0.1, depth=3)),
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_work(tmp_path_factory.mktemp("made_up"), 400)
    train(folder, RECIPE)
    evaluate(folder, RECIPE, resamples=50, junk=JUNK)
    return folder


@pytest.fixture(scope="module")
def report(work: Path) -> Path:
    return Run(work, RECIPE).report


def figure(metrics: pd.DataFrame, model: str, metric: str, view: str = "both", split: str = "test") -> float:
    rows = metrics.query("model == @model and metric == @metric and view == @view and split == @split")
    assert len(rows) == 1, (model, metric, view, split)
    return float(rows["value"].iloc[0])


def test_levels_are_even_on_training_and_cut_there_only(work: Path) -> None:
    workspace = Workspace(work)
    train = workspace.posts[workspace.posts["split"] == "train"]
    assert train["level"].value_counts(normalize=True).between(0.17, 0.23).all()
    cuts = fit_cuts(train["score"])
    np.testing.assert_allclose(read_bundle(Run(work, RECIPE).bundle).cuts, cuts)
    np.testing.assert_array_equal(workspace.posts["level"], to_level(workspace.posts["score"], cuts))


def test_the_model_learns_what_there_is_to_learn(report: Path) -> None:
    metrics = pd.read_parquet(report / "metrics.parquet")
    assert figure(metrics, "made_up", "src") > 0.5
    assert figure(metrics, "made_up", "src") > figure(metrics, "made_up", "src", "text") - 0.02
    assert abs(figure(metrics, "shuffled labels", "src")) < 0.35
    assert figure(metrics, "shuffled picture", "src") < figure(metrics, "made_up", "src")
    assert figure(metrics, "engagement rate as input", "accuracy") > 0.7
    assert figure(metrics, "prior", "src") == 0.0


def test_predictions_are_out_of_sample_and_proper(work: Path, report: Path) -> None:
    predictions = pd.read_parquet(report / "predictions.parquet")
    posts = Workspace(work).posts.set_index("post_id")
    assert (posts["split"].loc[predictions["post_id"]].to_numpy() == predictions["split"].to_numpy()).all()
    assert not predictions["split"].eq("train").any()
    columns = [name for name in predictions if name.startswith("p_")]
    np.testing.assert_allclose(predictions[columns].sum(axis=1), 1, atol=1e-5)
    assert (predictions["set_low"] <= predictions["predicted_level"]).all()
    assert (predictions["predicted_level"] <= predictions["set_high"]).all()
    assert (predictions["score_low"] <= predictions["score"] * (1 + 1e-5)).all()
    assert (predictions["score"] <= predictions["score_high"] * (1 + 1e-5)).all()


def test_report_carries_no_words_and_no_pictures(work: Path, report: Path) -> None:
    titles = set(Workspace(work).posts["title"])
    for path in report.glob("*.parquet"):
        table = pd.read_parquet(path)
        assert "title" not in table and "image" not in table
        for name in table.select_dtypes(["object", "string"]):
            assert not titles & set(table[name].dropna().astype(str))
    content = json.loads((report / "report.json").read_text())
    assert content["config"]["members"][0]["kind"] == "Ngrams"
    assert any("title alone" in note for note in content["notes"])


def test_posts_of_a_part_stand_together_with_what_is_known_of_each(work: Path, report: Path) -> None:
    found = pd.read_parquet(report / "posts.parquet").set_index("post_id")
    posts = Workspace(work).posts.set_index("post_id").loc[found.index]
    assert (found["split"] != found["split"].shift()).sum() == found["split"].nunique() == 3
    assert (
        found["split"].tolist() == posts["split"].tolist() and found["group"].tolist() == posts["group_number"].tolist()
    )
    hashes = Workspace(work).metadata.set_index("post_id")["pixel_hash"]
    assert found["pixel_hash"].tolist() == hashes[found.index].tolist()


def test_posts_without_titles_are_evaluated(tmp_path: Path) -> None:
    work = tmp_path / "work"
    prepare("folders", class_folders.write(tmp_path / "source", class_folders.table_of(150), title=None), work)
    split(work)
    member = CatBoost(name="trees", iterations=20, early_stopping=None, features=("picture_statistics",))
    trees = replace(RECIPE, name="untitled", members=(member,))
    train(work, trees)
    card = (Run(work, trees).bundle / "README.md").read_text()
    assert "- Reads: picture. Predicts" in card and "It knows only pictures. Who" in card
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.evaluation.report.FOLDS", 100)
        with pytest.raises(DataError, match="too few for 100 folds"):
            evaluate(work, trees, resamples=20, junk=3)
    assert not Run(work, trees).test_reads()
    found = pd.read_parquet(evaluate(work, trees, resamples=20, junk=3) / "metrics.parquet")
    assert {"picture statistics", "untitled"} <= {*found["model"]} and "text statistics" not in {*found["model"]}


def test_of_few_groups_that_are_all_alike_no_promise_is_judged() -> None:
    own = pd.DataFrame({"metric": ["conformal_coverage"], "value": [1.0], "low": [1.0], "high": [1.0]})
    assert _promise(own, "conformal_coverage").endswith(
        "90%: of so few groups of related posts that no more can be told."
    )
    assert _promise(own.assign(low=0.93), "conformal_coverage").endswith("more often than promised.")


def test_figures_reach_the_bundle_and_it_still_verifies(work: Path, report: Path) -> None:
    bundle = read_bundle(Run(work, RECIPE).bundle)
    metrics = pd.read_parquet(report / "metrics.parquet")
    assert bundle.test_metrics["test"]["both"]["src"]["value"] == pytest.approx(figure(metrics, "made_up", "src"))
    assert bundle.notes


def test_training_again_gives_the_same_predictions(work: Path) -> None:
    again = replace(RECIPE, name="again")
    train(work, again)
    post = [Post("fastest kakalo")]
    first, second = (Predictor.load(Run(work, recipe).bundle).predict(post)[0] for recipe in (RECIPE, again))
    assert first.probabilities == second.probabilities
    assert first.score == second.score


def test_differences_coverage_and_reliability_stand_in_the_report(work: Path, report: Path) -> None:
    facts = json.loads((report / "report.json").read_text())
    assert facts["format"] == 2
    differences = pd.read_parquet(report / "differences.parquet")
    metrics = pd.read_parquet(report / "metrics.parquet")
    row = differences.query("view == 'both' and reference_view == 'image' and metric == 'src'").iloc[0]
    expected = figure(metrics, "made_up", "src") - figure(metrics, "made_up", "src", "image")
    assert row["delta"] == pytest.approx(expected) and row["reference"] == "made_up"
    assert facts["test_metrics"]["gains"]["picture"]["src"]["low"] == pytest.approx(
        differences.query("view == 'both' and reference == 'made_up' and reference_view == 'text' and metric == 'src'")[
            "low"
        ].iloc[0]
    )
    coverage = pd.read_parquet(report / "coverage.parquet")
    assert set(coverage["model"]) == {"made_up"} and set(coverage["split"]) == {"validation", "test"}
    reliability = pd.read_parquet(report / "reliability.parquet")
    assert (reliability["low"] <= reliability["frequency"]).all()
    assert (reliability["frequency"] <= reliability["high"]).all()
    assert any("promised are 90%" in note for note in facts["notes"])


def test_every_read_of_test_stays_in_the_ledger(work: Path, report: Path) -> None:
    run = Run(work, RECIPE)
    reads = json.loads((report / "report.json").read_text())["test_reads"]
    assert [(read["step"], read["recipe"]) for read in reads] == [("evaluate", "made_up")]
    with without_baselines():
        evaluate(work, RECIPE, resamples=5, junk=1)
    assert len(run.test_reads()) == 2
    with (work / "test_reads.jsonl").open("a") as file:
        file.write('{"step": "cut off')
    assert len(run.test_reads()) == 2
    run.read_test("explain")
    assert len(run.test_reads()) == 3
    content = json.loads((report / "report.json").read_text())
    assert content["test_reads"] == run.test_reads()[:2]
    assert any("read at least 2 times" in note for note in content["notes"])
