"""Batch scoring: every format gives the same, and the output is whole or absent."""

import json
import os
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.batch.rows import make_row
from engine.batch.score import Summary, score_file
from engine.batch.table import SCHEMA
from engine.errors import DataError
from engine.posts import EMPTY_POST
from engine.scoring import LEVELS
from tests.batch_files import errors, lines, read, score
from tests.fake_predictor import FakePredictor
from tests.pictures import png

COLUMNS = [
    *("post_id", "level", "p_very_low", "p_low", "p_average", "p_high", "p_very_high"),
    *("expected_level", "score", "score_low", "score_high", "abstain", "reason", "error"),
]


def test_all_formats_give_the_same_predictions(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(48))
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
    assert empty == dict.fromkeys(COLUMNS, "") | {"post_id": "row 2", "error": EMPTY_POST}


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_order_and_row_numbers_whatever_the_batch_size(tmp_path: Path, batch_size: int) -> None:
    texts = ["x" * (index % 7) for index in range(50)]
    table = score(lines(tmp_path / "in.jsonl", *(json.dumps({"title": text}) for text in texts)), batch_size=batch_size)
    assert [row["post_id"] for row in table] == [f"row {number}" for number in range(1, 51)]
    assert [row["level"] for row in table] == [LEVELS[len(text) % 5] if text else None for text in texts]


def test_pictures_given_in_parquet(tmp_path: Path) -> None:
    (tmp_path / "beside.png").write_bytes(png(40))
    structs = [
        {"bytes": png(33), "path": "not there.png"},
        {"bytes": None, "path": "beside.png"},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"no picture", "path": None},
    ]
    table = pa.table({"image": structs, "title": ["t"] * 5})
    pq.write_table(table, tmp_path / "structs.parquet")
    rows = score(tmp_path / "structs.parquet")
    assert [row["score"] for row in rows] == [33.0, 40.0, 0.0, 0.0, None]
    pq.write_table(pa.table({"image": pa.array([png(21), None], pa.binary())}), tmp_path / "bytes.parquet")
    rows = score(tmp_path / "bytes.parquet")
    assert rows[0]["score"] == 21.0 and rows[1]["error"] == EMPTY_POST


def test_images_root_and_absolute_paths(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    (root / "a.png").write_bytes(png(50))
    source = lines(tmp_path / "in.csv", "image", "a.png", str(root / "a.png"), "../pictures/a.png")
    assert [row["score"] for row in score(source, images_root=root)] == [50.0] * 3
    assert [row["score"] for row in score(source)] == [None, 50.0, None]
    assert "does not exist" in str(errors(score(source))[0])
    for bad in (tmp_path / "nope", root / "a.png"):
        with pytest.raises(DataError, match=rf"^The folder of pictures {bad} does not exist; check its name\.$"):
            score(source, tmp_path / "none.csv", images_root=bad)
    assert not (tmp_path / "none.csv").exists()


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


def test_a_picture_has_two_names() -> None:
    assert make_row({"picture": "a.png"}, 1).image == "a.png"
    assert make_row({"picture": "a.png", "image": "b.png"}, 1).image == "b.png"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.txt", b"title\n", "ending"),
        ("in.csv", b"", "no column named title or image"),
        ("in.csv", b"name,views\na,1\n", "found: name, views"),
        ("in.csv", "title\na\n".encode("utf-16"), "UTF-16"),
        ("in.csv", "Título,Imagen\na,b\n".encode("cp1252"), "names in UTF-8; save the table as UTF-8"),
        ("in.csv", bytes(range(1, 200)), "names in UTF-8; save the table as UTF-8"),
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
            # An OSError, which is not to be taken for one of the table's.
            raise BrokenPipeError("model on fire")

    source = lines(tmp_path / "in.csv", "title", "a")
    for name in ("out.csv", "out.parquet"):
        target = tmp_path / name
        target.write_text("before")
        with pytest.raises(BrokenPipeError, match="on fire"):
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
