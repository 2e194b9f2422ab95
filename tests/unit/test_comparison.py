"""Runs of one work folder beside one another."""

import json
from pathlib import Path

import pandas as pd
import pytest

from engine.errors import DataError
from training.evaluation.runs import compare
from training.recipes.base import Ngrams, Recipe

RECIPE = Recipe(name="one", summary="Of n-grams.", members=(Ngrams(),))


def write_run(work: Path, name: str, src: float, *, fingerprint: str = "a", folds: bool = False) -> Path:
    report = work / "runs" / name / "report"
    report.mkdir(parents=True)
    facts = {
        "recipe": name,
        "summary": f"{name}.",
        "config": {"target": "score"},
        "data": {"fingerprint": fingerprint},
    }
    (report / "report.json").write_text(json.dumps(facts))
    rows = [(kind, split, src) for kind in ("model", "baseline") for split in ("validation", "test")]
    metrics = pd.DataFrame(rows, columns=["kind", "split", "value"])
    metrics.assign(
        model=name, protocol="grouped", view="both", metric="src", low=src, high=src, n=9, seed=None
    ).to_parquet(report / "metrics.parquet")
    if folds:
        pd.DataFrame({"recipe": [name], "fold": [0], "value": [src]}).to_parquet(report / "crossvalidation.parquet")
        pd.DataFrame({"candidate": ["big"], "value": [src]}).to_parquet(report / "grid.parquet")
    return report


def test_test_figures_of_all_runs_stand_in_one_table(tmp_path: Path) -> None:
    report = write_run(tmp_path, "one", 0.6)
    write_run(tmp_path, "two", 0.5, folds=True)
    write_run(tmp_path, "elsewhere", 0.9, fingerprint="b")
    (tmp_path / "runs" / "unfinished").mkdir()
    for _ in range(2):
        assert compare(tmp_path, RECIPE) == report
        table = pd.read_parquet(report / "recipes.parquet")
        assert table[["recipe", "value"]].to_numpy().tolist() == [["one", 0.6], ["two", 0.5]]
        assert set(table["split"]) == {"test"} and set(table["target"]) == {"score"}
        assert pd.read_parquet(report / "crossvalidation.parquet")["recipe"].tolist() == ["two"]
        assert pd.read_parquet(report / "grid.parquet")[["candidate", "recipe"]].to_numpy().tolist() == [["big", "two"]]
    folds = tmp_path / "runs" / "two" / "report" / "crossvalidation.parquet"
    pd.DataFrame({"recipe": ["two"], "fold": [0], "value": [0.7]}).to_parquet(folds)
    compare(tmp_path, RECIPE)
    assert pd.read_parquet(report / "crossvalidation.parquet")["value"].tolist() == [0.7]


def test_a_recipe_without_a_report_has_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="training evaluate --recipe one"):
        compare(tmp_path, RECIPE)
