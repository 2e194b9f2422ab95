"""SMPD: small files of the published forms, their faults, and what becomes of the context and the published score."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.bundle import read_bundle
from engine.errors import DataError, PostError
from engine.explain.game import Game
from engine.features.author import Author
from engine.features.category import Category
from engine.features.extractor import Extractor
from engine.features.text_statistics import TextStatistics
from engine.features.time_and_place import TimeAndPlace
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from tests import made_up
from tests.made_up import read_table
from tests.smpd_files import FIRST, raw, write
from training.data.cleaning import clean
from training.data.prepare import prepare
from training.data.sources.smpd import SMPD
from training.data.workspace import Workspace, split
from training.evaluation import ablations, variants
from training.evaluation.ablations import ablate
from training.evaluation.report import evaluate, posts_of
from training.features.extract import post_hashes, text_hash
from training.features.matrix import post_of
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes.base import CatBoost, Ngrams, Recipe
from ui.scale import PUBLISHED_KEY, scale_of


def read(source: Path) -> pd.DataFrame:
    return clean(pd.concat(SMPD().read(source), ignore_index=True)).set_index("post_id")


def dropped(posts: pd.DataFrame) -> dict[str, str]:
    return posts["drop_reason"].dropna().to_dict()


@pytest.mark.parametrize("old", [False, True])
def test_published_forms_are_read_alike(tmp_path: Path, old: bool) -> None:
    files = raw()
    posts = read(write(tmp_path / "smpd", files, old=old))
    assert len(posts) == 40 and not dropped(posts)
    first, second = posts.loc["1000"], posts.loc["1001"]
    assert (first["title"], first["group"], first["category"]) == (made_up.own_word(1000), "0@N0", "Fashion")
    assert first["tags"] == [made_up.own_word(0), "one"]
    assert first["popularity"] == float(files["label"][0])
    assert first["published_at"].timestamp() == int(files["temporal"][0]["Postdate"])
    assert np.isnan([first["latitude"], first["longitude"]]).all(), "0, 0 at an accuracy of 0 is no place"
    assert (second["latitude"], second["longitude"]) == (52.520213, 13.373097)
    facts = dict(first["author"])
    assert facts["photo_count"] == files["user"][0]["photo_count"] and facts["timezone_hours"] == 5.5
    assert (facts["is_pro"], facts["can_buy_pro"]) == (1, 0)
    assert facts["account_age_days"] == pytest.approx((int(files["temporal"][0]["Postdate"]) - FIRST) / 86_400)
    assert Path(first["image"]) == tmp_path / "smpd/train/0@N0/1000.jpg"
    assert posts[["views", "likes", "comments"]].isna().all(axis=None)


def test_tables_with_a_pid_are_joined_by_it(tmp_path: Path) -> None:
    files = raw()
    before = read(write(tmp_path / "one", files))
    for name in ("category", "temporal", "user"):
        files[name] = files[name][::-1][:-1]
    after = read(write(tmp_path / "other", files))
    for column in ("category", "published_at", "author"):
        assert after[column].iloc[1:].tolist() == before[column].iloc[1:].tolist()
        assert pd.isna(after.at["1000", column]), "its row was left out"
    for name in ("Pid", "Uid"):
        files["category"] = [{key: value for key, value in row.items() if key != name} for row in files["category"]]
    with pytest.raises(DataError, match=r"train_category\.json has 39 rows for 40 posts and no Pid to join them by"):
        read(write(tmp_path / "third", files))


def test_broken_rows_cost_only_themselves(tmp_path: Path) -> None:
    files = raw()
    files["label"][0:4] = ["", "many", "inf", "900"]
    files["path"][4:7] = [files["path"][5], "train/0@N0/../../outside.jpg", "/etc/hostname"]
    files["text"][7]["Title"] = "x" * 501
    files["text"][8]["Pid"] = None
    files["temporal"][9]["Postdate"] = "soon"
    files["temporal"][10]["Latitude"] = "91"
    files["temporal"][11]["Longitude"] = ""
    files["user"][12] |= {"photo_count": "None", "ispro": "", "timezone_offset": "somewhere", "photo_firstdate": None}
    posts = read(write(tmp_path / "smpd", files))
    reasons = posts["drop_reason"].tolist()
    assert [None if pd.isna(reason) else reason for reason in reasons[:13]] == [
        *("score unknown", "invalid popularity", "invalid popularity", "invalid popularity"),
        *("malformed row", "malformed row", "malformed row", "invalid title", "invalid post_id"),
        *("invalid published_at", "invalid latitude", None, None),
    ]  # fmt: skip
    assert not any(isinstance(reason, str) for reason in reasons[13:])
    assert np.isnan([posts["latitude"].iloc[11], posts["longitude"].iloc[11]]).all()
    assert dict(posts["author"].iloc[12]) == {"can_buy_pro": 0.0}


def test_sources_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    files = raw(2)
    with pytest.raises(DataError, match=r"holds no train_label\.txt; give the folder of the training part"):
        read(tmp_path)
    short = write(tmp_path / "short", {**files, "label": files["label"][:-1]})
    with pytest.raises(DataError, match="does not fit together: 7 labels, 8 pictures and 8 texts"):
        read(short)
    (short / "train_img_filepath.txt").unlink()
    with pytest.raises(DataError, match=r"lacks train_img_filepath\.txt or train_img\.txt"):
        read(short)
    for content, message in (("[{", "is no JSON"), ('{"a": 1}', "neither a list of rows nor"), ("[1]", "neither")):
        torn = write(tmp_path / f"torn{len(content)}", files)
        (torn / "train_user_data.json").write_text(content)
        with pytest.raises(DataError, match=message):
            read(torn)
    untitled = write(tmp_path / "untitled", {**files, "text": [{"Pid": "1", "Uid": "2"}] * 8})
    with pytest.raises(DataError, match=r"train_text\.json lacks title"):
        read(untitled)


def test_a_header_over_the_labels_is_none_of_them(tmp_path: Path) -> None:
    files = raw(2)
    source = write(tmp_path / "smpd", {**files, "label": ["Popularityscore", *files["label"]]})
    assert SMPD().count(source) == 8 and not dropped(read(source))


def test_facts_that_count_reactions_are_refused() -> None:
    for name in ("views", "mean_likes", "total_comments", "shares", "favorites", "totalFaves"):
        with pytest.raises(PostError, match=f"The author's {name} may count reactions"):
            Post("a title", author=((name, 3.0),))
    with pytest.raises(PostError, match="no finite number"):
        Post("a title", author=(("photo_count", float("nan")),))
    row = {"post_id": "a", "title": "b", "source": "c", "image": b"d", "popularity": 3.0}
    authors = [[("photo_count", 3.0)], [("views", 3.0)], [("photo_count", "many")], "photo_count", [], None]
    found = clean(pd.DataFrame([row] * 6).assign(author=pd.Series(authors, dtype=object)))["drop_reason"]
    assert found.isna().tolist() == [True, False, False, False, False, True]
    assert set(found.dropna()) == {"invalid author"}


def test_a_context_that_cannot_be_is_refused() -> None:
    with pytest.raises(PostError, match="no time zone"):
        Post("a title", published_at=datetime(2020, 1, 1))
    for place in ((91.0, 0.0), (0.0, -181.0), (float("nan"), 0.0)):
        with pytest.raises(PostError, match="nowhere on earth"):
            Post("a title", place=place)
    with pytest.raises(PostError, match="The category has 501 characters"):
        Post("a title", category="x" * 501)


def test_the_context_is_hashed_where_it_is_read_and_nowhere_else() -> None:
    plain = Post("fastest", tags=("a",), description="b")
    contexts = [
        *(plain, replace(plain, place=(1.0, 2.0)), replace(plain, author=(("photo_count", 1.0),))),
        *(replace(plain, category="Food"), replace(plain, published_at=datetime(2020, 1, 1, tzinfo=UTC))),
    ]
    assert len(set(post_hashes(Author(), contexts, [""] * 5))) == 5
    assert len(set(post_hashes(TextStatistics(), contexts, [""] * 5))) == 1
    assert post_hashes(Author(), [replace(plain, title="another")], [""]) == post_hashes(Author(), [plain], [""])
    # As it was before posts had a context, so that what is stored stays what it is.
    assert text_hash(plain) == "61ac51bd2cdf7e7edb9b09877fb679bd7ba1829aab59a414c3aa95e2b18722b9"


def test_time_and_place_go_round() -> None:
    def values(**context: Any) -> dict[str, float]:
        feature, post = TimeAndPlace(), Post(**context)
        assert bool(feature.why_null(post)) == (not context)
        return dict(zip(feature.columns, feature.compute([post], {})[0].tolist(), strict=True))

    late, early = (values(published_at=datetime(2021, 5, day, hour, 55, tzinfo=UTC)) for day, hour in ((2, 23), (3, 0)))
    assert abs(late["hour_sine"] - early["hour_sine"]) < 0.3 and late["hour_cosine"] > 0.95
    # From a Sunday to a Monday.
    assert late["weekday_cosine"] == pytest.approx(np.cos(-2 * np.pi / 7)) and early["weekday_cosine"] == 1
    assert (late["month"], late["year"], late["has_place"]) == (5, 2021, 0) and np.isnan(late["latitude"])
    somewhere = values(place=(52.5, 13.25))
    assert (somewhere["latitude"], somewhere["longitude"], somewhere["has_place"]) == (52.5, 13.25, 1)
    assert np.isnan([somewhere["hour_sine"], somewhere["year"]]).all()
    assert np.isnan(list(values().values())).all()


def test_categories_are_those_of_the_training_posts() -> None:
    posts = [Post(category=category) for category in ("Food", "Food", "Travel", "")]
    feature = Category().fit(posts, {}, np.zeros(4))
    assert feature.columns == ("Food", "Travel")
    values = feature.compute([*posts[1:], Post(category="Art")], {})
    np.testing.assert_array_equal(values, [[1, 0], [0, 1], [np.nan] * 2, [0, 0]])
    groups = np.arange(4)
    np.testing.assert_array_equal(feature.out_of_fold(posts, {}, np.zeros(4), groups), feature.compute(posts, {}))
    assert feature.why_null(posts[3]) and not feature.why_null(posts[0])


def test_a_feature_of_the_context_is_there_for_every_view() -> None:
    features = {feature.name: feature for feature in (TextStatistics(), Author())}
    post = Post("a title", author=(("photo_count", 7.0),))
    for view, names in (("text", set(features)), ("image", {"author"}), ("both", set(features))):
        found = Extractor(features, features).compute([post], view)  # type: ignore[arg-type]
        assert set(found) == names and found["author"][0, 0] == 7


# --- a whole run ---

TREES = CatBoost(name="trees", iterations=40, early_stopping=None, learning_rate=0.15, depth=3)
READ = ("text_statistics", "picture_statistics")
CONTEXT = ("time_and_place", "author", "category")
BARE = Recipe(name="bare", summary="Picture and words.", members=(Ngrams(), replace(TREES, features=READ)))
WHOLE = replace(BARE, name="whole", members=(Ngrams(), replace(TREES, features=(*READ, *CONTEXT))))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smpd")
    prepare("smpd", write(folder / "source", raw(users=75)), folder / "work")
    split(folder / "work")
    return folder / "work"


@pytest.fixture(scope="module")
def report(work: Path) -> Path:
    train(work, WHOLE)
    return evaluate(work, WHOLE, resamples=10, junk=1)


def test_no_user_is_parted_and_levels_are_cut_on_training(work: Path) -> None:
    workspace = Workspace(work)
    posts = workspace.posts
    assert set(posts["split"]) == {"train", "validation", "test"}
    assert posts.groupby("group")["split"].nunique().eq(1).all()
    np.testing.assert_allclose(posts["score"], 2 ** posts["popularity"])
    np.testing.assert_allclose(posts["log_score"], posts["popularity"] * np.log(2))
    cuts = np.percentile(posts.loc[posts["split"] == "train", "score"], (20, 40, 60, 80))
    np.testing.assert_allclose(workspace.cuts, cuts)
    assert workspace.score_formula.startswith("popularity as published: 2^label")
    assert workspace.dataset["absent_counts"] == ["views", "likes", "comments", "shares", "favorites"]
    assert posts_of(workspace)["likes_per_view"].isna().all()
    with pytest.raises(DataError, match=r"holds no counts to make a popularity of; take the target “score”"):
        _ = Workspace(work, target="popularity").posts


def test_a_post_of_a_row_has_its_context(work: Path) -> None:
    first = post_of(read_table(work / "posts.parquet").iloc[1])
    assert first.published_at is not None and first.published_at.year == 2016
    assert first.place == (52.520213, 13.373097) and first.category == "Fashion"
    assert {name for name, _ in first.author} == set(Author.columns)
    # Of a folder that was prepared before posts had one.
    assert post_of(pd.Series({"post_id": "a", "title": "b", "tags": None, "description": None})) == Post(
        "b", post_id="a"
    )


def test_what_the_user_did_decides(work: Path, report: Path) -> None:
    bundles = {"whole": Run(work, WHOLE).bundle, "bare": train(work, BARE)}
    posts = Workspace(work).posts
    rows = Workspace(work).rows("test")
    drafts = [
        replace(post_of(posts.iloc[row]), image=load_image(work / path))
        for row, path in zip(rows, read_table(work / "posts.parquet")["image"].iloc[rows], strict=True)
    ]
    src = {}
    for name, bundle in bundles.items():
        predicted = [found.score for found in Predictor.load(bundle, device="cpu").predict(drafts)]
        src[name] = pd.Series(predicted).corr(posts["score"].iloc[rows].reset_index(drop=True), method="spearman")
    assert src["whole"] > 0.7 and src["whole"] > src["bare"] + 0.2
    card = (bundles["whole"] / "README.md").read_text()
    assert "picture, title, time and place, author, category" in card and "popularity score" in card
    assert "It knows only pictures and words." in (bundles["bare"] / "README.md").read_text()
    assert scale_of(read_bundle(bundles["whole"])).key == PUBLISHED_KEY


def test_the_report_names_the_base_and_says_what_decides(work: Path, report: Path) -> None:
    metrics = pd.read_parquet(report / "metrics.parquet").query(
        "model == 'whole' and view == 'both' and split == 'test'"
    )
    value = metrics.set_index("metric")["value"]
    predictions = pd.read_parquet(report / "predictions.parquet").query("model == 'whole' and view == 'both'")
    truth = Workspace(work).posts.set_index("post_id")["popularity"]
    test = predictions[predictions["split"] == "test"]
    distance = np.abs(np.log2(test["score"]) - truth.loc[test["post_id"]].to_numpy()).mean()
    assert value["mae_log2"] == pytest.approx(distance, rel=1e-4)
    assert value["mae_log2"] == pytest.approx(value["mae_log10"] * np.log2(10), rel=1e-6)
    assert "src_likes_per_view" not in value
    notes = json.loads((report / "report.json").read_text())["notes"]
    assert (
        SMPD.notes[0]
        == "On this dataset what the user did before decides; figures of other protocols are not compared."
    )
    assert set(SMPD.notes) <= set(notes) and not any("trending" in note for note in notes)
    assert any("the dataset's own: popularity as published" in note for note in notes)
    assert "leak" not in set(pd.read_parquet(report / "metrics.parquet")["kind"])


def test_controls_and_explanations_leave_the_context_where_it_is(work: Path, report: Path) -> None:
    predictor = Predictor.load(Run(work, WHOLE).bundle, device="cpu")
    row = read_table(work / "posts.parquet").iloc[0]
    post = replace(post_of(row), image=load_image(work / row["image"]))
    game = Game(predictor, post, segments=4)
    everything = game.values(np.ones((1, game.players), dtype=bool))[0]
    assert everything == pytest.approx(predictor.predict([post])[0].expected_level)
    nothing = game.values(np.zeros((1, game.players), dtype=bool))[0]
    other = Game(predictor, replace(post, author=(("photo_count", 9000.0),)), segments=4)
    assert other.values(np.zeros((1, other.players), dtype=bool))[0] != nothing
    metrics = pd.read_parquet(report / "metrics.parquet").query("split == 'test' and metric == 'src'")
    src = metrics[metrics["view"] == "both"].set_index("model")["value"]
    # Shuffling what decides would leave nothing of the order.
    assert min(src["shuffled picture"], src["shuffled text"]) > 0.5


@pytest.mark.slow
def test_each_group_has_its_row_and_is_absent_where_the_dataset_lacks_it(
    vit_and_bert: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = raw(users=75)
    del files["user"]
    prepare("smpd", write(tmp_path / "source", files), tmp_path / "work")
    split(tmp_path / "work")
    for module in (variants, ablations):
        monkeypatch.setattr(module, "TREES", replace(TREES, iterations=15))
    recipe = replace(WHOLE, encoders=vit_and_bert)
    assert np.isnan(Run(tmp_path / "work", recipe).matrix["author"]).all()
    found = ablate(tmp_path / "work", recipe, 1, families=("feature", "leak", "head"), resamples=5)
    names = set(pd.read_parquet(found / "ablations.parquet")["ablation"])
    assert {"without time and place", "without category", "torch head"} <= names
    assert not {"without author", "counts as inputs"} & names
