"""Scoring of a whole file of posts: one prediction, or one sentence saying why not, for every row, in order.

Pictures are decoded by a few threads while the posts before them are predicted; only two batches are in memory.
`python -m engine score` is the command line of it.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from engine.batch.rows import Row, count_rows, read_rows
from engine.batch.table import check_target, make_record, open_table
from engine.errors import PostError
from engine.images import load_image
from engine.posts import Post
from engine.prediction import Prediction

EMPTY_POST = "Give the post a picture, a title, or both."


class Scorer(Protocol):
    """What is asked of a predictor; `engine.predictor.Predictor` is one."""

    def predict(self, posts: list[Post]) -> Sequence[Prediction]:
        """One prediction a post, in order. Raises PostError when one of them cannot be predicted."""
        ...


@dataclass(frozen=True)
class Summary:
    """Number of rows with a prediction, and of rows with an error instead."""

    scored: int
    failed: int

    def __str__(self) -> str:
        return f"{self.scored:,} scored, {self.failed:,} with errors"


@dataclass(frozen=True)
class Draft:
    """A row ready to be predicted: its post, or the `error` that kept it from becoming one."""

    post_id: str
    post: Post | None = None
    error: str = ""


def check_files(source: str | Path, target: str | Path) -> None:
    """Raises DataError when `source` cannot be read or `target` not be written; needs no predictor, so ask it first."""
    rows = read_rows(Path(source))
    check_target(Path(source), Path(target))
    next(rows, None)


def score_file(
    predictor: Scorer,
    source: str | Path,
    target: str | Path,
    *,
    batch_size: int = 32,
    images_root: str | Path | None = None,
    progress: bool = False,
) -> Summary:
    """Write to `target` (.parquet or .csv) the prediction of every row of `source` (.csv, .jsonl, .ndjson, .parquet).

    Relative picture paths start at `images_root`, by default the folder of `source`. A row that cannot be predicted
    gets its `error` and does not stop the others. `target` appears only when it is complete. `progress` shows a bar
    on stderr. Raises DataError when a file as a whole is of no use.
    """
    source, target = Path(source), Path(target)
    root = Path(images_root) if images_root is not None else source.parent
    rows = read_rows(source, batch_size)
    check_target(source, target)
    scored = failed = 0
    with (
        open_table(target) as write,
        closing(_prepare_ahead(rows, batch_size, root)) as batches,
        tqdm(total=count_rows(source), unit=" posts", disable=not progress, mininterval=0.5) as bar,
    ):
        for drafts in batches:
            outcomes = _outcomes(predictor, drafts)
            write([make_record(draft.post_id, outcome) for draft, outcome in zip(drafts, outcomes, strict=True)])
            errors = sum(isinstance(outcome, str) for outcome in outcomes)
            failed += errors
            scored += len(outcomes) - errors
            bar.update(len(outcomes))
    return Summary(scored, failed)


def _prepare_ahead(rows: Iterable[Row], batch_size: int, root: Path) -> Generator[list[Draft], None, None]:
    """Batches of drafts in order; while one is in use, the pictures of the next are being decoded."""
    rows = iter(rows)
    pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="pictures")
    pending: deque[list[Future[Draft]]] = deque()
    try:
        while batch := list(islice(rows, batch_size)):
            pending.append([pool.submit(_prepare, row, root) for row in batch])
            if len(pending) == 2:
                yield [future.result() for future in pending.popleft()]
        while pending:
            yield [future.result() for future in pending.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(row: Row, root: Path) -> Draft:
    if row.error:
        return Draft(row.post_id, error=row.error)
    if not row.title and row.image is None:
        return Draft(row.post_id, error=EMPTY_POST)
    try:
        image = None if row.image is None else load_image(row.image, root)
        post = Post(row.title, image, row.tags, row.description, row.post_id)
    except PostError as error:
        return Draft(row.post_id, error=str(error))
    return Draft(row.post_id, post)


def _outcomes(predictor: Scorer, drafts: Sequence[Draft]) -> list[Prediction | str]:
    """For every draft its prediction or its error."""
    predictions = iter(_predict(predictor, [draft.post for draft in drafts if draft.post is not None]))
    return [draft.error if draft.post is None else next(predictions) for draft in drafts]


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
