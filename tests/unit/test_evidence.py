"""The index of real posts, the search in it, and the tab that shows it: made by the step itself, on made-up posts."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from engine.errors import BundleError, DataError, EncoderError, PostError
from engine.evidence.index import FOLDER, MANIFEST, TABLE, VECTORS, read_index, read_manifest
from engine.evidence.nearest import SHOWN, Evidence
from engine.evidence.space import Space, unit
from engine.images import load_image
from engine.posts import Post
from engine.scoring import to_level
from tests import made_up, tiny
from tests.page_predictor import PagePredictor
from training.data.workspace import Workspace
from training.evaluation import evidence as step
from ui import evidence as shown
from ui.chooser import Choice, Models
from ui.model import UNAVAILABLE, Model
from ui.scale import scale_of

NEIGHBOURS = 20


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("evidence"), 120)


@pytest.fixture(scope="module")
def models(work: Path, bundle: Any, vit_and_bert: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model, with its index."""
    encoders = {"text": vit_and_bert["words"], "image": vit_and_bert["picture"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "ENCODERS", encoders)
        model = tmp_path_factory.mktemp("models")
        with pytest.raises(DataError, match="holds no bundle"):
            step.evidence(work, model)
        (model / "bundle").mkdir()
        for known in ({"data": {"fingerprint": "of other posts"}}, {"score_formula": "another"}):
            patch.setattr(step, "read_bundle", lambda folder, known=known: SimpleNamespace(**{**vars(bundle), **known}))
            with pytest.raises(DataError, match="holds a model of other posts, or of another score; name"):
                step.evidence(work, model)
        assert os.listdir(model) == ["bundle"]
        patch.setattr(step, "read_bundle", lambda folder: bundle)
        folder = step.evidence(work, model, neighbours=NEIGHBOURS, resamples=20)
    return folder.parent


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A copy of the index that a test may damage."""
    return Path(shutil.copytree(models / FOLDER, tmp_path / FOLDER))


@pytest.fixture(scope="module")
def posts(work: Path) -> pd.DataFrame:
    return pd.read_parquet(work / "posts.parquet")


@pytest.fixture(scope="module")
def bundle(work: Path) -> Any:
    """What the search reads of a bundle."""
    workspace = Workspace(work)
    data = {"fingerprint": workspace.dataset["fingerprint"]}
    return SimpleNamespace(data=data, score_formula=workspace.score_formula, cuts=tuple(workspace.cuts))


@pytest.fixture(scope="module")
def evidence(models: Path, bundle: Any) -> Evidence:
    return Evidence.load(models / FOLDER, bundle)


def draft(row: pd.Series, **changes: Any) -> Post:
    return Post(**{"title": row["title"], "image": load_image(row["image"]), **changes})


def test_a_space_keeps_who_is_near_whom() -> None:
    generator = np.random.default_rng(0)
    # A common direction, as encoders' vectors have it, and a few that matter.
    vectors = 5 + generator.normal(size=(200, 8)) @ generator.normal(size=(8, 40))
    space = Space.fit(vectors, 9)
    centred = unit(unit(vectors) - unit(vectors).mean(axis=0))
    assert np.abs(space.rows @ space.rows.T - centred @ centred.T).max() < 0.03
    assert np.abs(space.place(vectors) - space.rows).max() < 0.02
    assert space.tensors()["bytes"].dtype == np.int8


def test_the_index_holds_nothing_but_what_is_derived(models: Path, posts: pd.DataFrame) -> None:
    index = read_index(models / FOLDER)
    assert index.manifest.posts + index.manifest.removed == len(posts)
    table = index.posts.to_pandas()
    assert list(table) == ["post_id", "score", "likes_per_view", "comments_per_view", "thumbhash"]
    row, known = table.iloc[7], posts.set_index("post_id")
    assert row["likes_per_view"] == pytest.approx(known.at[row["post_id"], "likes"] / known.at[row["post_id"], "views"])
    stored = b"".join(path.read_bytes() for path in (models / FOLDER).iterdir())
    assert not [title for title in posts["title"] if title.encode() in stored]


def test_the_nearest_are_those_of_the_full_product(evidence: Evidence, models: Path, bundle: Any) -> None:
    post = Post("a quiet river", Image.linear_gradient("L").convert("RGB"))
    found = evidence.nearest(post)
    assert [near.by for near in found] == ["both", "text", "image"]
    index = read_index(models / FOLDER)
    by_words = next(near for near in found if near.by == "text")
    space = index.spaces["text"]
    cosine = space.rows @ space.place(evidence._feature("text").compute([post], {}))[0]
    assert by_words.left_out == 0
    nearest = np.argsort(-cosine, kind="stable")[:NEIGHBOURS]
    assert [near.post_id for near in by_words.shown] == [
        index.posts["post_id"][int(row)].as_py() for row in nearest[:SHOWN]
    ]
    levels = to_level(index.posts["score"].to_numpy(), bundle.cuts)
    assert by_words.levels == tuple(np.bincount(levels[nearest], minlength=5))


def test_closeness_falls_along_the_neighbours(evidence: Evidence, posts: pd.DataFrame) -> None:
    for near in evidence.nearest(draft(posts.iloc[3], title="something else altogether")):
        closeness = [neighbour.closeness for neighbour in near.shown]
        assert closeness == sorted(closeness, reverse=True) and all(0 <= share <= 1 for share in closeness)


def test_a_post_is_no_evidence_for_itself(evidence: Evidence, posts: pd.DataFrame) -> None:
    row = posts.iloc[5]
    for near in evidence.nearest(draft(row)):
        assert near.left_out >= 1 and row["post_id"] not in {neighbour.post_id for neighbour in near.shown}
    [near] = evidence.nearest(draft(row, image=None))
    assert near.by == "text" and near.left_out >= 1


def test_an_empty_draft_has_no_neighbours(evidence: Evidence) -> None:
    with pytest.raises(PostError, match="picture, a title"):
        evidence.nearest(Post())


def test_twins_are_found_on_every_side_only() -> None:
    rows = unit(np.random.default_rng(1).normal(size=(40, 6)))
    words, pictures = rows.copy(), rows[::-1].copy()
    words[9], pictures[9] = words[4], pictures[4]
    words[20] = words[4]
    spaces = {
        "text": Space(words, np.zeros(6), np.eye(6)),
        "image": Space(pictures, np.zeros(6), np.eye(6)),
    }
    assert np.flatnonzero(step.twins(spaces)).tolist() == [9]  # type: ignore[arg-type]


def test_figures_ask_posts_of_other_groups_outside_of_test(models: Path, work: Path) -> None:
    manifest, workspace = read_manifest(models / FOLDER), Workspace(work)
    assert manifest.asked <= (workspace.posts["split"] != "test").sum() < manifest.posts
    for figures in manifest.figures.values():
        assert {"pairwise_accuracy", "same_level"} <= set(figures)
        assert all(figure.low <= figure.value <= figure.high for figure in figures.values())


@pytest.mark.parametrize("name", [MANIFEST, VECTORS, TABLE])
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data.replace(b"e", b"f", 1)])
def test_a_changed_index_is_refused(folder: Path, bundle: Any, name: str, damage: Callable[[bytes], bytes]) -> None:
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(BundleError, match="training evidence"):
        Evidence.load(folder, bundle)


@pytest.mark.parametrize("change", [{"data": {"fingerprint": "of other posts"}}, {"score_formula": "another"}])
def test_an_index_of_something_else_is_refused(folder: Path, bundle: Any, change: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="of other posts, or of another score"):
        Evidence.load(folder, SimpleNamespace(**{**vars(bundle), **change}))


def test_other_encoders_are_refused(folder: Path, bundle: Any, tmp_path: Path) -> None:
    index = read_index(folder)
    other = tiny.build_bert(tmp_path, seed=5)
    entry = index.manifest.encoders["text"].model_copy(update={"spec": f"bert:{other}"})
    encoders = {**index.manifest.encoders, "text": entry}
    changed = type(index)(index.manifest.model_copy(update={"encoders": encoders}), index.spaces, index.posts)
    with pytest.raises(EncoderError, match="not the one that the index of real posts was made with"):
        Evidence(changed, bundle.cuts).nearest(Post("a quiet river"))


# --- what the page does with it ---


def tab(loader: Any, tmp_path: Path) -> shown.SimilarPosts:
    model = Model(PagePredictor)  # type: ignore[arg-type]
    return shown.SimilarPosts(Models(model, [Choice("one", "One", tmp_path)]), loader)


def test_the_panel_shows_figures_and_fetches_nothing(evidence: Evidence, posts: pd.DataFrame, tmp_path: Path) -> None:
    made = tab(lambda folder, bundle: evidence, tmp_path)
    assert made.describe() == {"visible": True, "__type__": "update"}
    *_, html = made.show(draft(posts.iloc[3], title="<b>a private draft</b>"))
    assert html.count("<li>") == 3 * SHOWN and "private" not in html
    assert f"{evidence.manifest.asked:,} posts" in html and "no second opinion" in html
    # Real covers are addresses to be asked for, never pictures of the page.
    assert "<img" not in html and html.count('data-cover="https://i.ytimg.com/vi/') == 3 * SHOWN
    assert html.count('rel="noopener noreferrer"') == html.count("<a ") == 3 * SHOWN


def test_a_draft_of_one_side_has_nothing_to_choose(evidence: Evidence, tmp_path: Path) -> None:
    *_, html = tab(lambda folder, bundle: evidence, tmp_path).show(Post("a quiet river"))
    assert "<fieldset" not in html and html.count("<li>") == SHOWN


def test_without_an_index_there_is_no_tab(tmp_path: Path) -> None:
    made = tab(shown.load_evidence, tmp_path / "model" / "bundle")
    assert made.describe()["visible"] is False and list(made.show(Post("My cat"))) == [""]
    assert list(made.show(None)) == [""]


def test_an_index_that_does_not_fit_is_for_the_log(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = tab(shown.load_evidence, tmp_path / "bundle")
    assert made.describe()["visible"] is False and made.describe()["visible"] is False
    assert caplog.text.count(str(folder)) == 1
    failing = tab(lambda folder, bundle: SimpleNamespace(nearest=_refuse), tmp_path)
    assert UNAVAILABLE in list(failing.show(Post("a private draft")))[-1]


def _refuse(post: Post) -> None:
    raise EncoderError("Here the encoder is another.")


def test_a_far_neighbour_is_said_to_be_far(evidence: Evidence) -> None:
    near = evidence.nearest(Post("a quiet river"))[0]
    far = type(near)(**{**vars(near), "shown": tuple(_at(neighbour, 0.0) for neighbour in near.shown)})
    scale = scale_of(PagePredictor().bundle)  # type: ignore[arg-type]
    assert "None of them is really like this draft." in shown.spread_of(far, scale)
    even = type(near)(**{**vars(near), "levels": (1, 0, 4, 4, 2)})
    assert "4 each were Average and High, the most of any level." in shown.spread_of(even, scale)
    alone = type(near)(**{**vars(near), "levels": (1, 0, 4, 3, 2)})
    assert "4 were Average, the most of any level." in shown.spread_of(alone, scale)
    assert [shown.nearness(share) for share in (1.0, 0.5, 0.1, 0.0)] == [words for _, words in shown.NEARNESS]


def _at(neighbour: Any, closeness: float) -> Any:
    return type(neighbour)(**{**vars(neighbour), "closeness": closeness})
