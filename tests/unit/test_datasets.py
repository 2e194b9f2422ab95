"""Datasets: small folders in each published format, with the faults that real ones have."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.batch.rows import read_tags
from engine.context import context_of
from engine.errors import DataError
from engine.posts import MAX_TAG, MAX_TAGS
from tests.made_up import write_source
from training.data.cleaning import clean
from training.data.sources import dataset_names, load_dataset
from training.data.sources.base import Dataset, fit_tags
from training.data.sources.pixelrec import PixelRec
from training.data.sources.youtube import YouTube

ITEM_HEADER = (
    "item_id,view_number,comment_number,thumbup_number,share_number,coin_number,favorite_number,barrage_number,"
    "title,tag,description"
)


def youtube_row(post_id: str, **changes: Any) -> dict[str, Any]:
    row = {
        "post_id": post_id,
        "title": f"Title of {post_id}",
        "description": None,
        "tags": "one|two|one| |three",
        "category_id": 20,
        "channel_id": "UC1",
        "channel_title": "A channel",
        "published_at": pd.Timestamp("2021-01-02T03:04:05Z"),
        "snapshot_date": pd.Timestamp("2021-01-05T00:00:00Z"),
        "duration_s": 60.0,
        "views": 100_000,
        "likes": 5_000,
        "comments": 300,
        "days_on_list": 4,
        "source": "us_2021",
        "image": b"bytes",
        "image_width": 320,
        "image_height": 180,
    }
    return row | changes


def read(dataset: Dataset, source: Path) -> pd.DataFrame:
    return pd.concat(dataset.read(source), ignore_index=True).set_index("post_id")


@pytest.mark.parametrize("name", dataset_names())
def test_every_dataset_loads_by_name(name: str) -> None:
    dataset = load_dataset(name)
    assert dataset.name == name
    assert set(dataset.required) <= set(dataset.columns)


def test_unknown_dataset_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="pixelrec, smpd, youtube"):
        load_dataset("../youtube")


def test_tags_are_fitted_to_what_a_post_takes() -> None:
    assert fit_tags([" a ", "", "b", "a", "x" * (MAX_TAG + 1)]) == ["a", "b"]
    assert len(fit_tags(str(number) for number in range(2 * MAX_TAGS)) or []) == MAX_TAGS
    assert fit_tags([" "]) is None


def test_youtube_hidden_likes_and_switched_off_comments(tmp_path: Path) -> None:
    rows = [
        youtube_row("plain"),
        youtube_row("hidden", likes=0),
        youtube_row("closed", comments=0),
        youtube_row("small", likes=0, views=50),
        youtube_row("unknown", comments=None),
    ]
    posts = read(YouTube(), write_source(tmp_path, rows))
    assert posts["drop_reason"].dropna().to_dict() == {"hidden": "likes hidden"}
    assert pd.isna(posts.loc["hidden", "likes"])
    assert posts.loc["small", "likes"] == 0
    assert posts["comments"].isna().to_dict() == {
        "plain": False, "hidden": False, "closed": True, "small": False, "unknown": True
    }  # fmt: skip


def test_own_posts_have_the_counts_that_they_were_given(tmp_path: Path) -> None:
    rows = [youtube_row("a", likes=0, comments=0, group="mine", shares=3), youtube_row("b", group="mine", shares=None)]
    dataset = load_dataset("own")
    found = pd.concat(dataset.read(write_source(tmp_path / "own", rows)))
    assert found["likes"].tolist() == [0, 5_000] and found["comments"].tolist() == [0, 300]
    assert found["group"].tolist() == ["mine", "mine"] and found["shares"].tolist()[0] == 3
    assert "drop_reason" not in found or found["drop_reason"].isna().all()
    assert (dataset.notes, dataset.image_url_template, dataset.post_url_template) == ((), None, None)


def test_own_columns_may_have_other_usual_names_in_any_case(tmp_path: Path) -> None:
    usual = {"views": "View_Count", "likes": "like_count", "comments": "Comment_Count", "published_at": "Date"}
    table = pd.DataFrame([youtube_row("a")]).drop(columns="channel_title").rename(columns=usual)
    table = table.rename(columns={"channel_id": "Channel"})
    table.to_parquet(tmp_path / "posts.parquet")
    dataset = load_dataset("own")
    found = read(dataset, tmp_path).loc["a"]
    assert found[["group", "views", "likes", "comments"]].tolist() == ["UC1", 100_000, 5_000, 300]
    assert found["published_at"] == pd.Timestamp("2021-01-02T03:04:05Z")
    # The name that is asked for goes before, and the other is said to be left.
    table.assign(views=7).to_parquet(tmp_path / "posts.parquet")
    assert read(dataset, tmp_path).loc["a", "views"] == 7 and "View_Count" in dataset.remarks(tmp_path)[0]


@pytest.mark.parametrize("given", [20, "1", "Cats"])
def test_own_categories_are_read_as_those_of_a_file_to_score(tmp_path: Path, given: int | str) -> None:
    source = write_source(tmp_path, [youtube_row("a", category_id=given), youtube_row("b", category_id=None)])
    table = pd.read_parquet(source / "posts.parquet").astype({"category_id": "Int64"} if given == 20 else {})
    table.to_parquet(source / "posts.parquet")
    found = read(load_dataset("own"), source)["category"]
    assert found["a"] == context_of({"category": given})["category"] and pd.isna(found["b"])


@pytest.mark.parametrize("given", [["one", "two"], "one|two", "one, two", '["one", "two"]'])
def test_own_tags_are_read_as_those_of_a_file_to_score(tmp_path: Path, given: list[str] | str) -> None:
    posts = read(load_dataset("own"), write_source(tmp_path, [youtube_row("a", tags=given)]))
    assert posts.loc["a", "tags"] == ["one", "two"] == list(read_tags(given))


def test_own_tags_that_are_none_cost_their_row(tmp_path: Path) -> None:
    rows = [youtube_row("a", tags=[{"name": "one"}])]
    posts = clean(pd.concat(load_dataset("own").read(write_source(tmp_path, rows))))
    assert posts["drop_reason"].tolist() == ["invalid tags"]
    none = [youtube_row("b", tags="[None]"), youtube_row("c", tags=None)]
    assert read(load_dataset("own"), write_source(tmp_path / "none", none))["tags"].isna().all()


def test_youtube_columns(tmp_path: Path) -> None:
    rows = [
        youtube_row("full"),
        youtube_row("empty", tags="[None]", category_id=None, channel_id=None, channel_title=None, source=None),
        youtube_row("odd", category_id=44, channel_id=None),
    ]
    posts = read(YouTube(), write_source(tmp_path, rows))
    assert posts.loc["full", ["category", "group", "source"]].tolist() == ["Gaming", "UC1", "us_2021"]
    assert posts.loc["full", "tags"] == ["one", "two", "three"]
    assert posts.loc["full", "image"] == b"bytes"
    assert posts.loc["empty", ["tags", "category", "group"]].isna().all()
    assert posts.loc["empty", "source"] == "youtube"
    assert posts.loc["odd", ["category", "group"]].tolist() == ["category 44", "A channel"]


def test_youtube_texts_and_count(tmp_path: Path) -> None:
    source = write_source(tmp_path, [youtube_row("a")], [youtube_row("b"), youtube_row("c")])
    assert YouTube().count(source) == 1
    texts = pd.concat(YouTube().read_texts(source))
    assert texts["post_id"].tolist() == ["b", "c"]
    assert "image" not in texts
    (source / "titles.parquet").unlink()
    assert list(YouTube().read_texts(source)) == []


def test_youtube_source_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no posts\.parquet"):
        YouTube().count(tmp_path / "nowhere")
    (tmp_path / "posts.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="no Parquet file"):
        list(YouTube().read(tmp_path))
    pd.DataFrame([youtube_row("a")]).drop(columns=["likes", "image"]).to_parquet(tmp_path / "posts.parquet")
    with pytest.raises(DataError, match="lacks image; likes"):
        list(YouTube().read(tmp_path))


def test_youtube_broken_cells_cost_only_their_rows(tmp_path: Path) -> None:
    rows = [youtube_row("a"), youtube_row("b", category_id=float("inf")), youtube_row("c"), youtube_row("d")]
    table = pa.Table.from_pandas(pd.DataFrame(rows))
    titles = [b"Fine", b"Fine", b"Bytes \xff lost", b"Fine"]
    offsets = np.cumsum([0, *map(len, titles)]).astype(np.int32)
    broken = pa.Array.from_buffers(pa.string(), 4, [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(titles))])
    sources = pa.array(["x", None, "x", "x"]).dictionary_encode()
    for name, column in (("title", broken), ("source", sources)):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, tmp_path / "posts.parquet")
    posts = read(YouTube(), tmp_path)
    batch = clean(posts.reset_index())
    assert batch["drop_reason"].fillna("").tolist() == ["", "", "invalid title", ""]
    assert batch["drop_detail"][2] == "not UTF-8"
    assert posts["source"].tolist() == ["x", "youtube", "x", "x"]
    assert posts.loc["b", "category"] == "inf"


def test_youtube_pictures_must_be_bytes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image holds .*string; it must hold the pictures' bytes"):
        list(YouTube().read(write_source(tmp_path, [youtube_row("a", image="/etc/hostname")])))


def test_youtube_damage_inside_a_file_is_said(tmp_path: Path) -> None:
    path = write_source(tmp_path, [youtube_row(str(number)) for number in range(50)]) / "posts.parquet"
    content = bytearray(path.read_bytes())
    content[4:600] = b"\xff" * 596
    path.write_bytes(content)
    with pytest.raises(DataError, match="broken or cut off"):
        list(YouTube().read(tmp_path))


def write_pixelrec(folder: Path, lines: list[str], header: str = ITEM_HEADER, covers: tuple[str, ...] = ()) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "item_info.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    (folder / "interaction.csv").write_text("item_id,user_id,timestamp\ni1,u1,1605059546\n")
    for cover in ("cover/readme.txt", *covers):
        path = folder / cover
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"cover")
    return folder


def test_pixelrec_published_columns(tmp_path: Path) -> None:
    lines = [
        'i1,799668.0,739.0,8050.0,220.0,84.0,1049.0,510.0,"A turtle, ""mine""",Pet Reptiles,Should I?',
        "i2,,,,,,,,Only a title,,",
    ]
    posts = read(PixelRec(), write_pixelrec(tmp_path, lines, covers=("cover/i1.jpg",)))
    first = posts.loc["i1"]
    assert first["title"] == 'A turtle, "mine"'
    counts = first[["views", "likes", "comments", "shares", "favorites"]].astype(float).tolist()
    assert counts == [799668, 8050, 739, 220, 1049]
    assert (first["category"], first["tags"], first["source"]) == ("Pet Reptiles", ["Pet Reptiles"], "pixelrec")
    assert Path(first["image"]) == tmp_path / "cover" / "i1.jpg"
    assert posts.loc["i2", "image"] is None
    assert posts["drop_reason"].isna().all()
    assert "group" not in posts


def test_pixelrec_other_spellings_and_split_covers(tmp_path: Path) -> None:
    header = "item_id,views,likes,comments,shares,favorites,title,title_en"
    source = write_pixelrec(
        tmp_path, ["i1,10,5,1,0,2,标题,A title", "i2,10,5,1,0,2,标题,B"], header, ("cover1/i1.jpg", "Cover2/i2.png")
    )
    posts = read(PixelRec(), source)
    assert posts["title"].tolist() == ["A title", "B"]
    assert [Path(path).name for path in posts["image"]] == ["i1.jpg", "i2.png"]


def test_pixelrec_broken_rows_cost_only_themselves(tmp_path: Path) -> None:
    lines = [
        "i1,1,2,3,4,5,6,7,Good,tag,text",
        "i2,1,2,3,4,5,6,7,A title, with a comma,tag,text",
        "i3,1,2",
        "",
        '../i4,1,2,3,4,5,6,7,"Two\nlines",tag,text',
    ]
    source = write_pixelrec(tmp_path, lines, covers=("cover/i1.jpg",))
    (tmp_path / "i4.jpg").write_bytes(b"outside the folder of covers")
    posts = read(PixelRec(), source)
    assert posts["drop_reason"].dropna().to_dict() == {"i2": "malformed row", "i3": "malformed row"}
    assert posts.loc["i2", "drop_detail"] == "12 fields instead of 11, line 3"
    assert posts.loc["../i4", "title"] == "Two\nlines"
    assert posts.loc["../i4", "image"] is None


def test_pixelrec_an_unclosed_quote_costs_its_own_row(tmp_path: Path) -> None:
    good = ["i{},1,2,3,4,5,6,7,Good,tag,text", 'i{},1,2,3,4,5,6,7,"Good, too",tag,text']
    lines = [good[number % 2].format(number) for number in range(1, 41)]
    lines[4] = 'i5,1,2,3,4,5,6,7,"No end,tag,text'
    lines[9] = 'i10,1,2,3,4,5,6,7,Title,tag,"no end either'
    lines[19] = 'i20,1,2,3,4,5,6,7,"A "quoted" word",tag,text'
    lines[39] = 'i40,1,2,3,4,5,6,7,Title,tag,"last one'
    posts = read(PixelRec(), write_pixelrec(tmp_path, lines))
    assert posts.index.tolist() == [f"i{number}" for number in range(1, 41)]
    assert posts["drop_reason"].dropna().index.tolist() == ["i5", "i10", "i20", "i40"]
    assert posts.loc["i5", "drop_detail"] == "',' expected after '\"', line 6"
    assert posts.loc["i40", "drop_detail"] == "unexpected end of data, line 41"
    assert posts.loc["i7", "title"] == "Good, too"


def test_pixelrec_hostile_ids_and_cells(tmp_path: Path) -> None:
    long = "x" * 300
    lines = [
        f"{long},1,2,3,4,5,6,7,Title,tag,text",
        "i\0,1,2,3,4,5,6,7,Title,tag,text",
        "..,1,2,3,4,5,6,7,Title,tag,text",
        "CON,1,2,3,4,5,6,7,Title,tag,text",
        f"i5,1,2,3,4,5,6,7,Title,tag,{'long ' * 50_000}",
        "a sentence that stands where an id should",
        "i7,1,2,3,4,5,6,7,Title,tag,text",
    ]
    posts = pd.concat(PixelRec().read(write_pixelrec(tmp_path, lines)), ignore_index=True)
    assert len(posts) == 7 and posts["image"].isna().all()
    assert posts["drop_reason"].fillna("").tolist() == ["", "", "", "", "malformed row", "malformed row", ""]
    assert posts["post_id"][6] == "i7"
    assert not posts["post_id"][5], "what is no id may be a sentence, and the list of dropped posts may be published"
    batch = clean(posts)
    assert batch["drop_reason"][0] == "invalid post_id" and pd.isna(batch["post_id"][0])


def test_pixelrec_byte_order_mark_and_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    source = write_pixelrec(tmp_path, [])
    row = f"i1,1,2,3,4,5,6,7,{'中文'},tag,text\n".encode("gb18030")
    (source / "item_info.csv").write_bytes(b"\xef\xbb\xbf" + ITEM_HEADER.encode() + b"\r\n" + row)
    posts = read(PixelRec(), source)
    assert "\ufffd" in posts.loc["i1", "title"]


def test_pixelrec_source_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no item table"):
        list(PixelRec().read(tmp_path / "nowhere"))
    source = write_pixelrec(tmp_path, [], header="item_id,title,view_number,likes")
    with pytest.raises(DataError, match="lacks comment_number or comments") as error:
        list(PixelRec().read(source))
    assert "share_number" in str(error.value) and "view_number" not in str(error.value)
    (source / "other.csv").write_text("item_id,title\n")
    with pytest.raises(DataError, match="several item tables"):
        list(PixelRec().read(source))
    (source / "other.csv").unlink()
    (source / "cover" / "readme.txt").unlink()
    (source / "cover").rmdir()
    with pytest.raises(DataError, match="no folder of covers"):
        list(PixelRec().read(source))


def test_pixelrec_streams(tmp_path: Path) -> None:
    source = write_pixelrec(tmp_path, [f"i{number},1,2,3,4,5,6,7,Title,tag,text" for number in range(1500)])
    assert [len(batch) for batch in PixelRec().read(source)] == [512, 512, 476]


@pytest.mark.skipif(
    not os.environ.get("FIRST_IMPRESSIONS_DATA"), reason="FIRST_IMPRESSIONS_DATA names no folder of data"
)
def test_youtube_as_published() -> None:
    """The reading of zeros that the module's docstring states."""
    source = Path(os.environ["FIRST_IMPRESSIONS_DATA"]) / "youtube"
    posts = pd.concat(YouTube().read(source), ignore_index=True)
    assert len(posts) == YouTube().count(source)
    hidden = posts["drop_reason"].notna()
    assert 0 < hidden.mean() < 0.02
    assert posts.loc[hidden, "likes"].isna().all()
    assert posts.loc[~hidden, "likes"].astype(float).min() > 3
    assert posts.loc[~hidden, "comments"].dropna().astype(float).min() > 0
