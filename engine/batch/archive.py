"""Pictures of a zip by the names that a table gives them, read out of it one at a time.

Nothing is unpacked, so no name in it can become a path, and no small zip a full disk.
"""

import lzma
import unicodedata
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from engine.batch.rows import Row
from engine.errors import DataError, ImageError
from engine.images import MAX_BYTES, TOO_LARGE

MAX_ENTRIES = 20_000
ENCRYPTED, UTF_8 = 0x1, 0x800
NO_ZIP = "The row names a picture, but no zip of pictures came with the table; add one, or leave the cell empty."
UNKNOWN = "The zip holds no picture of that name; check the name, or put the picture into the zip."
LOCKED = "The picture in the zip is locked by a password; make the zip without one."
# What zipfile and its four decompressors raise of an entry that is damaged, or packed in a way they do not know.
DAMAGED = (BadZipFile, OSError, ValueError, RuntimeError, EOFError, zlib.error, lzma.LZMAError)
BROKEN = "The picture in the zip is broken; make the zip again."


class Archive:
    """The files of a zip; None has none. May be shared by threads. Raises DataError when it is no zip that is read."""

    def __init__(self, path: Path | None) -> None:
        self._zip: ZipFile | None = None
        self._files: dict[str, ZipInfo] = {}
        if path is None:
            return
        try:
            self._zip = ZipFile(path)
            # `is_dir` looks at the end of a name, which a broken one may not have.
            found = [info for info in self._zip.infolist() if info.filename and not info.is_dir()]
        # The last where its version of the format is not known.
        except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError("The file of pictures is no zip that can be read; make it again.") from error
        if len(found) > MAX_ENTRIES:
            raise DataError(f"The zip holds more than {MAX_ENTRIES:,} files; split it.")
        self._files = {_name(_spelled(info)): info for info in found}
        # Whoever zips a folder has its name before every file's.
        last = Counter(PurePosixPath(name).name for name in self._files)
        alone = {PurePosixPath(name).name: info for name, info in self._files.items()}
        self._files = {name: info for name, info in alone.items() if last[name] == 1} | self._files

    def read(self, name: str) -> bytes:
        """The bytes of the picture of that name, its folders and the case of its letters as in the zip or left out.

        Raises ImageError, one sentence, when there is none that can be read.
        """
        if self._zip is None:
            raise ImageError(NO_ZIP)
        info = self._files.get(_name(name))
        if info is None:
            raise ImageError(UNKNOWN)
        if info.flag_bits & ENCRYPTED:
            raise ImageError(LOCKED)
        try:
            with self._zip.open(info) as file:
                # What the zip says of its size is not believed.
                data = file.read(MAX_BYTES + 1)
        except DAMAGED as error:
            raise ImageError(BROKEN) from error
        if len(data) > MAX_BYTES:
            raise ImageError(TOO_LARGE)
        return data

    def close(self) -> None:
        """Let go of the file."""
        if self._zip is not None:
            self._zip.close()

    def filled(self, row: Row) -> Row:
        """A row with the bytes of the picture that it names, or with the sentence why there are none."""
        if row.error or not isinstance(row.image, str):
            return row
        try:
            return replace(row, image=self.read(row.image))
        except ImageError as error:
            return replace(row, error=str(error))


def _spelled(info: ZipInfo) -> str:
    """The name of an entry, which a Mac writes in UTF-8 without saying so."""
    if not info.flag_bits & UTF_8:
        with suppress(UnicodeError):
            return info.filename.encode("cp437").decode()
    return info.filename


def _name(name: str) -> str:
    """A name as it is compared: without folders that lead nowhere, in small letters."""
    # A Mac writes an accent as a character of its own.
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").casefold().split("/")
    return "/".join(part for part in parts if part not in ("", "."))
