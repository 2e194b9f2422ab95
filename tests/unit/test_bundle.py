"""Bundles: saved whole or not at all, verified byte by byte, never unpickled."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from engine.bundle import MANIFEST, Bundle, amend_bundle, fingerprint, read_bundle, save_bundle, seal
from engine.errors import BundleError
from engine.images import load_image
from engine.members import load_member
from engine.posts import Post
from engine.predictor import Predictor
from tests import made_up
from training.modeling.train import train
from training.recipes.base import CatBoost, Network, Ngrams, Recipe

NETWORK = Network(settings={"tuning": "finetuned", "epochs": 1, "batch_size": 32}, shape={"width": 16, "heads": 2})
RECIPE = Recipe(
    name="tiny",
    summary="Every kind of member.",
    members=(
        Ngrams(),
        CatBoost(
            iterations=10,
            depth=2,
            early_stopping=None,
            features=("text_statistics", "ngrams", "picture_statistics", "picture", "similarity"),
        ),
        NETWORK,
    ),
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def made(work: Path, vit_and_bert: dict[str, str]) -> Path:
    return train(work, replace(RECIPE, encoders=vit_and_bert))


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
    assert {"guards/image.safetensors", "guards/text.safetensors"} <= set(manifest.files)
    assert {side: fit.feature for side, fit in manifest.guards.items()} == {
        "text": "title_moments",
        "image": "picture_moments",
    }
    expected = {"ngrams", "similarity", "picture.tokens", "words.tokens"}
    assert {"README.md", *(f"features/{name}.safetensors" for name in expected)} <= set(manifest.files)
    assert {entry.name for entry in manifest.features} == expected | {
        *("text_statistics", "picture_statistics", "picture_moments", "title_moments", "picture", "words")
    }
    assert {entry.name for entry in manifest.features if entry.fitted_on} == {"ngrams", "similarity"}
    for place, entry in enumerate(manifest.features):
        assert set(entry.upstream) <= {before.name for before in manifest.features[:place]}
    assert set(manifest.views) == {"both", "text", "image"}


def test_saved_again_it_predicts_exactly_the_same(made: Path, tmp_path: Path, drafts: list[Post]) -> None:
    manifest = read_bundle(made)
    predictor = Predictor.load(made, device="cpu")

    def write(place: Path) -> Bundle:
        for name in ("features", "members", "guards"):
            (place / name).mkdir()
        for guard in predictor.guards.values():
            guard.save(place / "guards")
        shutil.copy(made / "README.md", place)
        for feature in predictor.extractor.features.values():
            feature.save(place / "features")
        for member, entry in zip(predictor.members, manifest.members, strict=True):
            assert json.loads(json.dumps(member.save(place / "members"))) == entry.config
        return manifest

    again = save_bundle(tmp_path / "again", write)
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
    for place in range(0, len(whole), 17):
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


@pytest.mark.parametrize("name", ["members/extra.cbm", "extra.pkl", "features/.hidden"])
def test_a_file_too_many_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"x")
    with pytest.raises(BundleError, match="has a file that is not its own") as error:
        read_bundle(bundle)
    assert name in str(error.value)


def test_no_bundle_at_all_says_so(tmp_path: Path) -> None:
    # No file system takes such a name, and what that raises is no answer either.
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path / ("long" * 99))
    with pytest.raises(BundleError, match="There is no bundle at"):
        Predictor.load(tmp_path / "nowhere")
    # What `ship` prints is the folder around it.
    (tmp_path / "shipped" / "bundle").mkdir(parents=True)
    (tmp_path / "shipped" / "bundle" / MANIFEST).touch()
    with pytest.raises(BundleError, match=r"no bundle at .*shipped; did you mean .*shipped.bundle\?$"):
        Predictor.load(tmp_path / "shipped")
    (tmp_path / MANIFEST).write_bytes(b"{}")
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path)
    (tmp_path / MANIFEST).write_bytes(b"[1, 2]")
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path)


def test_another_format_is_refused(bundle: Path) -> None:
    fields = json.loads((bundle / MANIFEST).read_text())
    (bundle / MANIFEST).write_text(json.dumps({**fields, "format": 1}))
    with pytest.raises(BundleError, match="has format 1, not 4"):
        read_bundle(bundle)


def test_an_unknown_field_is_refused(bundle: Path) -> None:
    sealed_again(bundle, lambda fields: fields.update(surprise=1))
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(bundle)


def test_an_unknown_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="kind “oracle”, which this version does not know"):
        load_member(tmp_path, "oracle", "seer", {})


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_half_written_save_leaves_the_old_bundle(bundle: Path, error: BaseException) -> None:
    before = content(bundle)

    def write(place: Path) -> Bundle:
        (place / "members").mkdir()
        (place / "members" / "half.cbm").write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        save_bundle(bundle, write)
    assert content(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_new_save_replaces_the_old_bundle_whole(bundle: Path) -> None:
    manifest = read_bundle(bundle)

    def write(place: Path) -> Bundle:
        (place / "README.md").write_text("new")
        return manifest

    complete = save_bundle(bundle, write)
    assert set(content(bundle)) == {"README.md", MANIFEST}
    assert read_bundle(bundle) == complete
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_the_same_bundle_made_anew_keeps_its_day_and_figures(bundle: Path) -> None:
    evaluated = amend_bundle(bundle, test_metrics={"src": 0.5})
    parts = {name: data for name, data in content(bundle).items() if name != MANIFEST}

    def write(place: Path) -> Bundle:
        for name, data in parts.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        return evaluated.model_copy(update={"created": "another day", "test_metrics": {}, "files": {}})

    assert save_bundle(bundle, write) == evaluated == read_bundle(bundle)
    parts["README.md"] = b"new"
    other = save_bundle(bundle, write)
    assert (other.created, other.test_metrics) == ("another day", {})


def test_figures_can_be_added_after_evaluation(bundle: Path, drafts: list[Post]) -> None:
    before, answers = content(bundle), numbers(bundle, drafts)
    amend_bundle(bundle, test_metrics={"src": 0.5}, notes=("Known in part.",))
    manifest = read_bundle(bundle)
    assert (manifest.test_metrics, manifest.notes) == ({"src": 0.5}, ("Known in part.",))
    after = content(bundle)
    assert {name for name in before if before[name] != after[name]} == {MANIFEST}
    assert np.array_equal(numbers(bundle, drafts), answers)


TYPICAL = ((0.1, 0.2, 0.3, 0.4, 0.5),) * 4 + ((0.0, 0.0, 0.0, 0.0, 1.0),)


def test_what_is_typical_can_be_added_after_training(bundle: Path) -> None:
    before = read_bundle(bundle)
    assert before.typical == {} and "typical" in json.loads((bundle / MANIFEST).read_text())
    amend_bundle(bundle, typical={"similarity": TYPICAL})
    after = read_bundle(bundle)
    assert after.typical == {"similarity": TYPICAL} and fingerprint(after) == fingerprint(before)


def test_a_bundle_from_before_loads_as_it_was(bundle: Path) -> None:
    manifest = read_bundle(bundle)
    fields = manifest.model_dump(mode="json", exclude={"typical"})
    (bundle / MANIFEST).write_bytes(seal(fields))
    assert read_bundle(bundle) == manifest
    assert Predictor.load(bundle, device="cpu").bundle.typical == {}


@pytest.mark.parametrize(
    "rows",
    [
        TYPICAL[:4],
        (*TYPICAL[:4], (0.1, 0.2, 0.3, 0.4)),
        (*TYPICAL[:4], (0.5, 0.4, 0.3, 0.2, 0.1)),
        (*TYPICAL[:4], (0.1, 0.2, 0.3, 0.4, float("nan"))),
        (*TYPICAL[:4], (0.1, 0.2, 0.3, 0.4, float("inf"))),
    ],
)
def test_what_cannot_be_typical_is_refused(bundle: Path, rows: Any) -> None:
    before = content(bundle)
    with pytest.raises(ValueError, match=r"typical|quantiles"):
        amend_bundle(bundle, typical={"similarity": rows})
    assert content(bundle) == before


def test_an_amendment_cut_off_leaves_a_sound_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(bundle)

    def killed(*_: Any) -> None:
        # What a killed process leaves: whatever stands in the folder at this moment stays there.
        raise SystemExit

    monkeypatch.setattr("engine.files.os.replace", killed)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    with pytest.raises(SystemExit):
        amend_bundle(bundle, notes=("new",))
    monkeypatch.undo()
    assert content(bundle) == before
    read_bundle(bundle)


def test_links_and_folders_in_folders_are_refused(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    (bundle / "members" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="a link or a folder in a folder"):
        read_bundle(bundle)
    (bundle / "members" / "link").unlink()
    (bundle / "members" / "deep").mkdir()
    (bundle / "members" / "deep" / "file").touch()
    with pytest.raises(BundleError, match="a link or a folder in a folder"):
        read_bundle(bundle)


def sealed_again(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Seal a bundle anew over whatever is in it now, as an author who means harm can."""
    fields = json.loads((folder / MANIFEST).read_text())
    fields.pop("sha256")
    names = [name for name in content(folder) if name != MANIFEST]
    fields["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    change(fields)
    fields["sha256"] = hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    text = json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_bytes((text + "\n").encode())


def broken_tensors(folder: Path, name: str, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)


def set_nan(tensors: dict[str, np.ndarray]) -> None:
    first = max(tensors, key=lambda name: tensors[name].size)
    tensors[first] = np.full_like(tensors[first], np.nan)


def huge_header(folder: Path, name: str) -> None:
    (folder / name).write_bytes((13 * 2**40).to_bytes(8, "little") + b"{}")


def deep(fields: dict[str, Any]) -> None:
    nested: Any = 1
    for _ in range(400):
        nested = [nested]
    fields["members"][0]["config"]["slope"] = nested


BREAKAGES: dict[str, tuple[Callable[[Path], None], Callable[[dict[str, Any]], None]]] = {
    "network of NaN": (lambda at: broken_tensors(at, "members/network.safetensors", set_nan), lambda _: None),
    "encoder of NaN": (lambda at: broken_tensors(at, "features/words.tokens.safetensors", set_nan), lambda _: None),
    "n-grams of NaN": (lambda at: broken_tensors(at, "features/ngrams.safetensors", set_nan), lambda _: None),
    "no tensors": (lambda at: broken_tensors(at, "members/network.safetensors", dict.clear), lambda _: None),
    "13 TB header": (lambda at: huge_header(at, "members/network.safetensors"), lambda _: None),
    "text for trees": (
        lambda at: (at / "members/catboost-levels-both.cbm").write_bytes(b"no trees") and None,
        lambda _: None,
    ),
    "empty trees": (lambda at: (at / "members/catboost-score-text.cbm").write_bytes(b"") and None, lambda _: None),
    "text for a guard": (
        lambda at: (at / "guards/text.safetensors").write_bytes(b"no weights") and None,
        lambda _: None,
    ),
    "a guard of NaN": (lambda at: broken_tensors(at, "guards/text.safetensors", set_nan), lambda _: None),
    "a guard that is gone": (lambda at: (at / "guards/text.safetensors").unlink(), lambda _: None),
    "a guard without an offset": (
        lambda at: broken_tensors(at, "guards/text.safetensors", lambda tensors: tensors.pop("offset")),
        lambda _: None,
    ),
    "a guard of no feature": (lambda _: None, lambda fields: fields["guards"]["text"].update(feature="oracle")),
    "a guard of another's columns": (
        lambda _: None,
        lambda fields: fields["guards"]["text"].update(feature="text_statistics"),
    ),
    "a guard of both sides": (lambda _: None, lambda fields: fields["guards"]["image"].update(feature="similarity")),
    "a guard of the other side": (
        lambda at: shutil.copy(at / "guards/text.safetensors", at / "guards/image.safetensors") and None,
        lambda fields: fields["guards"]["image"].update(feature="title_moments"),
    ),
    "a guard of a sense that is none": (
        lambda _: None,
        lambda fields: fields["guards"].update(smell=fields["guards"]["text"]),
    ),
    "a threshold of text": (lambda _: None, lambda fields: fields["guards"]["text"].update(threshold="x")),
    "quantiles that fall": (lambda _: None, lambda fields: fields["score_quantiles"].reverse()),
    "deep JSON": (lambda _: None, deep),
    "a giant network": (lambda _: None, lambda fields: fields["members"][2]["config"]["config"].update(width=10**9)),
    "an odd width": (lambda _: None, lambda fields: fields["members"][2]["config"]["config"].update(width=-1)),
    "no configuration": (lambda _: None, lambda fields: fields["members"][2].update(config={})),
    "unknown view": (lambda _: None, lambda fields: fields["members"][1]["config"]["reads"].update(smell=["x"])),
    "unknown feature": (lambda _: None, lambda fields: fields["features"][0].update(kind="oracle")),
    "a feature that is no file": (lambda _: None, lambda fields: fields["features"][0].update(kind="../../os")),
    "a name that climbs": (lambda _: None, lambda fields: fields["members"][2].update(name="../network")),
    "upstream that is not there": (lambda _: None, lambda fields: fields["features"][-1].update(upstream=["x"])),
    "another fingerprint": (lambda _: None, lambda fields: fields["features"][0].update(fingerprint="0" * 32)),
    "temperature 0": (lambda _: None, lambda fields: fields["views"]["both"]["temperature"].update(value=0)),
    "temperature of text": (lambda _: None, lambda fields: fields["views"]["both"]["temperature"].update(value="x")),
    "a weight too many": (
        lambda _: None,
        lambda fields: fields["views"]["both"]["probability_weights"].update(nobody=1.0),
    ),
    "negative prior": (lambda _: None, lambda fields: fields.update(prior=[-1.0, 0.5, 0.5, 0.5, 0.5])),
    "spread 0": (lambda _: None, lambda fields: fields["members"][0]["config"].update(spread=0)),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_whatever_was_sealed_into_it_a_broken_bundle_says_so_in_one_sentence(bundle: Path, what: str) -> None:
    damage, change = BREAKAGES[what]
    damage(bundle)
    sealed_again(bundle, change)
    with pytest.raises(BundleError) as error:
        Predictor.load(bundle, device="cpu")
    assert len(str(error.value)) < 600 and "\n" not in str(error.value)


def test_numbers_that_are_none_are_refused(bundle: Path) -> None:
    text = (bundle / MANIFEST).read_text()
    slope = json.loads(text)["views"]["both"]["slope"]
    (bundle / MANIFEST).write_text(text.replace(json.dumps(slope), "NaN", 1))
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(bundle)


def test_another_encoder_than_it_was_made_with_is_refused(bundle: Path, tmp_path: Path) -> None:
    """Another wheel, or a hub revision that moved: the same name, other weights."""
    words = next(entry for entry in read_bundle(bundle).features if entry.name == "words")
    other = tmp_path / "bert"
    shutil.copytree(words.config["spec"].removeprefix("bert:"), other)
    broken_tensors(other, "model.safetensors", lambda tensors: tensors.update({"x": np.zeros(1, np.float32)}))

    def change(fields: dict[str, Any]) -> None:
        for entry in fields["features"]:
            if entry["name"].startswith("words"):
                entry["config"]["spec"] = f"bert:{other}"

    sealed_again(bundle, change)
    with pytest.raises(BundleError, match=r"Here the encoder bert:.* is not the one that the bundle was made with"):
        Predictor.load(bundle, device="cpu")


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
