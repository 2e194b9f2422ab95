"""Many posts at once: a table and a zip of its pictures in, every row's answer out, as a table here and as CSV.

Both files are read where they arrived and deleted when they are scored; the answers are in the page alone.
"""

import base64
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from html import escape
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, cast

import gradio as gr

from engine.errors import DataError, PostError
from engine.memory import released
from engine.posts import Post
from engine.previews import data_url
from engine.scoring import LEVELS
from ui.bars import percent, vote_bars
from ui.chooser import Models
from ui.model import sentence
from ui.scale import Scale, scale_of
from ui.uploads import GONE, UPLOADS, as_it_arrived
from ui.verdict import error_panel

if TYPE_CHECKING:
    from engine.batch.archive import Archive
    from engine.batch.rows import Row
    from engine.batch.table import Record
    from engine.predictor import Predictor

MAX_ROWS = 2000
# Rows that a worker takes at a time: few, so that the bar moves and other visitors get their turn.
BATCH = 16
# Rows shown on the page, the best first; the CSV has all of them.
SHOWN = 100
THUMBNAIL = (96, 60)
POLL, DESERTED = 0.3, 20.0
HELP = (
    f"A CSV with a column title, image, or both; its first line names them. The zip holds the pictures that the column "
    f"image names. At most {MAX_ROWS:,} rows, and 20 MB a file: pictures of 640 pixels are as good as larger ones. "
    "Both files are deleted once they are scored."
)
NO_TABLE = "There is no table yet: choose a CSV with a column title, image, or both."
TOO_MANY = f"The table has more than {MAX_ROWS:,} rows; split it."
WAITING = '<section class="fi-card fi-quiet" aria-busy="true"><p>Waiting for a turn …</p></section>'
STOPPED = '<section class="fi-card fi-quiet"><p>Stopped; nothing of it is kept. Choose the files again.</p></section>'


class StoppedError(Exception):
    """Nobody waits for the answers any more."""


class Batch:
    """Scores the table of one visitor after the other."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._stops: dict[str | None, threading.Event] = {}

    def begin(self, request: gr.Request) -> str:
        """What is shown until it is the visitor's turn. Work that is under way is still what `stop` ends."""
        stop = self._stops.get(request.session_hash)
        if stop is None or stop.is_set():
            self._stops[request.session_hash] = threading.Event()
        return WAITING

    def stop(self, request: gr.Request) -> None:
        """End the visitor's work, with the rows that are under way, or before it began."""
        if request.session_hash in self._stops:
            self._stops[request.session_hash].set()

    def run(
        self, table: str | None, pictures: str | None, model: str | None, request: gr.Request
    ) -> Iterator[tuple[Any, Any, Any]]:
        """HTML of how far it is, then of the answers, and what becomes of both fields of files, which end up empty."""
        kept = (gr.skip(), gr.skip())
        stop = self._stops.setdefault(request.session_hash, threading.Event())
        try:
            if table is None:
                raise PostError(NO_TABLE)
            predictor = self._models.get(model)
            job = Job(predictor, table, pictures, stop)
            try:
                for done, total in job.progress():
                    yield progress(done, total), *kept
            finally:
                stop.set()
            yield answers(job.records, scale_of(predictor.bundle), job.csv), None, None
        except StoppedError:
            yield STOPPED, None, None
        except DataError as error:
            # Of the visitor's own file and of the answers to it, whose names here are ours.
            told = (
                str(error)
                .replace(str(_answers_to(str(table))), "The table of answers")
                .replace(str(table), "The table")
            )
            yield error_panel(told, "Nothing is scored"), None, None
        except Exception as error:
            yield error_panel(sentence(error), "Nothing is scored"), *kept
        finally:
            if self._stops.get(request.session_hash) is stop:
                del self._stops[request.session_hash]


def _answers_to(table: str) -> Path:
    """Where the answers to a table are written."""
    return Path(table).with_name(f"{Path(table).stem}-scored.csv")


class Job:
    """One table being scored in a thread of its own; both files are gone when it ends, however it ends."""

    def __init__(self, predictor: "Predictor", table: str, pictures: str | None, stop: threading.Event) -> None:
        self.records: list[Record] = []
        self.csv = b""
        self._predictor, self._table, self._pictures = predictor, table, pictures
        self._told: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self._asked = time.monotonic()
        self._stop = stop
        self._ended: Future[None] = Future()
        threading.Thread(target=self._work, daemon=True, name="score-table").start()

    def progress(self) -> Iterator[tuple[int, int]]:
        """Rows done and rows in all, whenever that changes, until all are done. Raises what went wrong."""
        while not (self._ended.done() and self._told.empty()):
            self._asked = time.monotonic()
            try:
                last = self._told.get(timeout=POLL)
                while not self._told.empty():
                    last = self._told.get()
                yield last
            except Empty:
                continue
        self._ended.result()

    def _work(self) -> None:
        from engine.batch.archive import Archive

        target = _answers_to(self._table)
        archive: Archive | None = None
        try:
            given = [path for path in (self._table, self._pictures) if path]
            for path in given:
                UPLOADS.wait(path)
                if not UPLOADS.holds(path):
                    raise PostError(GONE.replace("picture", "file"))
            archive = Archive(Path(self._pictures) if self._pictures else None)
            with released():
                self._score(archive, target)
            self.csv = target.read_bytes()
            self._ended.set_result(None)
        except Exception as error:
            # Whatever it is must reach the waiting visitor as a sentence, not die in this thread.
            self._ended.set_exception(error)
        finally:
            if archive is not None:
                archive.close()
            target.unlink(missing_ok=True)
            for dropped in (self._table, self._pictures):
                UPLOADS.drop(dropped)

    def _score(self, archive: "Archive", target: Path) -> None:
        from engine.batch.rows import read_rows
        from engine.batch.score import map_file, prepare, score_drafts
        from engine.batch.table import SCHEMA

        source = Path(self._table)
        total = 0
        for total, _ in enumerate(read_rows(source), start=1):
            if total > MAX_ROWS:
                raise DataError(TOO_MANY)
            self._go_on()
        if not total:
            raise DataError(f"{source} has no rows; write one post a line below the columns' names.")
        self._told.put((0, total))
        self._go_on()

        def records_of(rows: "list[Row]") -> "list[Record]":
            filled = [archive.filled(row) for row in rows]
            # Every picture is bytes by now: no name in a table is a path here.
            drafts = [prepare(row, source.parent) for row in filled]
            records = score_drafts(self._predictor, filled, drafts)
            return [record | shown(draft, row) for record, draft, row in zip(records, drafts, rows, strict=True)]

        def written(records: "list[Record]") -> None:
            self.records += records
            self._told.put((len(self.records), total))
            self._go_on()

        map_file(records_of, source, target, SCHEMA, BATCH, written=written)

    def _go_on(self) -> None:
        if self._stop.is_set() or time.monotonic() - self._asked > DESERTED:
            raise StoppedError


def shown(draft: Post | str, row: "Row") -> dict[str, object]:
    """What the page shows of a row beside its answer: its title, and its picture as a data URL."""
    if isinstance(draft, str):
        return {"title": row.title, "picture": ""}
    if draft.image is None:
        return {"title": draft.title, "picture": ""}
    small = draft.image.copy()
    small.thumbnail(THUMBNAIL)
    return {"title": draft.title, "picture": data_url(small, "WEBP")}


def progress(done: int, total: int) -> str:
    """HTML of how far it is."""
    return (
        f'<section class="fi-card fi-quiet" aria-busy="true"><p><progress max="{max(total, 1)}" value="{done}" '
        f'aria-label="Rows scored"></progress> {done:,} of {total:,} rows</p></section>'
    )


def answers(records: "list[Record]", scale: Scale, csv: bytes) -> str:
    """HTML of the rows, the highest expected level first, then those without a verdict, then errors; the CSV of all."""
    numbered = list(enumerate(records, start=1))
    failed = [(number, record) for number, record in numbered if record["error"] is not None]
    scored = [(number, record) for number, record in numbered if record["error"] is None]
    scored.sort(key=lambda pair: (_withheld(pair[1]), -cast(float, pair[1]["expected_level"])))
    withheld = sum(_withheld(record) for _, record in scored)
    # Some of what went wrong is seen however many rows there are.
    told = failed[: SHOWN // 5]
    best = scored[: SHOWN - len(told)]
    rows = "".join(_row(number, record, scale) for number, record in best) + "".join(
        _error(number, record) for number, record in told
    )
    errors = f", {withheld:,} without a verdict" if withheld else ""
    errors += f", {len(failed):,} with errors" if failed else ""
    more = "" if len(best) + len(told) == len(records) else f" Shown are {len(best) + len(told)} of them."
    address = f"data:text/csv;charset=utf-8;base64,{base64.b64encode(csv).decode('ascii')}"
    return (
        '<section class="fi-card fi-batch"><h3>How these posts would do</h3>'
        f"<p>{len(scored) - withheld:,} scored{errors}, the best first.{more} "
        f'<a download="predictions.csv" href="{address}">Download all as CSV</a></p>'
        '<div class="fi-scroll" tabindex="0"><table><thead><tr><th scope="col">Row</th><th scope="col">Post</th>'
        '<th scope="col">Level</th><th scope="col">Levels</th>'
        f'<th scope="col">{scale.unit.capitalize()}</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _post(number: int, record: "Mapping[str, object]") -> str:
    picture = record.get("picture")
    image = f'<img alt="" src="{picture}">' if picture else ""
    identity = str(record["post_id"])
    # What stands in for a missing id is the row's number, which is there already.
    name = "" if identity == str(number) else f"<small>{escape(identity)}</small>"
    title = escape(str(record.get("title") or "")) or "<em>no title</em>"
    return f'<td>{number}</td><td><span class="fi-row">{image}<span>{title}{name}</span></span></td>'


def _row(number: int, record: "Mapping[str, object]", scale: Scale) -> str:
    from engine.batch.table import PROBABILITIES

    if _withheld(record):
        return f'<tr>{_post(number, record)}<td colspan="3">{escape(str(record["reason"]))}</td></tr>'
    shares = [cast(float, record[name]) for name in PROBABILITIES]
    reason = f"<small>{escape(str(record['reason']))}</small>" if record["reason"] else ""
    level = str(record["level"])
    sure = f"<small>{escape(percent(shares[LEVELS.index(level)]))}</small>"
    score, low, high = (scale.number(cast(float, record[name])) for name in ("score", "score_low", "score_high"))
    return (
        f"<tr>{_post(number, record)}<td>{'Hard to call' if record['abstain'] else level}{reason or sure}</td>"
        f"<td>{vote_bars(shares)}</td><td>{score}<small>{low} to {high}</small></td></tr>"
    )


def _withheld(record: "Mapping[str, object]") -> bool:
    """Whether the model says of a row no more than what is usual."""
    from engine.guard import REASONS

    return record["reason"] in REASONS.values()


def _error(number: int, record: "Mapping[str, object]") -> str:
    post = _post(number, {**record, "title": record.get("title") or "not scored"})
    return f'<tr>{post}<td colspan="3">{escape(str(record["error"]))}</td></tr>'


def batch_panel(models: Models, model: gr.Dropdown, hidden: Mapping[str, Any]) -> None:
    """The folded panel below the page, with its events."""
    batch = Batch(models)
    with gr.Accordion("Score a whole list of posts", open=False, elem_id="batch"):
        gr.HTML(f'<p class="fi-small">{HELP}</p>')
        with gr.Row():
            table, pictures = (
                as_it_arrived(gr.File(label=label, file_types=[ending], height=130, elem_id=name))
                for label, ending, name in (("Table", ".csv", "table"), ("Pictures", ".zip", "zip"))
            )
        with gr.Row(elem_classes="fi-actions"):
            score = gr.Button("Score the list", variant="primary", scale=3, elem_id="score")
            stop = gr.Button("Stop", variant="secondary", scale=1, min_width=110)
        results = gr.HTML("", elem_id="results")
    begun = score.click(batch.begin, None, results, queue=False, **hidden)
    begun.then(
        batch.run,
        [table, pictures, model],
        [results, table, pictures],
        show_progress="hidden",
        concurrency_limit=1,
        concurrency_id="batch",
        **hidden,
    )
    # Gradio's own way to cancel would show an error where the results belong.
    stop.click(batch.stop, None, None, queue=False, **hidden)
