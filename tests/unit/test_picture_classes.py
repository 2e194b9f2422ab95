"""Likes per view by class from pictures alone: parts, figures recomputed, rows of several recipes, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import f1_score

from engine.errors import DataError
from tests.class_folders import further_pictures
from training.evaluation.categories import MAJORITY
from training.evaluation.picture_classes import ClassedPictures, classify
from training.recipes import load_recipe
from training.recipes.base import Heads, Recipe

NAMES = ("0% to 2%", "2% to 5%", "5% to 100%")


def small(name: str = "small", **settings: object) -> Recipe:
    heads = Heads(
        settings={"epochs": 6, "patience": 6, "batch_size": 16, "heads_rate": 3e-3, **settings}, shape={"width": 16}
    )
    recipe = load_recipe("vit_scratch_category_likes")
    return replace(recipe, name=name, encoders={"picture": "scratch-vit:32x48"}, members=(heads,))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return further_pictures(tmp_path_factory.mktemp("further"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model" / "report").mkdir(parents=True)
    (tmp_path / "model" / "report" / "report.json").write_text("{}")
    return tmp_path / "model"


def test_pictures_that_look_alike_stand_in_one_part(work: Path) -> None:
    pictures = ClassedPictures(work)
    assert pictures.names == NAMES and pictures.groups[0] == pictures.groups[1]
    assert pd.Series(pictures.part).groupby(pictures.groups).nunique().max() == 1
    shares = pd.Series(pictures.part).value_counts(normalize=True)
    assert shares["train"] == pytest.approx(5 / 7, abs=0.05) and shares["test"] == pytest.approx(1 / 7, abs=0.05)
    for part in ("train", "validation", "test"):
        assert set(pictures.number[pictures.rows(part)]) == {0, 1, 2}


def test_figures_are_those_of_the_confusion_and_bright_pictures_are_told(work: Path, model: Path) -> None:
    report = classify(work, small(), model, resamples=50)
    figures = pd.read_parquet(report / "picture_classes.parquet").set_index(["recipe", "metric"])
    counts = pd.read_parquet(report / "picture_confusion.parquet")
    test = ClassedPictures(work).rows("test")
    assert counts["count"].sum() == len(test) == figures["n"].iloc[0]
    true, said = (counts[name].repeat(counts["count"]).to_numpy() for name in ("category", "predicted_category"))
    own = figures.loc["small"]["value"]
    assert own["category_accuracy"] == pytest.approx((true == said).mean())
    assert own["category_macro_f1"] == pytest.approx(f1_score(true, said, average="macro"))
    assert own["category_accuracy"] > 0.8 and own["src"] > 0.8
    usual = pd.Series(true).value_counts(normalize=True)
    assert figures.loc[(MAJORITY, "category_accuracy"), "value"] in [pytest.approx(share) for share in usual]
    assert (figures["low"] <= figures["value"]).all() and (figures["value"] <= figures["high"]).all()
    network = pd.read_parquet(report / "picture_networks.parquet").iloc[0]
    assert (network["size"], network["pictures"]) == ("48×32", len(ClassedPictures(work).rows("train")))


def test_another_recipe_stands_beside_and_a_finished_training_is_taken_over(work: Path, model: Path) -> None:
    classify(work, small(), model, resamples=20)
    before = pd.read_parquet(model / "report" / "picture_classes.parquet")
    finished = work / "runs" / "small" / "pictures" / "training.json"
    told = json.loads(finished.read_text())
    classify(work, small("frozen", tuning="frozen"), model, resamples=20)
    both = pd.read_parquet(model / "report" / "picture_classes.parquet")
    assert set(both["recipe"]) == {"small", "frozen", MAJORITY}
    pd.testing.assert_frame_equal(
        both[both["recipe"] == "small"].reset_index(drop=True),
        before[before["recipe"] == "small"].reset_index(drop=True),
    )
    classify(work, small(), model, resamples=20)
    assert json.loads(finished.read_text()) == told
    assert len(pd.read_parquet(model / "report" / "picture_classes.parquet")) == len(both)
    with pytest.raises(DataError, match="another config"):
        classify(work, small(epochs=7), model, resamples=20)


def test_what_cannot_be_told_is_said(work: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no report"):
        classify(work, small(), tmp_path / "nowhere")
    with pytest.raises(DataError, match="no category head"):
        classify(work, load_recipe("catboost_clip"), model)
    with pytest.raises(DataError, match="no further pictures"):
        classify(tmp_path, small(), model)
