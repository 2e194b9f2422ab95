"""Preparing one's own posts: whatever the table is written in and wherever its pictures lie, the same comes of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.errors import DataError
from tests.made_up import read_table
from tests.unit.test_prepare import picture, row
from training.data.prepare import prepare

POSTS = [
    row(number, tags=tags, Channel=channel, published_at="2024-05-01T10:00:00Z", shares=shares)
    for number, (tags, channel, shares) in enumerate([("a|b", "x", 3), (None, "y", None), ("c, d", None, 0)])
]


def with_paths(folder: Path) -> list[dict[str, Any]]:
    """The posts, their pictures as files beside the table."""
    (folder / "pictures").mkdir()
    for post in POSTS:
        (folder / "pictures" / f"{post['post_id']}.webp").write_bytes(post["image"])
    return [{**post, "image": f"pictures/{post['post_id']}.webp"} for post in POSTS]


def as_csv(folder: Path) -> None:
    table = pd.DataFrame(with_paths(folder)).rename(columns={"title": " Title", "image": "Picture"})
    table.to_csv(folder / "posts.csv", index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")


def as_json(folder: Path) -> None:
    """Without the cells that are empty, each row in letters of its own."""
    lines = [
        json.dumps({(name.upper() if number else name): cell for name, cell in post.items() if cell is not None})
        for number, post in enumerate(with_paths(folder))
    ]
    (folder / "posts.jsonl").write_text("\n\n".join(lines))


def as_paths(folder: Path) -> None:
    posts = [{**post, "image": str(folder.absolute() / post["image"])} for post in with_paths(folder)]
    pd.DataFrame(posts).to_parquet(folder / "posts.parquet")


def as_structs(folder: Path) -> None:
    posts = [{**post, "image": {"bytes": None, "path": post["image"]}} for post in with_paths(folder)]
    posts[0]["image"] = {"bytes": POSTS[0]["image"], "path": "elsewhere.webp"}
    pd.DataFrame(posts).to_parquet(folder / "posts.parquet")


def as_bytes(folder: Path) -> None:
    pd.DataFrame(POSTS).to_parquet(folder / "posts.parquet")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.mark.parametrize("write", [as_csv, as_json, as_paths, as_structs, as_bytes])
def test_every_format_gives_the_same_posts(write: Callable[[Path], None], source: Path, tmp_path: Path) -> None:
    write(source)
    info = prepare("own", source, tmp_path / "work")
    assert info["posts"] == {"read": 3, "written": 3, "dropped": {}} and info["image"] == "bytes"
    posts = read_table(tmp_path / "work" / "posts.parquet")
    assert posts["image"].tolist() == [post["image"] for post in POSTS]
    assert posts["title"].tolist() == [post["title"] for post in POSTS]
    assert [None if tags is None else list(tags) for tags in posts["tags"]] == [["a", "b"], None, ["c", "d"]]
    assert posts["group"].fillna("").tolist() == ["x", "y", ""]
    assert posts["shares"].fillna(-1).tolist() == [3, -1, 0]
    assert posts["views"].tolist() == [1000, 1001, 1002] and posts["published_at"].dt.hour.eq(10).all()


@pytest.mark.parametrize("write", [as_csv, as_json, as_paths])
def test_another_picture_under_the_same_path_is_another_dataset(
    write: Callable[[Path], None], source: Path, tmp_path: Path
) -> None:
    write(source)
    before = prepare("own", source, tmp_path / "work")["fingerprint"]
    assert prepare("own", source, tmp_path / "work")["fingerprint"] == before
    (source / "pictures" / "p1.webp").write_bytes(picture(77))
    assert prepare("own", source, tmp_path / "work")["fingerprint"] != before


def test_a_broken_row_or_picture_costs_its_own_post(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_csv(source)
    good = (source / "posts.csv").read_text(encoding="utf-8-sig").splitlines()
    named = good[1].replace("p0", "q{0}").replace("pictures/q{0}.webp", "{1}")
    os.mkfifo(source / "pipe")
    torn, few = named.format(1, "a.png").replace(";", ';"', 1), "q2;Few"
    others = [named.format(number, path) for number, path in enumerate(("none.webp", "pipe", "", "https://a.b/c"), 3)]
    (source / "posts.csv").write_text("\n".join([*good[:2], torn, few, *others, *good[2:]]))
    text = '{"post_id": "t1", "title": "Words", "views": 9, "likes": 1}'
    half = text.replace("t1", "t2").replace("}", ', "category": "Half an emoji \\ud83d"}')
    (source / "titles.ndjson").write_text(f'{text}\n[1]\n{{"a": \n{half}\n{text.replace("9", "9" * 400)}')
    info = prepare("own", source, tmp_path / "work")
    assert info["posts"]["written"] == 3 and info["texts"]["written"] == 1
    table = read_table(tmp_path / "work" / "cleaning.parquet")
    found = dict(zip(table["post_id"].fillna("none"), table["reason"], strict=True))
    assert {found[f"q{number}"] for number in (3, 4, 6)} == {"unreadable picture"} and found["q5"] == "missing picture"
    broken = table[table["reason"].str.startswith("malformed row")]["detail"]
    assert [detail.rpartition(" Row ")[2] for detail in broken] == [
        *("2 of the table.", "3 of the table."),
        *("2 of the table.", "3 of the table."),
    ]
    assert "opens a quote" in broken.iloc[0] and "JSON" in broken.iloc[2]
    assert "unreadable picture, the first: The picture's file does not exist" in capsys.readouterr().out


def test_tables_that_cannot_be_told_apart_or_are_not_there_are_one_sentence(source: Path, tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(DataError, match=match):
            prepare("own", source, tmp_path / "work")

    (source / "titles.csv").touch()
    refused(r"holds none of posts\.csv, posts\.jsonl, posts\.ndjson, posts\.parquet; give the folder of one's own")
    (source / "posts.csv").touch()
    refused("posts.csv lacks post_id or video_id; title; image or picture; views or view_count; likes or like_count")
    (source / "posts.csv").write_text("post_id,title,image,views,likes,Likes\n")
    refused("posts.csv has more than one column named likes; keep one of them, or rename the others")
    (source / "posts.csv").unlink()
    pd.DataFrame(POSTS).assign(Title="b").to_parquet(source / "posts.parquet")
    refused("posts.parquet has more than one column named title; keep one of them")
    (source / "posts.parquet").unlink()
    (source / "posts.csv").touch()
    (source / "posts.jsonl").touch()
    refused(r"holds posts\.csv and posts\.jsonl; keep one of them")
