"""Explanations measured on made-up posts: whole tables, what is kept, what is left out, and whose figures they are."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.bundle import amend_bundle, read_bundle
from engine.errors import DataError
from engine.explain import gradients, owen
from engine.predictor import Predictor
from tests.made_up import make_work
from training.evaluation import faithfulness as attribution
from training.evaluation.faithfulness import AREA, RANDOM, explain, explained, summary_of
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes.base import CatBoost, Ngrams, Recipe

RECIPE = Recipe(
    name="explained",
    summary="Trees on statistics of a made-up dataset.",
    members=(Ngrams(), CatBoost(name="trees", iterations=40, early_stopping=None, learning_rate=0.1, depth=3)),
)
POSTS = 6


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_work(tmp_path_factory.mktemp("explained"))
    train(folder, RECIPE)
    return folder


@pytest.fixture(scope="module")
def report(work: Path) -> Path:
    return explain(work, RECIPE, POSTS)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("explained again")


def test_tables_are_those_of_the_architecture(report: Path) -> None:
    curves, summary = (pd.read_parquet(report / f"{name}.parquet") for name in ("attribution", "attribution_summary"))
    assert list(curves.columns) == "method kind fraction value n".split()
    assert set(curves["method"]) == {owen.METHOD, RANDOM} and set(curves["kind"]) == {"deletion", "insertion"}
    assert (curves["n"] == POSTS).all() and curves["value"].between(0, 4).all()
    assert len(curves) == 2 * 2 * curves["fraction"].nunique()
    assert list(summary.columns) == "method metric value low high n".split()
    assert (summary["low"] <= summary["value"]).all() and (summary["value"] <= summary["high"]).all()
    found = summary.set_index(["method", "metric"])["value"]
    assert found[owen.METHOD, AREA] > found[RANDOM, AREA] + 0.05
    gain = found[f"{owen.METHOD} − {RANDOM}", AREA]
    assert gain == pytest.approx(found[owen.METHOD, AREA] - found[RANDOM, AREA])
    assert found[owen.METHOD, "completeness_error"] < 1e-6 and found[owen.METHOD, "seconds"] > 0
    assert (RANDOM, "seconds") not in found


def test_explanations_are_of_one_bundle(work: Path, report: Path) -> None:
    run = Run(work, RECIPE)
    bundle = read_bundle(run.bundle)
    assert explained(run, bundle) and not explained(run, bundle.model_copy(update={"prior": (0.2,) * 5}))


def test_curves_of_all_methods_share_their_ends(report: Path) -> None:
    curves = pd.read_parquet(report / "attribution.parquet")
    at = curves.set_index(["method", "kind", "fraction"])["value"]
    for method in set(curves["method"]):
        assert at[method, "deletion", 0.0] == pytest.approx(at[method, "insertion", 1.0])
        assert at[method, "deletion", 1.0] == pytest.approx(at[method, "insertion", 0.0])


def test_kept_figures_hold_no_words(work: Path, report: Path) -> None:
    titles = pd.read_parquet(work / "posts.parquet", columns=["title"])["title"]
    kept = [path.read_text() for path in (report.parent / "attribution").glob("*.json")]
    assert len(kept) == POSTS + 1
    assert not any(title in text for title in titles for text in kept)


def test_what_is_kept_is_not_explained_again(work: Path, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = ("attribution", "attribution_summary")
    before = [pd.read_parquet(report / f"{name}.parquet") for name in tables]
    asked: list[str] = []
    record_of = attribution.record_of

    def counted(predictor: Predictor, post: object, seed: int = 0) -> dict:
        asked.append(post.post_id)  # type: ignore[attr-defined]
        return record_of(predictor, post, seed)  # type: ignore[arg-type]

    monkeypatch.setattr(attribution, "record_of", counted)
    explain(work, RECIPE, POSTS)
    assert not asked
    after = [pd.read_parquet(report / f"{name}.parquet") for name in tables]
    assert all(now.equals(was) for now, was in zip(after, before, strict=True))
    next(path for path in (report.parent / "attribution").glob("*.json") if path.name != "settings.json").unlink()
    explain(work, RECIPE, POSTS)
    assert len(asked) == 1
    again = pd.read_parquet(report / "attribution.parquet")
    np.testing.assert_allclose(again["value"], before[0]["value"], atol=1e-9)


def test_evaluation_leaves_the_figures_valid_and_another_bundle_does_not(work: Path, report: Path) -> None:
    bundle = Run(work, RECIPE).bundle
    amend_bundle(bundle, test_metrics={"test_posts": 3}, notes=("A note.",))
    explain(work, RECIPE, POSTS)
    path = report.parent / "attribution" / "settings.json"
    kept = path.read_text()
    try:
        for other, value in (("bundle", "f" * 64), ("code", "0" * 16)):
            path.write_text(json.dumps({**json.loads(kept), other: value}))
            with pytest.raises(DataError, match=f"holds explanations made from another {other}; remove it"):
                explain(work, RECIPE, POSTS)
        path.write_text("broken")
        with pytest.raises(DataError, match="is damaged; remove"):
            explain(work, RECIPE, POSTS)
    finally:
        path.write_text(kept)


def with_bundle_of(work: Path, name: str) -> Recipe:
    """A recipe whose run holds the bundle of `RECIPE`."""
    other = replace(RECIPE, name=name)
    shutil.copytree(Run(work, RECIPE).bundle, Run(work, other).bundle)
    return other


def test_a_post_that_fails_is_left_out(work: Path, report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_of = attribution.record_of
    calls: list[int] = []

    def sometimes(predictor: Predictor, post: object, seed: int = 0) -> dict:
        calls.append(seed)
        if len(calls) == 1:
            raise ValueError("odd post")
        return record_of(predictor, post, seed)  # type: ignore[arg-type]

    monkeypatch.setattr(attribution, "record_of", sometimes)
    found = pd.read_parquet(explain(work, RECIPE, POSTS + 2) / "attribution.parquet")
    assert len(calls) == 2 and (found["n"] == POSTS + 1).all()
    monkeypatch.setattr(attribution, "record_of", refuse)
    other = with_bundle_of(work, "other")
    with pytest.raises(DataError, match="None of the 2 test posts"):
        explain(work, other, 2)
    with pytest.raises(DataError, match="0 posts"):
        explain(work, RECIPE, 0)


def test_gradients_are_measured_where_there_are_any(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "has_gradients", True)
    copied = lambda predictor, post: replace(owen.explain(predictor, post), method=gradients.METHOD)  # noqa: E731
    monkeypatch.setattr(gradients, "explain", copied)
    other = with_bundle_of(work, "with_gradients")
    summary = pd.read_parquet(explain(work, other, 2) / "attribution_summary.parquet")
    methods = (owen.METHOD, gradients.METHOD, RANDOM)
    pairs = [f"{first} − {second}" for first, second in itertools.pairwise(methods)]
    assert {*methods, *pairs, f"{owen.METHOD} − {RANDOM}"} == set(summary["method"])


def test_differences_are_paired_and_groups_are_drawn_whole() -> None:
    generator = np.random.default_rng(0)
    shared = generator.normal(size=40)

    def record(value: float, other: float) -> dict:
        return {"figures": {"a": {AREA: value}, "b": {AREA: other}}}

    records = [record(value + 1, value) for value in shared]
    table = summary_of(records, np.arange(40)).set_index("method")
    assert table.loc["a − b", ["value", "low", "high"]].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert table.loc["a", "low"] < table.loc["a", "value"] < table.loc["a", "high"]
    repeated = summary_of(records * 4, np.tile(np.arange(40), 4)).set_index("method")
    wide, same = (found.loc["b", "high"] - found.loc["b", "low"] for found in (table, repeated))
    assert same == pytest.approx(wide, rel=1e-6)
