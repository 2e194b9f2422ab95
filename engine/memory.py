"""Memory that is free goes back to the system, where the allocator is glibc's.

It would keep what large tensors leave, fragmented, and one such heap for every few threads that a server starts.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

M_ARENA_MAX = -8
# As many as operators run side by side; each further one would keep the most that it ever held.
ARENAS = 2
# Seconds until memory is given back, once for all who ask meanwhile: while the next answer is computed it costs time.
SOON = 0.5
_waiting = threading.Lock()


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def configure() -> None:
    """Share `ARENAS` heaps among all threads from now on."""
    library = _glibc()
    if library is not None:
        library.mallopt(M_ARENA_MAX, ARENAS)


def release() -> None:
    """Give free memory back to the system, in one to some milliseconds."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def release_soon() -> None:
    """Give free memory back within a moment; nobody waits for it."""
    if _glibc() is not None and _waiting.acquire(blocking=False):
        timer = threading.Timer(SOON, _release_now)
        timer.daemon = True
        timer.start()


def _release_now() -> None:
    _waiting.release()
    release()


@contextmanager
def released() -> Iterator[None]:
    """Release memory soon after the block, or as a decorator after each call."""
    try:
        yield
    finally:
        release_soon()
