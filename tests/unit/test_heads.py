"""A category head and a score head: trained on classes in folders, bundled, evaluated, and the published faults."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support

from engine.encoders.scratch import FLAT, POOLED, ViT
from engine.errors import BundleError, DataError, PostError
from engine.features import make_features
from engine.features.base import FeatureSettings
from engine.heads import HeadsConfig, HeadsMember, HeadsNetwork, ScoreScale
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from engine.scoring import log_score
from tests import made_up
from tests.class_folders import CLASSES, table_of, write
from tests.made_up import without_baselines
from training.data.prepare import prepare
from training.data.workspace import split
from training.evaluation import report
from training.modeling import heads_trainer
from training.modeling.heads import _scale, fit_heads
from training.modeling.heads_network import HeadsData, HeadsModel, HeadsTraining, evaluate_heads
from training.modeling.heads_trainer import train_heads
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes import chosen, load_recipe
from training.recipes.base import Heads, Recipe

NAME = "vit_scratch_category_likes"
SMALL: dict[str, Any] = {"epochs": 3, "patience": 3, "batch_size": 16, "heads_rate": 3e-3}
COUNT = 150


def small(**changes: Any) -> Recipe:
    heads = Heads(settings=SMALL, shape={"width": 16})
    return replace(load_recipe(NAME), encoders={"picture": "scratch-vit:32x48"}, members=(heads,), **changes)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    prepare("folders", write(folder / "source", table_of(COUNT)), folder / "work")
    split(folder / "work")
    return folder / "work"


@pytest.fixture(scope="module")
def bundle(work: Path) -> Path:
    return train(work, small())


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return Predictor.load(bundle, device="cpu")


def draft(work: Path, title: str = "") -> Post:
    row = pd.read_parquet(work / "posts.parquet").iloc[0]
    return Post(title, load_image(row["image"], work), author=(("followers", 50.0),))


def test_the_bundle_answers_with_a_category_and_likes(work: Path, bundle: Path, predictor: Predictor) -> None:
    prediction = predictor.predict([draft(work)])[0]
    names, shares = zip(*prediction.categories, strict=True)
    assert sorted(names) == sorted(CLASSES) and sum(shares) == pytest.approx(1) and shares[0] >= shares[1]
    assert 0 < prediction.score_low <= prediction.score <= prediction.score_high
    likes = 1 + table_of(COUNT)["likes"]
    assert likes.min() / 3 < prediction.score < likes.max() * 3
    assert predictor.bundle.score_formula.startswith("likes")
    endings = {path.suffix for path in bundle.rglob("*") if path.is_file()}
    assert endings == {".json", ".md", ".safetensors"}


def test_a_title_changes_nothing_and_alone_is_no_draft(work: Path, predictor: Predictor) -> None:
    plain, titled = predictor.predict([draft(work), draft(work, "zzz qqq")])
    assert (titled.view, titled.strange, predictor.views) == ("image", None, ("image",))
    assert titled.note.endswith("This model was not trained on titles, so it left them out.")
    assert titled.probabilities == pytest.approx(plain.probabilities, abs=1e-5)
    assert dict(titled.categories) == pytest.approx(dict(plain.categories), abs=1e-5)
    with pytest.raises(PostError, match="give the post a picture too"):
        predictor.predict([Post("A title alone")])


def test_numbers_that_are_known_count(work: Path, predictor: Predictor) -> None:
    post = draft(work)
    few, many = predictor.predict([replace(post, author=(("followers", n),)) for n in (20.0, 90_000.0)])
    assert few.score != many.score and dict(few.categories) == dict(many.categories)


def test_a_bundle_whose_weights_do_not_fit_is_refused(tmp_path: Path) -> None:
    network = HeadsNetwork(HeadsConfig(4, 3, CLASSES, width=8))
    member = HeadsMember("heads", network, "picture", "numbers", ScoreScale(0, 1, (-1, 0, 1, 2)))
    config = json.loads(json.dumps(member.save(tmp_path)))
    again = HeadsMember.load(tmp_path, "heads", config, "cpu")
    values = {"picture": np.ones((2, 4), np.float32), "numbers": np.zeros((2, 3), np.float32)}
    assert again.predict("image", values).score == pytest.approx(member.predict("both", values).score)
    wide = {**config, "config": {**config["config"], "width": 16}}
    scaleless = {**config, "scale": {**config["scale"], "spread": 0.0}}
    for wrong, words in ((wide, "do not fit"), (scaleless, "not finite"), ({**config, "numbers": None}, "not those")):
        with pytest.raises(BundleError, match=words):
            HeadsMember.load(tmp_path, "heads", wrong, "cpu")


def test_levels_follow_from_the_score_as_its_spread_says() -> None:
    scale = ScoreScale(5.0, 2.0, (-1.0, -0.3, 0.3, 1.0), spread=0.5)
    shares = scale.levels(np.array([-2.0, 0.0, 2.0]))
    assert shares.sum(axis=1) == pytest.approx(1) and shares.argmax(axis=1).tolist() == [0, 2, 4]
    raw = replace(scale, raw=True)
    assert raw.standard(np.array([np.exp(9.0), -3.0])) == pytest.approx([2.0, -2.5])


@pytest.fixture(scope="module")
def evaluated(work: Path, bundle: Path) -> Path:
    with without_baselines():
        return report.evaluate(work, small(), resamples=40, junk=2, leak=True)


def test_the_report_has_what_a_classifier_is_judged_by(evaluated: Path) -> None:
    tables = {path.stem: pd.read_parquet(path) for path in evaluated.glob("*.parquet")}
    own = tables["predictions"].query(f"model == '{NAME}' and view == 'image' and split == 'test'")
    assert len(own) > 10 and set(own["category"]) <= set(CLASSES)
    found = tables["classification"].query("view == 'image' and split == 'test'")
    precision, recall, f1, n = precision_recall_fscore_support(
        own["category"], own["predicted_category"], labels=list(CLASSES), zero_division=0
    )
    for metric, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        rows = found[found["metric"] == metric].set_index("category").loc[list(CLASSES)]
        assert rows["value"].to_numpy() == pytest.approx(values) and rows["n"].tolist() == n.tolist()
        assert (rows["low"] <= rows["high"]).all()
    confusion = tables["confusion"].query("view == 'image' and split == 'test'")
    assert confusion["count"].sum() == len(own)
    metrics = tables["metrics"].query("split == 'test'").set_index(["model", "kind", "view", "metric"])["value"]
    wanted = f1_score(own["category"], own["predicted_category"], average="macro")
    assert metrics[NAME, "model", "image", "category_macro_f1"] == pytest.approx(wanted)
    assert metrics["majority", "baseline", "both", "category_accuracy"] == pytest.approx(
        max((own["category"] == name).mean() for name in CLASSES), abs=0.2
    )
    network = tables["networks"].iloc[0]
    assert network["largest_share"] < 0.5 and network["kept_epoch"] < network["epochs"] <= 3


def test_comments_are_refused_and_shown_as_a_leak_only(work: Path, evaluated: Path) -> None:
    run = Run(work, small())
    with pytest.raises(DataError, match=r"comments, known only after publication.*--demonstrate-leak"):
        fit_heads(replace(run.recipe.members[0], counts=("comments",)), run.matrix, run.folder / "x", ())  # type: ignore
    metrics = pd.read_parquet(evaluated / "metrics.parquet").query("split == 'test' and view == 'both'")
    src = metrics[metrics["metric"] == "src"].set_index("kind")["value"]
    # The made-up pictures tell nearly all themselves.
    assert src["leak"] > 0.5 and src["leak"] != src["model"]
    assert set(metrics.loc[metrics["kind"] == "leak", "model"]) == {"heads + comments"}


def test_a_dataset_without_classes_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    made_up.raw_posts(120).to_parquet(source / "posts.parquet")
    prepare("youtube", source, tmp_path / "work")
    split(tmp_path / "work")
    with pytest.raises(DataError, match="no categories, and two are the least"):
        train(tmp_path / "work", small())


def data(count: int = 64) -> HeadsData:
    generator = np.random.default_rng(0)
    vectors = torch.from_numpy(generator.normal(size=(count, 6)).astype(np.float32))
    standard = vectors[:, 0].double().numpy()
    category = (vectors[:, 1] > 0).long().numpy()
    return HeadsData(lambda rows, _: vectors[rows], None, category, standard, np.exp(9 + 2 * standard), str(count))


def model(seed: int = 0) -> HeadsModel:
    torch.manual_seed(seed)
    return HeadsModel(HeadsNetwork(HeadsConfig(6, 0, CLASSES, width=8, dropout=0.0)))


FROZEN = HeadsTraining("frozen", epochs=6, patience=2, batch_size=16, heads_rate=0.02, smoothing=0.0)


def test_losses_are_weighed_by_their_uncertainty() -> None:
    network = model()
    with torch.no_grad():
        network.log_variances.copy_(torch.tensor([0.4, -1.0]))
    one, two = torch.tensor(1.5), torch.tensor(0.5)
    wanted = np.exp(-0.4) * 1.5 + 0.2 + 0.5 * np.exp(1.0) * 0.5 - 0.5
    assert float(network.weighed(one, two).detach()) == pytest.approx(wanted)


def test_the_best_weights_are_restored_and_the_published_keep_the_last(tmp_path: Path) -> None:
    network, held = model(), data(40)
    # So high a rate that later epochs are worse.
    wild = replace(FROZEN, heads_rate=0.5, epochs=8)
    result = train_heads(network, wild, data(), held, tmp_path / "own")
    criterion = result.curves.query("split == 'validation' and metric == 'criterion'").set_index("epoch")["value"]
    assert result.kept_epoch == criterion.idxmin()
    assert evaluate_heads(network, held, wild)["criterion"] == pytest.approx(criterion.min(), rel=1e-5)
    assert result.epochs == result.kept_epoch + 1 + wild.patience or result.epochs == wild.epochs
    assert {"loss", "category_loss", "score_loss", "category_accuracy"} <= set(result.curves["metric"])
    published = train_heads(model(), replace(wild, published=True), data(), held, tmp_path / "published")
    assert published.kept_epoch == published.epochs - 1


def test_a_network_that_diverges_is_an_error(tmp_path: Path) -> None:
    wild = replace(FROZEN, heads_rate=1e30)
    for published in (False, True):
        with pytest.raises(DataError, match="diverged in epoch 0; lower its rates"):
            train_heads(model(), replace(wild, published=published), data(), data(40), tmp_path / str(published))


def test_levels_may_begin_at_no_reaction_at_all() -> None:
    posts = pd.DataFrame({"log_score": log_score(np.repeat([0.0, 0.1, 0.2, 0.3, 0.4], 20))})
    cuts = np.array([0.0, 0.15, 0.25, 0.35])
    found: Any = SimpleNamespace(workspace=SimpleNamespace(posts=posts, cuts=cuts))
    scale = _scale(found, np.arange(100), raw=False)
    assert np.isfinite(scale.cuts).all() and list(scale.cuts) == sorted(scale.cuts)


def test_unweighed_raw_counts_drown_the_category(tmp_path: Path) -> None:
    weighed, drowned = (
        train_heads(model(), replace(FROZEN, published=published), data(), data(40), tmp_path / str(published)).curves
        for published in (False, True)
    )

    def last(curves: pd.DataFrame, metric: str) -> float:
        return float(curves.query(f"split == 'train' and metric == '{metric}'")["value"].iloc[-1])

    assert last(drowned, "score_loss") > 1000 * last(drowned, "category_loss")
    assert last(weighed, "score_loss") < 3 * last(weighed, "category_loss") + 3


def test_a_killed_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(FROZEN, checkpoint_minutes=0.0)
    whole = train_heads(model(), config, data(), data(40), tmp_path / "whole")
    learn, steps = heads_trainer._learn, []

    def dies(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 10:
            raise KeyboardInterrupt
        return learn(*arguments)

    monkeypatch.setattr(heads_trainer, "_learn", dies)
    with pytest.raises(KeyboardInterrupt):
        train_heads(model(), config, data(), data(40), tmp_path / "killed")
    again = train_heads(model(1), config, data(), data(40), tmp_path / "killed")
    pd.testing.assert_frame_equal(again.curves, whole.curves)
    monkeypatch.setattr(heads_trainer, "_learn", lambda *_: pytest.fail("a finished training was made again"))
    train_heads(model(1), config, data(), data(40), tmp_path / "killed")
    with pytest.raises(DataError, match="made from another config"):
        train_heads(model(), replace(config, epochs=9), data(), data(40), tmp_path / "killed")


def test_the_published_network_is_one_dense_layer_and_ours_is_not() -> None:
    with torch.device("meta"):
        sizes = [{name: part.numel() for name, part in ViT(shape).named_parameters()} for shape in (FLAT, POOLED)]
    flat, pooled = (max(found.values()) / sum(found.values()) for found in sizes)
    assert 136e6 < sum(sizes[0].values()) < 138e6 and max(sizes[0].values()) > 134e6
    assert flat > 0.95 and pooled < 0.5
    assert chosen(NAME, "recipe", as_published=True).encoders == {"picture": "scratch-vit-flat:512x512"}
    with pytest.raises(DataError, match="youtube_blend reproduces no published configuration"):
        chosen("youtube_blend", "recipe", as_published=True)


def test_the_scaler_knows_training_posts_alone_unless_it_is_refitted() -> None:
    settings = FeatureSettings(options={"refitted": {"refitted": True}})
    own = make_features(["numbers"], settings)
    posts = [Post("x", author=(("followers", 10.0**n), ("constant", 1.0))) for n in range(4)]
    above = {"time_and_place": own["time_and_place"].compute(posts, {})}
    fitted = own["numbers"].fit(posts, above, np.zeros(4))  # type: ignore[attr-defined]
    assert fitted.columns == ("followers",)
    assert fitted.compute(posts, above).mean() == pytest.approx(0, abs=1e-6)
    famous = [Post("x", author=(("followers", 1e4),)), Post("x", author=(("followers", 1e5),)), Post("x")]
    time = {"time_and_place": own["time_and_place"].compute(famous, {})}
    values = fitted.compute(famous, time)[:, 0]
    assert values[0] > 1 and values[1] > values[0] and values[2] == 0
    fitted.refitted = True
    assert abs(fitted.compute(famous[:2], time | {"time_and_place": time["time_and_place"][:2]}).mean()) < 1e-6
