"""Batch scoring: whatever is wrong with a row, it has its sentence and the others their predictions."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.batch import text as batch_text
from engine.batch.rows import REPEATED, Row, read_rows
from engine.batch.score import Summary, score_file
from engine.batch.table import guard_formula
from engine.errors import DataError
from engine.posts import EMPTY_POST
from engine.scoring import LEVELS
from tests.batch_files import errors, lines, read, score
from tests.fake_predictor import REFUSED, FakePredictor
from tests.pictures import png


def test_broken_rows_have_their_error_and_the_rest_go_on(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "good.png").write_bytes(png(44))
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
    assert [row["post_id"] for row in table] == [*"abcde", "row 6", "row 7", "row 8", *"ghijklmno"]
    assert [row["error"] is None for row in table] == [True] + [False] * 15 + [True]
    assert table[0]["level"] == LEVELS[4] and table[-1]["score"] == 44.0
    assert predictor.batches == [3, 1, 1, 1]
    for row in table[1:-1]:
        sentence = str(row["error"])
        assert sentence.endswith(".") and str(tmp_path) not in sentence and "Error" not in sentence
        assert all(row[name] is None for name in row if name not in ("post_id", "error"))
    said = [str(row["error"]) for row in table]
    assert said[4] == EMPTY_POST and "501" in said[3] and "JSON" in said[5] and "JSON" in said[7]
    assert "nothing is fetched" in said[11] and "cut emoji" in said[13] and "refused" in said[15]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_stands_in_for_a_missing_id_is_no_other_rows(tmp_path: Path, ending: str) -> None:
    source = tmp_path / f"in.{ending}"
    if ending == "csv":
        lines(source, "post_id,title", "3,a", "broken", ",b", "2,c")
    elif ending == "jsonl":
        lines(source, '{"post_id": 3, "title": "a"}', "broken", '{"title": "b"}', '{"post_id": "2", "title": "c"}')
    else:
        pq.write_table(pa.table({"post_id": ["3", None, "", "2"], "title": ["a", "x" * 501, "b", "c"]}), source)
    assert [row["post_id"] for row in score(source)] == ["3", "row 2", "row 3", "2"]


def test_csv_lines_with_a_wrong_number_of_fields(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "post_id,title", "a,one", "b", "c,two,three", "", "d,four")
    table = score(source)
    assert [row["post_id"] for row in table] == ["a", "row 2", "row 3", "d"]
    assert "has 1 field where the header has 2" in str(table[1]["error"]) and "3 fields" in str(table[2]["error"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiters_quotes_and_bom(tmp_path: Path, delimiter: str) -> None:
    header = delimiter.join(["post_id", "title", "views"])
    row = delimiter.join(["a", f'"two{delimiter} ""words""\nin two lines"', "3"])
    source = lines(tmp_path / "in.csv", b"\xef\xbb\xbf" + header.encode(), row)
    (read_row,) = read_rows(source)
    assert read_row.title == f'two{delimiter} "words"\nin two lines' and read_row.post_id == "a"


@pytest.mark.parametrize("broken", ['x,"never closed', '"x,never closed', 'x,"', '"'])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_an_unclosed_quote_costs_its_own_line_only(tmp_path: Path, broken: str, quoting: int) -> None:
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.writer(file, quoting=quoting)
        writer.writerows([["post_id", "title"], ["a", "one"], ["b", "in two\nlines"]])
        file.write(f"{broken}\n")
        writer.writerows([[f"c{number}", "a, b"] for number in range(28)])
    table = score(tmp_path / "in.csv")
    assert [row["post_id"] for row in table] == ["a", "b", "row 3", *(f"c{number}" for number in range(28))]
    assert [row["error"] is None for row in table] == [True, True, False] + [True] * 28
    assert "quote" in str(table[2]["error"])


def test_names_of_columns_are_known_whatever_their_case(tmp_path: Path) -> None:
    [row] = read_rows(lines(tmp_path / "in.csv", "POST_ID;Title;Tags", "a;one;b"))
    assert (row.post_id, row.title, row.tags) == ("a", "one", ("b",))


def test_names_are_known_in_every_kind_of_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Post_ID": ["p"], "TITLE": ["a"], " Image": ["b.png"]}), tmp_path / "in.parquet")
    lines(tmp_path / "in.jsonl", '{"post_id": "p", "Title": "a", "Picture": "b.png"}')
    lines(tmp_path / "in.csv", "POST_ID,Title,image", "p,a,b.png")
    for kind in ("parquet", "jsonl", "csv"):
        assert list(read_rows(tmp_path / f"in.{kind}")) == [Row("p", "a", image="b.png")]


def test_a_column_that_stands_twice_is_refused_by_its_name(tmp_path: Path) -> None:
    for name, header in (
        ("title", "title,title"),
        ("tags", "title,Tags,tags "),
        ("category", "category,title,category"),
    ):
        count = header.count(",") + 1
        source = lines(tmp_path / "in.csv", header, ",".join("abc"[:count]))
        table = pa.table([["a"]] * count, names=header.split(","))
        pq.write_table(table, tmp_path / "in.parquet")
        for path in (source, tmp_path / "in.parquet"):
            with pytest.raises(DataError, match=f"has more than one column named {name}; keep one of them"):
                next(read_rows(path))
    # Of no interest, or two names of one thing.
    [row] = read_rows(lines(tmp_path / "in.csv", "views,title,views,,,picture,image", "1,a,2,,,b.png,c.png"))
    assert (row.title, row.image) == ("a", "c.png")


def test_a_line_of_json_with_a_name_twice_is_its_own_error(tmp_path: Path) -> None:
    twice = ('{"title": "a", "Title": "b"}', '{"title": "a", "title": "b"}')
    # Of no interest here: what is not read, and what stands deeper.
    once = '{"title": "c", "views": 1, "views": 2, "image": {"path": "a.png", "path": "b.png"}}'
    *broken, sound = read_rows(lines(tmp_path / "in.jsonl", *twice, once))
    assert broken == [Row(f"row {number}", error=REPEATED.format("title")) for number in (1, 2)]
    assert sound == Row("row 3", "c", image="b.png")


def test_an_empty_line_of_one_column_is_a_row_but_at_the_end(tmp_path: Path) -> None:
    found = list(read_rows(lines(tmp_path / "in.csv", "title", "a", "", "", "b", "", "")))
    assert [(row.post_id, row.title) for row in found] == [("row 1", "a"), ("row 2", ""), ("row 3", ""), ("row 4", "b")]
    assert len(list(read_rows(lines(tmp_path / "two.csv", "title,tags", "a,", "", "b,")))) == 2


def test_quotes_that_open_and_close_in_every_line_are_followed_only_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each field is short, and no line has a quote that the next does not close: one record down to the end."""
    monkeypatch.setattr(batch_text, "MAX_LINES", 20)
    records = batch_text.CsvRecords(iter(['x",y,"\n'] * 300), ",", 2)
    found = []
    for record in records:
        found.append(record)
        assert len(records.ahead) <= 2 * 20
    assert len(found) == 300 and {type(record) for record in found} == {str}
    # The same where few lines are long.
    monkeypatch.setattr(batch_text, "MAX_CELL", 100)
    records = batch_text.CsvRecords(iter([f'x",{"y" * 40},"\n'] * 30), ",", 2)
    assert all(len(records.ahead) <= 8 for _ in records)
    table = score(lines(tmp_path / "in.csv", "post_id,title", 'a,"two', 'lines"', "b,one"))
    assert [row["post_id"] for row in table] == ["a", "b"]


def test_a_record_in_several_lines_with_a_wrong_number_of_fields_is_one_row(tmp_path: Path) -> None:
    table = score(lines(tmp_path / "in.csv", "post_id,title", 'a,"two', 'lines",more', "b,two"))
    assert [row["post_id"] for row in table] == ["row 1", "b"] and "3 fields" in str(table[0]["error"])


def test_csv_with_nul_bytes_bad_encoding_and_old_line_ends(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title", b"a\x00b", "caf\xe9".encode("latin-1"), "café")
    rows = list(read_rows(source))
    assert [row.title for row in rows] == ["ab", "", "café"] and "UTF-8" in rows[1].error
    (tmp_path / "mac.csv").write_bytes(b"title\rone\rtwo\r")
    assert [row.title for row in read_rows(tmp_path / "mac.csv")] == ["one", "two"]


def test_oversized_csv_cells_and_lines_are_one_error_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = "x" * (batch_text.MAX_CELL + 1)
    table = score(lines(tmp_path / "in.csv", "title", "a", big, "b"))
    assert [row["error"] is None for row in table] == [True, False, True]
    monkeypatch.setattr(batch_text, "MAX_LINE", 1000)
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


def test_a_parquet_date_beyond_all_calendars_is_its_own_rows_error(tmp_path: Path) -> None:
    dates = pa.array([20_000, 2**31 - 1], pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"title": ["a", "b"], "published_at": dates}), tmp_path / "in.parquet")
    table = score(tmp_path / "in.parquet")
    assert table[0]["error"] is None and "cannot be read" in str(table[1]["error"])


def test_a_lone_surrogate_is_its_own_rows_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"post_id": ["a", "b"], "title": ["fine", "xyé"]}), tmp_path / "in.parquet")
    data = (tmp_path / "in.parquet").read_bytes()
    (tmp_path / "in.parquet").write_bytes(data.replace("xyé".encode(), b"\xed\xa0\x80x"))
    rows = [
        '{"title": "fine"}',
        '{"title": "\\ud800"}',
        '{"post_id": "\\udfff", "title": "t"}',
        '{"\\ud800": 1, "title": "x"}',
    ]
    lines(tmp_path / "in.jsonl", *rows)
    for name, good in (("in.parquet", [True, False]), ("in.jsonl", [True, False, False, True])):
        for target in ("out.csv", "out.parquet"):
            found = errors(score(tmp_path / name, tmp_path / target))
            said = "UTF-8" if name.endswith("parquet") else "holds half of a character, as a cut emoji is; delete it."
            assert [not error for error in found] == good and all(said in str(error) for error in found if error)


def test_whole_numbers_stay_whole_where_a_cell_is_empty(tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    numbers = pa.array([1.0, None, 3.0, 0.5, 2.0**60])
    pq.write_table(pa.table({"post_id": numbers, "title": numbers}), source)
    assert [(row.post_id, row.title) for row in read_rows(source)] == [
        ("1", "1"), ("row 2", ""), ("3", "3"), ("0.5", "0.5"), (str(2.0**60), str(2.0**60))
    ]  # fmt: skip


def test_a_parquet_column_whose_name_is_not_utf8_is_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"title": ["a"], "naïve": [1]}), source, store_schema=False)
    source.write_bytes(source.read_bytes().replace("naïve".encode(), b"na\xff\xffve"))
    with pytest.raises(DataError, match=r"column whose name is not UTF-8; rename it\.$"):
        score(source)


def test_one_refused_post_does_not_cost_its_batch(tmp_path: Path) -> None:
    titles = ["a", REFUSED, "b", "b"]
    table = score(lines(tmp_path / "in.jsonl", *(json.dumps({"post_id": "same", "title": title}) for title in titles)))
    assert [row["error"] is None for row in table] == [True, False, True, True]
    assert [row["post_id"] for row in table] == ["same"] * 4 and table[2] == table[3]


@pytest.mark.parametrize("post_id", ["=1+1", "=A1", "+1(", "-1+A1", "@sum", "\tx", "=cmd|' /C calc'!A0"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, post_id: str) -> None:
    source = lines(tmp_path / "in.jsonl", json.dumps({"post_id": post_id, "title": "t"}))
    (row,) = score(source, tmp_path / "out.csv")
    assert row["post_id"] == ("'" + post_id if not post_id.startswith("\t") else "x")
    (row,) = score(source, tmp_path / "out.parquet")
    assert row["post_id"] == post_id.strip()


@pytest.mark.parametrize("formula", ["=cmd|'/C calc'!A0", '"=A1"', "@sum", "+1(", "-1+A1"])
def test_a_semicolon_hides_no_formula(tmp_path: Path, formula: str) -> None:
    """A spreadsheet that parts lists by semicolons begins a cell behind each."""
    source = lines(tmp_path / "in.jsonl", json.dumps({"post_id": f"a;{formula};b", "title": "t"}))
    (row,) = score(source, tmp_path / "out.csv")
    assert row["post_id"] == f"a;'{formula};b"
    assert guard_formula("a; b;c;-d") == "a; b;c;-d"


@pytest.mark.parametrize("post_id", ["-dQw4w9WgXcQ", "-1", "+49", "--_-", "a=b", "7"])
def test_ids_that_call_nothing_stay_as_they_are(tmp_path: Path, post_id: str) -> None:
    (row,) = score(lines(tmp_path / "in.csv", "post_id,title", f"{post_id},t"), tmp_path / "out.csv")
    assert row["post_id"] == post_id
    assert guard_formula(f"{post_id}\n=1") == ("'" * (post_id[0] in "+-") + f"{post_id}\n=1")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=50)
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
        wanted = post_id.replace("\0", "").strip() or f"row {number}"
        assert row["post_id"] == (guard_formula(wanted) if suffix == "csv" else wanted)
        clean = title.replace("\0", "").strip()
        assert row["level"] == (LEVELS[len(clean) % 5] if clean else ("" if suffix == "csv" else None))


# Not every line end: where a text's second line reads as a record of its own, only its author can tell what is broken.
FIELD = st.builds(
    lambda first, lines, end: first + "".join(f"a{end}b{line}" for line in lines),
    st.text(st.sampled_from('ab ,"'), max_size=8),
    st.lists(st.text(st.sampled_from('ab "'), max_size=4), max_size=2),
    st.sampled_from(["\n", "\r", "\r\n"]),
)


@settings(max_examples=300)
@given(
    st.lists(FIELD, min_size=1, max_size=8),
    st.data(),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
def test_whatever_one_line_is_broken_the_others_come_out(
    titles: list[str], data: st.DataObject, quoting: int, last: bool
) -> None:
    """A line is broken by a quote that opens and does not close, or by a field too many or too few."""
    place = data.draw(st.integers(0, len(titles) - 1))
    word = data.draw(st.text(st.sampled_from("ab ,"), max_size=6))
    broken = data.draw(st.sampled_from([f'x,"{word}', f'"x,{word}', '"', "x", "x,,,,", f'x,"{word},t']))
    with TemporaryDirectory() as folder:
        source = Path(folder, "in.csv")
        with source.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=quoting)
            writer.writerow(["post_id", "title", "tags"] if last else ["post_id", "tags", "title"])
            for number, title in enumerate(titles):
                if number == place:
                    file.write(f"{broken}\r\n")
                else:
                    writer.writerow([f"id{number}", title, "t"] if last else [f"id{number}", "t", title])
        rows = list(read_rows(source))
    assert [row.post_id for row in rows] == [f"row {n + 1}" if n == place else f"id{n}" for n in range(len(titles))]
    assert [bool(row.error) for row in rows] == [number == place for number in range(len(titles))]
    assert all(row.title == title.strip() for row, title in zip(rows, titles, strict=True) if not row.error)


@settings(max_examples=150)
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
