"""Ablations on made-up posts whose engagement is known to come from both sides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.errors import DataError
from tests import made_up
from training.evaluation import ablations as step
from training.evaluation import variants
from training.evaluation.ablations import FAMILIES, METRICS, TESTED, ablate
from training.recipes.base import Recipe

SEEDS = 2


@pytest.fixture(scope="module", autouse=True)
def quick() -> object:
    """Few shallow trees."""
    patch = pytest.MonkeyPatch()
    trees = replace(variants.TREES, iterations=40, depth=3)
    for module in (variants, step):
        patch.setattr(module, "TREES", trees)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("ablations"), 400)


@pytest.fixture(scope="module")
def recipe(vit_and_bert: dict[str, str]) -> Recipe:
    return Recipe(name="tiny", summary="Ablated.", members=(), encoders=vit_and_bert)


@pytest.fixture(scope="module")
def report(work: Path, recipe: Recipe) -> Path:
    return ablate(work, recipe, SEEDS, resamples=40)


def test_tables_are_those_of_the_architecture(report: Path) -> None:
    table = pd.read_parquet(report / "ablations.parquet")
    assert list(table.columns) == "family ablation reference seed split metric value reference_value".split()
    assert set(table["family"]) == set(FAMILIES)
    assert set(table["split"]) == {"validation", "test"}
    assert set(table["metric"]) == set(METRICS)
    assert not table.duplicated(["ablation", "reference", "seed", "split", "metric"]).any()
    assert set(table["seed"]) == set(range(SEEDS))
    assert np.isfinite(table[["value", "reference_value"]]).all().all()
    tested = pd.read_parquet(report / "comparisons.parquet")
    assert list(tested.columns) == "ablation reference metric delta low high seeds n".split()
    # Any two fusions are tested, so there is one pair more than variants.
    assert len(tested) == (table["ablation"].nunique() + 1) * len(TESTED)
    assert {"cross-attention", "gated"} in [
        set(pair) for pair in zip(tested["ablation"], tested["reference"], strict=True)
    ]
    assert (tested["low"] <= tested["high"]).all() and (tested["seeds"] == SEEDS).all()


def test_deltas_are_means_over_seeds_of_the_same_posts(report: Path) -> None:
    table, tested = (pd.read_parquet(report / f"{name}.parquet") for name in ("ablations", "comparisons"))
    found = table[table["split"] == "test"]
    found = (found["value"] - found["reference_value"]).groupby([found["ablation"], found["metric"]]).mean()
    for row in tested[tested["reference"] != "cross-attention"].itertuples():
        assert row.delta == pytest.approx(found[row.ablation, row.metric], abs=1e-9)


def test_they_say_what_is_true_of_the_data(report: Path) -> None:
    table = pd.read_parquet(report / "ablations.parquet").query("metric == 'src' and split == 'test'")
    mean = table.groupby("ablation")["value"].mean()
    whole = table[table["ablation"] == "without picture"]["reference_value"].mean()
    assert whole > 0.6
    assert mean["without picture"] < whole - 0.1
    assert mean["without text"] < whole - 0.1
    assert mean["counts as inputs"] > whole + 0.03
    assert abs(mean["shuffled labels"]) < 0.3
    assert mean["shuffled pictures"] < whole - 0.1
    assert mean["shuffled titles"] < whole - 0.1


def test_seeds_differ_but_share_their_reference(report: Path) -> None:
    table = pd.read_parquet(report / "ablations.parquet").query("metric == 'log_loss' and split == 'test'")
    trees = table[table["reference"] == "all features"]
    assert (trees.groupby("seed")["reference_value"].nunique() == 1).all()
    assert trees["reference_value"].nunique() == SEEDS


def test_what_is_finished_is_not_fitted_again(work: Path, recipe: Recipe, report: Path, monkeypatch) -> None:
    before = pd.read_parquet(report / "ablations.parquet")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    for name in ("trees", "torch_head", "fusion"):
        monkeypatch.setattr(variants.Variants, name, refuse)
    ablate(work, recipe, SEEDS, resamples=5)
    assert pd.read_parquet(report / "ablations.parquet").equals(before)
    (report.parent / "ablations" / "torch_head-1.parquet").rename(report.parent / "kept")
    with pytest.raises(AssertionError, match="fitted again"):
        ablate(work, recipe, SEEDS, resamples=5)
    (report.parent / "kept").rename(report.parent / "ablations" / "torch_head-1.parquet")


def test_some_families_bring_their_reference_along(work: Path, recipe: Recipe) -> None:
    report = ablate(work, replace(recipe, name="part"), 1, families=("leak",), resamples=5)
    table = pd.read_parquet(report / "ablations.parquet")
    assert set(table["ablation"]) == {"counts as inputs"}
    assert set(table["reference"]) == {"all features"}


def test_mistakes_are_named(work: Path, recipe: Recipe, report: Path) -> None:
    with pytest.raises(DataError, match="no family colour of ablations; known are modality"):
        ablate(work, recipe, families=("colour",))
    with pytest.raises(DataError, match="0 seeds"):
        ablate(work, recipe, 0)
    with pytest.raises(DataError, match="does not name an encoder for pictures and one for texts"):
        ablate(work, replace(recipe, encoders={"words": "minilm"}))
    with pytest.raises(DataError, match="made from another recipe"):
        ablate(work, replace(recipe, text_fields=("title", "tags")), SEEDS)
