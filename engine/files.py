"""Files and folders that appear whole or not at all.

Everything is written under a temporary name first and renamed when it is complete and on the disk, so whoever reads,
or is killed, at any moment finds the former content or the new one, never a part.
"""

import ctypes
import glob
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Seconds after which something temporary was left by a process that was killed; younger, it may be another's at work.
ABANDONED = 24 * 3600
# Arguments of renameat2(2) and of renamex_np(2) on macOS.
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """A temporary file to fill within the block; it becomes `path` at the end, and after an error it is gone.

    It lies beside `path`, or in the folder `scratch` of the same file system where no other file may stand in
    `path`'s own. Raises OSError.
    """
    folder = scratch or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    _clear_up(folder, path.name)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _to_disk(temporary)
        _open_up(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _to_disk(path.parent)


def write_bytes(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Replace a file's content; see `replacing`."""
    with replacing(path, scratch) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Replace a file's content with UTF-8 text; see `replacing`."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Replace a file's content with indented JSON; see `replacing`."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill within the block; it becomes `target` at the end, and after an error it is gone.

    A folder that was there is exchanged with the new one in one step, where the system can (Linux, macOS).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_up(target.parent, target.name)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".tmp", dir=target.parent))
    try:
        yield staging
        for path in (*staging.rglob("*"), staging):
            _to_disk(path)
            _open_up(path)
        if target.exists():
            _exchange(staging, target)
        else:
            os.replace(staging, target)
        _to_disk(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _clear_up(folder: Path, name: str) -> None:
    """Remove what processes that were killed on their way to a file or folder of this name have left."""
    for rest in folder.glob(f".{glob.escape(name)}-*.tmp"):
        with suppress(OSError):
            if time.time() - rest.stat().st_mtime > ABANDONED:
                shutil.rmtree(rest) if rest.is_dir() else rest.unlink()


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders: atomically by the system's own call, else by two renames."""
    names = os.fsencode(new), os.fsencode(old)
    library = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        done = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)  # type: ignore[union-attr]
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        done = library.renamex_np(*names, _RENAME_SWAP)  # type: ignore[union-attr]
    else:
        done = -1
    if done == 0:
        return
    # Some network file systems know no exchange.
    aside = new.with_name(f"{new.name}-old")
    os.replace(old, aside)
    os.replace(new, old)
    os.replace(aside, new)


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name != "posix" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_up(path: Path) -> None:
    """Make a file or folder as readable as any other of the user: tempfile and safetensors leave it to the owner."""
    # Python can only read the mask by setting it.
    mask = os.umask(0o022)
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
