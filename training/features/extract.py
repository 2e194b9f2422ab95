"""The `extract` step: encode every distinct picture and text of a work folder once, and keep the features.

    python -m training extract --work work/youtube --encoders lite2 minilm

Pictures are decoded ahead in threads while the encoder works; a run that was stopped goes on where it stood. A picture
that cannot be read is left out and listed in the table's `unreadable.parquet`.
"""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.nn import functional
from tqdm import tqdm

from engine.encoders import EMBEDDED, load_encoder
from engine.encoders.base import Encoder
from engine.errors import DataError, ImageError
from engine.images import load_image
from training.features.store import FeatureStore, FeatureTable, Grid, Kind
from training.tables import read_table, write_table

Compose = Callable[[pd.DataFrame], Sequence[str]]

UNREADABLE = "unreadable.parquet"
UNREADABLE_SCHEMA = pa.schema([(name, pa.string()) for name in ("post_id", "content_hash", "reason")])
TEXT_COLUMNS = ["title", "description", "tags"]


@dataclass(frozen=True)
class Extraction:
    """What one extraction did: distinct items wanted, those kept from before, those encoded now.

    `unreadable` lists the posts left out: (post_id, reason).
    """

    encoder: str
    folder: Path
    wanted: int
    kept: int
    encoded: int
    seconds: float
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        rate = f", {self.encoded / self.seconds:.0f} a second" if self.encoded else ""
        lines = [f"{self.encoder}: {self.encoded:,} encoded{rate}, {self.kept:,} kept → {self.folder}"]
        lines += [f"  left out {post_id}: {reason}" for post_id, reason in self.unreadable]
        return "\n".join(lines)


def titles(posts: pd.DataFrame) -> list[str]:
    """The text a post is read by unless a recipe composes another: its title, "" where there is none."""
    return posts["title"].fillna("").tolist()


def text_hash(text: str) -> str:
    """Content hash of a text: SHA-256 of its UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def stored_pictures(work: Path, batch: int = 256) -> Iterator[tuple[str, bytes | None]]:
    """(post_id, the picture's file) of every post in file order, a few at a time; None where it is missing.

    Raises DataError when there is no posts.parquet that can be read.
    """
    path = work / "posts.parquet"
    try:
        for rows in pq.ParquetFile(path).iter_batches(batch, columns=["post_id", "image"]):
            for post_id, image in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                yield post_id, _file(work, image)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; run `python -m training prepare --work {work}` first.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read; run `python -m training prepare` again.") from error


def _file(work: Path, image: bytes | str | None) -> bytes | None:
    if not isinstance(image, str):
        return image
    try:
        return (work / image).read_bytes()
    except OSError:
        return None


def image_hashes(work: Path) -> list[str | None]:
    """Content hash of each post's picture (SHA-256 of its stored file), in file order; None where it is missing."""
    return [None if data is None else hashlib.sha256(data).hexdigest() for _, data in stored_pictures(work)]


def _decoded_ahead(
    work: Path, wanted: set[str], unreadable: dict[str, str], ahead: int
) -> Iterator[tuple[str, Image.Image]]:
    """(hash, picture) of each wanted hash once, decoded by threads at most `ahead` pictures before they are used."""

    def decode(data: bytes) -> Image.Image | str:
        try:
            return load_image(data)
        except ImageError as error:
            return str(error)

    waiting: deque[tuple[str, Future[Image.Image | str]]] = deque()
    todo = set(wanted)

    def finished() -> Iterator[tuple[str, Image.Image]]:
        content_hash, future = waiting.popleft()
        picture = future.result()
        if isinstance(picture, str):
            unreadable[content_hash] = picture
        else:
            yield content_hash, picture

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for _, data in stored_pictures(work):
            if data is None or (content_hash := hashlib.sha256(data).hexdigest()) not in todo:
                continue
            todo.discard(content_hash)
            waiting.append((content_hash, pool.submit(decode, data)))
            if len(waiting) > ahead:
                yield from finished()
        while waiting:
            yield from finished()


def _pooled(values: torch.Tensor, grid: Grid, pool: Grid) -> torch.Tensor:
    """Tokens (n, rows·columns, dim) of a grid, averaged down to `pool` = (rows, columns)."""
    channels = values.transpose(1, 2).unflatten(2, grid)
    return functional.adaptive_avg_pool2d(channels, pool).flatten(2).transpose(1, 2)


def _features(encoder: Encoder, items: Sequence[Any], kind: Kind, pool: Grid | None) -> list[npt.NDArray[Any]]:
    if kind == "vector":
        return list(encoder.encode(items).numpy())
    tokens = encoder.tokens(items)
    if pool is None:
        return [values[mask].numpy() for values, mask in zip(tokens.values, tokens.mask, strict=True)]
    grid = getattr(encoder, "grid", None)
    if grid is None:
        raise DataError(f"{encoder.name} has no grid of tokens that could be pooled; leave out the pooling.")
    return list(_pooled(tokens.values, grid, pool).numpy())


def _encode_into(
    table: FeatureTable,
    encoder: Encoder,
    items: Iterable[tuple[str, Any]],
    progress: "tqdm[Any]",
    *,
    batch_size: int,
    flush_rows: int,
    flush_seconds: float,
) -> int:
    """Encode (hash, item) pairs and write a part whenever enough rows or seconds have passed; returns the count."""
    pool = tuple(table.manifest["pool"]) if table.manifest["pool"] else None
    pending: list[tuple[str, npt.NDArray[Any]]] = []
    encoded = 0
    last = time.monotonic()
    stream = iter(items)
    try:
        while batch := list(islice(stream, batch_size)):
            features = _features(encoder, [item for _, item in batch], table.kind, pool)
            pending += zip((content_hash for content_hash, _ in batch), features, strict=True)
            encoded += len(batch)
            progress.update(len(batch))
            if len(pending) >= flush_rows or time.monotonic() - last >= flush_seconds:
                ready, pending = pending, []
                table.append(ready)
                last = time.monotonic()
    finally:
        # Also when the user stops the run: what is encoded is not encoded again.
        table.append(pending)
    return encoded


def extract(
    work: Path,
    encoder: Encoder,
    *,
    kind: Kind = "vector",
    pool: Grid | None = None,
    compose: Compose = titles,
    batch_size: int | None = None,
    flush_rows: int = 1024,
    flush_seconds: float = 30.0,
) -> Extraction:
    """Encode what the work folder holds for the encoder's side and its features lack.

    Pictures come from posts.parquet; texts, made by `compose`, from posts.parquet and texts.parquet. `kind="tokens"`
    keeps token features, a picture's averaged down to the grid `pool` = (rows, columns) when one is given.
    Raises DataError when the work folder is not prepared or another process extracts the same features.
    """
    started = time.perf_counter()
    table = FeatureStore(work / "features").table(encoder, kind=kind, pool=pool)
    unreadable: dict[str, str] = {}
    with table.writing():
        if encoder.modality == "image":
            posts = [(post_id, data and hashlib.sha256(data).hexdigest()) for post_id, data in stored_pictures(work)]
            wanted = list(dict.fromkeys(content_hash for _, content_hash in posts if content_hash))
            missing = table.missing(wanted)
            batch_size = batch_size or 32
            items: Iterable[tuple[str, Any]] = _decoded_ahead(work, set(missing), unreadable, 2 * batch_size)
        else:
            texts = {text_hash(text): text for text in _texts(work, compose)}
            wanted = list(texts)
            missing = table.missing(wanted)
            batch_size = batch_size or 256
            posts, items = [], ((content_hash, texts[content_hash]) for content_hash in missing)
        unit = "picture" if encoder.modality == "image" else "text"
        with tqdm(total=len(missing), desc=f"{encoder.name} {kind}", unit=unit, disable=not missing) as progress:
            encoded = _encode_into(
                table,
                encoder,
                items,
                progress,
                batch_size=batch_size,
                flush_rows=flush_rows,
                flush_seconds=flush_seconds,
            )
        listed = [
            (post_id, content_hash, unreadable.get(content_hash or "", "The picture's file is missing."))
            for post_id, content_hash in posts
            if not content_hash or content_hash in unreadable
        ]
        frame = pd.DataFrame(listed, columns=UNREADABLE_SCHEMA.names)
        write_table(table.folder / UNREADABLE, frame, UNREADABLE_SCHEMA)
    seconds = time.perf_counter() - started
    skipped = [(post_id, reason) for post_id, _, reason in listed]
    return Extraction(encoder.name, table.folder, len(wanted), len(wanted) - len(missing), encoded, seconds, skipped)


def _texts(work: Path, compose: Compose) -> list[str]:
    texts = list(compose(read_table(work / "posts.parquet", TEXT_COLUMNS)))
    if (work / "texts.parquet").exists():
        texts += compose(read_table(work / "texts.parquet", TEXT_COLUMNS))
    return texts


def run_extract(
    work: Path,
    encoders: Sequence[str] = ("embedded",),
    *,
    kind: Kind = "vector",
    pool: Grid | None = None,
    compose: Compose = titles,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
) -> list[Extraction]:
    """Extract the features of several encoders; "embedded" stands for those that come with the installation.

    Prints what each did. Raises EncoderError or DataError when one cannot be had.
    """
    names = [name for spec in encoders for name in (EMBEDDED if spec == "embedded" else (spec,))]
    done = []
    for name in dict.fromkeys(names):
        encoder = load_encoder(name, device=device, dtype=dtype)
        grid = pool if kind == "tokens" and encoder.modality == "image" else None
        done.append(extract(work, encoder, kind=kind, pool=grid, compose=compose, batch_size=batch_size))
        print(done[-1])
    return done
