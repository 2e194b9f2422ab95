"""How many threads the engine uses, decided in one place: the cores this process may use are shared, never multiplied.

Posts are computed side by side (`in_order`), each operator by few threads (`configure`): threads that work on one small
operator together wait for one another hundreds of times a post, and beside other work each of those waits is for a
thread that is not running. They wait by spinning: OpenMP can be told not to (`environment`), oneDNN's barriers cannot.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import TypeVar

# With more workers they wait for the interpreter's lock; further cores go into each of them.
MOST_WORKERS = 4

_thread = threading.local()

Item = TypeVar("Item")
Result = TypeVar("Result")


def environment(variables: MutableMapping[str, str] = os.environ) -> None:
    """Have waiting threads sleep, where the user decided nothing; too late once the libraries are loaded."""
    # libgomp, which comes with torch and scikit-learn for Linux, reads the first; Intel's and LLVM's OpenMP the second.
    variables.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    variables.setdefault("KMP_BLOCKTIME", "0")
    # The least there is: 2⁴ cycles.
    variables.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    # A batch of titles is tokenized in a millisecond; tokenizers would start a thread a core for it.
    variables.setdefault("TOKENIZERS_PARALLELISM", "false")


@cache
def cores() -> int:
    """Cores to use: those of the affinity mask, at most the cgroups' CPU limit and OMP_NUM_THREADS; at least 1."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    # Part of a core is a core: with one thread less, that part would lie idle.
    return max(1, math.ceil(min(found, cgroup_limit(), int(asked) if asked.isdecimal() and int(asked) else found)))


def cgroup_limit(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores' worth of CPU time that this process's cgroups (version 1 or 2) allow; infinite where none limits it."""
    limit = math.inf
    with suppress(OSError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            # In a container the path can be the host's, which is not to be seen; its limit then stands at the root.
            inner = PurePosixPath(path.lstrip("/"))
            limit = min(limit, *(_quota(root / controllers / folder) for folder in (inner, *inner.parents)))
    return limit


def _quota(folder: Path) -> float:
    """Limit of one cgroup. Where there is none, the file says max or -1, or is not there."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            return int(quota) / int(period)
    return math.inf


def workers() -> int:
    """How many posts or batches are computed side by side; `cores` // `workers` threads compute each of them."""
    return min(cores(), MOST_WORKERS)


@cache
def configure() -> None:
    """Have operators of torch and BLAS use `cores` // `workers` threads from now on; further calls change nothing.

    Called when a model is loaded. What the user set lower stays.
    """
    import torch
    from threadpoolctl import ThreadpoolController

    inside = cores() // workers()
    for library in ThreadpoolController().lib_controllers:
        library.set_num_threads(min(library.num_threads, inside))
    torch.set_num_threads(min(torch.get_num_threads(), inside))
    # Nothing here runs whole operators side by side. Refused once such work has begun, which then has its threads.
    with suppress(RuntimeError):
        torch.set_num_interop_threads(1)


def shares(count: int, most: int) -> list[slice]:
    """Slices of `count` items of nearly equal lengths, at most `most`, as many as keep all workers busy."""
    number = min(count, math.ceil(count / most / workers()) * workers())
    return [slice(count * part // number, count * (part + 1) // number) for part in range(number)]


def in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """`function` of every item, in order, computed by `workers` threads; a lone item, or a call from a worker, by none.

    Items are taken in the caller's thread, two before the first result is asked for and never more than `workers` + 1
    ahead of the results. Closing the generator drops what has not begun and waits for the rest.
    """
    items = iter(items)
    first = list(islice(items, 2))
    items = chain(first, items)
    if len(first) < 2 or workers() == 1 or getattr(_thread, "works", False):
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers(), "worker", initializer=setattr, initargs=(_thread, "works", True))
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > workers():
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
