"""Files of posts, and features, on a Ray cluster: the same table and store as here, whatever becomes of a worker."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import training.__main__
from engine.__main__ import main
from engine.batch import ray_data
from engine.batch.score import Engine, Summary, score_file
from engine.errors import BundleError, DataError
from engine.features import FeatureSettings
from engine.posts import Post
from engine.predictor import Predictor
from tests.batch_files import lines, read
from tests.fake_predictor import REFUSED, FakePredictor
from tests.made_up import make_work, picture
from tests.ray_features import FragileFeature, WordsPredictor
from tests.ray_predictors import FAILS, KILLS, KILLS_ONCE, FragilePredictor
from training.data.workspace import Workspace
from training.features import extract as module
from training.features.batches import Sent
from training.features.extract import Extraction, extract, file_hashes, post_hashes
from training.features.matrix import FeatureMatrix
from training.features.store import FeatureTable

pytest.importorskip("ray", reason="an extra")
pytestmark = pytest.mark.slow
WORKERS = 2
# Of no module that workers would load for it.
failed = "{}: {}".format


def test_a_head_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = lines(tmp_path / "in.csv", "title", "a")
    arguments = ["score", str(source), "-o", str(tmp_path / "out.csv"), "--engine", "ray", "--ray-address"]
    # “auto” would find the cluster of a test that runs beside this one.
    for address in ("127.0.0.1:1", "nowhere"):
        assert main([*arguments, address]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and f"There is no Ray cluster at {address}" in said[0] and said[0].endswith(".")
    assert os.listdir(tmp_path) == ["in.csv"]


def test_without_ray_or_for_an_address_alone_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        assert training.__main__.main(["extract", "--engine", "ray"]) == 2
    assert training.__main__.main(["extract", "--ray-address=head:6379"]) == 2
    missing, alone = capsys.readouterr().err.strip().splitlines()
    assert "requirements-ray.txt" in missing and "needs --engine ray" in alone


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A cluster on this machine, for several tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_data.threads, "cores", lambda: WORKERS)
        patch.setattr(ray_data, "OBJECT_STORE", 400_000_000)
        before = signal.getsignal(signal.SIGTERM)
        with ray_data.cluster() as in_order:
            assert signal.getsignal(signal.SIGTERM) is before
            yield in_order


def test_what_kills_or_fails_costs_its_own_batch_alone(engine: Engine, tmp_path: Path) -> None:
    titles = [f"{'x' * (row % 7)}y" for row in range(60)]
    titles[3], titles[10], titles[31], titles[44], titles[58] = "", KILLS_ONCE, FAILS, KILLS, REFUSED
    rows = (json.dumps({"post_id": f"p{row}", "title": title}) for row, title in enumerate(titles))
    source = lines(tmp_path / "in.jsonl", *rows)
    score_file(FakePredictor(), source, tmp_path / "local.csv", batch_size=4)
    predictor = FragilePredictor(tmp_path)
    summary = score_file(predictor, source, tmp_path / "ray.csv", batch_size=4, engine=engine)
    assert summary == Summary(60 - 2 - 8, 2 + 8)
    assert (tmp_path / "killed").exists() and len(list(tmp_path.glob("worker-*"))) > WORKERS
    for number, (here, there) in enumerate(zip(read(tmp_path / "local.csv"), read(tmp_path / "ray.csv"), strict=True)):
        if number // 4 in (31 // 4, 44 // 4):
            assert there == dict.fromkeys(here, "") | {"post_id": f"p{number}", "error": there["error"]}
            why = "KeyError: 'model on fire'" if number // 4 == 31 // 4 else ray_data.DIED
            assert there["error"] == ray_data.FAILED.format(ray_data.ATTEMPTS, why)
        else:
            assert there == here


def test_the_input_waits_for_the_workers(engine: Callable[..., Iterator[int]], tmp_path: Path) -> None:
    log = tmp_path / "read"

    def items() -> Iterator[bytes]:
        for number in range(80):
            log.write_text(str(number))
            yield bytes(16_000_000)

    most = 0
    for done, length in enumerate(engine(len, items, failed)):
        most = max(most, int(log.read_text() or 0) - done)
        assert length == 16_000_000
    assert done == 79 and most < 40


def test_an_error_of_the_input_or_of_the_model_ends_the_work(engine: Callable[..., Iterator[int]]) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise DataError("The file ends half-way.")

    results = engine(abs, broken, failed)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(DataError, match="half-way"):
        next(results)

    class Unloadable:
        def __reduce__(self) -> tuple[object, ...]:
            return _refuse, ()

        def __call__(self, item: int) -> int:
            return item

    def _refuse() -> None:
        raise BundleError("There is no bundle here.")

    with pytest.raises(DataError, match=r"cannot load the model .*There is no bundle here"):
        list(engine(Unloadable(), lambda: range(3), failed))


def test_the_features_of_a_file_are_those_of_one_machine(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "load", lambda _: WordsPredictor())
    monkeypatch.setattr(ray_data, "cluster", lambda _: nullcontext(engine))
    source = lines(tmp_path / "in.csv", "title", "My cat", "Only 3 words!", '""')
    for name, where in (("here", "local"), ("there", "ray")):
        arguments = ["features", str(source), "--batch-size", "1", "--engine", where, "-o"]
        assert main([*arguments, str(tmp_path / f"{name}.csv")]) == 0
    rows = read(tmp_path / "there.csv")
    assert rows == read(tmp_path / "here.csv") and [row["error"] == "" for row in rows] == [True, True, False]


def test_features_are_those_computed_here_whatever_becomes_of_a_worker(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    generator = np.random.default_rng(0)
    titles = [f"title {row}" for row in range(60)]
    titles[10], titles[31], titles[44] = KILLS_ONCE, FAILS, KILLS
    images: list[bytes | None] = [picture(row / 60, generator) for row in range(60)]
    images[3], images[58] = b"no picture", None
    posts = [Post(title, post_id=f"p{row}") for row, title in enumerate(titles)]
    table = pd.DataFrame({"post_id": [post.post_id for post in posts], "image": images})
    table.to_parquet(tmp_path / "posts.parquet")
    files = file_hashes(tmp_path)
    # More than may be sent with a task.
    feature, above = FragileFeature(tmp_path), np.zeros((60, 500_000), dtype=np.float32)
    above[:, 0] = range(60)

    def run(**where: Engine) -> Extraction:
        return extract(tmp_path, feature, posts, files, {"above": above}, **where)

    found = run(engine=engine)
    assert (tmp_path / "killed").exists() and len(list(tmp_path.glob("worker-*"))) > 2
    reasons = dict(found.unreadable)
    assert list(reasons) == [f"p{row}" for row in (3, *range(28, 32), *range(44, 48), 58)]
    assert "no picture" in reasons["p3"] and "missing" in reasons["p58"]
    assert "KeyError: 'model on fire'" in reasons["p30"] and ray_data.DIED in reasons["p45"]
    assert found.computed == 50 and run().computed == 8
    hashes, readable = post_hashes(feature, posts, files), [row for row in range(60) if row not in (3, 58)]
    values = FeatureTable(tmp_path / "features", feature).get([hashes[row] for row in readable])
    np.testing.assert_array_equal(values[:, 1], readable)


def test_a_worker_with_another_feature_is_refused(engine: Engine, tmp_path: Path) -> None:
    work = make_work(tmp_path, 120)
    matrix = FeatureMatrix(Workspace(work), FeatureSettings({"picture": "lite0:64x64"}, device="cpu"))

    def elsewhere(sent: Sent, *rest: object) -> Iterator[object]:
        sent.settings = replace(sent.settings, encoders={"picture": "lite0:64x96"})
        return engine(sent, *rest)

    with pytest.raises(DataError, match=r"cannot load the model .*picture would be computed in another way"):
        matrix.extract(["picture"], elsewhere)
