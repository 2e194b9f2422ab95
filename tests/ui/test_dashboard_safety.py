"""Foreign text and pictures in the dashboard are harmless: CSV cells, preview cards, addresses, mounted datasets."""

import html
import io
import os
import re
import threading
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dashboard import previews, text
from dashboard.reports import open_report
from dashboard.scope import Scope
from dashboard.selected import selected_posts, selected_table
from dashboard.selection import Selection
from dashboard.store import records
from tests.dashboard_page import completed, page
from tests.pictures import png
from tests.tiny_report import RECIPE

SCOPE = Scope(RECIPE, "both", "test")
# Published as examples of the format: small, valid, and of no real post.
THUMBHASHES = ("1QcSHQRnh493V4dIh4eXh1h4kJUI", "3PcNNYSFeXh/d3eld0iHZoZgVwh2", "HBkSHYSIeHiPiHh8eJd4eTN0EEQG")


def huge_png() -> bytes:
    """A PNG of 13 kB that takes 268 MB once it is decoded to colours."""
    file = io.BytesIO()
    Image.new("1", (9450, 9450)).save(file, "PNG")
    return file.getvalue()


def shown(folder: Path, *pictures: object) -> list[str]:
    """What the page gets of these pictures of a mounted dataset."""
    ids = [f"p{number}" for number in range(len(pictures))]
    pd.DataFrame({"post_id": ids, "title": "A title", "image": list(pictures)}).to_parquet(folder / "posts.parquet")
    found = previews.mounted(str(folder), 0, tuple(ids))
    assert {content.title for content in found.values()} == {"A title"}
    return [found[post_id].picture for post_id in ids]


def test_csv_starts_no_formula() -> None:
    table = pd.DataFrame({"title": ['=HYPERLINK("x")', "+1+1", "@a", "-2*3", "fine", None], "n": [-1, 2, 3, 4, 5, 6]})
    lines = text.csv(table).decode("utf-8-sig").splitlines()
    assert lines[1].startswith("\"'=") and lines[2] == "'+1+1,2" and lines[4] == "'-2*3,4" and lines[5] == "fine,5"
    assert lines[1].endswith(",-1")


def test_exported_rows_join_with_their_posts(tiny_report: Path, tmp_path: Path) -> None:
    table = selected_table(open_report(tiny_report), SCOPE, Selection(), "Random")
    assert table["post_id"].str.startswith("-").any()
    posts = pd.read_parquet(tiny_report / "posts.parquet")
    for written, read in ((text.csv, pd.read_csv), (text.parquet, pd.read_parquet)):
        again = read(io.BytesIO(written(table)))
        assert len(again.merge(posts, on="post_id")) == len(table)


def test_cards_escape_everything(tiny_report: Path) -> None:
    row = records(selected_posts(open_report(tiny_report), SCOPE, Selection(), "Random", 1, 0))[0]
    row |= {"post_id": '"><script>1</script>', "source": "<b>", "image_url": "https://a.b/');x:url('//c"}
    html = previews.cards([row], {row["post_id"]: previews.Content("<img src=x onerror=alert(1)>")}, online=True)
    assert "<script>" not in html and "<img" not in html and "<b>&lt;" not in html and "');x" not in html
    assert "data:image/png;base64," in html


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "//host/x", "http://[", "", None, 3.5])
def test_only_web_addresses_are_pictures(address: object) -> None:
    assert previews.safe_url(address) == ""


def test_an_address_declares_nothing_else_in_a_style() -> None:
    address = "https://x.y/a&#39;&#41;;position:fixed;inset:0"
    style = previews.layers({"image_url": address, "thumbhash": None}, previews.Content(), online=True)
    declared = re.search('style="(.*)"', style)
    assert declared and html.unescape(declared[1]) == f"background-image:url('{address}')"


@pytest.mark.parametrize("encoded", ["", None, "!!!", "AAAA", "A" * 300])
def test_bad_thumbhashes_show_nothing(encoded: str | None) -> None:
    assert previews.thumbhash_url(encoded) == ""


def test_thumbhashes_become_pictures() -> None:
    assert all(previews.thumbhash_url(encoded).startswith("data:image/png;base64,") for encoded in THUMBHASHES)


def test_a_mounted_picture_is_made_small(tmp_path: Path) -> None:
    (small,) = shown(tmp_path, png(2000, 2000))
    assert small.startswith("data:image/jpeg;base64,") and len(small) < 40_000
    (tmp_path / "a.png").write_bytes(png())
    assert shown(tmp_path, "a.png", "./a.png")[1].startswith("data:image/jpeg")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        b"P6 8 8 x",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 x y\n",
        b"BM" + b"\0" * 60,
        png()[:-40],
        huge_png(),
        b"\0" * 21_000_000,
    ],
)
def test_what_is_no_usable_picture_is_not_shown(tmp_path: Path, content: bytes) -> None:
    assert shown(tmp_path, content) == [""]


def test_formats_of_documents_and_of_rare_programs_are_not_opened(tmp_path: Path) -> None:
    files = []
    for kind in ("PPM", "PCX", "TGA", "EPS", "SGI"):
        file = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(file, kind)
        files.append(file.getvalue())
    assert shown(tmp_path, *files) == [""] * len(files)


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    found: list[list[str]] = []
    asked = threading.Thread(target=lambda: found.append(shown(tmp_path, "pipe.png", ".", "a\0b")), daemon=True)
    asked.start()
    asked.join(10)
    assert found == [["", "", ""]]


def test_mounted_dataset_gives_titles_and_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(png())
    data = tmp_path / "data"
    data.mkdir()
    (data / "link.png").symlink_to(tmp_path / "outside.png")
    (data / "loop.png").symlink_to(data / "loop.png")
    images = ["../outside.png", "absent.png", "link.png", "loop.png"]
    rows = {"post_id": list("abcd"), "title": ["A title", None, None, None], "image": images}
    pd.DataFrame(rows).to_parquet(data / "posts.parquet")
    found = previews.mounted(str(data), 0, ("a", "b", "c", "d", "e"))
    assert found == {"a": previews.Content("A title"), **dict.fromkeys("bcd", previews.Content())}
    assert previews.mounted(str(tmp_path), 0, ("a",)) == {}


@pytest.mark.parametrize("names", [("Post_ID", "TITLE", " Image"), ("video_id", "Title", "Picture")])
def test_a_dataset_with_columns_as_preparing_takes_them_is_shown(tmp_path: Path, names: tuple[str, ...]) -> None:
    rows = [("a", "A title", png(), "b"), ("b", "Another", None, "a")]
    pd.DataFrame(rows, columns=[*names, "id"]).to_parquet(tmp_path / "posts.parquet")
    [(found, content)] = previews.mounted(str(tmp_path), 0, ("a",)).items()
    assert found == "a" and content.title == "A title" and content.picture.startswith("data:image/jpeg")


def test_a_dataset_of_other_types_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    pd.DataFrame({"post_id": [1], "title": [2.5], "image": [{"bytes": png()}]}).to_parquet(tmp_path / "posts.parquet")
    assert previews.mounted(str(tmp_path), 0, ("1",)) == {"1": previews.Content("2.5")}


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("results", "split"), ("calibration", "view-0"), ("errors", "on"), ("dataset", "histogram")],
)
def test_a_choice_that_an_address_leaves_empty_is_none(
    tiny_report: Path, tmp_path: Path, name: str, parameter: str
) -> None:
    app = page(name, completed(tiny_report, tmp_path / "report"))
    app.query_params[parameter] = ""
    app.run()
    assert not app.exception and parameter not in app.query_params


def test_a_score_is_as_long_as_it_says_something() -> None:
    assert [text.score(value) for value in (0.049073, 0.0, 12.5, 35710.2)] == ["0.04907", "0", "12.5", "35,710"]
