"""From a raw dataset to the tables of a work folder: posts, their metadata, what was dropped, and text-only posts.

Nothing is repaired and nothing is dropped silently: every post that is left out is listed in `cleaning.parquet` with
its reason, and `dataset.json` counts them. A picture's bytes are kept as they were; pictures that are files stay where
they are and are named by their path relative to the work folder.
"""

import hashlib
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from engine.errors import DataError
from engine.files import file_digest, replacing
from engine.scoring import SCORE_WEIGHTS
from training.data.cleaning import clean
from training.data.further import take_pictures
from training.data.metadata import METADATA_SCHEMA, Decoder, title_metadata, try_picture
from training.data.sources import load_dataset
from training.data.sources.base import Dataset
from training.tables import CLEANING_SCHEMA, COUNTS, LOCK, TableWriter, alone, now, posts_schema, writing_table

INFO = "dataset.json"
TEXT_ONLY = " (text-only post)"


class Tally:
    """What was read, kept and dropped, how often each count and whether a group was there, and what is hardly true."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.read = 0
        self.dropped: list[tuple[str | None, str, str | None]] = []
        self.post_ids: set[str] = set()
        self.pictures: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.grouped = False
        self.more_likes_than_views = 0
        self.future = 0

    @property
    def full(self) -> bool:
        return self.limit is not None and len(self.post_ids) >= self.limit

    def drop(self, post_id: str | None, reason: str, detail: str | None = None) -> None:
        """List a post as left out; pandas' nulls count as None."""
        self.dropped.append((None if pd.isna(post_id) else post_id, reason, None if pd.isna(detail) else detail))

    def keep(self, posts: pd.DataFrame) -> None:
        self.counts.update({name: known for name in COUNTS if (known := int(posts[name].notna().sum()))})
        self.grouped |= bool(posts["group"].notna().any())
        self.more_likes_than_views += int((posts["likes"] > posts["views"]).sum())
        self.future += int((posts["published_at"] > pd.Timestamp.now("UTC")).sum())

    def first_details(self) -> dict[str, str]:
        """The first detail of every reason that has one."""
        found: dict[str, str] = {}
        for _, reason, detail in self.dropped:
            if detail is not None:
                found.setdefault(reason, detail)
        return found

    def summary(self) -> dict[str, Any]:
        reasons = Counter(reason for _, reason, _ in self.dropped).most_common()
        return {"read": self.read, "written": len(self.post_ids), "dropped": dict(reasons)}


def prepare(
    dataset: Dataset | str, source: Path, work: Path, limit: int | None = None, workers: int = 1
) -> dict[str, Any]:
    """Clean a dataset into the work folder and return what `dataset.json` says of it.

    `limit` keeps at most that many posts (and as many text-only posts); `workers` is the number of processes that
    decode pictures. Of posts with the same id or exactly the same picture the first read is kept. Raises DataError
    when the source is not of the dataset's format, or when no post is left; the work folder then stays as it was.
    """
    started = time.perf_counter()
    if isinstance(dataset, str):
        dataset = load_dataset(dataset)
    if limit is not None and limit < 1:
        raise DataError(f"A limit of {limit} leaves no post; give at least 1.")
    if not source.is_dir():
        raise DataError(f"There is no folder {source}; give the one that holds {dataset.description}.")
    tables = dataset.tables(source)
    if work.resolve() in {table.resolve().parent for table in tables}:
        raise DataError(f"{work} holds the dataset itself, whose tables would be replaced; give another --work.")
    # What was prepared there, to its end or not, has left one of these.
    if (work / "posts.parquet").exists() and not any((work / name).exists() for name in (INFO, LOCK)):
        raise DataError(f"{work} holds a posts.parquet of something else, which would be lost; give another --work.")
    posts, texts = Tally(limit), Tally(limit)
    with alone(work), _decoder(workers) as decode, ExitStack() as stack:
        # First in, last in place: it says that the tables belong together.
        info_file = stack.enter_context(replacing(work / INFO))
        table = stack.enter_context(writing_table(work / "posts.parquet", posts_schema(dataset.image)))
        metadata = stack.enter_context(writing_table(work / "metadata.parquet", METADATA_SCHEMA))
        with tqdm(total=dataset.count(source), desc=dataset.name, unit=" posts", disable=None) as progress:
            for raw in dataset.read(source):
                _take_posts(raw, work.resolve(), decode, posts, table, metadata)
                progress.update(len(raw))
        if not posts.post_ids:
            raise DataError(f"No post of {source} is left; {_reasons(posts) or 'it holds none'}.")
        text_table = stack.enter_context(writing_table(work / "texts.parquet", posts_schema("bytes")))
        for raw in dataset.read_texts(source):
            _take_texts(raw, posts.post_ids, texts, text_table)
        pictures = take_pictures(dataset, source, work, decode, posts.post_ids, limit, stack)
        rows = [*posts.dropped, *((post_id, reason + TEXT_ONLY, detail) for post_id, reason, detail in texts.dropped)]
        cleaning = stack.enter_context(writing_table(work / "cleaning.parquet", CLEANING_SCHEMA))
        cleaning.append(pd.DataFrame(rows, columns=CLEANING_SCHEMA.names))
        info = {
            "format": 1,
            "name": dataset.name,
            "description": dataset.description,
            "fingerprint": fingerprint(
                tables, dataset.folders(source), posts.pictures if dataset.pictures_apart(source) else ()
            ),
            "created": now(),
            "limit": limit,
            "image": dataset.image,
            "image_url": dataset.image_url_template,
            "score_formula": dataset.score_formula,
            "notes": list(dataset.notes),
            "absent_counts": [name for name in COUNTS if name not in posts.counts + texts.counts],
            "posts": posts.summary(),
            "texts": texts.summary(),
            "pictures": pictures,
            "seconds": round(time.perf_counter() - started, 1),
        }
        if _made_from(work) != (dataset.name, info["fingerprint"], limit):
            # A split of other posts, or by other groups.
            (work / "splits.parquet").unlink(missing_ok=True)
        info_file.write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (work / INFO).unlink(missing_ok=True)
    _report(dataset, source, work, posts, texts, info)
    return info


@contextmanager
def _decoder(workers: int) -> Iterator[Decoder]:
    """A function from the pictures of a batch to their metadata, in order."""
    if workers <= 1:
        yield lambda pictures: map(try_picture, pictures)
        return
    # Forking a process in which other libraries have started threads may hang it.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda pictures: pool.map(try_picture, pictures, chunksize=16)


def _take_posts(
    raw: pd.DataFrame, work: Path, decode: Decoder, tally: Tally, table: TableWriter, metadata: TableWriter
) -> None:
    """Clean one batch, decode its pictures, and write what is kept."""
    batch = clean(raw, first_row=tally.read + 1)
    tally.read += len(batch)
    flagged = batch.loc[batch["drop_reason"].notna(), ["post_id", "drop_reason", "drop_detail"]]
    for flags in flagged.itertuples(index=False, name=None):
        tally.drop(*flags)
    batch = batch[batch["drop_reason"].isna()]
    pictures = [] if tally.full else batch["image"].tolist()
    decoded = list(decode(pictures)) or [""] * len(batch)
    kept, rows = [], []
    for index, post_id, title, picture in zip(batch.index, batch["post_id"], batch["title"], decoded, strict=True):
        if post_id in tally.post_ids:
            tally.drop(post_id, "duplicate post_id")
        elif tally.full:
            tally.drop(post_id, "beyond the limit")
        elif isinstance(picture, str):
            tally.drop(post_id, "unreadable picture", picture)
        elif picture.pixel_hash in tally.pictures:
            tally.drop(post_id, "duplicate picture", f"same as {tally.pictures[picture.pixel_hash]}")
        else:
            tally.post_ids.add(post_id)
            tally.pictures[picture.pixel_hash] = post_id
            kept.append(index)
            rows.append({"post_id": post_id, **asdict(picture), **title_metadata("" if pd.isna(title) else title)})
    batch = batch.loc[kept]
    if table.schema.field("image").type == "string":
        batch["image"] = batch["image"].map(lambda path: Path(os.path.relpath(path, work)).as_posix())
    tally.keep(batch)
    table.append(batch)
    metadata.append(pd.DataFrame(rows, columns=METADATA_SCHEMA.names))


def _take_texts(raw: pd.DataFrame, taken: set[str], tally: Tally, table: TableWriter) -> None:
    """Clean one batch of text-only posts and write what is kept; `taken` are the posts with pictures."""
    batch = clean(raw.drop(columns="image", errors="ignore"), first_row=tally.read + 1)
    tally.read += len(batch)
    kept = []
    columns = (batch[name] for name in ("post_id", "title", "drop_reason", "drop_detail"))
    for index, post_id, title, reason, detail in zip(batch.index, *columns, strict=True):
        if not pd.isna(reason):
            tally.drop(post_id, reason, detail)
        elif pd.isna(title):
            tally.drop(post_id, "missing title")
        elif post_id in taken or post_id in tally.post_ids:
            tally.drop(post_id, "duplicate post_id")
        elif tally.full:
            tally.drop(post_id, "beyond the limit")
        else:
            tally.post_ids.add(post_id)
            kept.append(index)
    tally.keep(batch.loc[kept])
    table.append(batch.loc[kept])


def fingerprint(tables: Iterable[Path], folders: Iterable[Path], pictures: Iterable[str] = ()) -> str:
    """SHA-256 of a source: names and contents of its tables, names and sizes of its picture files, and the hashes of
    `pictures` that are in none of its tables."""
    digest = hashlib.sha256()
    for path in tables:
        digest.update(f"{path.name} {file_digest(path)}\n".encode())
    for folder in folders:
        with os.scandir(folder) as entries:
            sizes = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())
        for name, size in sizes:
            digest.update(f"{folder.name}/{name} {size}\n".encode("utf-8", "surrogateescape"))
    for pixel_hash in pictures:
        digest.update(f"{pixel_hash}\n".encode())
    return digest.hexdigest()


def _made_from(work: Path) -> tuple[str, str, int | None] | None:
    """Dataset, fingerprint and limit of what was prepared here last; None for nothing, or nothing whole."""
    try:
        info = json.loads((work / INFO).read_text(encoding="utf-8"))
        return info["name"], info["fingerprint"], info["limit"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _reasons(tally: Tally) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in tally.summary()["dropped"].items())


def _report(dataset: Dataset, source: Path, work: Path, posts: Tally, texts: Tally, info: dict[str, Any]) -> None:
    print(f"{dataset.description}, {source} → {work}: {info['seconds']:.0f} s")
    for name, tally in (("posts", posts), ("texts", texts)):
        if tally.read:
            line = f"  {name}: read {tally.read:,}, wrote {len(tally.post_ids):,}, dropped {len(tally.dropped):,}"
            print(f"{line} ({_reasons(tally)})" if tally.dropped else line)
            for reason, detail in tally.first_details().items():
                print(f"    {reason}, the first: {detail}")
    if posts.dropped or texts.dropped:
        print(f"  each that was dropped, with its reason: {work / 'cleaning.parquet'}")
    if found := info["pictures"]:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in found["dropped"].items()) or "none"
        print(f"  further pictures: read {found['read']:,}, wrote {found['written']:,}, dropped {dropped}")
    if info["absent_counts"]:
        print(f"  counts never given: {', '.join(info['absent_counts'])}")
    written = len(posts.post_ids) + len(texts.post_ids)
    for name, known in (posts.counts + texts.counts).items() if dataset.score_formula is None else ():
        if name in SCORE_WEIGHTS and known < written:
            print(f"  {written - known:,} of {written:,} lack {name}, which add nothing to their score")
    for remark in dataset.remarks(source):
        print(f"  {remark}")
    if not posts.grouped and not texts.grouped:
        print("  no post says its group, so related posts can only be told by their titles and pictures")
    if swapped := posts.more_likes_than_views + texts.more_likes_than_views:
        verb = "s have" if swapped > 1 else " has"
        print(f"  {swapped:,} post{verb} more likes than views: are the columns swapped?")
    if future := posts.future + texts.future:
        print(f"  {future:,} post{'s are' if future > 1 else ' is'} of the future")
