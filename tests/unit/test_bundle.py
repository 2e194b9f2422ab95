"""Bundles: saved whole or not at all, verified byte by byte, never unpickled."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.bundle import MANIFEST, amend_bundle, read_bundle, save_bundle
from engine.errors import BundleError
from engine.images import load_image
from engine.members import load_member
from engine.posts import Post
from engine.predictor import Predictor
from tests import made_up, tiny
from training.modeling.train import train
from training.recipes.base import CatBoost, Network, Ngrams, Recipe

NETWORK = Network(settings={"towers": "finetuned", "epochs": 1, "batch_size": 32}, shape={"width": 16, "heads": 2})
RECIPE = Recipe(
    name="tiny",
    summary="Every kind of member.",
    members=(
        Ngrams(),
        CatBoost(
            iterations=10, depth=2, early_stopping=None, image=("picture_statistics", "picture"), both=("similarity",)
        ),
        NETWORK,
    ),
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def made(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    towers = {
        "picture": f"vit:{tiny.build_vit(tmp_path_factory.mktemp('vit'))}",
        "words": f"bert:{tiny.build_bert(tmp_path_factory.mktemp('bert'))}",
    }
    return train(work, replace(RECIPE, encoders=towers))


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def drafts(work: Path) -> list[Post]:
    posts = pd.read_parquet(work / "posts.parquet").head(6)
    whole = [Post(title, load_image(image)) for title, image in zip(posts["title"], posts["image"], strict=True)]
    return [*whole, Post("a quiet river"), Post(image=whole[0].image)]


def numbers(folder: Path, drafts: list[Post]) -> np.ndarray:
    predictions = Predictor.load(folder, device="cpu").predict(drafts)
    return np.array([(*found.probabilities, found.score, found.score_low, found.score_high) for found in predictions])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_it_holds_what_it_says(made: Path) -> None:
    manifest = read_bundle(made)
    assert {entry.kind for entry in manifest.members} == {"score", "catboost", "network"}
    assert set(manifest.files) == set(content(made)) - {MANIFEST}
    assert {"README.md", "ngrams.safetensors", "alignment.safetensors"} <= set(manifest.files)
    assert manifest.encoders["words"].weights in manifest.files
    assert set(manifest.views) == {"both", "text", "image"}


def test_saved_again_it_predicts_exactly_the_same(made: Path, tmp_path: Path, drafts: list[Post]) -> None:
    manifest = read_bundle(made)
    predictor = Predictor.load(made, device="cpu")

    def write(place: Path) -> None:
        for name in manifest.files:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            if not name.startswith("members/"):
                shutil.copy(made / name, place / name)
        for member, entry in zip(predictor.members, manifest.members, strict=True):
            assert json.loads(json.dumps(member.save(place / "members"))) == entry.facts

    again = save_bundle(tmp_path / "again", manifest, write)
    assert np.array_equal(numbers(made, drafts), numbers(tmp_path / "again", drafts))
    assert set(again.files) == set(manifest.files)
    safe = {name for name in manifest.files if name.endswith(".safetensors")}
    assert {name: again.files[name] for name in safe} == {name: manifest.files[name] for name in safe}


def test_moved_elsewhere_it_predicts_the_same(made: Path, bundle: Path, drafts: list[Post]) -> None:
    assert np.array_equal(numbers(made, drafts), numbers(bundle, drafts))


def test_a_changed_byte_in_any_file_is_noticed(bundle: Path) -> None:
    for name in read_bundle(bundle).files:
        size = (bundle / name).stat().st_size
        for place in {0, size // 3, size - 1}:
            flip(bundle / name, place)
            with pytest.raises(BundleError, match="was changed") as error:
                read_bundle(bundle)
            assert name in str(error.value)
            flip(bundle / name, place)
    read_bundle(bundle)


def test_a_changed_byte_anywhere_in_the_manifest_is_noticed(bundle: Path) -> None:
    path = bundle / MANIFEST
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        flip(path, place)
        with pytest.raises(BundleError, match=r"bundle\.json|has format"):
            read_bundle(bundle)
        path.write_bytes(whole)
    path.write_bytes(whole + b" ")
    with pytest.raises(BundleError, match=r"bundle\.json .* was changed"):
        read_bundle(bundle)


def test_a_figure_edited_by_hand_is_noticed(bundle: Path) -> None:
    fields = json.loads((bundle / MANIFEST).read_text())
    fields["prior"][0] += 0.01
    (bundle / MANIFEST).write_text(json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    with pytest.raises(BundleError, match="was changed"):
        read_bundle(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    for name in read_bundle(bundle).files:
        data = (bundle / name).read_bytes()
        (bundle / name).unlink()
        with pytest.raises(BundleError, match="lacks") as error:
            Predictor.load(bundle)
        assert name in str(error.value)
        (bundle / name).write_bytes(data)


@pytest.mark.parametrize("name", ["members/extra.cbm", "extra.pkl", "encoders/.hidden"])
def test_a_file_too_many_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"x")
    with pytest.raises(BundleError, match="has a file that is not its own") as error:
        read_bundle(bundle)
    assert name in str(error.value)


def test_no_bundle_at_all_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="There is no bundle at"):
        Predictor.load(tmp_path / "nowhere")
    (tmp_path / MANIFEST).write_bytes(b"{}")
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path)
    (tmp_path / MANIFEST).write_bytes(b"[1, 2]")
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path)


def test_another_format_is_refused(bundle: Path) -> None:
    fields = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**fields, "format": 2}))
    with pytest.raises(BundleError, match="has format 2, not 1"):
        read_bundle(bundle)


def test_an_unknown_field_is_refused(bundle: Path) -> None:
    fields = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**fields, "surprise": 1}))
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(bundle)


def test_an_unknown_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="kind “oracle”, which this version does not know"):
        load_member(tmp_path, "oracle", {})


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_half_written_save_leaves_the_old_bundle(bundle: Path, error: BaseException) -> None:
    before = content(bundle)

    def write(place: Path) -> None:
        (place / "members").mkdir()
        (place / "members" / "half.cbm").write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        save_bundle(bundle, read_bundle(bundle), write)
    assert content(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_new_save_replaces_the_old_bundle_whole(bundle: Path) -> None:
    complete = save_bundle(bundle, read_bundle(bundle), lambda place: (place / "README.md").write_text("new"))
    assert set(content(bundle)) == {"README.md", MANIFEST}
    assert read_bundle(bundle) == complete
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_figures_can_be_added_after_evaluation(bundle: Path, drafts: list[Post]) -> None:
    before, answers = content(bundle), numbers(bundle, drafts)
    amend_bundle(bundle, facts={"src": 0.5}, notes=("Known in part.",))
    manifest = read_bundle(bundle)
    assert (manifest.facts, manifest.notes) == ({"src": 0.5}, ("Known in part.",))
    after = content(bundle)
    assert {name for name in before if before[name] != after[name]} == {MANIFEST}
    assert np.array_equal(numbers(bundle, drafts), answers)


def test_nothing_in_it_is_a_pickle(made: Path) -> None:
    for name, data in content(made).items():
        assert Path(name).suffix in (".json", ".md", ".safetensors", ".cbm"), name
        # A pickle of protocol 2 or later, or the zip archive that torch.save writes.
        assert not data.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")), name


def test_loading_never_unpickles(made: Path, monkeypatch: pytest.MonkeyPatch, drafts: list[Post]) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    Predictor.load(made, device="cpu").predict(drafts[:1])
