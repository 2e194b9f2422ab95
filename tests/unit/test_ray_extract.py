"""Features extracted on a Ray cluster: the same store as here, whatever becomes of a worker."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine.batch import ray_data
from engine.errors import DataError
from engine.features import FeatureSettings
from engine.posts import Post
from tests.made_up import make_work, picture
from tests.ray_predictors import FAILS, KILLS, KILLS_ONCE, FragileFeature
from training.__main__ import main
from training.data.workspace import Workspace
from training.features import extract as module
from training.features.extract import Engine, Extraction, extract, file_hashes, post_hashes
from training.features.matrix import FeatureMatrix
from training.features.store import FeatureTable


def test_without_ray_or_for_an_address_alone_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        assert main(["extract", "--engine", "ray"]) == 2
    assert main(["extract", "--ray-address=head:6379"]) == 2
    missing, alone = capsys.readouterr().err.strip().splitlines()
    assert "requirements-ray.txt" in missing and "needs --engine ray" in alone


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A cluster on this machine, for several tests."""
    pytest.importorskip("ray", reason="an extra")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_data.threads, "cores", lambda: 2)
        patch.setattr(ray_data, "OBJECT_STORE", 400_000_000)
        with ray_data.cluster() as in_order:
            yield in_order


@pytest.mark.slow
def test_what_kills_or_fails_costs_its_own_batch_alone(
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


@pytest.mark.slow
def test_a_worker_with_another_feature_is_refused(engine: Engine, tmp_path: Path) -> None:
    work = make_work(tmp_path, 120)
    matrix = FeatureMatrix(Workspace(work), FeatureSettings({"words": "minilm:16"}, device="cpu"))

    def elsewhere(function: object, *rest: object) -> Iterator[object]:
        sent = function.args[0]  # type: ignore[attr-defined]
        sent.settings = replace(sent.settings, encoders={"words": "minilm:24"})
        return engine(function, *rest)

    with pytest.raises(DataError, match=r"cannot load the model .*words would be computed in another way"):
        matrix.extract(["words"], elsewhere)
