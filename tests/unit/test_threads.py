"""The thread policy: what limits the cores is seen, pools share them, order is kept, nobody spins."""

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import threads

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads.cores.cache_clear()
    yield
    threads.cores.cache_clear()


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, limit: float = math.inf) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(threads, "cgroup_limit", lambda: limit)


def cgroups(folder: Path, own: str, **files: str) -> float:
    """The limit of a process whose /proc/self/cgroup says `own`; `files` are written below the mount, __ for /."""
    (folder / "own").write_text(own)
    for name, content in files.items():
        path = folder / "fs" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return threads.cgroup_limit(folder / "own", folder / "fs")


def test_items_are_shared_out_so_that_no_worker_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2)
    for count, lengths in ((0, []), (1, [1]), (44, [22, 22]), (64, [32, 32]), (66, [16, 17, 16, 17])):
        parts = [range(count)[part] for part in threads.shares(count, 32)]
        assert [*map(len, parts)] == lengths and [number for part in parts for number in part] == [*range(count)]


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/\n", {"cpu_max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu_max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "50000 100000\n"}, 0.5),
        ("0::/host/only\n", {"cpu_max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu_max": "nonsense\n"}, math.inf),
        ("0::/\n", {}, math.inf),
        ("3:cpu:/\n", {"cpu__cpu_cfs_quota_us": "300000\n", "cpu__cpu_cfs_period_us": "100000\n"}, 3.0),
        ("3:cpu:/\n", {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}, math.inf),
        (
            "4:memory:/\n3:cpu,cpuacct:/docker/7f\n0::/\n",
            {"cpu,cpuacct__cpu_cfs_quota_us": "50000\n", "cpu,cpuacct__cpu_cfs_period_us": "50000\n"},
            1.0,
        ),
        ("5:cpuset:/\n", {"cpuset__cpu_max": "100000 100000\n"}, math.inf),
    ],
)
def test_limits_of_cgroups(tmp_path: Path, own: str, files: dict[str, str], limit: float) -> None:
    assert cgroups(tmp_path, own, **files) == limit


def test_a_system_without_cgroups_has_no_limit(tmp_path: Path) -> None:
    assert threads.cgroup_limit(tmp_path / "none", tmp_path) == math.inf


@pytest.mark.parametrize(
    ("affinity", "limit", "asked", "found"),
    [
        (8, math.inf, None, 8),
        (8, 2.0, None, 2),
        (8, 1.5, None, 2),
        (8, 0.25, None, 1),
        (2, 64.0, None, 2),
        (8, math.inf, "3", 3),
        (8, math.inf, "3,2", 3),
        (2, math.inf, "16", 2),
        (8, math.inf, "0", 8),
        (8, math.inf, "many", 8),
    ],
)
def test_cores(monkeypatch: pytest.MonkeyPatch, affinity: int, limit: float, asked: str | None, found: int) -> None:
    machine(monkeypatch, affinity, limit)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads.cores() == found
    assert threads.workers() * (threads.cores() // threads.workers()) <= threads.cores()


def test_what_the_user_set_stays() -> None:
    variables = {"OMP_WAIT_POLICY": "ACTIVE", "TOKENIZERS_PARALLELISM": "true"}
    threads.environment(variables)
    assert variables["OMP_WAIT_POLICY"] == "ACTIVE" and variables["TOKENIZERS_PARALLELISM"] == "true"
    assert variables["KMP_BLOCKTIME"] == "0"


CONFIGURED = """
import os
os.sched_getaffinity = lambda pid: set(range({cores}))
from engine import threads
threads.cgroup_limit = lambda: 1e9
import numpy, sklearn.utils, torch
torch.set_num_threads({before})
threads.configure(); threads.configure()
from threadpoolctl import threadpool_info
assert torch.get_num_threads() == {after}, torch.get_num_threads()
assert torch.get_num_interop_threads() == 1
assert all(pool["num_threads"] <= {after} for pool in threadpool_info()), threadpool_info()
seen = []
threading = threads.threading
thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
thread.start(); thread.join()
assert seen == [{after}], seen
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other wheels bring other OpenMP runtimes")
@pytest.mark.parametrize(("cores", "before", "after"), [(2, 2, 1), (16, 16, 4), (16, 3, 3)])
def test_libraries_share_the_cores_and_their_threads_sleep(cores: int, before: int, after: int) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    ran = subprocess.run(
        [sys.executable, "-c", CONFIGURED.format(cores=cores, before=before, after=after)],
        env={**environment, "OMP_DISPLAY_ENV": "true"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("OMP_WAIT_POLICY") == ran.stderr.count("OMP_WAIT_POLICY = 'PASSIVE'") > 0


def test_results_come_in_order_and_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 3)
    together = threading.Barrier(3, timeout=60)

    def slow_first(number: int) -> int:
        if number < 3:
            together.wait()
        time.sleep(0.02 * (3 - number % 4))
        return number

    assert list(threads.in_order(slow_first, range(20))) == list(range(20))


def test_items_are_taken_a_few_ahead_in_the_callers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2)
    taken: list[str] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(threading.current_thread().name)
            yield number

    results = threads.in_order(lambda number: number, items())
    assert taken == []
    for number in range(10):
        assert next(results) == number
        assert len(taken) <= number + threads.workers() + 1
    assert set(taken) == {threading.current_thread().name}


@pytest.mark.parametrize(("cores", "count"), [(1, 5), (4, 1), (4, 0)])
def test_a_single_core_or_item_needs_no_thread(monkeypatch: pytest.MonkeyPatch, cores: int, count: int) -> None:
    machine(monkeypatch, cores)
    names = list(threads.in_order(lambda _: threading.current_thread().name, range(count)))
    assert names == [threading.current_thread().name] * count


def test_pools_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2)

    def nested(_: int) -> set[str]:
        inner = threads.in_order(lambda _: threading.current_thread().name, range(4))
        return {threading.current_thread().name, *inner}

    assert all(len(names) == 1 for names in threads.in_order(nested, range(6)))
    assert not any(thread.name.startswith("worker") for thread in threading.enumerate())


def test_an_error_and_an_early_end_leave_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2)
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        if number == 3:
            raise KeyError(number)
        return number

    results = threads.in_order(work, iter(range(1_000)))
    with pytest.raises(KeyError):
        list(results)
    results = threads.in_order(lambda number: number, iter(range(1_000)))
    assert next(results) == 0
    results.close()
    assert len(done) < 10
    assert not any(thread.name.startswith("worker") for thread in threading.enumerate())
