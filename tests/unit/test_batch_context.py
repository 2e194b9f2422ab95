"""When, where, by whom and as what: read from a file's columns, never guessed, and never what people reacted with."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.batch.rows import read_rows
from engine.batch.score import prepare
from engine.posts import Post
from tests.batch_files import lines


def posts(source: Path) -> list[Post | str]:
    return [prepare(row, source.parent) for row in read_rows(source)]


def test_a_row_may_say_all_of_it_or_nothing(tmp_path: Path) -> None:
    header = "title,category,published_at,latitude,longitude,author.photo_count,author.is_pro"
    full, empty = "a,Music,2026-11-26T18:30+02:00,48.2,16.4,120,1", "b,,,,,,"
    one, other = posts(lines(tmp_path / "in.csv", header, full, empty))
    assert isinstance(one, Post) and isinstance(other, Post)
    assert one.published_at == datetime(2026, 11, 26, 18, 30, tzinfo=timezone(timedelta(hours=2)))
    assert (one.place, one.category) == ((48.2, 16.4), "Music")
    assert dict(one.author) == {"photo_count": 120.0, "is_pro": 1.0}
    assert other == Post("b", post_id="2")


def test_parquet_and_jsonl_say_the_same(tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    cells = {"title": ["a"], "published_at": [at], "author.photo_count": [7], "views": [9], "latitude": [None]}
    pq.write_table(pa.table(cells), tmp_path / "in.parquet")
    row = {"title": "a", "published_at": "2026-01-02 03:04", "author.photo_count": 7, "views": 9}
    source = lines(tmp_path / "in.jsonl", json.dumps(row))
    assert (
        posts(tmp_path / "in.parquet")
        == posts(source)
        == [Post("a", post_id="1", published_at=at, author=(("photo_count", 7.0),))]
    )


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"published_at": "yesterday"}, "is no time"),
        ({"published_at": 20261126}, "is no time"),
        ({"latitude": 4.0}, "both latitude and longitude"),
        ({"latitude": "north", "longitude": 2}, "latitude is no number"),
        ({"latitude": 94.0, "longitude": 2}, "nowhere on earth"),
        ({"author.photo_count": [1]}, "author.photo_count is no number"),
        ({"author.photo_count": "inf"}, "no finite number"),
        ({"author.total_likes": 3}, "may count reactions"),
        ({"category": "x" * 501}, "category has 501 characters"),
    ],
)
def test_what_cannot_be_is_the_row_s_error(tmp_path: Path, cells: dict[str, object], said: str) -> None:
    (found,) = posts(lines(tmp_path / "in.jsonl", json.dumps({"title": "a", **cells})))
    assert isinstance(found, str) and said in found and found.endswith(".")
