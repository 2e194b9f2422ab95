"""A table and a zip of pictures on the page: every row answered, hostile ones too, and nothing of them kept."""

import base64
import csv
import errno
import io
import re
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from engine.batch import archive as archives
from engine.batch.archive import BROKEN, LOCKED, UNKNOWN, Archive
from engine.batch.rows import Row
from engine.errors import DataError, ImageError
from engine.guard import REASONS
from engine.images import MAX_BYTES, TOO_LARGE
from tests.page_predictor import STRANGE, PagePredictor
from tests.pictures import png
from ui import batch as page
from ui.batch import Batch, Job
from ui.batch_table import SHOWN
from ui.chooser import Models
from ui.model import Model
from ui.uploads import PICTURE, UPLOADS

HOSTILE = "=HYPERLINK(1) <script>alert(1)</script>"


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name.replace("__", "/"), data)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def kept(data: bytes, ending: str) -> str:
    path, ready = UPLOADS.keep_whole(data, ending)
    ready.result()
    return path


VISITOR: Any = SimpleNamespace(session_hash="one")
ANOTHER: Any = SimpleNamespace(session_hash="two")


def batch() -> Batch:
    return Batch(Models(Model(PagePredictor), []))  # type: ignore[arg-type]


def run(text: str | bytes, pictures: bytes | None = None) -> list[tuple[Any, ...]]:
    given = kept(text.encode() if isinstance(text, str) else text, ".csv"), kept(pictures, ".zip") if pictures else None
    return list(batch().run(*given, "", VISITOR))


def downloaded(html: str) -> list[dict[str, str]]:
    [encoded] = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', html)
    return list(csv.DictReader(io.StringIO(base64.b64decode(encoded).decode())))


def test_every_row_is_answered_and_nothing_is_kept(folder: Path) -> None:
    zip_file = zipped(folder / "given.zip", covers__One__PNG=b"", **{"covers__one.png": png(40)}).read_bytes()
    (folder / "given.zip").unlink()
    text = f"post_id,title,image\n{HOSTILE},My cat never!,covers/one.png\nb,,ONE.PNG\nc,Quarterly results,\nd,,\n"
    *steps, (html, table, pictures) = run(text, zip_file)
    assert table is None and pictures is None
    assert any("of 4 rows" in step[0] and "<progress" in step[0] for step in steps)
    rows = downloaded(html)
    assert [row["post_id"] for row in rows] == [f"'{HOSTILE}", "b", "c", "d"]
    assert all(row["level"] for row in rows[:3]) and "picture, a title" in rows[3]["error"]
    assert "<script>" not in html and "3 scored, 1 with errors" in html and html.count("data:image/webp") == 2
    assert html.index("My cat never!") < html.index("Quarterly results")
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.png", "..\\secret.png", "https://example.org/a.png", "secret.png"]
)
def test_no_name_in_a_table_is_a_path(folder: Path, name: str) -> None:
    (folder.parent / "secret.png").write_bytes(png())
    (folder / "secret.png").write_bytes(png())
    [row] = downloaded(run(f"image\n{name}\n", zipped(folder / "a.zip", a=png()).read_bytes())[-1][0])
    assert row["error"] == UNKNOWN
    [row] = downloaded(run(f"image\n{name}\n")[-1][0])
    assert "no zip of pictures came" in row["error"]


def test_hostile_zips_cost_their_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(folder / "a.zip", bomb=bytes(MAX_BYTES + 1), good=png(), torn=png(64, 64))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        torn, good = file.getinfo("torn"), file.getinfo("good")
    assert path.stat().st_size < 100_000
    data[torn.header_offset + 40 : torn.header_offset + 60] = bytes(20)
    path.write_bytes(data)
    archive = Archive(path)
    assert archive.read("GOOD") == archive.read("./good") == png() and good.file_size
    for name, told in (("bomb", TOO_LARGE), ("torn", BROKEN), ("none", UNKNOWN)):
        with pytest.raises(ImageError, match=re.escape(told)):
            archive.read(name)
    archive._files["good"].flag_bits |= archives.ENCRYPTED
    with pytest.raises(ImageError, match=re.escape(LOCKED)):
        archive.read("good")
    monkeypatch.setattr(archives, "MAX_ENTRIES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        Archive(path)
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match="no zip that can be read"):
        Archive(path)


def test_a_damaged_picture_costs_its_row_however_it_was_packed(folder: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = folder / "a.zip"
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr("torn", png(64, 64))
            file.writestr("good", png())
            start = file.getinfo("torn").header_offset + 40
        data = bytearray(path.read_bytes())
        data[start : start + 20] = b"\xff" * 20
        path.write_bytes(data)
        archive = Archive(path)
        with pytest.raises(ImageError, match=re.escape(BROKEN)):
            archive.read("torn")
        assert archive.read("good") == png()


def test_a_name_that_two_files_have_needs_its_folder(folder: Path) -> None:
    archive = Archive(zipped(folder / "a.zip", x__a=b"1", y__a=b"2", y__b=b"3"))
    assert archive.read("x/a") == b"1" and archive.read("Y/A") == b"2" and archive.read("b") == b"3"
    with pytest.raises(ImageError):
        archive.read("a")
    row = Row("1", title="t", image=b"bytes already")
    assert archive.filled(row) is row and archive.filled(Row("1", image="none")).error == UNKNOWN


def test_a_file_without_a_name_is_left_where_it_is(folder: Path) -> None:
    path = zipped(folder / "a.zip", a=b"1", b=b"2")
    data = bytearray(path.read_bytes())
    # In the list at the end, behind 46 bytes of other facts.
    data[data.index(b"PK\1\2") + 46] = 0
    path.write_bytes(data)
    assert Archive(path).read("b") == b"2"


def unsaid(path: Path, data: bytes) -> Path:
    """A zip of one file, which does not say that its name is in UTF-8: for that stands a bit in both its headers."""
    changed = bytearray(data)
    changed[changed.index(b"PK\3\4") + 7] ^= 8
    changed[changed.index(b"PK\1\2") + 9] ^= 8
    path.write_bytes(changed)
    return path


def test_accents_are_found_as_a_mac_writes_them(folder: Path) -> None:
    """As characters of their own, and in UTF-8 without saying so; and those of an old Windows all the same."""
    apart = zipped(folder / "a.zip", **{"cafe\u0301.png": b"1"})
    together = zipped(folder / "b.zip", **{"caf\u00e9.png": b"1"}).read_bytes()
    old = together.replace("\u00e9".encode(), "\u00e9_".encode("cp437"))
    for path in (apart, unsaid(folder / "c.zip", apart.read_bytes()), unsaid(folder / "d.zip", together)):
        assert Archive(path).read("Caf\u00e9.png") == b"1"
    assert Archive(unsaid(folder / "e.zip", old)).read("caf\u00e9_.png") == b"1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("views\n1\n", "The table has no column named title or image"),
        ("title\n" + "a\n" * 6, "more than 4 rows"),
        ("Title,Image\n", "The table has no rows"),
        ("title,Title\na,b\n", "The table has more than one column named title"),
        ("Título,Imagen\na,b\n".encode("cp1252"), "save the table as UTF-8"),
    ],
)
def test_a_table_of_no_use_gets_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes, told: str
) -> None:
    monkeypatch.setattr(page, "TOO_MANY", "The table has more than 4 rows; split it.")
    monkeypatch.setattr(page, "MAX_ROWS", 4)
    *_, (html, table, pictures) = run(text)
    assert told in html and str(folder) not in html and (table, pictures) == (None, None)
    assert not list(folder.iterdir())


def test_a_zip_that_no_row_names_a_picture_of_is_not_left_out_in_silence(folder: Path) -> None:
    zip_file = zipped(folder / "a.zip", a=png()).read_bytes()
    (folder / "a.zip").unlink()
    assert page.UNNAMED in run("title,cover\nMy cat,a\n", zip_file)[-1][0]
    assert "data:image/webp" in run("Title,Picture\nMy cat,a\n", zip_file)[-1][0]
    assert not list(folder.iterdir())


def test_without_a_table_there_is_nothing_to_score() -> None:
    [(html, *_)] = batch().run(None, None, "", VISITOR)
    assert "There is no table yet" in html
    *_, (html, *_) = batch().run("/etc/passwd", None, "", VISITOR)
    assert "The file is not among the uploads on this server" in html


class Slow(PagePredictor):
    def predict(self, posts: Any) -> Any:
        time.sleep(0.05)
        return super().predict(posts)


def test_who_stops_ends_their_own_work(folder: Path) -> None:
    text = ("title\n" + "My cat\n" * 600).encode()
    asked = Batch(Models(Model(Slow), []))  # type: ignore[arg-type]
    assert "Waiting for a turn" in asked.begin(VISITOR)
    steps = asked.run(kept(text, ".csv"), None, "", VISITOR)
    assert "of 600 rows" in next(steps)[0]
    asked.stop(ANOTHER)
    assert "of 600 rows" in next(steps)[0]
    # Who presses once more meanwhile begins nothing, and can still stop it.
    asked.begin(VISITOR)
    asked.stop(VISITOR)
    assert list(steps)[-1] == (page.STOPPED, None, None)
    # Also while rows are counted; also before it began; and what was stopped once may be begun again.
    stop = threading.Event()
    stop.set()
    with pytest.raises(page.StoppedError):
        Job(Slow(), kept(text, ".csv"), None, stop)._ended.result(timeout=60)  # type: ignore[arg-type]
    asked.begin(VISITOR)
    asked.stop(VISITOR)
    assert list(asked.run(kept(text, ".csv"), None, "", VISITOR))[-1] == (page.STOPPED, None, None)
    asked.begin(VISITOR)
    assert "1 scored" in list(asked.run(kept(b"title\nMy cat\n", ".csv"), None, "", VISITOR))[-1][0]
    assert not asked._stops
    gone(folder)


def test_no_folder_is_named_where_answers_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("engine.batch.table.CsvWriter.write", full)
    asked = Batch(Models(Model(PagePredictor), []))  # type: ignore[arg-type]
    told = list(asked.run(kept(b"title\nMy cat\n", ".csv"), None, "", VISITOR))[-1][0]
    assert "The table of answers cannot be written" in told and str(folder) not in told
    gone(folder)


def test_who_leaves_ends_the_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = ("title\n" + "My cat\n" * 600).encode()
    steps = Batch(Models(Model(Slow), [])).run(kept(text, ".csv"), None, "", VISITOR)  # type: ignore[arg-type]
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    gone(folder)
    monkeypatch.setattr(page, "DESERTED", 0.1)
    job = Job(Slow(), kept(text, ".csv"), None, threading.Event())  # type: ignore[arg-type]
    with pytest.raises(page.StoppedError):
        job._ended.result(timeout=60)
    assert len(job.records) < 600 and not job.csv
    gone(folder)


def gone(folder: Path) -> None:
    """Wait until no file is left."""
    deadline = time.monotonic() + 60
    while list(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(folder.iterdir())


def test_rows_without_a_verdict_stand_last_and_say_no_figure() -> None:
    text = f"Title,tags,image\n{STRANGE},a,\nMy cat,b,\nnever,c,\ntoo many,{'|'.join(['t'] * 101)},\n"
    *_, (html, *_) = run(text)
    assert "2 scored, 1 without a verdict, 1 with errors" in html
    rows = re.findall("<tr><td>.*?</tr>", html)
    assert [row[8] for row in rows][2:] == ["1", "4"]
    # The number is there already.
    assert "row 4" not in html and [row["post_id"] for row in downloaded(html)][3] == "row 4"
    assert REASONS["text"] in rows[2] and "vote" not in rows[2] and "too many" in rows[3]
    # In the file they are flagged.
    assert downloaded(html)[0]["abstain"] == "true"


def test_many_rows_are_shown_in_part() -> None:
    *_, (html, *_) = run("title\n" + "".join(f"My cat {number}\n" for number in range(130)))
    assert html.count("<tr>") == SHOWN + 1 and "Shown are 100 of them." in html
    assert len(downloaded(html)) == 130


def test_a_list_is_gone_once_it_is_replaced_taken_away_or_its_visitor_has_left(folder: Path) -> None:
    with gr.Blocks() as demo:
        page.batch_panel(Models(Model(PagePredictor), []), gr.Dropdown(), {})  # type: ignore[arg-type]
    [table] = [number for number, block in demo.blocks.items() if getattr(block, "elem_id", None) == "table"]
    table_events = {event: fn.fn for fn in demo.fns.values() for block, event in fn.targets if block == table}
    paths = [kept(b"title\nMy cat\n", ".csv") for _ in range(2)] + [kept(b"PK", ".zip"), kept(b"PK", ".csv")]
    first, second, pictures, others = map(Path, paths)
    table_events["upload"](str(others), ANOTHER)
    for path in (first, pictures, second):
        table_events["upload"](str(path), VISITOR)
    UPLOADS.expire(str(second))
    assert not first.exists() and second.exists() and pictures.exists()
    UPLOADS.forgetting(PICTURE)(VISITOR)
    table_events["clear"](VISITOR)
    assert not second.exists() and pictures.exists()
    UPLOADS.forget(VISITOR)
    assert not pictures.exists() and others.exists()
    UPLOADS.forget(ANOTHER)
    assert not others.exists()
