"""Batch scoring: every row has its answer or its error, in order, and the output is whole or absent."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.batch import rows as batch_rows
from engine.batch.rows import make_row, read_rows
from engine.batch.score import EMPTY_POST, Summary, score_file
from engine.batch.table import SCHEMA
from engine.errors import DataError
from engine.scoring import LEVELS
from tests.fake_predictor import REFUSED, FakePredictor

ROOT = Path(__file__).parents[2]
COLUMNS = [
    *("post_id", "level", "p_very_low", "p_low", "p_average", "p_high", "p_very_high"),
    *("expected_level", "score", "score_low", "score_high", "abstain", "error"),
]

# The command line with the fake predictor in place of the real one; a number after "slow" is its pause per batch.
COMMAND = """
import sys, time, types
from tests.fake_predictor import FakePredictor
class Predictor(FakePredictor):
    def predict(self, posts):
        time.sleep(float(PAUSE))
        return super().predict(posts)
module = types.ModuleType("engine.predictor")
module.Predictor = Predictor
sys.modules["engine.predictor"] = module
from engine.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def picture(width: int = 32, height: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 10, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def score(source: Path, target: Path | None = None, **options: object) -> list[dict[str, object]]:
    """Rows of the table that scoring `source` writes."""
    target = target or source.with_name("out.parquet")
    score_file(FakePredictor(), source, target, **options)
    assert [path.name for path in target.parent.glob(".*.part")] == []
    return read(target)


def read(target: Path) -> list[dict[str, object]]:
    if target.suffix == ".parquet":
        return pq.read_table(target).to_pylist()
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(path: Path, *texts: str | bytes) -> Path:
    path.write_bytes(b"".join((text if isinstance(text, bytes) else text.encode()) + b"\n" for text in texts))
    return path


def errors(table: list[dict[str, object]]) -> list[object]:
    return [row["error"] for row in table]


def run(*arguments: object, pause: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"PAUSE = {pause}\n{COMMAND}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# Formats


def test_all_formats_give_the_same_predictions(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(48))
    rows: list[dict[str, object]] = [
        {"post_id": "x1", "title": "four", "tags": ["a", "b"], "description": "d", "image": "a.png"},
        {"post_id": "x2", "title": "only a title", "tags": [], "description": "", "image": None},
        {"post_id": "x3", "title": None, "tags": None, "description": None, "image": "a.png"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    lines(tmp_path / "in.jsonl", *(json.dumps(row) for row in rows))
    lines(tmp_path / "in.ndjson", *(json.dumps(row) for row in rows))
    lines(tmp_path / "in.csv", "post_id,title,tags,description,image", "x1,four,a|b,d,a.png", "x2,only a title,,,")
    with (tmp_path / "in.csv").open("a") as file:
        file.write("x3,,,,a.png\n")
    expected = score(tmp_path / "in.parquet")
    assert [(row["post_id"], row["level"], row["score"]) for row in expected] == [
        ("x1", LEVELS[4], 48.0),
        ("x2", LEVELS[2], 0.0),
        ("x3", LEVELS[0], 48.0),
    ]
    assert [row["abstain"] for row in expected] == [False, True, False]
    assert all(sum(row[name] for name in COLUMNS[2:7]) == pytest.approx(1) for row in expected)
    for name in ("in.jsonl", "in.ndjson", "in.csv"):
        assert score(tmp_path / name) == expected


def test_output_columns_and_types(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", "hello", '""')
    score(source)
    assert pq.read_schema(tmp_path / "out.parquet").equals(SCHEMA) and SCHEMA.names == COLUMNS
    good, empty = score(source, tmp_path / "out.csv")
    assert list(good) == COLUMNS
    assert good["level"] == "Very Low" and good["abstain"] == "false" and good["error"] == ""
    assert float(good["p_very_low"]) == 0.6
    assert empty == dict.fromkeys(COLUMNS, "") | {"post_id": "2", "error": EMPTY_POST}


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_order_and_row_numbers_whatever_the_batch_size(tmp_path: Path, batch_size: int) -> None:
    texts = ["x" * (index % 7) for index in range(50)]
    table = score(lines(tmp_path / "in.jsonl", *(json.dumps({"title": text}) for text in texts)), batch_size=batch_size)
    assert [row["post_id"] for row in table] == [str(number) for number in range(1, 51)]
    assert [row["level"] for row in table] == [LEVELS[len(text) % 5] if text else None for text in texts]


def test_pictures_given_in_parquet(tmp_path: Path) -> None:
    (tmp_path / "beside.png").write_bytes(picture(40))
    structs = [
        {"bytes": picture(33), "path": "not there.png"},
        {"bytes": None, "path": "beside.png"},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"no picture", "path": None},
    ]
    table = pa.table({"image": structs, "title": ["t"] * 5})
    pq.write_table(table, tmp_path / "structs.parquet")
    rows = score(tmp_path / "structs.parquet")
    assert [row["score"] for row in rows] == [33.0, 40.0, 0.0, 0.0, None]
    pq.write_table(pa.table({"image": pa.array([picture(21), None], pa.binary())}), tmp_path / "bytes.parquet")
    rows = score(tmp_path / "bytes.parquet")
    assert rows[0]["score"] == 21.0 and rows[1]["error"] == EMPTY_POST


def test_images_root_and_absolute_paths(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    (root / "a.png").write_bytes(picture(50))
    source = lines(tmp_path / "in.csv", "image", "a.png", str(root / "a.png"), "../pictures/a.png")
    assert [row["score"] for row in score(source, images_root=root)] == [50.0] * 3
    assert [row["score"] for row in score(source)] == [None, 50.0, None]
    assert "does not exist" in str(errors(score(source))[0])


def test_counts_and_other_columns_are_never_read(tmp_path: Path) -> None:
    table = pa.table({"title": ["a"], "views": [10**9], "likes": [1], "vector": [[0.0] * 100]})
    pq.write_table(table, tmp_path / "in.parquet")
    asked: list[list[str]] = []
    original = pq.ParquetFile.iter_batches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            pq.ParquetFile,
            "iter_batches",
            lambda self, **options: (asked.append(options["columns"]), original(self, **options))[1],
        )
        with_counts = score(tmp_path / "in.parquet")
    assert asked == [["title"]]
    assert with_counts == score(lines(tmp_path / "in.csv", "title,views,likes", "a,junk,-1"))


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (["a", " b "], ("a", "b")),
        ('["a", "b, c"]', ("a", "b, c")),
        ("a|b,c|", ("a", "b,c")),
        ("a, b,,c", ("a", "b", "c")),
        ("[new] a|b", ("[new] a", "b")),
        (["a", None, ""], ("a",)),
        ("", ()),
        (None, ()),
        (float("nan"), ()),
        ([1, 2], ("1", "2")),
    ],
)
def test_ways_to_write_tags(value: object, tags: tuple[str, ...]) -> None:
    row = make_row({"title": "t", "tags": value}, 1)
    assert row.tags == tags and not row.error


# Rows that are broken


def test_broken_rows_have_their_error_and_the_rest_go_on(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "good.png").write_bytes(picture(44))
    rows: list[dict[str, object] | str] = [
        {"post_id": "a", "title": "fine"},
        {"post_id": "b", "image": "text.jpg"},
        {"post_id": "c", "image": "missing.jpg"},
        {"post_id": "d", "title": "x" * 501},
        {"post_id": "e", "title": "  ", "description": "words but no title"},
        '{"post_id": "f", "title": ',
        "[1, 2]",
        "[" * 100_000,
        {"post_id": "g", "title": ["no text"]},
        {"post_id": "h", "title": "t", "tags": {"a": 1}},
        {"post_id": "i", "title": "t", "image": 5},
        {"post_id": "j", "title": "t", "image": "https://localhost/a.png"},
        {"post_id": "k", "title": "t", "image": "/dev/zero"},
        '{"post_id": "l", "title": "\\ud800"}',
        {"post_id": "m", "title": "t", "tags": ["x"] * 101},
        {"post_id": "n", "title": REFUSED},
        {"post_id": "o", "image": "good.png"},
    ]
    source = lines(tmp_path / "in.jsonl", *(row if isinstance(row, str) else json.dumps(row) for row in rows))
    predictor = FakePredictor()
    assert score_file(predictor, source, tmp_path / "out.parquet") == Summary(scored=2, failed=15)
    table = read(tmp_path / "out.parquet")
    assert [row["post_id"] for row in table] == [*"abcde", "6", "7", "8", *"ghijklmno"]
    assert [row["error"] is None for row in table] == [True] + [False] * 15 + [True]
    assert table[0]["level"] == LEVELS[4] and table[-1]["score"] == 44.0
    assert predictor.batches == [3, 1, 1, 1]
    for row in table[1:-1]:
        sentence = str(row["error"])
        assert sentence.endswith(".") and str(tmp_path) not in sentence and "Error" not in sentence
        assert all(row[name] is None for name in COLUMNS[1:-1])
    said = [str(row["error"]) for row in table]
    assert said[4] == EMPTY_POST and "501" in said[3] and "JSON" in said[5] and "JSON" in said[7]
    assert "nothing is fetched" in said[11] and "UTF-8" in said[13] and "refused" in said[15]


def test_csv_lines_with_a_wrong_number_of_fields(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "post_id,title", "a,one", "b", "c,two,three", "", "d,four")
    table = score(source)
    assert [row["post_id"] for row in table] == ["a", "2", "3", "d"]
    assert "1 fields where the header has 2" in str(table[1]["error"]) and "3 fields" in str(table[2]["error"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiters_quotes_and_bom(tmp_path: Path, delimiter: str) -> None:
    header = delimiter.join(["post_id", "title", "views"])
    row = delimiter.join(["a", f'"two{delimiter} ""words""\nin two lines"', "3"])
    source = lines(tmp_path / "in.csv", b"\xef\xbb\xbf" + header.encode(), row)
    (read_row,) = read_rows(source)
    assert read_row.title == f'two{delimiter} "words"\nin two lines' and read_row.post_id == "a"


def test_csv_with_nul_bytes_bad_encoding_and_old_line_ends(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", b"a\x00b", "caf\xe9".encode("latin-1"), "café")
    rows = list(read_rows(source))
    assert [row.title for row in rows] == ["ab", "", "café"] and "UTF-8" in rows[1].error
    (tmp_path / "mac.csv").write_bytes(b"title\rone\rtwo\r")
    assert [row.title for row in read_rows(tmp_path / "mac.csv")] == ["one", "two"]


def test_oversized_csv_cells_and_lines_are_one_error_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = "x" * (batch_rows.MAX_CELL + 1)
    table = score(lines(tmp_path / "in.csv", "title", "a", big, "b"))
    assert [row["error"] is None for row in table] == [True, False, True]
    monkeypatch.setattr(batch_rows, "MAX_LINE", 1000)
    for name, texts in {
        "a.csv": ["title,views", "a,1", "x" * 5000 + ",2", "b,3"],
        "a.jsonl": [json.dumps({"title": text}) for text in ("a", "x" * 5000, "b")],
    }.items():
        table = score(lines(tmp_path / name, *texts))
        assert [row["error"] is None for row in table] == [True, False, True]
        assert "characters" in str(table[1]["error"])


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff\xfe"], pa.binary()).buffers())
    pq.write_table(pa.table({"title": broken}), tmp_path / "in.parquet")
    table = score(tmp_path / "in.parquet")
    assert table[0]["error"] is None and "UTF-8" in str(table[1]["error"])


def test_one_refused_post_does_not_cost_its_batch(tmp_path: Path) -> None:
    titles = ["a", REFUSED, "b", "b"]
    table = score(lines(tmp_path / "in.jsonl", *(json.dumps({"post_id": "same", "title": title}) for title in titles)))
    assert [row["error"] is None for row in table] == [True, False, True, True]
    assert [row["post_id"] for row in table] == ["same"] * 4 and table[2] == table[3]


@pytest.mark.parametrize("post_id", ["=1+1", "+1", "-1", "@sum", "\tx", "=cmd|' /C calc'!A0"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, post_id: str) -> None:
    source = lines(tmp_path / "in.jsonl", json.dumps({"post_id": post_id, "title": "t"}))
    (row,) = score(source, tmp_path / "out.csv")
    assert row["post_id"] == ("'" + post_id if not post_id.startswith("\t") else "x")
    (row,) = score(source, tmp_path / "out.parquet")
    assert row["post_id"] == post_id.strip()


# Files that are of no use


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.txt", b"title\n", "ending"),
        ("in.csv", b"", "no column named title or image"),
        ("in.csv", b"name,views\na,1\n", "found: name, views"),
        ("in.csv", "title\na\n".encode("utf-16"), "UTF-16"),
        ("in.jsonl", b'{"name": 1}\n', "found: name"),
        ("in.parquet", b"PAR1 not really PAR1", "cannot be read as Parquet"),
        ("in.parquet", b"", "cannot be read as Parquet"),
    ],
)
def test_useless_inputs_leave_nothing(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        score(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


def test_useless_paths(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", "a")
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to(source)
    for bad, target, said in [
        (tmp_path / "none.csv", tmp_path / "out.csv", "does not exist"),
        (tmp_path / "fifo.csv", tmp_path / "out.csv", "is no file"),
        (tmp_path / "folder.csv", tmp_path / "out.csv", "is no file"),
        (source, source, "input itself"),
        (source, tmp_path / "link.csv", "input itself"),
        (source, tmp_path / "out.xlsx", "ending"),
        (source, tmp_path / "none" / "out.csv", "folder"),
        (source, tmp_path / "folder.csv", "is no file"),
    ]:
        with pytest.raises(DataError, match=said):
            score_file(FakePredictor(), bad, target)
    assert source.read_text() == "title\na\n"


def test_parquet_without_a_usable_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"views": [1]}), tmp_path / "in.parquet")
    with pytest.raises(DataError, match="found: views"):
        score(tmp_path / "in.parquet")


def test_no_rows_give_an_empty_table(tmp_path: Path) -> None:
    assert score(lines(tmp_path / "in.csv", "title")) == []
    assert score(lines(tmp_path / "in.jsonl", "", " ")) == []
    pq.write_table(pa.table({"title": pa.array([], pa.string())}), tmp_path / "in.parquet")
    assert score(tmp_path / "in.parquet", tmp_path / "out.csv") == []


def test_a_former_output_survives_a_failure(tmp_path: Path) -> None:
    class Failing(FakePredictor):
        def predict(self, posts: object) -> list[object]:
            raise RuntimeError("model on fire")

    source = lines(tmp_path / "in.csv", "title", "a")
    for name in ("out.csv", "out.parquet"):
        target = tmp_path / name
        target.write_text("before")
        with pytest.raises(RuntimeError, match="on fire"):
            score_file(Failing(), source, target)
        assert target.read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.csv", "out.parquet"]


def test_the_output_is_replaced_whole_never_rewritten(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    with target.open() as reader:
        score(lines(tmp_path / "in.csv", "title", "a"), target)
        assert reader.read() == "before"
    assert len(read(target)) == 1


# The command line


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, engine.__main__ as command\n"
        "try: command.main(['score', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pyarrow', 'PIL', 'numpy', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--images-root" in done.stdout


def test_command_line_scores_and_sums_up(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", "a", '""', "b")
    process = run("score", source, "-o", tmp_path / "out.csv", "--batch-size", 2)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and said.strip().endswith("2 scored, 1 with errors") and "posts/s" in said
    assert len(read(tmp_path / "out.csv")) == 3
    assert (tmp_path / "out.csv").stat().st_mode & 0o777 == source.stat().st_mode & 0o777


def test_command_line_refuses_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.__main__ import main

    source = lines(tmp_path / "in.csv", "name", "a")
    before = signal.getsignal(signal.SIGTERM)
    assert main(["score", str(source), "-o", str(tmp_path / "out.csv")]) == 2
    assert main(["score", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.csv")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 2 and all(line.startswith("error: ") and line.endswith(".") for line in said)
    assert signal.getsignal(signal.SIGTERM) is before
    for arguments in (["score", str(source)], ["score", str(source), "-o", "x.csv", "--batch-size", "0"], []):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


@pytest.mark.parametrize(("number", "suffix"), [(signal.SIGTERM, "csv"), (signal.SIGINT, "parquet")])
def test_a_killed_run_leaves_nothing(tmp_path: Path, number: int, suffix: str) -> None:
    source = lines(tmp_path / "in.csv", "title", *("t" * 100 for _ in range(500)))
    process = run("score", source, "-o", tmp_path / f"out.{suffix}", "--batch-size", 1, pause=0.1)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".out*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert list(tmp_path.glob(".out*.part")) and process.poll() is None
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and said.strip().endswith("Stopped; nothing was written.")
    assert "Traceback" not in said
    assert os.listdir(tmp_path) == ["in.csv"]


def test_ignored_signals_stay_ignored() -> None:
    from engine.__main__ import _stopped_by_signals

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _stopped_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    source = lines(tmp_path / "in.csv", "title", *("t" * (index % 300) for index in range(1_000)))
    code = (
        "import resource, sys; from tests.fake_predictor import FakePredictor\n"
        "from engine.batch.score import score_file;"
        "from engine.errors import DataError; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))\n"
        "try: score_file(FakePredictor(), sys.argv[1], sys.argv[2])\n"
        "except DataError as error: print(error)"
    )
    target = tmp_path / f"out.{suffix}"
    done = subprocess.run([sys.executable, "-c", code, source, target], cwd=ROOT, capture_output=True, text=True)
    assert "cannot be written" in done.stdout and done.stderr == "", done.stderr
    assert os.listdir(tmp_path) == ["in.csv"]


# Size


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int, target: str) -> int:
        source = lines(tmp_path / "in.csv", "title,description", *(f"t{index},{'d' * 400}" for index in range(rows)))
        tracemalloc.start()
        try:
            summary = score_file(FakePredictor(), source, tmp_path / target, batch_size=128)
            assert summary == Summary(rows, 0)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100, "out.csv")
    assert peak(20_000, "out.csv") < peak(1_000, "out.csv") + 1_000_000


def test_parquet_is_written_in_row_groups(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", *(f"t{index}" for index in range(20_000)))
    score_file(FakePredictor(), source, tmp_path / "out.parquet", batch_size=1000)
    metadata = pq.read_metadata(tmp_path / "out.parquet")
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert sum(groups) == 20_000 and max(groups) < 10_000 and len(groups) == 3


# Properties

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=12), st.integers(1, 5), st.sampled_from(["csv", "parquet"]))
def test_any_text_survives_csv_in_and_out(rows: list[tuple[str, str]], batch_size: int, suffix: str) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder, "in.csv")
        with source.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(["post_id", "title"])
            writer.writerows(rows)
        table = score(source, source.with_name(f"out.{suffix}"), batch_size=batch_size)
    assert len(table) == len(rows)
    for number, (row, (post_id, title)) in enumerate(zip(table, rows, strict=True), start=1):
        wanted = post_id.replace("\0", "").strip() or str(number)
        assert row["post_id"] in (wanted, f"'{wanted}")
        clean = title.replace("\0", "").strip()
        assert row["level"] == (LEVELS[len(clean) % 5] if clean else ("" if suffix == "csv" else None))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_any_bytes_are_rows_or_one_refusal(data: bytes, suffix: str) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder, f"in{suffix}")
        source.write_bytes((b"title\n" if suffix == ".csv" else b"") + data)
        try:
            rows = list(read_rows(source))
        except DataError as error:
            assert str(error).endswith(".")
        else:
            assert all(row.error == "" or row.error.endswith(".") for row in rows)
