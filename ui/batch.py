"""Many posts at once: a table and a zip of its pictures in, every row's answer out, as a table here and as CSV.

Both files are read where they arrived and deleted when they are scored; the answers are in the page alone.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.errors import DataError, PostError
from engine.memory import released
from ui.batch_table import answers, progress, shown
from ui.chooser import Models
from ui.model import sentence
from ui.scale import scale_of
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
POLL, DESERTED = 0.3, 20.0
HELP = (
    f"A CSV with a column title, image, or both; its first line names them. The zip holds the pictures that the column "
    f"image names. At most {MAX_ROWS:,} rows, and 20 MB a file: pictures of 640 pixels are as good as larger ones. "
    "Both files are deleted once they are scored."
)
NO_TABLE = "There is no table yet: choose a CSV with a column title, image, or both."
UNNAMED = "No row of the table names a picture of the zip; name the column of their names image, or leave the zip out."
TOO_MANY = f"The table has more than {MAX_ROWS:,} rows; split it."
WAITING = '<section class="fi-card fi-quiet" aria-busy="true"><p>Waiting for a turn …</p></section>'
# What is heard of it: that it has ended, and how; not every row on the way. An error is heard by itself.
TOLD = '<p class="fi-heard" role="status" id="scored"></p>'
ENDED = """() => {
  const end = document.querySelector('#results :is(.fi-batch, .fi-quiet)');
  document.querySelector('#scored').textContent = [...end?.querySelectorAll(':scope > :is(h2, h3, p)') ?? []]
    .map((part) => part.textContent).join('. ');
}"""
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
        failed: Exception | None = None
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
        except Exception as error:
            # Whatever it is must reach the waiting visitor as a sentence, not die in this thread.
            failed = error
        finally:
            if archive is not None:
                archive.close()
            target.unlink(missing_ok=True)
            for dropped in (self._table, self._pictures):
                UPLOADS.drop(dropped)
        # Not before all is deleted.
        if failed is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failed)

    def _score(self, archive: "Archive", target: Path) -> None:
        from engine.batch.rows import read_rows
        from engine.batch.score import map_file, prepare, score_drafts
        from engine.batch.table import SCHEMA

        source = Path(self._table)
        total, named = 0, False
        for total, row in enumerate(read_rows(source), start=1):
            named = named or row.image is not None
            if total > MAX_ROWS:
                raise DataError(TOO_MANY)
            self._go_on()
        if not total:
            raise DataError(f"{source} has no rows; write one post a line below the columns' names.")
        if self._pictures and not named:
            raise DataError(UNNAMED)
        self._told.put((0, total))
        self._go_on()

        def records_of(rows: "list[Row]") -> "list[Record]":
            filled = [archive.filled(row) for row in rows]
            # Every picture is bytes by now: no name in a table is a path here.
            drafts = [prepare(row, source.parent, self._predictor.context) for row in filled]
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


def batch_panel(models: Models, model: gr.Dropdown, hidden: Mapping[str, Any]) -> None:
    """The folded panel below the page, with its events."""
    batch = Batch(models)
    with gr.Accordion("Score a whole list of posts", open=False, elem_id="batch"):
        gr.HTML(f'<p class="fi-small">{HELP}</p>')
        with gr.Row():
            table, pictures = (
                list_field(label, ending, name, hidden)
                for label, ending, name in (("Table", ".csv", "table"), ("Pictures", ".zip", "zip"))
            )
        with gr.Row(elem_classes="fi-actions"):
            score = gr.Button("Score the list", variant="primary", scale=3, elem_id="score")
            stop = gr.Button("Stop", variant="secondary", scale=1, min_width=110)
        results = gr.HTML("", elem_id="results")
        gr.HTML(TOLD)
    begun = score.click(batch.begin, None, results, queue=False, **hidden)
    ended = begun.then(
        batch.run,
        [table, pictures, model],
        [results, table, pictures],
        show_progress="hidden",
        concurrency_limit=1,
        concurrency_id="batch",
        **hidden,
    )
    ended.then(None, js=ENDED)
    # Gradio's own way to cancel would show an error where the results belong.
    stop.click(batch.stop, None, None, queue=False, **hidden)


def list_field(label: str, ending: str, name: str, hidden: Mapping[str, Any]) -> gr.File:
    """A field of a file with this ending, which is deleted once it is taken away or its visitor has left."""
    field: Any = as_it_arrived(gr.File(label=label, file_types=[ending], height=130, elem_id=name))
    field.upload(UPLOADS.remember, field, None, queue=False, show_progress="hidden", **hidden)
    field.clear(UPLOADS.forgetting(ending), None, None, queue=False, **hidden)
    return field
