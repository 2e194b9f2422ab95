"""Recipes: what they say of themselves, and each of them whole on tiny checkpoints, from raw posts to explanations."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from engine.bundle import read_bundle
from engine.encoders import load_encoder
from engine.encoders.huggingface import TextEncoder
from engine.errors import DataError
from engine.explain import gradients, owen
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from engine.scoring import SCORE_FORMULA, fit_popularity_weights
from tests import made_up, tiny
from training.data.workspace import Workspace
from training.modeling import guard
from training.modeling.fitting import fit_member
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes import chosen, load_recipe, recipe_names
from training.recipes.base import CatBoost, Network, Recipe, with_encoders
from training.recipes.catboost_clip import GRID
from training.tables import COUNTS

TINY: dict[str, dict[str, tuple[str, Callable[[Path], Path]]]] = {
    "catboost_clip": {"picture": ("clip-image", tiny.build_clip), "words": ("clip-text", tiny.build_clip)},
    "vit_bert_concat": {"picture": ("vit", tiny.build_vit), "words": ("bert", tiny.build_bert)},
    "vit_bert_cross_attention": {"picture": ("vit", tiny.build_vit), "words": ("bert", tiny.build_bert)},
    "vit_bert_gated": {"picture": ("vit", tiny.build_vit), "words": ("bert", tiny.build_bert)},
    "siglip_deberta_regression": {
        "picture": ("siglip-image", tiny.build_siglip),
        "words": ("deberta", tiny.build_deberta),
    },
    "clip_deberta_regression": {"picture": ("clip-image", tiny.build_clip), "words": ("deberta", tiny.build_deberta)},
}
REGRESSIONS = ("siglip_deberta_regression", "clip_deberta_regression")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with made_up.guards_once():
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("recipes"))


def small(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with few trees and one short epoch of a narrow network."""
    members = []
    for spec in recipe.members:
        if isinstance(spec, CatBoost):
            spec = replace(spec, iterations=15, depth=3, early_stopping=5, rsm=1.0)
        elif isinstance(spec, Network):
            shape = {"width": 16, "heads": 2}
            spec = replace(spec, shape=shape, settings={**spec.settings, "epochs": 1, "batch_size": 16, **settings})
        members.append(spec)
    # A share of so few columns may be none at all, and a tree without a split is no tree.
    grid = tuple(replace(spec, iterations=spec.iterations // 25, depth=2, rsm=1.0) for spec in recipe.grid[::3])
    return replace(recipe, members=tuple(members), grid=grid)


def on_tiny(name: str, checkpoints: Callable, **options: Any) -> Recipe:
    specs = {role: f"{kind}:{checkpoints(build)}" for role, (kind, build) in TINY[name].items()}
    return with_encoders(load_recipe(name), specs, **options)


def draft(work: Path, row: int = 0) -> Post:
    posts = pd.read_parquet(work / "posts.parquet")
    return Post(posts["title"][row], load_image(posts["image"][row]), post_id=posts["post_id"][row])


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_under_its_files_name(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary.endswith(".")
    assert len({spec.name for spec in recipe.members}) == len(recipe.members)
    assert set(recipe.embedded) <= set(recipe.encoders)
    for spec in recipe.members:
        if isinstance(spec, Network):
            assert spec.encoders and set(spec.encoders.values()) <= set(recipe.encoders)
    assert recipe.config["members"]


EMBEDDED = ("lite0", "lite2", "lite0-style", "minilm", "mpnet6", "aligned-image", "aligned-text")


@pytest.mark.parametrize("name", recipe_names())
def test_embedded_encoders_are_one_word_away(name: str) -> None:
    recipe = chosen(name, "embedded")
    assert set(recipe.encoders) == set(load_recipe(name).encoders)
    assert all(spec.partition(":")[0] in EMBEDDED for spec in recipe.encoders.values())
    assert recipe.name == (f"{name}_embedded" if load_recipe(name).embedded else name)


def test_encoders_treated_otherwise_are_another_run() -> None:
    recipe = chosen("vit_bert_gated", "embedded:frozen")
    assert recipe.name == "vit_bert_gated_embedded_frozen"
    assert [spec.settings["tuning"] for spec in recipe.members if isinstance(spec, Network)] == ["frozen"]
    assert chosen("youtube_blend", "recipe:lora").name == "youtube_blend_lora"
    with pytest.raises(DataError, match="no way to treat encoders; use frozen, finetuned, lora"):
        chosen("vit_bert_gated", "embedded:warm")


def test_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="catboost_clip, clip_deberta_regression"):
        load_recipe("nonesuch")
    with pytest.raises(DataError, match="no choice of encoders"):
        chosen("catboost_clip", "other")
    with pytest.raises(DataError, match="has no encoder sound; its own are picture, words"):
        with_encoders(load_recipe("catboost_clip"), {"sound": "minilm"})


def test_with_encoders_changes_encoders_and_nothing_else() -> None:
    recipe = load_recipe("vit_bert_gated")
    changed = with_encoders(recipe, {"words": "minilm"}, tuning="lora")
    assert changed.encoders == {"picture": "vit:google/vit-base-patch16-224", "words": "minilm"}
    assert changed.members[0].settings == {**recipe.members[0].settings, "tuning": "lora"}
    assert with_encoders(recipe) == recipe
    assert load_recipe("vit_bert_gated").members[0].settings["tuning"] == "finetuned"


def test_grid_is_the_published_one() -> None:
    settings = {(spec.iterations, spec.depth) for spec in GRID}
    assert settings == {(trees, depth) for trees in (50, 100, 250, 500) for depth in (5, 10, 14)}
    assert {(spec.learning_rate, spec.subsample, spec.l2_leaf_reg, spec.early_stopping) for spec in GRID} == {
        (0.01, 0.8, 3.0, None)
    }
    assert all(spec.features == ("words", "picture", "similarity") for spec in GRID)


@pytest.mark.parametrize("name", sorted(TINY))
def test_whole_chain_on_tiny_checkpoints(name: str, work: Path, checkpoints: Callable) -> None:
    recipe = small(on_tiny(name, checkpoints))
    predictor = Predictor.load(train(work, recipe), device="cpu")
    post = draft(work)
    for given in (post, Post(post.title), Post(image=post.image)):
        (prediction,) = predictor.predict([given])
        assert np.isclose(sum(prediction.probabilities), 1)
        assert prediction.score_low <= prediction.score <= prediction.score_high
        assert set(prediction.level_set) <= set(range(5))
    explanation = owen.explain(predictor, post)
    assert explanation.completeness_error < 1e-4
    if name == "catboost_clip":
        assert not predictor.has_gradients
        return
    explanation = gradients.explain(predictor, post, steps=8)
    assert explanation.segment_values is not None and np.abs(explanation.segment_values).sum() > 0
    assert "".join(piece for piece, _ in explanation.words) == post.title


@pytest.mark.parametrize(("tuning", "in_eight_bits"), [("finetuned", False), ("lora", False), ("finetuned", True)])
def test_bundle_answers_as_training_measured(
    tuning: Any, in_eight_bits: bool, work: Path, checkpoints: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half precision, merged adapters and another way to the pixels move a network's answers by next to nothing.

    Eight bits do not either, for what training measures is rounded to them already.
    """
    monkeypatch.setattr(TextEncoder, "keeps_all", in_eight_bits)
    recipe = small(on_tiny("clip_deberta_regression", checkpoints, tuning=tuning), text_rate=1e-3, image_rate=1e-3)
    recipe = replace(recipe, name=f"measured-{tuning}-{in_eight_bits}")
    predictor = Predictor.load(train(work, recipe), device="cpu")
    run, spec = Run(work, recipe), recipe.members[0]
    fitted = fit_member(spec, run.matrix, run.folder / spec.name)
    measured = fitted.outputs["validation"]["both"]
    posts = [draft(work, row) for row in run.workspace.rows("validation")]
    answer = predictor.members[0].predict("both", predictor.extractor.compute(posts, "both"))
    assert np.allclose(answer.score, measured.score, atol=0.02)
    assert np.allclose(answer.probabilities, measured.probabilities, atol=0.02)
    assert np.ptp(measured.score) > 0.1
    tuned = load_file(run.bundle / "features" / "words.tokens.safetensors")
    assert any(value.dtype == torch.int8 for value in tuned.values()) == in_eight_bits


@pytest.mark.parametrize("target", ["popularity", "popularity_with_views"])
def test_popularity_is_weighted_on_train_and_named(work: Path, checkpoints: Callable, target: Any) -> None:
    recipe = small(on_tiny("siglip_deberta_regression", checkpoints))
    bundle = read_bundle(train(work, replace(recipe, name=target, target=target)))
    posts = pd.read_parquet(work / "posts.parquet").merge(pd.read_parquet(work / "splits.parquet"), on="post_id")
    counts = {name: posts[name].to_numpy(dtype=float, na_value=np.nan) for name in COUNTS}
    train_rows = (posts["grouped"] == "train").to_numpy()
    weights = fit_popularity_weights({name: values[train_rows] for name, values in counts.items()})
    score = 1 + sum(weight * counts[name] for name, weight in weights.items())
    if target == "popularity_with_views":
        score = score + counts["views"]
    workspace = Workspace(work, target=target)
    assert np.allclose(workspace.posts["score"], score)
    assert np.allclose(workspace.posts["log_score"], np.log(score))
    assert np.allclose(bundle.cuts, np.percentile(score[train_rows], (20, 40, 60, 80)))
    assert bundle.score_formula != SCORE_FORMULA
    assert f"{weights['likes']:.4f}·likes" in bundle.score_formula
    assert ("1·views" in bundle.score_formula) == (target == "popularity_with_views")
    held = np.log(score[(posts["grouped"] == "validation").to_numpy()])
    for view in bundle.views.values():
        assert held.min() - 1 < view.intercept < held.max() + 1


@pytest.mark.parametrize("name", REGRESSIONS)
def test_regression_reads_levels_off_the_score(name: str, work: Path, checkpoints: Callable) -> None:
    predictor = Predictor.load(train(work, small(on_tiny(name, checkpoints))), device="cpu")
    head = predictor.members[0].network.heads["both"]  # type: ignore[attr-defined]
    levels, score = head.levels.weight.numpy(), head.score.weight.numpy()[0]
    slopes = levels @ score / (score @ score)
    assert np.allclose(levels, slopes[:, None] * score, atol=1e-3)
    assert np.abs(slopes).max() > 0


def test_adapters_ship_as_plain_weights(work: Path, checkpoints: Callable) -> None:
    recipe = small(on_tiny("vit_bert_concat", checkpoints, tuning="lora"), image_rate=3e-3, text_rate=3e-3)
    recipe = replace(recipe, name="adapted")
    bundle = train(work, recipe)
    from safetensors.torch import load_file

    changed = load_file(bundle / "features" / "words.tokens.safetensors")
    assert set(changed) == {
        f"encoder.layer.{layer}.attention.self.{kind}.weight" for layer in (0, 1) for kind in ("query", "value")
    }
    bare = load_encoder(recipe.encoders["words"], device="cpu").module.state_dict()
    delta = changed["encoder.layer.1.attention.self.value.weight"] - bare["encoder.layer.1.attention.self.value.weight"]
    assert delta.abs().max() > 1e-4
    assert len(Predictor.load(bundle, device="cpu").predict([draft(work)])) == 1
    settings = (bundle.parent / "network" / "settings.json").read_text()
    assert '"tuning": "lora"' in settings


def test_frozen_encoders_train_on_kept_tokens(work: Path, checkpoints: Callable) -> None:
    recipe = replace(small(on_tiny("vit_bert_concat", checkpoints, tuning="frozen")), name="frozen")
    bundle = train(work, recipe)
    assert not (bundle / "features").exists()
    assert len(Predictor.load(bundle, device="cpu").predict([draft(work)])) == 1


TOGETHER = """
import sys
from pathlib import Path
from training.modeling import guard
from training.modeling.train import train
from training.recipes.base import Network, Ngrams, Recipe
guard.FOLDS = {few}
work, picture, words = sys.argv[1:]
settings = dict(tuning="finetuned", epochs=1, batch_size=16, patience=0)
network = Network(settings=settings, shape=dict(width=16, heads=2))
encoders = dict(picture=picture, words=words)
members = (Ngrams(), network)
train(Path(work), Recipe(name="together", summary="By two.", encoders=encoders, members=members, folds=2))
"""


@pytest.mark.slow
def test_two_processes_train_one_bundle(work: Path, vit_and_bert: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "together.py").write_text(TOGETHER.format(few=guard.FOLDS))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""}
    arguments = [*launch, str(tmp_path / "together.py"), str(work), *vit_and_bert.values()]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    bundle = work / "runs" / "together" / "bundle"
    assert len(Predictor.load(bundle, device="cpu").predict([draft(work)])) == 1
    assert {path.name for path in bundle.parent.iterdir()} == {
        *("bundle", "folds", "whole", "curves.parquet", "seconds.json", "settings.json")
    }


# Beyond the tiny checkpoints: vectors for trees, tokens for a network.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["catboost_clip", "vit_bert_cross_attention"])
def test_whole_chain_on_embedded_encoders(name: str, work: Path) -> None:
    embedded = {"picture": "lite0:64x64", "words": "minilm:16"}
    recipe = small(with_encoders(load_recipe(name), embedded))
    predictor = Predictor.load(train(work, replace(recipe, name=f"{name}-small")), device="cpu")
    (prediction,) = predictor.predict([draft(work)])
    assert np.isclose(sum(prediction.probabilities), 1)
    assert owen.explain(predictor, draft(work)).completeness_error < 1e-4
