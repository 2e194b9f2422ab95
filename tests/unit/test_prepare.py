"""Preparing a dataset: what is kept, what is dropped and why, and that nothing is ever left half-written."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import DataError
from engine.images import load_image
from engine.posts import MAX_TITLE
from tests import class_folders
from tests.made_up import read_table, write_source
from training.data.cleaning import clean
from training.data.metadata import picture_metadata, title_metadata
from training.data.prepare import INFO, prepare
from training.data.workspace import Workspace, split
from training.tables import POST_COLUMNS, POSTS, posts_schema

ROOT = Path(__file__).parents[2]


def picture(seed: int, kind: str = "WEBP") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).resize((160, 90)).save(file, kind)
    return file.getvalue()


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "post_id": f"p{number}",
        "title": f"Cats and dogs, part {number}",
        "views": 1000 + number,
        "likes": 100,
        "comments": 7,
        "image": picture(number),
    } | changes


def dropped(work: Path) -> dict[str, str]:
    cleaning = read_table(work / "cleaning.parquet")
    return dict(zip(cleaning["post_id"], cleaning["reason"], strict=True))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_every_fault_is_named(tmp_path: Path, work: Path) -> None:
    good = picture(1)
    rows = [
        row(1),
        row(2, image=b"RIFF not a picture"),
        row(3, image=picture(3)[:200]),
        row(4, image=None),
        row(5, image=None, title=None),
        row(6, image=good),
        row(7, views=0),
        row(8, views=None),
        row(9, likes=-1),
        row(10, likes=None, comments=None),
        row(11, title="x" * (MAX_TITLE + 1)),
        row(12, title=None),
        row(13, title="   "),
        row(14, title="Bytes \ufffd lost"),
        row(1),
        row(15, likes=0, views=50_000),
        row(16, title="Ünïcödé 😀 标题"),
    ]
    info = prepare("youtube", write_source(tmp_path / "raw", rows), work)
    posts = read_table(work / "posts.parquet")
    assert posts["post_id"].tolist() == ["p1", "p12", "p13", "p16"]
    assert posts["title"].isna().tolist() == [False, True, True, False]
    assert posts["image"][0] == good
    reasons = dropped(work)
    assert reasons.pop("p1") == "duplicate post_id"
    assert reasons == {
        "p2": "unreadable picture",
        "p3": "unreadable picture",
        "p4": "missing picture",
        "p5": "missing title and picture",
        "p6": "duplicate picture",
        "p7": "no views",
        "p8": "no views",
        "p9": "invalid likes",
        "p10": "score unknown",
        "p11": "invalid title",
        "p14": "invalid title",
        "p15": "likes hidden",
    }
    details = read_table(work / "cleaning.parquet").set_index("post_id")["detail"]
    assert details["p6"] == "same as p1"
    assert details["p9"] == "a negative count"
    assert not details.str.contains("xxx").any(), "a title would be published with the report"
    assert info["posts"]["read"] == len(rows) == info["posts"]["written"] + sum(info["posts"]["dropped"].values())
    assert info["absent_counts"] == ["shares", "favorites"]


def test_tables_have_the_documented_columns(tmp_path: Path, work: Path) -> None:
    prepare("youtube", write_source(tmp_path / "raw", [row(1), row(2)], [row(3), row(1), row(4, title=None)]), work)
    posts, metadata, texts = (read_table(work / f"{name}.parquet") for name in ("posts", "metadata", "texts"))
    assert tuple(posts.columns) == POST_COLUMNS == tuple(texts.columns)
    assert posts[["views", "likes", "comments", "shares"]].dtypes.eq("Int64").all()
    assert posts["shares"].isna().all()
    assert texts["post_id"].tolist() == ["p3"]
    assert texts["image"].isna().all()
    assert dropped(work) == {"p1": "duplicate post_id (text-only post)", "p4": "missing title (text-only post)"}
    assert metadata["post_id"].tolist() == posts["post_id"].tolist()
    assert metadata[["image_width", "image_height"]].drop_duplicates().to_numpy().tolist() == [[160, 90]]
    assert metadata["phash"].str.fullmatch("[0-9a-f]{16}").all()
    assert Workspace(work).dataset["image_url"] == "https://i.ytimg.com/vi/{post_id}/mqdefault.jpg"


def test_columns_that_are_not_read_and_groups_that_are_not_given_are_said(
    tmp_path: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare("own", write_source(tmp_path / "raw", [row(1, creator="me", mood=3)], [row(2, series="s")]), work)
    said = capsys.readouterr().out
    assert "columns of posts.parquet that are not read: creator, mood\n" in said
    assert "columns of titles.parquet that are not read: series\n" in said
    assert "no post says its group, so related posts can only be told by their titles and pictures\n" in said
    prepare("own", write_source(tmp_path / "raw", [row(1, Channel="mine")], [row(2)]), work)
    assert "not read" not in (said := capsys.readouterr().out) and "group" not in said


def test_what_is_hardly_true_is_said_and_stays(tmp_path: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    past, future = pd.Timestamp("2021-01-02", tz="UTC"), pd.Timestamp.now("UTC") + pd.Timedelta(days=2)
    rows = [row(1, likes=5_000, published_at=past), row(2, published_at=future), row(3, published_at=None)]
    prepare("own", write_source(tmp_path / "raw", rows, [row(4, likes=2_000)]), work)
    said = capsys.readouterr().out
    assert "  2 posts have more likes than views: are the columns swapped?\n" in said
    assert "  1 post is of the future\n" in said
    assert read_table(work / "posts.parquet")["post_id"].tolist() == ["p1", "p2", "p3"]
    prepare("own", write_source(tmp_path / "raw", [row(1, published_at=past)], [row(2)]), work)
    assert "swapped" not in (said := capsys.readouterr().out) and "future" not in said


def test_it_is_said_how_many_scores_lack_a_count_that_others_have(
    tmp_path: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(1), row(2, likes=None), row(3, likes=None, comments=0), row(4, views=0, likes=None)]
    prepare("own", write_source(tmp_path / "raw", rows, [row(5, comments=None)]), work)
    said = capsys.readouterr().out
    assert "  2 of 4 lack likes, which add nothing to their score\n" in said
    assert "  1 of 4 lack comments, which add nothing to their score\n" in said
    assert "lack shares" not in said and "lack views" not in said
    prepare("own", write_source(tmp_path / "raw", [row(1), row(2)], [row(5)]), work)
    assert "lack" not in capsys.readouterr().out


def test_limit_is_counted_as_what_it_is(tmp_path: Path, work: Path) -> None:
    rows = [row(1, views=0), *(row(number) for number in range(2, 6))]
    info = prepare("youtube", write_source(tmp_path / "raw", rows), work, limit=2)
    assert read_table(work / "posts.parquet")["post_id"].tolist() == ["p2", "p3"]
    assert info["posts"]["dropped"] == {"beyond the limit": 2, "no views": 1}
    with pytest.raises(DataError, match="at least 1"):
        prepare("youtube", tmp_path / "raw", work, limit=0)


def test_pixelrec_refers_to_covers_by_relative_path(tmp_path: Path, work: Path) -> None:
    source = tmp_path / "raw"
    (source / "cover").mkdir(parents=True)
    header = "item_id,view_number,comment_number,thumbup_number,share_number,coin_number,favorite_number"
    lines = [f"{header},barrage_number,title,tag,description"]
    lines += [f"i{number},1000.0,2,30.0,4,5,60,7,Title {number},Comedy,Text" for number in range(1, 5)]
    lines += ["i5,1000,2,many,4,5,60,7,Title,Comedy,", "i6,,,,,,,,Title only,,", "i7,1000,2"]
    (source / "item_info.csv").write_text("\n".join(lines))
    for number in (1, 2, 5, 6):
        (source / "cover" / f"i{number}.jpg").write_bytes(picture(number, "JPEG"))
    (source / "cover" / "i3.jpg").write_bytes(b"")
    prepare("pixelrec", source, work)
    posts = read_table(work / "posts.parquet")
    assert posts["post_id"].tolist() == ["i1", "i2"]
    assert posts["image"].tolist() == ["../raw/cover/i1.jpg", "../raw/cover/i2.jpg"]
    assert load_image(posts["image"][0], root=work).size == (160, 90)
    assert posts[["likes", "shares", "favorites"]].to_numpy().tolist() == [[30, 4, 60]] * 2
    assert posts["group"].isna().all()
    assert posts["tags"][0].tolist() == ["Comedy"]
    assert dropped(work) == {
        "i3": "unreadable picture",
        "i4": "missing picture",
        "i5": "invalid likes",
        "i6": "no views",
        "i7": "malformed row",
    }
    assert not list(work.glob("*.jpg"))


def test_fingerprint_follows_the_source(tmp_path: Path) -> None:
    works = [tmp_path / name for name in "abc"]
    first = prepare("youtube", write_source(tmp_path / "raw", [row(1)]), works[0])
    again = prepare("youtube", tmp_path / "raw", works[1])
    changed = prepare("youtube", write_source(tmp_path / "raw", [row(2)]), works[2])
    assert first["fingerprint"] == again["fingerprint"] != changed["fingerprint"]


def test_worker_processes_give_the_same(tmp_path: Path) -> None:
    source = write_source(tmp_path / "raw", [row(number) for number in range(5)] + [row(5, image=b"broken")])
    for workers in (1, 2):
        prepare("youtube", source, tmp_path / str(workers), workers=workers)
    for name in ("posts", "metadata", "cleaning"):
        one, two = (read_table(tmp_path / str(workers) / f"{name}.parquet") for workers in (1, 2))
        pd.testing.assert_frame_equal(one, two)


def test_nothing_left_is_an_error_and_leaves_the_former_tables(tmp_path: Path, work: Path) -> None:
    prepare("youtube", write_source(tmp_path / "raw", [row(1)]), work)
    before = {path.name: path.read_bytes() for path in work.iterdir()}
    with pytest.raises(DataError, match=r"No post of .* is left; unreadable picture 2, no views 1"):
        prepare(
            "youtube", write_source(tmp_path / "raw", [row(2, views=0), row(3, image=b"x"), row(4, image=b"y")]), work
        )
    assert {path.name: path.read_bytes() for path in work.iterdir()} == before


def test_the_folder_of_the_dataset_is_no_work_folder(tmp_path: Path) -> None:
    source = write_source(tmp_path / "raw", [row(1)])
    before = (source / "posts.parquet").read_bytes()
    with pytest.raises(DataError, match="holds the dataset itself"):
        prepare("youtube", source, source)
    assert (source / "posts.parquet").read_bytes() == before and len(list(source.iterdir())) == 1


def test_a_folder_of_something_else_is_no_work_folder(tmp_path: Path, work: Path) -> None:
    source, other = (write_source(tmp_path / name, [row(number)]) for number, name in enumerate(("raw", "other")))
    before = (other / "posts.parquet").read_bytes()
    with pytest.raises(DataError, match="something else, which would be lost; give another --work"):
        prepare("youtube", source, other)
    assert (other / "posts.parquet").read_bytes() == before and len(list(other.iterdir())) == 1
    prepare("youtube", source, work)
    # One that was killed on its way has written no dataset.json.
    (work / "dataset.json").unlink()
    assert prepare("youtube", source, work)["posts"]["written"] == 1


def test_a_split_goes_with_the_posts_that_it_was_of(tmp_path: Path, work: Path) -> None:
    letters = str.maketrans("0123456789", "bcdfghjklm")
    rows = [row(number, title=str(10**6 + number * 7919).translate(letters)) for number in range(100)]
    source = write_source(tmp_path / "raw", rows)
    prepare("youtube", source, work)
    before = split(work)
    prepare("youtube", source, work)
    assert Workspace(work).splits.equals(before)
    # The same posts, of which more is known.
    prepare("youtube", write_source(source, [{**one, "channel_id": f"c{n % 50}"} for n, one in enumerate(rows)]), work)
    with pytest.raises(DataError, match="training split"):
        Workspace(work).posts  # noqa: B018
    again = split(work)
    assert again["group"].nunique() == 50
    # As another dataset, which groups them otherwise; and fewer of them.
    for limit in (None, 90):
        prepare("own", source, work, limit=limit)
        with pytest.raises(DataError, match="training split"):
            Workspace(work).posts  # noqa: B018
        if limit is None:
            split(work)


def test_torn_files_and_too_few_posts_are_one_sentence(tmp_path: Path, work: Path) -> None:
    prepare("youtube", write_source(tmp_path / "raw", [row(number) for number in range(3)]), work)
    with pytest.raises(DataError, match="3 posts with a picture in 1 groups are too few"):
        split(work)
    (work / INFO).write_text('{"name": ')
    with pytest.raises(DataError, match=r"dataset\.json is broken"):
        Workspace(work).dataset  # noqa: B018
    (work / "splits.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"splits\.parquet is no Parquet file"):
        Workspace(work).splits  # noqa: B018
    with pytest.raises(DataError, match="is a file"):
        prepare("youtube", tmp_path / "raw", work / INFO)


def test_half_a_like_is_no_count(tmp_path: Path, work: Path) -> None:
    prepare("youtube", write_source(tmp_path / "raw", [row(1, likes=1.5), row(2, likes=2.0)]), work)
    assert dropped(work) == {"p1": "invalid likes"}


def test_one_run_at_a_time_and_a_killed_one_leaves_nothing(tmp_path: Path, work: Path) -> None:
    source = write_source(tmp_path / "raw", [row(number) for number in range(20)])
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        import training.data.prepare as steps
        take = steps._take_posts
        def slow(*arguments):
            take(*arguments)
            print("batch", flush=True)
            time.sleep(60)
        steps._take_posts = slow
        steps.prepare("youtube", Path({str(source)!r}), Path({str(work)!r}))
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "batch\n"
        for step in (lambda: prepare("youtube", source, work, limit=3), lambda: split(work)):
            with pytest.raises(DataError, match=r"Another process is writing .*; wait until it has finished\.$"):
                step()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [path.name for path in work.iterdir() if not path.name.startswith(".")] == []
    with pytest.raises(DataError, match="run `python -m training prepare"):
        _ = Workspace(work).dataset
    prepare("youtube", source, work, limit=3)
    assert sorted(path.name for path in work.rglob("*")) == [
        ".lock", "cleaning.parquet", "dataset.json", "metadata.parquet", "posts.parquet", "texts.parquet"
    ]  # fmt: skip


def test_a_source_that_is_no_folder_is_said_to_be_none(tmp_path: Path, work: Path) -> None:
    file = write_source(tmp_path / "raw", [row(1)]) / "posts.parquet"
    for source in (tmp_path / "nowhere", file):
        with pytest.raises(DataError, match=rf"^There is no folder {source}; give the one that holds one's own"):
            prepare("own", source, work)
    assert not work.exists()


def test_tables_of_two_runs_never_stand_together(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends while its tables are put in place leaves no dataset.json, so nothing reads what is mixed."""
    prepare("youtube", write_source(tmp_path / "raw", [row(1)]), work)
    replace, done = os.replace, []

    def full(source: Path, target: Path) -> None:
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        done.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        prepare("youtube", write_source(tmp_path / "raw", [row(2)]), work)
    assert len(done) == 2 and INFO not in done
    with pytest.raises(DataError, match=r"dataset\.json is missing; run `python -m training prepare"):
        split(work)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.json is missing; run `python -m training prepare"):
        split(tmp_path / "nope")
    assert not any(tmp_path.iterdir())


# st.characters() draws lone surrogates too, which no file can hold and no table can store.
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.one_of(st.integers(-(2**70), 2**70), st.just(10**400)),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.binary(max_size=5),
    st.lists(st.text(st.characters(), max_size=3), max_size=2),
    st.sampled_from(["5", "", "x" * 300]),
)
FIELDS = ("post_id", "title", "description", "tags", "category", "views", "likes", "published_at", "drop_detail")


@settings(max_examples=40)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, CELLS)), min_size=1))
def test_whatever_stands_in_a_table_what_passes_fits_the_schema(rows: list[dict[str, Any]]) -> None:
    raw = pd.DataFrame(rows, dtype=object).assign(source="test", image=[b"x"] * len(rows))
    batch = clean(raw)
    assert len(batch) == len(rows)
    flags = ["drop_reason", "drop_detail"]
    passed = batch[batch["drop_reason"].isna()].drop(columns=flags)
    POSTS.validate(passed)
    assert (passed["views"] > 0).all() and (passed["likes"] >= 0).all()
    pa.Table.from_pandas(passed, schema=posts_schema("bytes"))
    pa.Table.from_pandas(batch[["post_id", *flags]])


def test_text_that_cannot_be_stored_costs_its_own_row() -> None:
    rows = [row(number) | {"source": "s"} for number in range(5)]
    rows[1]["title"] = "Cut \ud83d in half"
    rows[2]["post_id"] = "p\udcff"
    rows[3]["tags"] = ["fine", "\ud83d"]
    rows[4]["title"] = b"\xff\xfe"
    batch = clean(pd.DataFrame(rows, dtype=object))
    assert batch["drop_reason"].fillna("").tolist() == [
        "", "invalid title", "invalid post_id", "invalid tags", "invalid title"
    ]  # fmt: skip
    assert batch["drop_detail"][1] == "not UTF-8"


@pytest.mark.parametrize(
    ("views", "reason"),
    [
        ("12.0", None),
        (" 7 ", None),
        ("1e4", None),
        ("nan", "no views"),
        ("", "no views"),
        ("inf", "invalid views"),
        ("9" * 30, "invalid views"),
        ("1,000", "invalid views"),
        ("12.000", "invalid views"),
        (12.000, None),
        ("12000.000", None),
        ("-3", "invalid views"),
        ("many", "invalid views"),
    ],
)
def test_counts_given_as_text(views: str | float, reason: str | None) -> None:
    raw = pd.DataFrame([{"post_id": "a", "title": "b", "source": "c", "image": b"d", "views": views, "likes": "1"}])
    given_reason = clean(raw)["drop_reason"][0]
    assert (None if pd.isna(given_reason) else given_reason) == reason


@pytest.mark.parametrize("dataset", ["own", "folders"])
def test_a_count_that_may_be_thousands_or_decimals_is_said_and_never_read(
    dataset: str, tmp_path: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if dataset == "own":
        source = write_source(tmp_path / "raw", [row(1, likes="70"), row(2, likes="85.803"), row(3, likes="1,234,567")])
    else:
        source = class_folders.write(
            tmp_path / "raw", class_folders.table_of(6), likes=["70", "85.803"] + ["12,000"] * 4
        )
    prepare(dataset, source, work)
    said = capsys.readouterr().out
    assert "    invalid likes, the first: '85.803' may mean 85,803 or 85.803; write counts as digits alone\n" in said
    assert f"each that was dropped, with its reason: {work / 'cleaning.parquet'}\n" in said
    assert read_table(work / "posts.parquet")["likes"].tolist() == [70]


def test_a_row_without_id_is_told_by_its_place() -> None:
    raw = pd.DataFrame([{"post_id": None, "title": "b", "source": "c", "image": b"d", "views": 1, "likes": 1}])
    batch = clean(raw, first_row=1025)
    assert batch["drop_reason"][0] == "invalid post_id"
    assert batch["drop_detail"][0] == "missing, row 1,025 of the source"


def test_dates_are_read_as_iso_or_refused() -> None:
    same = pd.Timestamp("2021-01-02T03:04:05Z")
    dates = ["2021-01-02", "2021-01-02T04:04:05+01:00", same, None]
    dates += ["soon", 5, "99999-01-01", "0000-01-01", "now", "today"]
    columns = {"post_id": [str(number) for number in range(len(dates))], "published_at": pd.Series(dates, dtype=object)}
    batch = clean(pd.DataFrame(columns).assign(title="t", source="s", image=b"x", views=1, likes=1))
    assert batch["published_at"][:3].astype(str).tolist() == [
        "2021-01-02 00:00:00+00:00", "2021-01-02 03:04:05+00:00", "2021-01-02 03:04:05+00:00"
    ]  # fmt: skip
    assert batch["drop_reason"].isna().tolist() == [True] * 4 + [False] * 6


@pytest.mark.parametrize(
    ("title", "language"),
    [
        ("We tried to bake the biggest cake in the world", "en"),
        ("Cómo hacer una tarta de queso en casa", "es"),
        ("Как приготовить вкусный борщ дома", "ru"),
        ("집에서 만드는 김치찌개 레시피", "ko"),
        ("家で作る美味しいカレーの作り方", "ja"),
        ("", "und"),
        ("ok 2021 #shorts https://example.org/a", "und"),
        ("😀😀😀", "und"),
    ],
)
def test_title_language(title: str, language: str) -> None:
    assert title_metadata(title)["language"] == language


def test_title_and_picture_metadata() -> None:
    assert title_metadata("Two words") == {"language": "und", "title_characters": 9, "title_words": 2}
    image = load_image(picture(1))
    metadata, same = picture_metadata(image), picture_metadata(image.copy())
    assert metadata == same
    assert metadata.pixel_hash != picture_metadata(load_image(picture(2))).pixel_hash
    smaller = picture_metadata(image.resize((80, 45)))
    assert (int(metadata.phash, 16) ^ int(smaller.phash, 16)).bit_count() <= 6
    assert metadata.pixel_hash != smaller.pixel_hash


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("FIRST_IMPRESSIONS_DATA"), reason="FIRST_IMPRESSIONS_DATA names no folder of data"
)
def test_youtube_as_published(work: Path) -> None:
    started = time.perf_counter()
    info = prepare("youtube", Path(os.environ["FIRST_IMPRESSIONS_DATA"]) / "youtube", work)
    assert time.perf_counter() - started < 200
    assert info == json.loads((work / "dataset.json").read_text())
    assert info["posts"]["read"] == 11_049
    assert set(info["posts"]["dropped"]) == {"likes hidden", "duplicate picture"}
    assert info["posts"]["written"] > 10_900
    posts, metadata = read_table(work / "posts.parquet"), read_table(work / "metadata.parquet")
    POSTS.validate(
        posts.astype({name: "string" for name in ("post_id", "title", "description", "category", "group", "source")})
        .assign(tags=posts["tags"].map(lambda tags: None if tags is None else list(tags)))
    )  # fmt: skip
    assert (
        posts["post_id"].equals(metadata["post_id"]) and posts["post_id"].is_unique and metadata["pixel_hash"].is_unique
    )
    assert not set(read_table(work / "texts.parquet", ["post_id"])["post_id"]) & set(posts["post_id"])
