"""Batches of posts whose features are computed, here or on a cluster: what is read, what is sent, what comes back."""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from engine import threads
from engine.errors import DataError, ImageError
from engine.features import make_features
from engine.features.base import Feature, FeatureSettings, Values
from engine.images import load_image
from engine.posts import Post

OTHERS = "The pictures of {} are others since this step began; run it again."
MISSING = "The picture's file is missing."
# Batches whose pictures are decoded here before they are asked for.
AHEAD = 2


@dataclass(frozen=True)
class Computed:
    """Values (n, *shape) of the posts in n rows, and why there are none of others; None where there are of none."""

    rows: list[int]
    values: Values | None
    failed: list[tuple[int, str]]


@dataclass(frozen=True)
class Batch:
    """Posts in some rows of a work folder, without pictures; the files of these, where a feature reads them."""

    rows: list[int]
    posts: list[Post]
    files: list[bytes | None] | None
    upstream: Mapping[str, Values]
    decoding: list[Future[Image.Image | str]] = field(default_factory=list)

    def decoded(self, pool: Executor) -> "Batch":
        """The same, whose pictures are decoded meanwhile. It cannot be sent."""
        return replace(self, decoding=[pool.submit(decode, file) for file in self.files or ()])

    def read(self) -> list[Post | str]:
        """Each post with its picture, where pictures are read, or why that cannot be."""
        if self.files is None:
            return [*self.posts]
        pictures = [future.result() for future in self.decoding] or [decode(file) for file in self.files]
        return [
            picture if isinstance(picture, str) else replace(post, image=picture)
            for post, picture in zip(self.posts, pictures, strict=True)
        ]


def stored_pictures(
    work: Path, table: str = "posts.parquet", files: Sequence[str] = ()
) -> Iterator[tuple[str, bytes | None]]:
    """(post_id, the picture's file) of every row of a table in file order, a few at a time; None where it is missing.

    `files` are the hashes that they had. Raises DataError when there is no such table that can be read, and for another
    picture than that: what is computed would be kept as what the former says.
    """
    path = work / table
    had = iter(files)
    try:
        for rows in pq.ParquetFile(path).iter_batches(256, columns=["post_id", "image"]):
            for post_id, image in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                file = _file(work, image)
                if files and file_hash(file) != next(had, None):
                    raise DataError(OTHERS.format(path))
                yield post_id, file
        if next(had, None) is not None:
            raise DataError(OTHERS.format(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; run `python -m training prepare --work {work}` first.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read; run `python -m training prepare` again.") from error


def file_hash(file: bytes | None) -> str:
    """SHA-256 of a picture's file; "" where it is missing."""
    return "" if file is None else hashlib.sha256(file).hexdigest()


def _file(work: Path, image: bytes | str | None) -> bytes | None:
    if not isinstance(image, str):
        return image
    try:
        return (work / image).read_bytes()
    except OSError:
        return None


def decode(file: bytes | None) -> Image.Image | str:
    """The picture in a file, or why there is none."""
    try:
        return MISSING if file is None else load_image(file)
    except ImageError as error:
        return str(error)


def read_batches(
    work: Path,
    size: int,
    rows: Sequence[int],
    posts: Sequence[Post],
    upstream: Mapping[str, Values],
    pictured: bool,
    hashes: Sequence[str] = (),
) -> Iterator[Batch]:
    """The posts in n ascending rows of a work folder, `size` at a time, with their pictures' files where `pictured`.

    `posts` and the values `upstream` are n too; `hashes` are those of all pictures of the folder, as they were.
    """
    wanted = set(rows)
    stored = enumerate(stored_pictures(work, files=hashes))
    files = (file for row, (_, file) in stored if row in wanted) if pictured else None
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        above = {name: values[part] for name, values in upstream.items()}
        yield Batch([*rows[part]], [*posts[part]], None if files is None else list(islice(files, size)), above)


def compute(feature: Feature, batch: Batch) -> Computed:
    """The feature of the posts of a batch whose pictures can be read.

    Raises DataError where its weights are there and do not load: what it then says would be kept as what they say.
    """
    places, posts, failed = [], [], []
    for place, post in enumerate(batch.read()):
        if isinstance(post, str):
            failed.append((batch.rows[place], post))
        else:
            places.append(place)
            posts.append(post)
    upstream = {name: values[places] for name, values in batch.upstream.items()}
    values = feature.compute(posts, upstream) if posts else None
    if feature.unavailable and feature.weights:
        raise DataError(feature.unavailable)
    return Computed([batch.rows[place] for place in places], values, failed)


def given_up(batch: Batch, sentence: str) -> Computed:
    """What becomes of a batch that cannot be computed."""
    return Computed([], None, [(row, sentence) for row in batch.rows])


def decoded_ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, each handed on while threads decode the pictures of the next."""
    ahead: deque[Batch] = deque()
    with ThreadPoolExecutor(threads.workers()) as pool:
        for batch in batches:
            ahead.append(batch.decoded(pool))
            if len(ahead) > AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()


def here(
    function: Callable[[Batch], Computed], read: Callable[[], Iterable[Batch]], failed: Any
) -> Generator[Computed, None, None]:
    """`function` of every batch in this process, while the pictures of the next are decoded.

    `engine.batch.ray_data` does it on a cluster. What fails is a fault of the code, and ends the work.
    """
    yield from map(function, decoded_ahead(read()))


class Sent:
    """`compute` of a feature that other processes make anew from its settings; they refuse to, where it is another."""

    def __init__(self, feature: Feature, settings: FeatureSettings) -> None:
        self.feature, self.settings = feature, settings

    def __call__(self, batch: Batch) -> Computed:
        return compute(self.feature, batch)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.feature.name, self.settings, self.feature.cache_key)


def _made(name: str, settings: FeatureSettings, cache_key: str) -> Sent:
    feature = make_features([name], settings)[name]
    if feature.cache_key != cache_key:
        raise DataError(f"{name} would be computed in another way there")
    return Sent(feature, settings)
