"""Batches computed on a Ray cluster: what `threads.in_order` does on the cores of one machine.

One task reads the input and streams its batches, actors that each hold a model compute them, and the results come back
in order; Ray Data keeps what waits between them within its share of memory. A batch is made of the same rows as on one
machine and each operator has as many threads, so the results are the same. A worker that is lost is replaced, and its
batches are computed again. The extra is `requirements-ray.txt`.
"""

import logging
import os
import secrets
import signal
import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine import threads
from engine.errors import DataError, FirstImpressionsError

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
# What workers on other machines are not sent of it.
KEPT_HERE = [".git", ".venv", "work", "tests", "docs", "models/*/report", "models/*/evidence"]
# How often a batch is tried, whether it raises or its worker dies of it.
ATTEMPTS = 3
# Batches at an actor: the one it computes, and the next.
AHEAD = 2
# Bytes, of a cluster that is started here.
OBJECT_STORE = 1_000_000_000
# Of a machine, as Ray counts them.
UNITS = ("CPU", "GPU")
# In the place of a number, of what is no batch.
END = -1

MISSING = "Ray is not installed; run `pip install -r requirements-ray.txt`, or leave out --engine ray."
ALONE = "--ray-address needs --engine ray; give both, or neither."
UNREACHED = "There is no Ray cluster at {} ({}); start one with `ray start --head`, or check the address."
LOST = "The Ray cluster gave up ({}); run the command again."
UNLOADED = "A worker of the Ray cluster cannot load the model ({}); install the same versions on every machine."
FAILED = "The batch of this post failed {} times on the cluster ({}); try it again without --engine ray."
DIED = "its worker died each time"

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def chosen(engine: str, address: str | None) -> Iterator[dict[str, Callable[..., Generator[Any, None, None]]]]:
    """Within the block, the keyword `engine` of what computes batches: none for local, that of a `cluster` for ray.

    Raises DataError as that does, and for an address without ray.
    """
    if engine == "local":
        if address is not None:
            raise DataError(ALONE)
        yield {}
        return
    with cluster(address) as there:
        yield {"engine": there}


@contextmanager
def cluster(address: str | None = None) -> Iterator[Callable[..., Generator[Any, None, None]]]:
    """Within the block `in_order`, on the cluster at an address (host:port, auto); None starts one on this machine.

    Raises DataError when Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Of what it writes to stderr nothing is for the user.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Beside other work, workers get the share that they would get here: Ray's own yield to whatever else there is.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise DataError(MISSING) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _connect(address)
        # Ray has put its own in this place, which would end the process at once.
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, handler)
        attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts).remote()
        yield partial(in_order, attempts)
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        here = {"num_cpus": threads.cores(), "include_dashboard": False, "object_store_memory": OBJECT_STORE}
        # Not one that happens to run beside it.
        ray.init(address="local", **here, **quiet)
        return
    try:
        if address != "auto":
            # Ray itself would knock for minutes.
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, runtime_env={"working_dir": str(ROOT), "excludes": KEPT_HERE}, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(UNREACHED.format(address, _first_line(error))) from error


def in_order(
    attempts: Any,
    function: Callable[[Item], Result],
    read: Callable[[], Iterable[Item]],
    failed: Callable[[Item, str], Result],
) -> Generator[Result, None, None]:
    """`function` of every item that `read` gives, in order, computed by actors of the cluster.

    An item for which it fails again and again, or kills its worker, gives what `failed` makes of it and a sentence.
    All three are sent to the workers. `attempts` is the cluster's actor that counts how often each was tried. Raises
    what they raise of this project, DataError when the cluster is lost.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    # A batch a block: a batch is what is waited for, and what is lost with a worker.
    context.target_max_block_size = context.target_min_block_size = 1
    resources, actors = _shares([node["Resources"] for node in ray.nodes() if node["Alive"]])
    # In a list it is fetched where its errors can be told, and may be of any size.
    parts, reads = [ray.put((function, failed))], [ray.put(read)]
    frames = (
        ray.data.read_datasource(_source(reads), num_cpus=0, override_num_blocks=1)
        .map_batches(
            _Worker,
            fn_constructor_args=(parts, attempts, secrets.token_hex(8)),
            batch_size=1,
            batch_format="pandas",
            compute=ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=AHEAD),
            **resources,
        )
        .iter_batches(batch_size=None, batch_format="pandas")
    )
    for number, content in _rows(frames):
        if isinstance(content, FirstImpressionsError):
            raise content
        if number == END:
            return
        yield content
    raise DataError(LOST.format("the end of the input never came"))


def _shares(nodes: list[dict[str, float]]) -> tuple[dict[str, int], int]:
    """What each actor has of its machine, and how many actors there are.

    As many cores as a worker on this machine has threads; and a GPU of its own where machines have any, the others then
    stay out of it.
    """
    cores = threads.cores() // threads.workers()
    if with_gpus := [(int(node["CPU"]), int(node["GPU"])) for node in nodes if min(node.get(k, 0) for k in UNITS) >= 1]:
        cores = min(cores, *(max(1, cpus // gpus) for cpus, gpus in with_gpus))
        return {"num_cpus": cores, "num_gpus": 1}, sum(min(gpus, cpus // cores) for cpus, gpus in with_gpus)
    sizes = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1] or [1]
    cores = min(cores, *sizes)
    return {"num_cpus": cores}, sum(size // cores for size in sizes)


def _rows(frames: Iterable["pd.DataFrame"]) -> Iterator[tuple[int, Any]]:
    """Number and content of what comes back. Raises DataError when the cluster is lost."""
    try:
        for frame in frames:
            yield from frame.itertuples(index=False, name=None)
    # There are as many kinds of errors as ways to lose a machine.
    except Exception as error:
        raise DataError(LOST.format(_first_line(error))) from error


def _frame(number: int, content: object) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"number": [number], "content": [content]}, dtype=object)


def _read(reads: list[Any]) -> Iterator["pd.DataFrame"]:
    """A frame for each item, and one for the end: without it nobody would know that some are missing."""
    import ray

    try:
        for number, item in enumerate(ray.get(reads[0])()):
            yield _frame(number, item)
        yield _frame(END, None)
    except FirstImpressionsError as error:
        yield _frame(END, error)


def _source(reads: list[Any]) -> Any:
    """A source of data for Ray that is read by one task."""
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Source(Datasource):  # type: ignore[misc]
        def estimate_inmemory_data_size(self) -> None:
            return None

        def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
            unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(partial(_read, reads), unknown)]

    return Source()


class _Attempts:
    """How often each batch of each work was begun, whatever became of the worker."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()

    def begin(self, work: str, number: int) -> int:
        self.counts[work, number] += 1
        return self.counts[work, number]


class _Worker:
    """An actor's part: it fetches function and model once, and makes one frame of another."""

    def __init__(self, parts: list[Any], attempts: Any, work: str) -> None:
        self.parts, self.attempts, self.work = parts, attempts, work
        self.fetched: tuple[Callable[[Any], Any], Callable[[Any, str], Any]] | None = None

    def __call__(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        number, item = next(frame.itertuples(index=False, name=None))
        if number == END:
            return frame
        try:
            return _frame(number, self._compute(number, item))
        except FirstImpressionsError as error:
            return _frame(number, error)

    def _compute(self, number: int, item: Any) -> Any:
        import ray

        if self.fetched is None:
            try:
                self.fetched = ray.get(self.parts[0])
            except Exception as error:
                raise DataError(UNLOADED.format(_first_line(error))) from error
        function, failed = self.fetched
        fault = DIED
        while ray.get(self.attempts.begin.remote(self.work, number)) <= ATTEMPTS:
            try:
                return function(item)
            except FirstImpressionsError:
                raise
            # Whatever is wrong with one batch, the others go on.
            except Exception as error:
                fault = _first_line(error)
        return failed(item, FAILED.format(ATTEMPTS, fault))


def _first_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {text}".rstrip(": .")
