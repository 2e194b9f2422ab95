"""Cross-fitting with networks of one side: no answer saw its own group, and what ships learned from every post."""

import errno
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

import fsspec
import numpy as np
import pandas as pd
import pytest

from benchmarks import hardware
from engine.addresses import Address
from engine.blending import Calibration
from engine.bundle import MANIFEST, amend_bundle, fetch_bundle, identity, read_bundle
from engine.errors import DataError
from engine.explain import gradients
from engine.files import write_json
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from engine.scoring import LEVELS, fit_cuts
from tests import made_up
from training.data.further import PICTURES
from training.data.prepare import prepare
from training.data.workspace import split
from training.evaluation.contributions import INTERACTION
from training.evaluation.faithfulness import explain
from training.evaluation.gains import reads_note
from training.evaluation.learning_curve import _less, learn
from training.evaluation.report import evaluate
from training.evaluation.runs import GAIN
from training.evaluation.ship import ship
from training.evaluation.shipped import REPORT
from training.modeling import fitting
from training.modeling.batches import by_length
from training.modeling.cross_fitting import folds_of, out_of_fold, outside_of_test, parts_without
from training.modeling.further import WRONG, Further
from training.modeling.run import LEDGER, Run
from training.modeling.train import refit, train
from training.recipes.base import CatBoost, Network, Ngrams, Recipe
from ui.details import model_facts

POSTS, COVERS = 200, 40
SETTINGS = {"epochs": 1, "batch_size": 16, "patience": 0}


def covers(count: int, seed: int = 9) -> pd.DataFrame:
    """Further pictures in two classes; the first is a post's own, the second cannot be read."""
    generator = np.random.default_rng(seed)
    images = [made_up.picture(value, generator) for value in generator.uniform(0.2, 0.8, count)]
    images[0], images[1] = made_up.raw_posts(POSTS)["image"][3], b"no picture"
    low = np.where(np.arange(count) % 2, 0.0, 0.02)
    return pd.DataFrame(
        {
            "post_id": [f"cover {number}" for number in range(count)],
            "image": images,
            "likes_per_view_low": low,
            "likes_per_view_high": np.where(low > 0, 0.5, 0.02),
        }
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crossed")
    source = folder / "source"
    source.mkdir()
    made_up.raw_posts(POSTS).to_parquet(source / "posts.parquet")
    covers(COVERS).to_parquet(source / "covers.parquet")
    prepare("youtube", source, folder / "work")
    split(folder / "work")
    return folder / "work"


@pytest.fixture(scope="module")
def recipe(vit_and_bert: dict[str, str]) -> Recipe:
    return Recipe(
        name="crossed",
        summary="Made up.",
        encoders=vit_and_bert,
        baseline_vectors=("picture", "words"),
        folds=3,
        members=(
            Ngrams(),
            CatBoost(name="trees", iterations=5, depth=2, early_stopping=None),
            Network(name="title", image_encoder=None, settings=SETTINGS, shape={"width": 8}),
            Network(name="cover", text_encoder=None, settings=SETTINGS, shape={"width": 8}, pictures=True),
        ),
    )


@pytest.fixture(scope="module")
def bundle(work: Path, recipe: Recipe) -> Path:
    return train(work, recipe)


def test_no_answer_saw_its_own_group_and_none_is_of_test(work: Path, recipe: Recipe) -> None:
    run = Run(work, recipe)
    posts, folds, rows = run.workspace.posts, folds_of(run), outside_of_test(run)
    assert set(posts["split"].iloc[rows]) == {"train", "validation"}
    for fold in range(recipe.folds):
        parted = run.workspace.parted(parts_without(run, fold))
        held = parted.posts[parted.posts["split"] == "validation"]
        learned = parted.posts[parted.posts["split"] == "train"]
        assert list(held.index) == list(rows[folds == fold])
        assert not set(held["group_number"]) & set(learned["group_number"])
        assert (parted.posts["split"] == "test").equals(posts["split"] == "test")
        # Nothing of the fold is in its own cuts.
        np.testing.assert_array_equal(parted.cuts, fit_cuts(learned["score"]))
    np.testing.assert_array_equal(run.workspace.cuts, fit_cuts(posts["score"].iloc[rows]))


def test_every_post_outside_of_test_is_answered_once_by_every_member(
    work: Path, recipe: Recipe, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "fit_member", lambda *_, **__: pytest.fail("a finished fold was fitted again"))
    run = Run(work, recipe)
    answers = out_of_fold(run)
    assert {view: set(found) for view, found in answers.items()} == {
        "both": {"ngrams", "trees", "title", "cover"},
        "text": {"ngrams", "trees", "title"},
        "image": {"trees", "cover"},
    }
    rows = outside_of_test(run)
    for found in answers.values():
        for output in found.values():
            assert output.probabilities.shape == (len(rows), len(LEVELS)) and np.isfinite(output.score).all()
    # A network of one side says of a post what it says of that side.
    np.testing.assert_array_equal(answers["both"]["cover"].score, answers["image"]["cover"].score)
    some = out_of_fold(run, rows[5:9])["text"]["title"]
    np.testing.assert_array_equal(some.probabilities, answers["text"]["title"].probabilities[5:9])


def test_the_bundle_answers_every_view_and_explains(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    picture = load_image(made_up.picture(0.7, np.random.default_rng(3)))
    posts = [Post("fastest kalomi", picture), Post("fastest kalomi"), Post(image=picture)]
    assert [answer.view for answer in predictor.predict(posts)] == ["both", "text", "image"]
    assert read_bundle(bundle).data["training_posts"] == len(_outside(bundle))
    for post in posts:
        found = gradients.explain(predictor, post, steps=4)
        assert (found.segments is not None) == post.has_image
        assert found.completeness_error < 0.2


def _outside(bundle: Path) -> list[str]:
    splits = pd.read_parquet(bundle.parents[2] / "splits.parquet")
    return splits.loc[splits["grouped"] != "test", "post_id"].tolist()


def test_evaluated_and_refitted_it_ships(work: Path, recipe: Recipe, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no report"):
        ship(work, recipe, tmp_path / "model")
    report = evaluate(work, recipe, resamples=20, junk=3)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.md").touch()
    with pytest.raises(DataError, match="something else than a model"):
        ship(work, recipe, tmp_path / "notes")
    assert (tmp_path / "notes" / "mine.md").exists()
    predictions = pd.read_parquet(report / "predictions.parquet")
    own = predictions[predictions["model"] == "crossed"]
    # Validation posts are answered out of fold: the bundle itself has learned from them.
    run = Run(work, recipe)
    held = run.workspace.posts.iloc[run.workspace.rows("validation")]["post_id"]
    assert set(own.loc[own["split"] == "validation", "post_id"]) == set(held)
    answers = out_of_fold(run, run.workspace.rows("validation"))
    for view, fit in read_bundle(bundle).views.items():
        said = own[own["split"].eq("validation") & own["view"].eq(view)].set_index("post_id").loc[held]
        expected = Calibration(fit).apply(view, answers[view])
        np.testing.assert_allclose(said["score"], np.exp(expected.log_score), rtol=1e-5)
        np.testing.assert_allclose(said["p_high"], expected.probabilities[:, 3], rtol=1e-5)
    earned = pd.read_parquet(report / "contributions.parquet")
    assert set(earned.loc[earned["view"] == "both", "member"]) == {"ngrams", "trees", "title", "cover", INTERACTION}
    assert INTERACTION not in set(earned.loc[earned["view"] != "both", "member"])
    assert (earned["n"] == len(_outside(bundle))).all() and (earned["low"] <= earned["high"]).all()
    facts = json.loads((report / "report.json").read_text())
    read = {**facts["test_reads"][-1], "bundle": "another"}
    write_json(report / "report.json", {**facts, "test_reads": [read]})
    with pytest.raises(DataError, match="is of a former bundle; run `python -m training evaluate`"):
        ship(work, recipe, tmp_path / "model")
    write_json(report / "report.json", facts)
    shipped = ship(work, recipe, tmp_path / "model")
    assert read_bundle(shipped / "bundle").data["training_posts"] == len(_outside(bundle))
    refit(work, recipe)
    shipped = ship(work, recipe, tmp_path / "model")
    whole, evaluated = read_bundle(shipped / "bundle"), read_bundle(bundle)
    assert whole.data["training_posts"] == len(run.workspace.posts) > evaluated.data["training_posts"]
    assert whole.data["saw_test"] and not evaluated.data["saw_test"]
    assert "had not learned from yet" in model_facts(whole) and "it never saw" in model_facts(evaluated)
    assert whole.views == evaluated.views and whole.test_metrics == evaluated.test_metrics != {}
    facts = json.loads((shipped / "report" / "report.json").read_text())
    assert facts["bundle"] == hardware.identity(shipped / "bundle") != hardware.identity(bundle)
    assert "These weights have seen every post" in (shipped / "bundle" / "README.md").read_text()
    assert "seen every post" not in (bundle / "README.md").read_text()
    Predictor.load(shipped / "bundle")


def test_a_bundle_that_saw_the_test_posts_is_not_measured_on_them(work: Path, recipe: Recipe, bundle: Path) -> None:
    other, ledger = replace(recipe, name="seen"), work / LEDGER
    shutil.copytree(bundle, Run(work, other).bundle)
    amend_bundle(Run(work, other).bundle, data={**read_bundle(bundle).data, "saw_test": True})
    before = ledger.read_bytes() if ledger.exists() else b""
    for step in (evaluate, explain):
        with pytest.raises(DataError, match="was fitted on the test posts too; run `python -m training train` again"):
            step(work, other)
    assert (ledger.read_bytes() if ledger.exists() else b"") == before


def test_tables_that_hang_on_no_recipe_stay_and_say_since_when(
    work: Path, recipe: Recipe, bundle: Path, tmp_path: Path
) -> None:
    run = Run(work, recipe)
    if not (run.report / "report.json").exists():
        evaluate(work, recipe, resamples=20, junk=3)
    former = ship(work, recipe, tmp_path / "model") / "report"
    for name in ("ablations", "metrics"):
        pd.DataFrame({"former": [1]}).to_parquet(former / f"{name}.parquet")
    # Of the recipe itself nothing old stays.
    others = pd.DataFrame(
        {"recipe": ["another", "crossed"], "value": [1.0, 2.0], **{name: [0.5, np.nan] for name in GAIN}}
    )
    others.to_parquet(former / "recipes.parquet")
    (tmp_path / "model" / "evidence").mkdir()
    (tmp_path / "model" / "evidence" / "evidence.json").write_text("{}")
    again = ship(work, recipe, tmp_path / "model") / "report"
    facts = json.loads((again / "report.json").read_text())
    assert (tmp_path / "model" / "evidence" / "evidence.json").exists()
    kept = pd.read_parquet(again / "recipes.parquet").set_index("recipe")
    assert kept[GAIN].to_numpy().tolist() == [[0.5, 0.5, 0.5]] and kept.index.tolist() == ["another"]
    # What it gains was over another model.
    changed = pd.read_parquet(again / "predictions.parquet")
    changed.assign(score=changed["score"] * 2).to_parquet(again / "predictions.parquet")
    again = ship(work, recipe, tmp_path / "model") / "report"
    assert pd.read_parquet(again / "recipes.parquet")[GAIN].isna().all(axis=None)
    assert list(pd.read_parquet(again / "ablations.parquet")) == ["former"]
    assert list(pd.read_parquet(again / "metrics.parquet")) != ["former"]
    assert facts["apart"] == {"other recipes": facts["created"], "ablations": facts["created"]}
    assert facts["notes"][-1].endswith("other recipes, ablations.") and facts["created"][:10] in facts["notes"][-1]
    # The former model's own row is another recipe's now, and of when its report was made.
    earlier = {**facts, "apart": {"other recipes": "2020-01-01"}}
    for name, made in ((facts["recipe"], "2020-01-01"), ("former", facts["created"])):
        (again / "report.json").write_text(json.dumps({**earlier, "recipe": name}))
        ship(work, recipe, tmp_path / "model")
        assert json.loads((again / "report.json").read_text())["apart"]["other recipes"] == made
    # Ablations of other frozen encoders are others', and a study is that of its signals.
    config = facts["config"]

    def before(**encoders: str) -> None:
        changed = {**facts, "config": {**config, "encoders": {**config["encoders"], **encoders}}}
        (again / "report.json").write_text(json.dumps(changed))

    before(cover="fine-tuned")
    ship(work, recipe, tmp_path / "model")
    assert (again / "ablations.parquet").exists()
    before(picture="another")
    pd.DataFrame({"former": [1]}).to_parquet(again / "signals.parquet")
    with pytest.raises(DataError, match="run `python -m training align`"):
        ship(work, recipe, tmp_path / "model", tmp_path / "signals")
    (work / "signals").mkdir(exist_ok=True)
    pd.DataFrame({"of": ["others"]}).to_parquet(Run(work, recipe).report / "verdicts.parquet")
    without = ship(work, recipe, tmp_path / "model", tmp_path / "signals") / "report"
    (Run(work, recipe).report / "verdicts.parquet").unlink()
    assert (without / "recipes.parquet").exists() and not (without / "verdicts.parquet").exists()
    assert not (without / "ablations.parquet").exists() and not (without / "signals.parquet").exists()
    # Every reading counts, of the former report too.
    assert reads_note(facts["test_reads"]) in facts["notes"]
    # Of another split nothing stays.
    (again / "report.json").write_text(json.dumps({**facts, "split": "another"}))
    alone = ship(work, recipe, tmp_path / "model") / "report"
    assert not (alone / "ablations.parquet").exists() and (tmp_path / "model" / "evidence").exists()
    # Of other posts no evidence either.
    others = {**facts, "data": {**facts["data"], "fingerprint": "another"}}
    (alone / "report.json").write_text(json.dumps(others))
    ship(work, recipe, tmp_path / "model")
    assert not (tmp_path / "model" / "evidence").exists()
    # A model of another dataset stays whole.
    (alone / "report.json").write_text(json.dumps({**facts, "data": {**facts["data"], "name": "own"}}))
    refusal = "model holds a model of other posts; give another --name, or remove it"
    with pytest.raises(DataError, match=refusal):
        ship(work, recipe, tmp_path / "model")
    assert json.loads((alone / "report.json").read_text())["data"]["name"] == "own"
    # So does one of other posts of one's own, which have the same name.
    (alone / "report.json").write_text(json.dumps(facts))
    posts = pd.read_parquet(alone / "posts.parquet")
    # Other pictures may go by the same names, some by chance with the same title's length.
    for others in ({"post_id": "another " + posts["post_id"]}, {"pixel_hash": posts["pixel_hash"] + "0"}):
        posts.assign(**others).to_parquet(alone / "posts.parquet")
        with pytest.raises(DataError, match=refusal):
            ship(work, recipe, tmp_path / "model")
    # More of the same do not make it another.
    pd.concat([posts, posts.assign(post_id="later " + posts["post_id"])]).to_parquet(alone / "posts.parquet")
    ship(work, recipe, tmp_path / "model")
    # A folder of that name makes no model.
    (tmp_path / "thesis" / "report").mkdir(parents=True)
    (tmp_path / "thesis" / "report" / "chapter.txt").write_text("mine")
    with pytest.raises(DataError, match="thesis holds something else than a model"):
        ship(work, recipe, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "report" / "chapter.txt").exists()


def test_it_ships_to_an_address(work: Path, recipe: Recipe, bundle: Path, tmp_path: Path) -> None:
    if not (Run(work, recipe).report / REPORT).exists():
        evaluate(work, recipe, resamples=20, junk=3)
    local = ship(work, recipe, tmp_path / "model")
    system = fsspec.filesystem("memory")
    try:
        there = ship(work, recipe, Address("memory://models/crossed"))
        assert isinstance(there, Address) and isinstance(local, Path)
        fetched = fetch_bundle(there / "bundle", tmp_path)
        assert identity(read_bundle(fetched)) == identity(read_bundle(local / "bundle"))
        # What benchmarks wrote there stays, what does not belong there goes.
        system.pipe_file("/models/crossed/report/hardware.json", b"{}")
        system.pipe_file("/models/crossed/report/stray.parquet", b"x")
        order: list[str] = []
        put = system.put_file
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(system), "put_file", lambda _, here, place: (order.append(place), put(here, place)))
            ship(work, recipe, there)
        assert {name.rpartition("/")[2] for name in order[-2:]} == {REPORT, MANIFEST}
        kept = {name.removeprefix("/models/crossed/") for name in system.find("/models/crossed")}
        own = {file.relative_to(local).as_posix() for file in local.rglob("*") if file.is_file()}
        assert kept == own | {"report/hardware.json"}
        facts = json.loads(system.cat_file("/models/crossed/report/report.json"))
        facts["data"]["name"] = "own"
        system.pipe_file("/models/crossed/report/report.json", json.dumps(facts).encode())
        with pytest.raises(DataError, match=r"^memory://models/crossed holds a model of other posts"):
            ship(work, recipe, there)
    finally:
        system.store.clear()


def test_a_recipe_without_folds_has_none(work: Path, recipe: Recipe) -> None:
    plain = replace(recipe, name="plain", folds=0, members=(Ngrams(),))
    with pytest.raises(DataError, match="has no folds; there is no fold 0"):
        train(work, plain, fold=0)
    with pytest.raises(DataError, match="has no folds"):
        refit(work, plain)
    with pytest.raises(DataError, match="has 3 folds; there is no fold 3"):
        train(work, recipe, fold=3)


# --- further pictures ---


def test_further_pictures_are_counted_and_none_is_a_post(work: Path, recipe: Recipe) -> None:
    info = json.loads((work / "dataset.json").read_text())["pictures"]
    assert info == {"read": COVERS, "written": COVERS - 1, "dropped": {"unreadable picture": 1}}
    workspace = Run(work, recipe).workspace
    further = Further.of(workspace)
    assert further is not None
    names = pd.read_parquet(work / PICTURES)["post_id"].to_numpy()
    assert "cover 0" in names and "cover 0" not in names[further.rows]
    assert further.pixels((16, 24)).shape == (COVERS - 1, 16, 24, 3)


def test_a_table_of_something_else_is_refused_and_none_is_no_fault(tmp_path: Path) -> None:
    posts, wrong = made_up.raw_posts(6), covers(4).drop(columns="likes_per_view_high")
    posts.to_parquet(tmp_path / "posts.parquet")
    words = covers(4).assign(likes_per_view_high="high")
    for write in (wrong.to_parquet, words.to_parquet, lambda path: path.write_bytes(b"PAR1 and no more")):
        write(tmp_path / "covers.parquet")
        with pytest.raises(DataError, match="no table of pictures with a class of likes per view"):
            prepare("youtube", tmp_path, tmp_path / "work")
    covers(9).to_parquet(tmp_path / "covers.parquet")
    # A disk that is full is no fault of the table.
    table = Mock(append=Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    full = patch("training.data.further.writing_table", return_value=nullcontext(table))
    with full, pytest.raises(OSError, match="No space left"):
        prepare("youtube", tmp_path, tmp_path / "work")
    found = prepare("youtube", tmp_path, tmp_path / "work", limit=3)["pictures"]
    assert found["written"] == 3 and found["dropped"]["beyond the limit"] == 5
    # Gone from the source, they are gone from the work folder.
    (tmp_path / "covers.parquet").unlink()
    assert prepare("youtube", tmp_path, tmp_path / "work")["pictures"] == {}
    assert not (tmp_path / "work" / PICTURES).exists()


def test_what_a_class_says_is_read_off_the_training_posts(work: Path, recipe: Recipe) -> None:
    workspace = Run(work, recipe).workspace
    further = Further.of(workspace)
    assert further is not None
    low = pd.read_parquet(work / PICTURES)["likes_per_view_low"].to_numpy()[further.rows]
    train = workspace.posts.iloc[workspace.rows("train")]
    inside = train[train["likes_per_view"] >= 0.02]
    np.testing.assert_allclose(further.target[low > 0], (1 - WRONG) * inside["target"].mean())
    assert further.target[low > 0].min() > further.target[low == 0].max()
    np.testing.assert_allclose(further.shares.sum(axis=1), 1)
    prior = np.bincount(train["level"], minlength=5) / len(train)
    found = np.bincount(inside["level"], minlength=5) / len(inside)
    np.testing.assert_allclose(further.shares[low > 0][0], (1 - WRONG) * found + WRONG * prior)


def test_batches_hold_titles_of_like_length() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 100, 205)
    order = by_length(generator.permutation(205), lengths, 10, generator)
    assert sorted(order) == list(range(205))
    spread = [np.ptp(lengths[order[start : start + 10]]) for start in range(0, 200, 10)]
    assert max(spread) <= 20 and list(lengths[order]) != sorted(lengths)


def test_a_learning_curve_fits_parts_of_the_posts_and_ends_in_the_fold(
    work: Path, recipe: Recipe, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(work, recipe)
    if not (run.report / "report.json").exists():
        evaluate(work, recipe, resamples=20, junk=3)
    with pytest.raises(DataError, match="no folds"):
        learn(work, replace(recipe, name="unfolded", folds=0))
    learned: list[set[str]] = []
    fit = fitting.fit_member
    monkeypatch.setattr(
        fitting,
        "fit_member",
        lambda spec, matrix, *rest: (
            learned.append({*matrix.workspace.posts["group_number"][matrix.workspace.rows("train")]}),
            fit(spec, matrix, *rest),
        )[1],
    )
    table = pd.read_parquet(learn(work, recipe, halvings=1, resamples=20) / "learning_curve.parquet")
    own = parts_without(run, 0)
    groups = run.workspace.posts.set_index("post_id")["group_number"].loc[own.index]
    assert len(learned) == len(recipe.members), "the fold itself is there"
    assert learned[0] < {*groups[own == "train"]} and not learned[0] & {*groups[own != "train"]}
    sizes = sorted(table["posts"].unique())
    assert len(sizes) == 2 and sizes[1] == (own == "train").sum() and sizes[0] <= sizes[1] / 2
    # A large group is passed over.
    large = own.index[own == "train"][: int(0.7 * (own == "train").sum())]
    posts = run.workspace.posts.set_index("post_id")["group_number"]
    parted = SimpleNamespace(workspace=SimpleNamespace(posts=posts.where(~posts.index.isin(large), -1).reset_index()))
    half, quarter = (_less(parted, own, divisor, own) for divisor in (2, 4))  # type: ignore[arg-type]
    assert (half == "train").sum() == sizes[1] - len(large) and not half.index.isin(large).any()
    assert 0.2 * sizes[1] < (quarter == "train").sum() <= sizes[1] / 4
    assert set(table["n"]) == {(own == "validation").sum()} and set(table["member"]) >= {"blend", "ngrams", "title"}
    assert table.loc[table["posts"] == sizes[0], "gain"].isna().all()
    larger = table[table["posts"] == sizes[1]]
    assert (larger["gain_low"] <= larger["gain"]).all() and (larger["gain"] <= larger["gain_high"]).all()


def test_smaller_parts_of_the_learning_curve_lie_within_larger_ones() -> None:
    for seed in range(40):
        sizes = np.random.default_rng(seed).zipf(1.6, 100).clip(max=100)
        posts = pd.DataFrame({"post_id": np.arange(sizes.sum()), "group_number": np.repeat(np.arange(100), sizes)})
        run = SimpleNamespace(workspace=SimpleNamespace(posts=posts))
        whole = larger = pd.Series("train", index=posts["post_id"])
        for divisor in (2, 4, 8):
            less = _less(run, whole, divisor, larger)  # type: ignore[arg-type]
            assert 0 < len(less) <= len(whole) / divisor and less.index.isin(larger.index).all()
            larger = less
