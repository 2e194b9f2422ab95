"""Titles and pictures that nobody publishes: made up with care, told from real ones, answered with what is usual."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from PIL import Image
from scipy.stats import spearmanr

from engine.batch.table import SCHEMA, make_record
from engine.bundle import Bundle, amend_bundle, identity, read_bundle, save_bundle
from engine.errors import BundleError, DataError
from engine.features.picture_moments import PictureMoments
from engine.files import write_json
from engine.guard import BESIDE, REASONS, Guard
from engine.images import load_image
from engine.posts import Post
from engine.prediction import VIEWS, Prediction
from engine.predictor import Predictor
from engine.trees import save_trees
from tests import made_up
from tests.made_up import without_baselines
from tests.tiny_report import JUNK
from training.data.junk import LEARNED, UNSEEN, junk_titles
from training.data.junk_pictures import LEARNED_PICTURES, UNSEEN_PICTURES, junk_pictures
from training.evaluation.gains import reads_note
from training.evaluation.guard import KINDS, PICTURES, SEED, guard_notes
from training.evaluation.guard import TITLES as TITLE_KINDS
from training.evaluation.reguard import guard
from training.evaluation.report import evaluate
from training.evaluation.ship import ship
from training.modeling.guard import excerpts, fit_guards
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes.base import CatBoost, Ngrams, Recipe

TITLES = [f"My {pet} {does} the {thing}" for pet in ("cat", "dog") for does in ("eats", "finds") for thing in "ab"]
TREES = CatBoost(
    iterations=20, depth=2, early_stopping=None, features=("text_statistics", "ngrams", "picture_statistics")
)
RECIPE = Recipe(name="guarded", summary="Made up.", members=(Ngrams(), TREES), junk=0.2)


def test_every_kind_of_junk_comes_equally_often_and_the_same_again() -> None:
    titles = junk_titles(LEARNED, 4 * len(LEARNED), TITLES, seed=3)
    assert titles == junk_titles(LEARNED, 4 * len(LEARNED), TITLES, seed=3)
    assert {kind: [found for found, _ in titles].count(kind) for kind in LEARNED} == dict.fromkeys(LEARNED, 4)
    assert all(title.strip() for _, title in titles)
    pictures = junk_pictures(LEARNED_PICTURES, 2 * len(LEARNED_PICTURES), seed=3)
    assert all(picture.mode == "RGB" for _, picture in pictures)


def test_what_the_guard_is_measured_on_is_not_what_it_learns_from() -> None:
    assert not set(LEARNED) & set(UNSEEN) and not set(LEARNED_PICTURES) & set(UNSEEN_PICTURES)
    learned, unseen = ({title for _, title in junk_titles(kinds, 2000, TITLES, 0)} for kinds in (LEARNED, UNSEEN))
    assert len(unseen & learned) < 0.01 * len(unseen)


# --- what the model says to them ---


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A model of made-up posts, one of those, and a picture that is none."""
    work = made_up.make_work(tmp_path_factory.mktemp("guarded"))
    posts = pd.read_parquet(work / "posts.parquet")
    drafts = [Post(row["title"], load_image(row["image"])) for _, row in posts.head(40).iterrows()]
    predictor = Predictor.load(train(work, RECIPE), device="cpu")
    real = next(post for post, found in zip(drafts, predictor.predict(drafts), strict=True) if found.strange is None)
    return SimpleNamespace(work=work, predictor=predictor, real=real, blank=Image.new("RGB", (48, 32), "white"))


def check_usual(predictor: Predictor, found: Prediction, side: str) -> None:
    """That an answer says what is usual, and why."""
    assert found.strange == side and found.reason == REASONS[side]  # type: ignore[index]
    assert found.is_usual and found.abstain and found.probabilities == found.prior == predictor.bundle.prior
    assert found.level_set == (0, 1, 2, 3, 4) and found.level == round(found.expected_level)
    # Eight in ten of all posts lie in the interval, and half of them below the middle.
    assert found.percentiles == pytest.approx((0.5, 0.1, 0.9), abs=1e-6)
    assert found.score_low < found.score < found.score_high
    assert found.members == ()


def check_beside(found: Prediction, alone: Prediction, side: str) -> None:
    """That an answer leaves a strange side out, says so, and is the answer to the other side `alone`."""
    assert found.strange == side and found.reason == BESIDE[side] and found.abstain  # type: ignore[index]
    assert not found.is_usual and not alone.is_usual and alone.strange is None and found.view == alone.view
    for name in ("probabilities", "percentiles", "score", "score_low", "score_high"):
        np.testing.assert_allclose(getattr(found, name), getattr(alone, name))
    assert (found.level, found.level_set) == (alone.level, alone.level_set)
    assert [vote.member for vote in found.members] == [vote.member for vote in alone.members]


def test_a_strange_title_is_left_out(model: SimpleNamespace) -> None:
    picture = model.real.image
    posts = [Post("asdf {jkl} 123 ;;; qwertz"), Post("今日は", picture), model.real, Post(image=picture)]
    alone, beside, _, other = model.predictor.predict(posts)
    check_usual(model.predictor, alone, "text")
    check_beside(beside, other, "text")
    assert "title" in alone.reason and (alone.view, beside.view) == ("text", "image")


def test_a_strange_picture_is_left_out(model: SimpleNamespace) -> None:
    title = model.real.title
    posts = [Post(image=model.blank), Post(title, model.blank), model.real, Post(title)]
    alone, beside, _, other = model.predictor.predict(posts)
    check_usual(model.predictor, alone, "image")
    check_beside(beside, other, "image")
    assert "picture" in alone.reason and (alone.view, beside.view) == ("image", "text")


def test_a_picture_that_drafts_share_is_looked_at_once(model: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, compute = [], PictureMoments.compute

    def noted(self: PictureMoments, posts: list[Post], upstream: Any) -> np.ndarray:
        looked.extend(post.image for post in posts)
        return compute(self, posts, upstream)

    monkeypatch.setattr(PictureMoments, "compute", noted)
    picture, blank = model.real.image, model.blank
    drafts = [Post(model.real.title, picture), Post("asdf {jkl} 123 ;;; qwertz", picture), Post(TITLES[0], blank)]
    together = model.predictor.predict([*drafts, Post(TITLES[1], blank)])[:3]
    assert len(looked) == 2 and {id(image) for image in looked} == {id(picture), id(blank)}
    for draft, found in zip(drafts, together, strict=True):
        [alone] = model.predictor.predict([draft])
        assert found.strange == alone.strange
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-6)
    assert [found.strange for found in together] == [None, "text", "image"]


def test_where_both_sides_are_strange_the_answer_is_what_is_usual(model: SimpleNamespace) -> None:
    check_usual(model.predictor, model.predictor.predict([Post("今日は", model.blank)])[0], "image")


def test_without_an_answer_to_the_other_side_it_is_what_is_usual(model: SimpleNamespace) -> None:
    views = {view: fit for view, fit in model.predictor.bundle.views.items() if view != "image"}
    bundle = model.predictor.bundle.model_copy(update={"views": views})
    kept = model.predictor
    narrow = Predictor(bundle, kept.extractor.features, kept.members, kept.guards)
    check_usual(narrow, narrow.predict([Post("今日は", model.real.image)])[0], "text")


def test_a_real_post_is_answered_as_if_there_were_no_guard(model: SimpleNamespace) -> None:
    title, picture = model.real.title, model.real.image
    for view, post in zip(VIEWS, (model.real, Post(title), Post(image=picture)), strict=True):
        found = model.predictor.predict([Post("asdf {jkl} 123"), post, Post(image=model.blank)])[1]
        batch = model.predictor.predict_features(view, model.predictor.extractor.compute([post], view))
        assert found.strange is None and found.reason not in REASONS.values()
        np.testing.assert_allclose(found.probabilities, batch.probabilities[0])
        logs = (batch.log_score[0], *batch.interval[0])
        np.testing.assert_allclose((found.score, found.score_low, found.score_high), np.exp(logs))
        np.testing.assert_allclose(found.percentiles, model.predictor.percentile(logs))
        assert found.abstain == batch.abstain[0] and len(found.members) == len(batch.members)


def test_a_table_says_why(model: SimpleNamespace) -> None:
    strange, real = model.predictor.predict([Post("asdf {jkl} 123 ;;; qwertz"), model.real])
    record = make_record("a", strange)
    assert list(record) == SCHEMA.names and record["abstain"]
    assert record["reason"] == REASONS["text"] and record["error"] is None
    assert make_record("b", real)["reason"] == (real.reason or None)


def test_no_threshold_comes_of_what_its_own_group_taught(
    model: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(model.work, RECIPE)
    train, validation = (run.workspace.rows(split) for split in ("train", "validation"))
    groups = run.workspace.posts["group_number"].to_numpy()
    judged: list[int] = []
    taught: dict[int, set[bytes]] = {}

    def weighed(real: np.ndarray, junk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # What it was taught by goes with the weights.
        taught[id(weights := np.zeros(real.shape[1]))] = {row.tobytes() for row in real}
        return weights, np.zeros(1)

    def strangeness(self: Guard, values: np.ndarray) -> np.ndarray:
        groups_of = {
            row.tobytes(): groups[place]
            for row, place in zip(run.matrix[self.fit.feature], range(len(groups)), strict=True)
        }
        own = {groups_of[row] for row in taught[id(self.weights)] if row in groups_of}
        assert own.isdisjoint(groups_of[row.tobytes()] for row in values)
        judged.append(len(values))
        return np.zeros(len(values))

    monkeypatch.setattr("training.modeling.guard._weighed", weighed)
    monkeypatch.setattr(Guard, "strangeness", strangeness)
    fit_guards(run.matrix, {"image", "text"})
    assert sum(judged) == 2 * (len(train) + len(validation))


def test_words_in_a_row_of_every_title_count_as_real() -> None:
    posts = [Post("one two three four five six"), Post("single"), Post("  spaced   out  "), Post("")]
    found = [post.title for post in excerpts(posts * 50)]
    assert set(found[1::4]) == {"single"} and set(found[2::4]) == {"spaced out"} and set(found[3::4]) == {""}
    assert {len(title.split()) for title in found[0::4]} == {2, 3, 4}
    assert all(title in posts[0].title for title in found[0::4]) and len(set(found[0::4])) > 8


# --- what evaluate says of it ---


@pytest.fixture(scope="module")
def lenient(model: SimpleNamespace) -> Path:
    """The report of the model when it lets much of the junk through."""
    work, predictor = model.work, model.predictor
    junk = {
        "text": [Post(title) for _, title in junk_titles(TITLE_KINDS, 300, TITLES, seed=4)],
        "image": [Post(image=picture) for _, picture in junk_pictures(PICTURES, 100, seed=4)],
    }
    fits = {}
    for side, fitted in predictor.guards.items():
        found = fitted.strangeness(predictor.extractor.features[fitted.fit.feature].compute(junk[side], {}))
        fits[side] = fitted.fit.model_copy(update={"threshold": float(np.median(found))})
    amend_bundle(Run(work, RECIPE).bundle, guards=fits)
    with without_baselines():
        return evaluate(work, RECIPE, resamples=20, junk=JUNK)


@pytest.fixture(scope="module", params=["tiny_report", "lenient"])
def report(request: pytest.FixtureRequest) -> Path:
    """A report of the whole pipeline, and one of a model that lets much of the junk through."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def table(report: Path) -> pd.DataFrame:
    return pd.read_parquet(report / "guard.parquet").set_index(["view", "origin", "kind", "metric"]).sort_index()


@pytest.fixture(scope="module")
def predictor(report: Path) -> Predictor:
    return Predictor.load(report.parent / "bundle", device="cpu")


@pytest.fixture(scope="module")
def seen(report: Path) -> pd.DataFrame:
    """The test posts, with title and picture."""
    posts = pd.read_parquet(report / "posts.parquet").query("split == 'test'")
    raw = pd.read_parquet(report.parents[2] / "posts.parquet", columns=["post_id", "title", "image"])
    return posts.merge(raw, on="post_id")


def test_shares_of_junk_are_those_of_its_answers(table: pd.DataFrame, predictor: Predictor, seen: pd.DataFrame) -> None:
    lent = list(seen["title"])
    # The guard is not taught shuffled words, and not every recipe's members learn from junk.
    learned = {*LEARNED, *LEARNED_PICTURES} - (set() if predictor.bundle.name == RECIPE.name else {"shuffled words"})
    held: dict[tuple[str, str], list[bool]] = {}
    for view, kinds in KINDS.items():
        for number, kind in enumerate(kinds):
            seed = [SEED, number]
            posts = (
                [Post(title) for _, title in junk_titles({kind: TITLE_KINDS[kind]}, JUNK, lent, seed)]
                if view == "text"
                else [Post(image=picture) for _, picture in junk_pictures({kind: PICTURES[kind]}, JUNK, seed)]
            )
            found = predictor.predict(posts)
            held[view, kind] = [answer.strange is not None for answer in found]
            near = [np.allclose(answer.probabilities, answer.prior, rtol=0, atol=0.05) for answer in found]
            assert table.loc[(view, "learned" if kind in learned else "unseen", kind)]["value"].to_dict() == {
                "withheld": pytest.approx(np.mean(held[view, kind])),
                "near_prior": pytest.approx(np.mean(near)),
                "abstained": pytest.approx(np.mean([answer.abstain for answer in found])),
            }
        for origin, own in (("all", set(kinds)), ("learned", set(kinds) & learned), ("unseen", set(kinds) - learned)):
            shares = [share for kind in own for share in held[view, kind]]
            row = table.loc[(view, origin, "all", "withheld")]
            assert row["value"] == pytest.approx(np.mean(shares)) and row["n"] == len(shares)
            assert row["low"] <= row["value"] <= row["high"]
    if predictor.bundle.name == RECIPE.name:
        assert all(0.2 < table.loc[(view, "all", "all", "withheld"), "value"] < 0.9 for view in KINDS)


def test_the_price_on_test_posts_is_that_of_their_answers(
    table: pd.DataFrame, predictor: Predictor, seen: pd.DataFrame, report: Path
) -> None:
    metrics = pd.read_parquet(report / "metrics.parquet").query("kind == 'model' and split == 'test'")
    metrics = metrics.set_index(["view", "metric"])
    for view in VIEWS:
        posts = [
            Post("" if view == "image" else row["title"], None if view == "text" else load_image(row["image"]))
            for _, row in seen.iterrows()
        ]
        found = predictor.predict(posts)
        rows = table.loc[(view, "test", "all")]
        assert rows.loc["withheld", "value"] == pytest.approx(np.mean([answer.strange is not None for answer in found]))
        assert rows.loc["abstained", "value"] == pytest.approx(np.mean([answer.abstain for answer in found]))
        guarded = spearmanr([answer.score for answer in found], seen["score"]).statistic
        assert rows.loc["src_guarded", "value"] == pytest.approx(guarded, abs=1e-3)
        plain = rows.loc["src", ["value", "low", "high"]].tolist()
        assert plain == pytest.approx(metrics.loc[(view, "src"), ["value", "low", "high"]].tolist())
        gap = rows.loc["src_guarded", "value"] - rows.loc["src", "value"]
        assert rows.loc["src_difference", "value"] == pytest.approx(gap)
        assert rows.loc["src_difference", "low"] <= gap <= rows.loc["src_difference", "high"]
        assert (rows["n"] == len(seen)).all()


def test_its_sentences_carry_the_figures(table: pd.DataFrame, predictor: Predictor) -> None:
    caught, lost = guard_notes(table.reset_index())
    assert predictor.bundle.notes[-2:] == (caught, lost)
    for view in ("text", "image"):
        assert f"{table.loc[(view, 'all', 'all', 'withheld'), 'value']:.1%} of the" in caught
        assert f"{table.loc[(view, 'unseen', 'all', 'withheld'), 'value']:.1%} of kinds" in caught
    assert f"turns away {table.loc[('both', 'test', 'all', 'withheld'), 'value']:.1%}" in lost
    pictures = table.query("view == 'image'").reset_index()
    assert "titles" not in guard_notes(pictures)[0]
    assert len(guard_notes(pictures.query("origin == 'test'"))) == 1


# --- and a guard on its own ---


def test_guards_fitted_anew_take_the_place_of_those_that_were_shipped(
    model: SimpleNamespace, lenient: Path, tmp_path: Path
) -> None:
    shipped = ship(model.work, RECIPE, tmp_path / "model")
    (shipped / "evidence").mkdir()
    before, former = read_bundle(shipped / "bundle"), json.loads((shipped / "report" / "report.json").read_text())
    loose = pd.read_parquet(shipped / "report" / "guard.parquet").set_index(["view", "origin", "kind", "metric"])
    assert guard(model.work, RECIPE, shipped, resamples=20, junk=JUNK) == shipped and (shipped / "evidence").is_dir()

    # Fitted on the same posts they are the same, and nothing else is another.
    predictor, after = Predictor.load(shipped / "bundle", device="cpu"), read_bundle(shipped / "bundle")
    assert {side: found.fit for side, found in predictor.guards.items()} == {
        side: found.fit for side, found in model.predictor.guards.items()
    }
    assert after.files == before.files and after.features == before.features and after.guards != before.guards

    table = pd.read_parquet(shipped / "report" / "guard.parquet")
    notes = guard_notes(table)
    table = table.set_index(["view", "origin", "kind", "metric"])
    assert table.loc[("both", "test", "all", "src")].equals(loose.loc[("both", "test", "all", "src")])
    for view in KINDS:
        row = (view, "all", "all", "withheld")
        assert table.loc[row, "value"] > loose.loc[row, "value"]
    found = json.loads((shipped / "report" / "report.json").read_text())
    assert found["bundle"] == identity(after) != former["bundle"] and after.notes == tuple(found["notes"])
    assert found["notes"][-2:] == notes and len(found["notes"]) == len(former["notes"])
    assert len(found["test_reads"]) == len(former["test_reads"]) + 1
    assert found["test_reads"][-1]["step"] == "guard" and reads_note(found["test_reads"]) in found["notes"]


def test_a_side_that_no_member_reads_gets_no_guard(model: SimpleNamespace, lenient: Path, tmp_path: Path) -> None:
    bundle = (shipped := ship(model.work, RECIPE, tmp_path / "model")) / "bundle"

    def without_text(place: Path) -> Bundle:
        left = shutil.ignore_patterns("text.safetensors", "bundle.json")
        shutil.copytree(bundle, place, dirs_exist_ok=True, ignore=left)
        found = read_bundle(bundle)
        return found.model_copy(update={"guards": {"image": found.guards["image"]}})

    save_bundle(bundle, without_text)
    guard(model.work, RECIPE, shipped, resamples=20, junk=JUNK)
    assert set(Predictor.load(bundle, device="cpu").guards) == {"image"}
    # What the former guard read, and nobody else, has gone with it.
    assert {entry.name for entry in model.predictor.bundle.features} - {
        entry.name for entry in read_bundle(bundle).features
    } == {"title_moments"}


def test_guards_of_other_posts_are_refused(model: SimpleNamespace, lenient: Path, tmp_path: Path) -> None:
    shipped = ship(model.work, RECIPE, tmp_path / "model")
    path = shipped / "report" / "report.json"
    write_json(path, {**json.loads(path.read_text()), "split": "another"})
    with pytest.raises(DataError, match="no report of the recipe guarded on the posts and the split"):
        guard(model.work, RECIPE, shipped)
    path.unlink()
    with pytest.raises(DataError, match="name the model"):
        guard(model.work, RECIPE, shipped)
    with pytest.raises(BundleError):
        guard(model.work, replace(RECIPE, name="unclaimed"), tmp_path / "none")
    assert not (model.work / "runs" / "unclaimed").exists()
    assert read_bundle(shipped / "bundle").guards != {side: found.fit for side, found in model.predictor.guards.items()}


def test_equal_trees_are_equal_files(tmp_path: Path) -> None:
    features, labels = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    for name in ("first", "second"):
        fitted = CatBoostClassifier(iterations=3, thread_count=1, verbose=False, allow_writing_files=False)
        save_trees(fitted.fit(features, labels), tmp_path / name)
        # Each would else say the second in which it was fitted.
        time.sleep(1.1 * (name == "first"))
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    again = CatBoostClassifier().load_model(str(tmp_path / "second"))
    np.testing.assert_array_equal(again.predict_proba(features), fitted.predict_proba(features))
