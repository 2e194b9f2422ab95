"""The `extract` step: compute features of every distinct content of a work folder once, and keep them.

    python -m training extract --work work/youtube --recipe youtube_blend

Pictures are decoded ahead in threads while the feature is computed, or with `--engine ray` on a cluster; a run that was
stopped goes on where it stood.
"""

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import structlog
from tqdm import tqdm

from engine.features.base import Feature, Values
from engine.posts import Post
from training.features.batches import (
    Batch,
    Computed,
    compute,
    decoded_ahead,
    file_hash,
    given_up,
    here,
    read_batches,
    stored_pictures,
)
from training.features.store import FeatureTable

Engine = Callable[..., Generator[Computed, None, None]]

log = structlog.get_logger()
BATCH = 64
FLUSH_ROWS = 1024
FLUSH_SECONDS = 30.0


@dataclass(frozen=True)
class Extraction:
    """What one extraction did: distinct contents wanted, those kept from before, those computed now.

    `unreadable` lists the posts left out: (post_id, reason).
    """

    feature: str
    folder: Path
    wanted: int
    computed: int
    seconds: float
    unreadable: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        rate = f", {self.computed / self.seconds:.0f} a second" if self.computed else ""
        kept = self.wanted - self.computed - len(self.unreadable)
        lines = [f"{self.feature}: {self.computed:,} computed{rate}, {kept:,} kept → {self.folder}"]
        return "\n".join([*lines, *(f"  left out {post_id}: {reason}" for post_id, reason in self.unreadable)])


def file_hashes(work: Path) -> list[str]:
    """SHA-256 of each post's stored picture file, in file order; "" where it is missing."""
    return [file_hash(file) for _, file in stored_pictures(work)]


def text_hash(post: Post) -> str:
    """SHA-256 of all the words of a post."""
    words = json.dumps([post.title, list(post.tags), post.description])
    return hashlib.sha256(words.encode("ascii")).hexdigest()


def context_hash(post: Post) -> str:
    """SHA-256 of when, where, by whom and as what a post is published."""
    at = "" if post.published_at is None else post.published_at.isoformat()
    context = json.dumps([at, post.place, post.author, post.category])
    return hashlib.sha256(context.encode("ascii")).hexdigest()


def post_hashes(feature: Feature, posts: Sequence[Post], files: Sequence[str]) -> list[str]:
    """Hash of what a feature reads of each of n posts; `files` are the hashes of their pictures."""
    if not feature.modalities:
        return [context_hash(post) for post in posts]
    if feature.modalities == ("image",):
        return list(files)
    words = [text_hash(post) for post in posts]
    if feature.modalities == ("text",):
        return words
    return [hashlib.sha256(f"{file} {word}".encode()).hexdigest() for file, word in zip(files, words, strict=True)]


def with_pictures(work: Path, posts: Sequence[Post], rows: Sequence[int]) -> Iterator[tuple[int, Post | str]]:
    """Row and post, its picture decoded, of each of `rows` in file order; a sentence where it cannot be read.

    `posts` are those of the work folder, in file order. A few threads decode ahead of what is asked for.
    """
    ordered = sorted(set(rows))
    for batch in decoded_ahead(read_batches(work, BATCH, ordered, [posts[row] for row in ordered], {}, pictured=True)):
        yield from zip(batch.rows, batch.read(), strict=True)


def extract(
    work: Path,
    feature: Feature,
    posts: Sequence[Post],
    files: Sequence[str],
    upstream: Mapping[str, Values],
    engine: Engine = here,
    sent: Callable[[Batch], Computed] | None = None,
) -> Extraction:
    """Compute and store what the store lacks of a feature, for n posts of a work folder in file order.

    `files` (n) are the hashes of their pictures, `upstream` the values of the features it is computed from. `engine`
    says where, and `sent` is what workers elsewhere get to compute it with. A post whose picture cannot be
    read, or whose batch fails on a cluster, is reported and left out. Raises DataError when another process extracts
    the same, or the cluster is lost.
    """
    started = time.perf_counter()
    table = FeatureTable(work / "features", feature)
    hashes = post_hashes(feature, posts, files)
    unreadable: list[tuple[str, str]] = []
    computed = 0
    with table.writing():
        row_of = {post_hash: row for row, post_hash in reversed(list(enumerate(hashes)))}
        rows = [row_of[post_hash] for post_hash in table.missing(hashes)]
        wanted, above = [posts[row] for row in rows], {name: values[rows] for name, values in upstream.items()}
        read = partial(read_batches, work.absolute(), BATCH, rows, wanted, above, "image" in feature.modalities, files)
        pending = _Pending(table)
        with tqdm(total=len(rows), desc=feature.name, unit=" posts", disable=not rows, mininterval=5) as progress:
            try:
                for batch in engine(sent or partial(compute, feature), read, given_up) if rows else ():
                    unreadable += [(posts[row].post_id, reason) for row, reason in batch.failed]
                    if batch.values is not None:
                        pending.add([hashes[row] for row in batch.rows], batch.values)
                    computed += len(batch.rows)
                    progress.update(len(batch.rows) + len(batch.failed))
            finally:
                # Also when the user stops the run: what is computed is not computed again.
                pending.flush()
    for post_id, reason in unreadable:
        log.warning("post left out", feature=feature.name, post_id=post_id, reason=reason)
    seconds = time.perf_counter() - started
    return Extraction(feature.name, table.folder, len(row_of), computed, seconds, tuple(unreadable))


class _Pending:
    """Values not written yet; they are, once there are enough of them or they have waited long."""

    def __init__(self, table: FeatureTable) -> None:
        self.table = table
        self.hashes: list[str] = []
        self.values: list[Values] = []
        self.last = time.monotonic()

    def add(self, hashes: list[str], values: Values) -> None:
        self.hashes += hashes
        self.values.append(values)
        if len(self.hashes) >= FLUSH_ROWS or time.monotonic() - self.last >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        self.table.append(self.hashes, chain.from_iterable(self.values))
        self.hashes, self.values, self.last = [], [], time.monotonic()
