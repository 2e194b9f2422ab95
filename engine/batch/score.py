"""Scoring of a whole file of posts: one prediction, or one sentence saying why not, for every row, in order.

A few workers share the cores; each decodes and predicts a batch of its own, so that nobody waits for anybody, and one
batch more than there are workers is in memory. `engine.batch.ray_data` has other machines do it. `python -m engine
score` is the command line of it.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from PIL import Image
from tqdm import tqdm

from engine import threads
from engine.addresses import Location, located
from engine.batch.rows import Row, count_rows, read_rows
from engine.batch.table import SCHEMA, Record, check_target, make_record, open_table, writable
from engine.errors import DataError, ImageError, PostError
from engine.images import load_image
from engine.posts import EMPTY_POST, Post
from engine.prediction import Prediction


class Scorer(Protocol):
    """What is asked of a predictor; `engine.predictor.Predictor` is one."""

    @property
    def context(self) -> Collection[str]:
        """Names of what it reads of a post besides picture and words."""
        ...

    def predict(self, posts: list[Post]) -> Sequence[Prediction]:
        """One prediction a post, in order; called by several threads. Raises PostError when one cannot be predicted."""
        ...


# What makes records of a batch of rows, what gives all batches, and what makes records of one that failed, and why.
Makes = Callable[[list[Row]], list[Record]]
Reads = Callable[[], Iterable[list[Row]]]
Fails = Callable[[list[Row], str], list[Record]]


class Engine(Protocol):
    """Where batches are computed: in this process, or on a cluster."""

    def __call__(self, records_of: Makes, read: Reads, failed: Fails) -> Generator[list[Record], None, None]:
        """Records of the batches that `read` gives, in order; `failed` makes those of one that cannot be computed."""
        ...


@dataclass(frozen=True)
class Summary:
    """Number of rows with a prediction (or features), and of rows with an error instead."""

    scored: int
    failed: int

    def __str__(self) -> str:
        return f"{self.scored:,} scored, {self.failed:,} with errors"


def check_files(source: str | Location, target: str | Location, images_root: str | Location | None = None) -> None:
    """Raises DataError when `source` cannot be read, `target` not be written, or there is no folder `images_root`.

    It needs no predictor, so ask it first.
    """
    rows = read_rows(located(source))
    check_target(located(source), located(target))
    root_of(source, images_root)
    next(rows, None)


def here(records_of: Makes, read: Reads, failed: Fails) -> Generator[list[Record], None, None]:
    """The engine that uses this process's cores. What fails is a fault of the code, and ends the work."""
    return threads.in_order(records_of, read())


def score_file(
    predictor: Scorer,
    source: str | Location,
    target: str | Location,
    *,
    batch_size: int = 32,
    images_root: str | Location | None = None,
    progress: bool = False,
    engine: Engine = here,
) -> Summary:
    """Write to `target` (.parquet or .csv) the prediction of every row of `source` (.csv, .jsonl, .ndjson, .parquet).

    Both may be addresses. Relative picture paths start at `images_root`, by default the folder of `source`; a picture
    at an address is fetched only where it lies below that. A row that cannot be predicted gets its `error` and does not
    stop the others. `target` appears only when it is complete. `progress` shows a bar on stderr. Raises DataError when
    a file as a whole is of no use.
    """
    make = partial(_records, predictor, root_of(source, images_root))
    return map_file(make, source, target, SCHEMA, batch_size, progress=progress, engine=engine)


def root_of(source: str | Location, images_root: str | Location | None) -> Location:
    """Where paths of pictures start; absolute, for engines whose workers start elsewhere.

    Raises DataError where there is no folder of that name; one at an address is not asked for before its pictures.
    """
    if images_root is None:
        return located(source).parent.absolute()
    root = located(images_root)
    if isinstance(root, Path) and not root.is_dir():
        raise DataError(f"The folder of pictures {root} does not exist; check its name.")
    return root.absolute()


def map_file(
    records_of: Makes,
    source: str | Location,
    target: str | Location,
    schema: pa.Schema,
    batch_size: int,
    *,
    progress: bool = False,
    written: Callable[[list[Record]], None] = lambda records: None,
    engine: Engine = here,
) -> Summary:
    """Write to `target` what a function makes of the rows of `source`, batches of them side by side, in order.

    A record whose `error` is set counts as failed; of a record those parts are written that `schema` names. `written`
    is told of every batch; what it raises ends the work, and there is no target. Raises DataError as `score_file` does.
    """
    source, target = located(source), located(target)
    # For what it raises.
    read_rows(source, batch_size)
    check_target(source, target)
    scored = failed = 0
    with (
        open_table(target, schema) as write,
        closing(engine(records_of, partial(_batches, source.absolute(), batch_size), _failed)) as batches,
        tqdm(total=count_rows(source), unit=" posts", disable=not progress, mininterval=0.5) as bar,
    ):
        for records in batches:
            write(records)
            errors = sum(record["error"] is not None for record in records)
            failed += errors
            scored += len(records) - errors
            bar.update(len(records))
            written(records)
    return Summary(scored, failed)


def _batches(source: Location, size: int) -> Iterator[list[Row]]:
    """Rows, `size` at a time."""
    rows = read_rows(source, size)
    while batch := list(islice(rows, size)):
        yield batch


def _failed(rows: list[Row], error: str) -> list[Record]:
    return [{"post_id": writable(row.post_id), "error": row.error or error} for row in rows]


def _records(predictor: Scorer, root: Location, rows: list[Row]) -> list[Record]:
    return score_drafts(predictor, rows, [prepare(row, root, predictor.context) for row in rows])


def score_drafts(predictor: Scorer, rows: Sequence[Row], drafts: Sequence[Post | str]) -> list[Record]:
    """For every row its prediction or its error; `drafts` are what `prepare` made of the rows."""
    predictions = iter(_predict(predictor, [draft for draft in drafts if isinstance(draft, Post)]))
    outcomes = [next(predictions) if isinstance(draft, Post) else draft for draft in drafts]
    return [make_record(row.post_id, outcome) for row, outcome in zip(rows, outcomes, strict=True)]


def prepare(row: Row, root: Location, context: Collection[str] = ()) -> Post | str:
    """The post of a row for a model that reads this context, or why there is none."""
    if row.error or (context and row.odd_context):
        return row.error or row.odd_context
    if not row.title and row.image is None:
        return EMPTY_POST
    try:
        image = None if row.image is None else _picture(row.image, root)
        return Post(row.title, image, row.tags, row.description, row.post_id, **(row.context if context else {}))
    except PostError as error:
        return str(error)


def _picture(image: bytes | str, root: Location) -> Image.Image:
    """The picture, of an address only where it lies below the root. Raises ImageError."""
    if isinstance(root, Path):
        return load_image(image, root)
    if isinstance(image, bytes):
        return load_image(image)
    try:
        with (root / image).open() as file:
            return load_image(file)
    except DataError as error:
        raise ImageError(f"The picture cannot be fetched: {error}") from error


def _predict(predictor: Scorer, posts: list[Post]) -> list[Prediction | str]:
    """Predictions of posts; where the batch is refused, each post alone, so that only the broken one has the error."""
    if not posts:
        return []
    try:
        predictions = list(predictor.predict(posts))
    except PostError as error:
        return [str(error)] if len(posts) == 1 else [_predict(predictor, [post])[0] for post in posts]
    if len(predictions) != len(posts):
        raise RuntimeError(f"the predictor answered {len(predictions)} times to {len(posts)} posts")
    return list(predictions)
