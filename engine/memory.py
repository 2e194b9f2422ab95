"""Memory that is free goes back to the system, where the allocator is glibc's.

It would keep what large tensors leave, fragmented, and one such heap for every few threads that a server starts.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

M_ARENA_MAX = -8
# As many as operators run side by side; each further one would keep the most that it ever held.
ARENAS = 2


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


@contextmanager
def released() -> Iterator[None]:
    """Release memory after the block, or as a decorator after each call."""
    try:
        yield
    finally:
        release()
