"""Pictures with sentences: what the alignment and the captioner learn from, and are measured on.

A file of photos is a Parquet table with `image` (bytes) and `captions` (a list of sentences each), `photo_id`, and
maybe `split` (train, validation or test), as Flickr8k comes in. Covers with titles are the posts of a work folder under
its grouped split, and for training alone those of a further table with `image` and `title`.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from engine.errors import DataError, ImageError
from engine.images import load_image
from training.data.alike import PHASH_DISTANCE
from training.data.grouping import normalise_title
from training.data.workspace import Workspace

# Photos of a file without a split that are set apart for each.
HELD_OUT = 1000


@dataclass(frozen=True)
class Pairs:
    """n pictures, their files' bytes, with one or more sentences each; `part` is train, validation or test."""

    names: list[str]
    images: list[bytes]
    texts: list[list[str]]
    part: npt.NDArray[np.str_]

    def rows(self, part: str) -> npt.NDArray[np.int64]:
        return np.flatnonzero(self.part == part)

    @property
    def fingerprint(self) -> str:
        """Hash of every picture, sentence and part."""
        found = hashlib.sha256()
        for image, texts, part in zip(self.images, self.texts, self.part, strict=True):
            found.update(hashlib.sha256(image).digest() + repr((texts, str(part))).encode("utf-8", "surrogatepass"))
        return found.hexdigest()


def _table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as a Parquet table; name the file of the pairs.") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}: it is no table of such pairs.")
    return table


def plain_caption(text: str) -> str:
    """A caption as the captioner learns and is measured on: lower case, words alone, single-spaced."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def read_photos(path: Path) -> Pairs:
    """Photos with captions; parted by `split`, else by the hash of their id. Raises DataError for another table."""
    table = _table(path, ("photo_id", "image", "captions"))
    names = table["photo_id"].astype(str).tolist()
    if "split" in table.columns:
        spelt = {"val": "validation", "dev": "validation"}
        part = table["split"].replace(spelt).to_numpy(dtype=str)
        if unknown := sorted({*part} - {"train", "validation", "test"}):
            raise DataError(f"{path} has a split named {unknown[0]}; name each train, validation or test.")
    else:
        order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in names])
        held = min(HELD_OUT, len(names) // 4)
        part = np.full(len(names), "train", dtype="<U10")
        part[order[:held]], part[order[held : 2 * held]] = "test", "validation"
    return Pairs(names, table["image"].tolist(), [list(texts) for texts in table["captions"]], part)


def read_covers(work: Path, further: Path | None = None) -> Pairs:
    """Posts of a work folder with picture and title, parted by its grouped split, and those of a `further` table.

    Of the further ones, those are left out that have the title or, nearly, the picture of a post outside of training:
    they would show the aligned encoders what they are measured on. Raises DataError for another table.
    """
    workspace = Workspace(work)
    posts = workspace.posts[["post_id", "title", "split"]]
    titled = posts[[bool(title.strip()) for title in posts["title"]]]
    names, titles = titled["post_id"].tolist(), [[title] for title in titled["title"]]
    images = pd.read_parquet(work / "posts.parquet", columns=["post_id", "image"]).set_index("post_id")["image"]
    files = [image if isinstance(image, bytes) else (work / image).read_bytes() for image in images[names]]
    part = titled["split"].to_numpy(dtype="<U10")
    if further is not None:
        others = _table(further, ("post_id", "image", "title"))
        others = others[others["title"].notna() & ~others["post_id"].isin(names)]
        outside = posts["split"] != "train"
        seen = {normalise_title(title) for title in posts["title"][outside]}
        hashes = workspace.metadata.set_index("post_id")["phash"].reindex(posts["post_id"][outside]).dropna()
        bits = np.array([int(value, 16) for value in hashes], dtype=np.uint64)
        for name, title, image in zip(others["post_id"], others["title"], others["image"], strict=True):
            if normalise_title(title) in seen or _resembles(image, bits):
                continue
            names.append(name)
            titles.append([title])
            files.append(image)
        part = np.concatenate([part, np.full(len(names) - len(part), "train", dtype="<U10")])
    return Pairs(names, files, titles, part)


def _resembles(image: bytes, bits: npt.NDArray[np.uint64]) -> bool:
    """Whether a picture is, nearly, one of those with the given perceptual hashes, or cannot be read."""
    import imagehash

    try:
        own = np.uint64(int(str(imagehash.phash(load_image(image))), 16))
    except ImageError:
        return True
    return bool((np.bitwise_count(bits ^ own) <= PHASH_DISTANCE).any())
