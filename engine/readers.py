"""What small networks read off pictures: words, faces. Their packages are extras, so they may not be there.

A reader loads its network with the first picture, gives one answer to one picture in whatever thread or batch, keeps
the last answers by the pictures' content, and says in a sentence why it found nothing to say.
"""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

from PIL import Image

from engine.files import file_digest
from engine.images import pixel_hash

# Enough for the pictures of one answer with all their explained variants; a visitor's words are not kept for long.
KEPT = 512

Found = TypeVar("Found")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading(Generic[Found]):
    """What was found in a picture; None where it could not be read, and then `why` is one sentence on the reason."""

    found: Found | None
    why: str = ""


def package_file(package: str, path: str) -> Path | None:
    """A file inside an installed package, which is not imported for it; None where either is missing."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if Path(folder, path).is_file():
            return Path(folder, path)
    return None


class PictureReader(ABC, Generic[Found]):
    """Reads one kind of thing off pictures.

    `subject` begins its sentences, `packages` are imported beside those that hold `files`, `command` installs all.
    """

    subject: ClassVar[str]
    command: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    # Package and path in it of each file of weights.
    files: ClassVar[tuple[tuple[str, str], ...]]

    def __init__(self) -> None:
        self._lock = Lock()
        self._network: Any = None
        self._broken = ""
        self._kept: OrderedDict[str, Reading[Found]] = OrderedDict()

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Sizes and thresholds that decide what is found; JSON-serialisable."""

    @abstractmethod
    def load(self, files: list[Path]) -> Any:
        """The network, from its files; `look` is called with it from several threads at a time."""

    @abstractmethod
    def look(self, network: Any, picture: Image.Image) -> Found:
        """What is in an RGB picture."""

    @cached_property
    def paths(self) -> list[Path]:
        """The files of weights; empty where any of them or a package is missing."""
        found = [path for path in (package_file(*file) for file in self.files) if path is not None]
        there = all(find_spec(package) is not None for package in self.packages)
        return found if there and len(found) == len(self.files) else []

    @property
    def unavailable(self) -> str:
        """One sentence on what to install before anything can be read here; "" where it can."""
        if not self.paths:
            return f"{self.subject} cannot be read here, since packages are missing; run: {self.command}"
        return self._broken

    @cached_property
    def weights(self) -> str:
        """SHA-256 of the files of weights; "" where they are missing."""
        parts = "".join(map(file_digest, self.paths))
        return hashlib.sha256(parts.encode()).hexdigest() if parts else ""

    def read(self, picture: Image.Image) -> Reading[Found]:
        """What is found in a picture. Raises nothing: what goes wrong is logged, and said in `why`."""
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        network = self._loaded()
        if network is None:
            return Reading(None, self.unavailable)
        key = pixel_hash(picture)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        reading = self._answer(network, picture)
        with self._lock:
            self._kept[key] = reading
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return reading

    def _answer(self, network: Any, picture: Image.Image) -> Reading[Found]:
        try:
            return Reading(self.look(network, picture))
        except Exception:
            # OpenCV, ONNX Runtime and LiteRT raise classes of their own, which share no base. One signal of several
            # is no reason to refuse a post.
            _log.warning("%s of a picture could not be read", self.subject, exc_info=True)
            return Reading(None, f"{self.subject} of this picture could not be read; export the picture again.")

    def _loaded(self) -> Any:
        """The network, loaded once; None where it cannot be."""
        if self._network is None and not self.unavailable:
            with self._lock:
                if self._network is None and not self._broken:
                    try:
                        self._network = self.load(self.paths)
                    except Exception:
                        # A package that is there may still lack a shared library, or be of another version.
                        _log.warning("%s cannot be read: its network does not load", self.subject, exc_info=True)
                        self._broken = (
                            f"{self.subject} cannot be read here, since its packages do not load; reinstall them: "
                            f"{self.command}"
                        )
        return self._network
