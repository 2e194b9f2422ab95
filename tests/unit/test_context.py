"""When, where, by whom and as what: read from files and calls, never guessed, and never what people reacted with."""

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.batch.rows import read_rows
from engine.batch.score import prepare
from engine.context import cells_of, context_of, read_context
from engine.errors import PostError
from engine.features.author import Author
from engine.features.category import Category
from engine.features.extractor import Extractor
from engine.features.numbers import Numbers
from engine.features.text_statistics import TextStatistics
from engine.features.time_and_place import TimeAndPlace
from engine.posts import Post
from tests.batch_files import lines


def posts(source: Path, reads: Collection[str] = ("published_at",)) -> list[Post | str]:
    return [prepare(row, source.parent, reads) for row in read_rows(source)]


def test_a_row_may_say_all_of_it_or_nothing(tmp_path: Path) -> None:
    header = "title,category,published_at,latitude,longitude,author.photo_count,author.is_pro"
    full, empty = "a,Music,2026-11-26T18:30+02:00,48.2,16.4,120,1", "b,,,,,,"
    one, other = posts(lines(tmp_path / "in.csv", header, full, empty))
    assert isinstance(one, Post) and isinstance(other, Post)
    assert one.published_at == datetime(2026, 11, 26, 18, 30, tzinfo=timezone(timedelta(hours=2)))
    assert (one.place, one.category) == ((48.2, 16.4), "Music")
    assert dict(one.author) == {"photo_count": 120.0, "is_pro": 1.0}
    assert other == Post("b", post_id="row 2")


def test_parquet_and_jsonl_say_the_same(tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    cells = {"title": ["a"], "published_at": [at], "author.photo_count": [7], "views": [9], "latitude": [None]}
    pq.write_table(pa.table(cells), tmp_path / "in.parquet")
    row = {"title": "a", "published_at": "2026-01-02 03:04", "author.photo_count": 7, "views": 9}
    source = lines(tmp_path / "in.jsonl", json.dumps(row))
    assert (
        posts(tmp_path / "in.parquet")
        == posts(source)
        == [Post("a", post_id="row 1", published_at=at, author=(("photo_count", 7.0),))]
    )


def test_its_columns_are_known_in_any_case(tmp_path: Path) -> None:
    cells = {"Title": ["a"], " Category ": ["Music"], "Published_At": ["2026-01-02"], "Author.Visits": [7]}
    pq.write_table(pa.table(cells), tmp_path / "in.parquet")
    row = {name: value for name, [value] in cells.items()}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    expected = [Post("a", post_id="row 1", category="Music", published_at=at, author=(("Visits", 7.0),))]
    for source in (
        tmp_path / "in.parquet",
        lines(tmp_path / "in.jsonl", json.dumps(row)),
        lines(tmp_path / "in.csv", ",".join(row), ",".join(map(str, row.values()))),
    ):
        assert posts(source) == expected


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
        ({"category": ["Music"]}, "category is no text"),
        ({"category": "\ud800"}, "category is no text"),
        # Before the calendar begins, or after it ends, by the clock of Greenwich.
        ({"published_at": "0001-01-01T00:00+05:00"}, "is no time"),
        ({"published_at": "9999-12-31T23:00-05:00"}, "is no time"),
    ],
)
def test_what_cannot_be_is_the_row_s_error(tmp_path: Path, cells: dict[str, object], said: str) -> None:
    (found,) = posts(lines(tmp_path / "in.jsonl", json.dumps({"title": "a", **cells})))
    assert isinstance(found, str) and said in found and found.endswith(".")


def test_bytes_are_no_time_and_the_rows_after_them_go_on(tmp_path: Path) -> None:
    times = pa.array([b"2026-01-02", None], pa.binary())
    pq.write_table(pa.table({"title": ["a", "b"], "published_at": times}), tmp_path / "in.parquet")
    first, second = posts(tmp_path / "in.parquet")
    assert isinstance(first, str) and "is no time" in first
    assert second == Post("b", post_id="row 2")


def test_what_cannot_be_read_is_no_error_where_nothing_reads_it(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.csv", "title,published_at,latitude,longitude", "a,yesterday,4,", "b,,,", "c,,94,2")
    assert posts(source, reads=()) == [Post(title, post_id=f"row {n}") for n, title in enumerate("abc", start=1)]


@pytest.mark.parametrize("given", [None, "", {}, {"category": "", "latitude": None, "author.photo_count": " "}])
def test_a_call_may_say_nothing(given: object) -> None:
    assert read_context(given) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([("category", "Music")], "as an object"),
        ("category", "as an object"),
        ({"views": 9}, "has no views; it has category, published_at"),
        ({"a" * 900: 9}, f"has no {'a' * 40};"),
        ({"Category": "Music"}, "has no Category"),
        ({5: 1}, "has no 5"),
        ({"published_at": "soon"}, "is no time"),
    ],
)
def test_a_call_that_errs_gets_a_sentence(given: object, said: str) -> None:
    with pytest.raises(PostError, match=re.escape(said)):
        read_context(given)


def test_a_context_comes_back_as_it_went() -> None:
    cells = {"author.a": 1.5, "category": "Music", "published_at": "2026-11-26T18:30:00+02:00", "latitude": 1.0}
    post = Post(**read_context({**cells, "longitude": 2}))
    assert cells_of(post) == {**cells, "longitude": 2.0} and cells_of(Post("a")) == {}
    assert Post(**context_of(cells_of(post))) == post


def test_features_name_what_they_read() -> None:
    posts = [
        Post(
            "a",
            author=(("followers", number),),
            category=f"c{number % 2}",
            published_at=datetime(2020, number, 1, tzinfo=UTC),
        )
        for number in range(1, 5)
    ]
    time = TimeAndPlace()
    values = {"time_and_place": time.compute(posts, {})}
    numbers = Numbers(upstream=(time,)).fit(posts, values, np.zeros(4))
    category = Category().fit(posts, {}, np.zeros(4))
    assert dict(time.context) == dict.fromkeys(("published_at", "latitude", "longitude"), ())
    # No training post has a place, so nothing is learned of one.
    assert dict(numbers.context) == dict.fromkeys(("published_at", "author.followers"), ())
    features = {feature.name: feature for feature in (time, numbers, category, TextStatistics())}
    assert Extractor(features, ["text_statistics"]).context == {}
    assert Extractor(features, ["numbers", "category"]).context == {**numbers.context, "category": ("c0", "c1")}
    assert set(Author().context) == {f"author.{name}" for name in Author.columns}


def test_nothing_is_learned_of_what_all_posts_have_alike() -> None:
    posts = [Post("a", author=(("photo_count", 7.0), ("followers", number))) for number in range(70)]
    time = TimeAndPlace()
    fitted = Numbers(upstream=(time,)).fit(posts, {"time_and_place": time.compute(posts, {})}, np.zeros(70))
    assert dict(fitted.context) == {"author.followers": ()}
