"""Files at addresses, such as s3://bucket/posts.csv or hf://datasets/owner/name/posts.parquet, by way of fsspec.

Nothing is ever fetched that the caller does not name himself: what stands in a file of posts is an address only below
the folder that the command line gives for pictures, and the page gives none.
"""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from engine.errors import DataError, FirstImpressionsError
from engine.files import replacing

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+://", re.IGNORECASE)
UNKNOWN = "{} cannot be reached: {}; install what is missing, or check how the address begins."
UNREACHED = "{} cannot be reached ({}); check the address and your credentials."
ENDED = "{} ends half-way, after {:,} of {:,} bytes; try again."
ABSENT = "{} does not exist; check its name."
FULL = "{} cannot be written ({}); make room there and run the command again."
# By which of these a store tells one version of a file from another of the same size.
VERSIONS = ("ETag", "etag", "blob_id", "generation", "md5Hash", "mtime", "LastModified", "last_modified", "created")
OUTSIDE = "{} leads out of its folder; leave it out."


def located(name: "str | Location") -> "Location":
    """The path or the address that a name is."""
    if isinstance(name, str) and ADDRESS.match(name):
        return Address(name.strip()) if not name.startswith("file://") else Path(name.removeprefix("file://"))
    return name if isinstance(name, Address) else Path(name)


def here(name: "str | Location", kept: Path) -> Path:
    """The file or folder on this machine: a path as it is, of an address what `Address.download` puts below `kept`."""
    place = located(name)
    return place if isinstance(place, Path) else place.download(kept)


@dataclass(frozen=True)
class Address:
    """A file or folder elsewhere, with those methods of a `Path` that are asked of it. Each raises DataError."""

    url: str

    def __str__(self) -> str:
        # What follows may be a signature that nobody else is to see.
        return self.url.partition("?")[0]

    @property
    def name(self) -> str:
        return PurePosixPath(str(self)).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(str(self)).suffix

    @property
    def parent(self) -> "Address":
        return Address(str(self).rpartition("/")[0])

    def absolute(self) -> "Address":
        return self

    def __truediv__(self, name: str) -> "Address":
        """What has this name in the folder, or this address below it."""
        relative = name.removeprefix(f"{self.url.rstrip('/')}/")
        parts = relative.replace("\\", "/").split("/")
        if ADDRESS.match(relative) or ".." in parts or not parts[0] or PureWindowsPath(relative).drive:
            raise DataError(OUTSIDE.format(name))
        return Address("/".join([self.url.rstrip("/"), *parts]))

    def exists(self) -> bool:
        return self._type() != ""

    def is_file(self) -> bool:
        return self._type() == "file"

    def _type(self) -> str:
        """Empty where there is nothing. The file system's own `exists` would say so without credentials too."""
        with self._told() as (system, path):
            try:
                return str(system.info(path)["type"])
            except FileNotFoundError:
                return ""

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file's bytes, read as they are asked for; an end before its end raises DataError."""
        with self._told() as (system, path):
            return io.BufferedReader(_Stream(self, system.open(path, "rb"), int(system.size(path))), 1 << 20)

    def upload(self, path: Path) -> None:
        """Put a file there, whole."""
        with self._told() as (system, target):
            system.put_file(str(path), target)

    def upload_folder(self, folder: Path, *, last: Sequence[str] = ()) -> None:
        """Make the folder there hold what this one does, and nothing else; files that are named `last` come last.

        Where those name the others' hashes, whoever reads meanwhile finds a folder that is refused, never half of each.
        """
        files = [file for file in folder.rglob("*") if file.is_file()]
        with self._told() as (system, path):
            before = set(system.find(path)) if system.exists(path) else set()
            for file in sorted(files, key=lambda file: (file.name in last, file)):
                place = f"{path.rstrip('/')}/{file.relative_to(folder).as_posix()}"
                system.makedirs(place.rpartition("/")[0], exist_ok=True)
                system.put_file(str(file), place)
                before.discard(place)
            for place in sorted(before):
                system.rm_file(place)

    def download(self, folder: Path) -> Path:
        """The folder as files below `folder`, each whole; those that are there already are not fetched again.

        Their own folder is named after their names, sizes and versions. Raises DataError when one ends half-way, or the
        disk is full; the next call goes on.
        """
        with self._told() as (system, path):
            found = {name: info for name, info in system.find(path, detail=True).items() if info["type"] == "file"}
            root = system._strip_protocol(path).rstrip("/") + "/"
        if not found:
            raise DataError(ABSENT.format(self))
        versions = [[name, info["size"], *(str(info.get(key)) for key in VERSIONS)] for name, info in found.items()]
        own = folder / hashlib.sha256(repr([self.url, sorted(versions)]).encode()).hexdigest()[:16]
        for name, info in found.items():
            relative = name.removeprefix(root)
            source, target = self / relative, own / relative
            if not (target.exists() and target.stat().st_size == info["size"]):
                source.copy(target)
        return own

    def copy(self, target: Path) -> None:
        """Make a local file of it, whole or not at all."""
        try:
            with self.open() as file, replacing(target) as temporary, temporary.open("wb") as copied:
                shutil.copyfileobj(file, copied, 1 << 20)
        except OSError as error:
            raise DataError(FULL.format(target, error.strerror or error)) from error

    @contextmanager
    def _told(self) -> Iterator[tuple[Any, str]]:
        """The file system and the path in it; whatever it raises becomes one sentence."""
        try:
            from fsspec.core import url_to_fs

            yield url_to_fs(self.url)
        except FirstImpressionsError:
            raise
        except FileNotFoundError as error:
            raise DataError(ABSENT.format(self)) from error
        # Each kind of store has its own errors, which its driver hands on.
        except Exception as error:
            text = (str(error).strip().splitlines() or [""])[0][:200].rstrip(". ")
            if isinstance(error, ImportError | ValueError):
                raise DataError(UNKNOWN.format(self, text)) from error
            raise DataError(UNREACHED.format(self, f"{type(error).__name__}: {text}".rstrip(": "))) from error


# A file or folder, on this machine or elsewhere.
Location = Path | Address


class _Stream(io.RawIOBase):
    """Bytes of an address that are missed where they end too early."""

    def __init__(self, address: Address, file: IO[bytes], size: int) -> None:
        self.address, self.file, self.size = address, file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.file.tell(), os.SEEK_END: self.size}[whence]
        return self.file.seek(start + offset)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with self.address._told():
            found = self.file.read(memoryview(buffer).nbytes)
        if not found and memoryview(buffer).nbytes and self.file.tell() < self.size:
            raise DataError(ENDED.format(self.address, self.file.tell(), self.size))
        memoryview(buffer).cast("B")[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self.file.close()
        super().close()
