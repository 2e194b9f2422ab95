"""Files of posts on a Ray cluster: the same table as here, whatever becomes of a worker."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.batch import ray_data
from engine.batch.score import Engine, Summary, score_file
from engine.errors import BundleError, DataError
from tests.batch_files import lines, read
from tests.fake_predictor import REFUSED, FakePredictor
from tests.ray_predictors import FAILS, KILLS, KILLS_ONCE, FragilePredictor

pytest.importorskip("ray", reason="an extra")
pytestmark = pytest.mark.slow
WORKERS = 2


def test_a_head_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = lines(tmp_path / "in.csv", "title", "a")
    arguments = ["score", str(source), "-o", str(tmp_path / "out.csv"), "--engine", "ray", "--ray-address"]
    # “auto” would find the cluster of a test that runs beside this one.
    for address in ("127.0.0.1:1", "nowhere"):
        assert main([*arguments, address]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and f"There is no Ray cluster at {address}" in said[0] and said[0].endswith(".")
    assert os.listdir(tmp_path) == ["in.csv"]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A cluster on this machine, for several tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_data.threads, "cores", lambda: WORKERS)
        patch.setattr(ray_data, "OBJECT_STORE", 100_000_000)
        before = signal.getsignal(signal.SIGTERM)
        with ray_data.cluster() as in_order:
            assert signal.getsignal(signal.SIGTERM) is before
            yield in_order


def failed(item: int, sentence: str) -> str:
    return f"{item}: {sentence}"


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
            yield bytes(4_000_000)

    most = 0
    for done, length in enumerate(engine(len, items, failed)):
        most = max(most, int(log.read_text() or 0) - done)
        assert length == 4_000_000
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
