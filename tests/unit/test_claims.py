"""What was made from something else is refused, and what is half written never stands there.

A network of another split has seen the new test posts; features of fewer posts, or of other code, are stale.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import engine.encoders
import engine.files
from engine.errors import DataError
from engine.features.base import code_hash
from engine.features.picture_statistics import PictureStatistics
from engine.features.text_statistics import TextStatistics
from tests import class_folders, made_up, tiny
from tests.unit.test_training_loop import CONFIG as SLOW
from tests.unit.test_training_loop import Kept, Killed, counting, data_of, dying
from tests.unit.test_training_loop import run as run_slowly
from training.data.prepare import prepare
from training.data.workspace import Workspace, split
from training.evaluation.ablations import ablate
from training.evaluation.cross_validation import crossvalidate
from training.evaluation.faithfulness import explain
from training.evaluation.report import evaluate
from training.evaluation.runs import compare
from training.evaluation.ship import ship
from training.features.matrix import FeatureMatrix
from training.features.store import FeatureTable
from training.modeling import trainer
from training.modeling.network import NetworkConfig
from training.modeling.run import Run
from training.modeling.train import train
from training.recipes.base import CatBoost, Network, Ngrams, Recipe, Teacher

POSTS = 160
CONFIG = replace(SLOW, epochs=1)
STEPS: dict[str, Callable[[Path, Recipe], Any]] = {
    "train": train,
    "evaluate": evaluate,
    "ablate": ablate,
    "crossvalidate": crossvalidate,
    "explain": explain,
    "compare": compare,
    "ship": lambda work, recipe: ship(work, recipe, work / "models"),
}


# --- a network in its folder ---


def run(folder: Path, config: NetworkConfig = CONFIG, data: Any = None) -> Any:
    return run_slowly(folder, config, data)


def test_a_finished_network_of_the_same_is_taken_over(tmp_path: Path) -> None:
    run(tmp_path)
    train_part, held = data_of()
    watched, sizes = counting(train_part)
    run(tmp_path, data=(watched, held))
    assert not sizes


BOTH = "set of training posts and set of validation posts"


@pytest.mark.parametrize(
    ("data", "config", "differs"),
    [
        (data_of(seed=1), CONFIG, BOTH),
        # Other contents of the pictures, read by the same encoders.
        (data_of(files="other"), CONFIG, BOTH),
        ((data_of()[0], data_of(seed=1)[1]), CONFIG, "set of validation posts"),
        (data_of(), replace(CONFIG, heads_rate=1e-4), "config"),
    ],
    ids=["posts", "pictures", "validation", "configuration"],
)
def test_a_finished_network_of_anything_else_is_refused(tmp_path: Path, data: Any, config: Any, differs: str) -> None:
    run(tmp_path)
    with pytest.raises(DataError, match=f"holds a network made from another {differs}; remove it to make it anew"):
        run(tmp_path, config, data)


def test_targets_and_encoders_make_another_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    train_part, held = data_of()
    for name, other in (
        ("normal_scores", lambda values, reference: np.argsort(values) / 100.0),
        ("Kept.feature", lambda self, name: SimpleNamespace(fingerprint=f"{name} of another encoder of equal width")),
    ):
        with monkeypatch.context() as patch:
            if name == "Kept.feature":
                patch.setattr(Kept, "feature", other)
            else:
                patch.setattr(f"tests.unit.test_training_loop.{name}", other)
            with pytest.raises(DataError, match=f"another {BOTH}"):
                run(tmp_path, data=data_of())
    assert (train_part.fingerprint, held.fingerprint) == tuple(part.fingerprint for part in data_of())


# --- a run in its work folder ---


@pytest.fixture(scope="module")
def recipe(vit_and_bert: dict[str, str]) -> Recipe:
    network = Network(settings={"tuning": "frozen", "epochs": 1, "batch_size": 16}, shape={"width": 8, "heads": 2})
    trees = CatBoost(name="trees", iterations=5, depth=2, early_stopping=None)
    return Recipe(name="claimed", summary="Made up.", encoders=vit_and_bert, members=(Ngrams(), trees, network))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_work(tmp_path_factory.mktemp("claims"), POSTS)


@pytest.fixture
def claimed(work: Path, recipe: Recipe) -> Iterator[Path]:
    """The work folder with a run's claim on its first split."""
    Run(work, recipe)
    yield work
    split(work)


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_refused_on_another_split(claimed: Path, recipe: Recipe, step: str) -> None:
    split(claimed, seed=1)
    before = sorted(path for path in claimed.rglob("*") if path.is_file())
    with pytest.raises(DataError, match=r"runs/claimed holds a run made from another split and target; remove it"):
        STEPS[step](claimed, recipe)
    assert sorted(path for path in claimed.rglob("*") if path.is_file()) == before, "nothing is written"


def test_the_last_digit_of_a_logarithm_makes_no_other_target(work: Path) -> None:
    """It differs from processor to processor."""

    def shifted(by: float) -> str:
        workspace = Workspace(work)
        workspace.posts["log_score"] += by
        return workspace.target_digest

    assert shifted(1e-15) == shifted(0.0) != shifted(1e-6)


def test_a_folder_that_is_no_work_folder_is_told_of_before_an_encoder(recipe: Recipe, tmp_path: Path) -> None:
    absent = replace(recipe, encoders={"picture": f"vit:{tmp_path / 'gone'}", "words": f"bert:{tmp_path / 'gone'}"})
    (tmp_path / "file").touch()
    for work in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(DataError, match=r"dataset\.json is missing; run `python -m training prepare"):
            Run(work, absent)


def test_a_run_is_refused_for_another_recipe_or_feature(
    claimed: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(claimed, replace(recipe, summary="In other words.", expects={"src": 0.5}))
    for other in (
        replace(recipe, members=(Ngrams(alpha=1.0), *recipe.members[1:])),
        replace(recipe, members=recipe.members[:2]),
    ):
        with pytest.raises(DataError, match="made from another recipe"):
            Run(claimed, other)
    with pytest.raises(DataError, match="made from another target and recipe"):
        Run(claimed, replace(recipe, target="popularity"))
    monkeypatch.setattr(TextStatistics, "version", 2)
    with pytest.raises(DataError, match="made from another features; remove it"):
        Run(claimed, recipe)


def test_a_run_is_refused_for_other_weights_of_the_same_name_and_width(
    work: Path, recipe: Recipe, tmp_path: Path
) -> None:
    words = tiny.build_bert(tmp_path / "words")
    recipe = replace(recipe, name="weighed", encoders={**recipe.encoders, "words": f"bert:{words}"})
    Run(work, recipe)
    weights, other = (folder / "model.safetensors" for folder in (words, tiny.build_bert(tmp_path / "other", seed=7)))
    own = weights.read_bytes()
    weights.write_bytes(other.read_bytes())
    engine.encoders._load_shared.cache_clear()
    with pytest.raises(DataError, match="made from another features"):
        Run(work, recipe)
    weights.write_bytes(own)
    engine.encoders._load_shared.cache_clear()
    Run(work, recipe)


def test_a_teacher_s_encoder_is_part_of_the_claim_and_has_seen_no_posts(
    work: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taught(encoder: str) -> Recipe:
        network = replace(recipe.members[-1], teachers=(Teacher("elder", "text", encoder),))
        return replace(recipe, name="taught", members=(*recipe.members[:-1], network))

    Run(work, taught("minilm:16"))
    monkeypatch.setattr("training.modeling.run.load_encoder", lambda spec: SimpleNamespace(identity="", saw_posts=""))
    with pytest.raises(DataError, match="made from another teachers"):
        Run(work, taught("minilm:16"))
    monkeypatch.undo()
    with pytest.raises(DataError, match="aligned-text has learned from posts' own pairs"):
        Run(work, taught("aligned-text"))


def test_what_is_stored_whole_is_read_while_another_process_writes(work: Path, recipe: Recipe) -> None:
    matrix = Run(work, recipe).matrix
    matrix.extract(["words"])
    with FeatureTable(work / "features", matrix.feature("words")).writing():
        assert Run(work, recipe).matrix["words"].shape == matrix["words"].shape


def test_a_run_is_refused_for_other_posts(tmp_path: Path) -> None:
    source, plain = tmp_path / "source", Recipe(name="plain", summary="Words.", members=(Ngrams(),))
    source.mkdir()
    made_up.raw_posts(120).to_parquet(source / "posts.parquet")
    prepare("youtube", source, tmp_path / "work", limit=100)
    split(tmp_path / "work")
    few = Run(tmp_path / "work", plain)
    stale = few.matrix["picture_statistics"]
    prepare("youtube", source, tmp_path / "work")
    split(tmp_path / "work")
    with pytest.raises(DataError, match=r"made from another (dataset and )?split and target"):
        Run(tmp_path / "work", plain)
    # Features are kept by content: nothing of the first hundred is stale, or computed again.
    whole = Run(tmp_path / "work", replace(plain, name="whole")).matrix
    assert stale.shape[0] == 100 and whole["picture_statistics"].shape[0] == 120
    assert whole.extract(["picture_statistics"])[0].wanted == 120
    rows = [whole.posts.index(post) for post in few.matrix.posts]
    np.testing.assert_array_equal(whole["picture_statistics"][rows], stale)


def test_a_run_is_refused_for_pictures_that_were_exchanged(tmp_path: Path) -> None:
    trees, words = (
        Recipe(name=name, summary="Made up.", members=(CatBoost(name="trees", iterations=5, features=(feature,)),))
        for name, feature in (("trees", "picture_statistics"), ("words", "text_statistics"))
    )
    work = tmp_path / "work"
    prepare("folders", class_folders.write(tmp_path / "source", class_folders.table_of(120)), work)
    split(work)
    for recipe in (trees, words):
        Run(work, recipe)
    first, second, *_ = sorted((tmp_path / "source").rglob("*.png"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(DataError, match="holds a run made from another set of picture files"):
        Run(work, trees)
    Run(work, words)


def test_values_of_other_code_are_not_read(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Recipe(name="none", summary="", members=()).features

    def computed() -> int:
        return FeatureMatrix(Workspace(work), settings).extract(["picture_statistics"])[0].computed

    computed()
    assert computed() == 0
    edited = tmp_path / "edited.py"
    source = Path(inspect.getfile(PictureStatistics)).read_text()
    edited.write_text(source.replace("chroma > 0.15", "chroma > 0.2"))
    monkeypatch.setattr("inspect.getfile", lambda kind: str(edited))
    code_hash.cache_clear()
    try:
        assert computed() == POSTS
    finally:
        code_hash.cache_clear()


# --- files of a run that was killed ---


@pytest.mark.parametrize("name", ["settings.json", "curves.parquet", "best.safetensors"])
def test_a_killed_training_leaves_nothing_half_written(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk = engine.files._to_disk

    def torn(path: Path) -> None:
        if path.name.startswith(f".{name}"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            raise Killed
        to_disk(path)

    with monkeypatch.context() as patch:
        patch.setattr(engine.files, "_to_disk", torn)
        # What a signal leaves no time for.
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            run(tmp_path)
    assert not (tmp_path / name).exists()
    killed, _ = run(tmp_path)
    whole, _ = run(tmp_path / "whole")
    assert np.array_equal(killed.outputs["both"]["score"], whole.outputs["both"]["score"])


def test_seconds_are_those_of_the_training_however_often_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0

    def slow(part: Any) -> Any:
        def fetch(index: Any, *, seed: int | None) -> Any:
            nonlocal clock
            clock += 10 * (seed is not None)
            return part.fetch(index, seed=seed)

        return replace(part, fetch=fetch)

    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: clock))
    config = replace(CONFIG, epochs=2, checkpoint_minutes=0.1)
    train_part, held = data_of()
    data = slow(train_part), held
    whole, _ = run(tmp_path / "whole", config, data)
    assert whole.seconds == 10 * 2 * 20
    with pytest.raises(Killed):
        run(tmp_path / "killed", config, (dying(data[0], 30), held))
    clock += 1e6
    resumed, _ = run(tmp_path / "killed", config, data)
    assert resumed.seconds == whole.seconds
    clock += 1e6
    taken_over, _ = run(tmp_path / "killed", config, data)
    assert taken_over.seconds == whole.seconds


def test_a_bundle_trained_again_takes_its_network_over_with_its_seconds(claimed: Path, recipe: Recipe) -> None:
    train(claimed, recipe)
    path = claimed / "runs" / "claimed" / "seconds.json"
    first = pd.read_json(path, typ="series")
    path.write_text("{}")
    train(claimed, recipe)
    second = pd.read_json(path, typ="series")
    assert first["network"] == second["network"] > 0
