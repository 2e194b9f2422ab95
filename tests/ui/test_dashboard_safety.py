"""Foreign text and pictures in the dashboard are harmless: CSV cells, preview cards, addresses, mounted datasets."""

from pathlib import Path

import pandas as pd
import pytest

from dashboard import previews, text
from dashboard.error_queries import Scope, selected_posts
from dashboard.reports import open_report
from dashboard.selection import Selection
from dashboard.store import records
from tests.fake_report import THUMBHASHES, write_report


def test_csv_starts_no_formula() -> None:
    table = pd.DataFrame({"title": ['=HYPERLINK("x")', "+1", "@a", " -2", "fine", None], "n": [-1, 2, 3, 4, 5, 6]})
    lines = text.csv(table).decode("utf-8-sig").splitlines()
    assert lines[1].startswith("\"'=") and lines[2] == "'+1,2" and lines[4] == "' -2,4" and lines[5] == "fine,5"
    assert lines[1].endswith(",-1")


def test_cards_escape_everything(tmp_path: Path) -> None:
    report = open_report(write_report(tmp_path, n=100))
    scope = Scope("blend", "both", "test")
    row = records(selected_posts(report, scope, Selection(), "Random", 1, 0))[0]
    row |= {"post_id": '"><script>1</script>', "source": "<b>", "image_url": "https://a.b/');x:url('//c"}
    html = previews.cards([row], {row["post_id"]: previews.Content("<img src=x onerror=alert(1)>")}, online=True)
    assert "<script>" not in html and "<img" not in html and "<b>&lt;" not in html and "');x" not in html
    assert "data:image/png;base64," in html


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "//host/x", "http://[", "", None, 3.5])
def test_only_web_addresses_are_pictures(address: object) -> None:
    assert previews.safe_url(address) == ""


@pytest.mark.parametrize("encoded", ["", None, "!!!", "AAAA", "A" * 300])
def test_bad_thumbhashes_show_nothing(encoded: str | None) -> None:
    assert previews.thumbhash_url(encoded) == ""


def test_thumbhashes_become_pictures() -> None:
    assert all(previews.thumbhash_url(encoded).startswith("data:image/png;base64,") for encoded in THUMBHASHES)


def test_mounted_dataset_gives_titles_and_stays_in_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"secret")
    data = tmp_path / "data"
    data.mkdir()
    rows = {"post_id": ["a", "b"], "title": ["A title", None], "image": ["../outside.png", "absent.png"]}
    pd.DataFrame(rows).to_parquet(data / "posts.parquet")
    found = previews.mounted(str(data), 0, ("a", "b", "c"))
    assert found == {"a": previews.Content("A title"), "b": previews.Content()}
    assert previews.mounted(str(tmp_path), 0, ("a",)) == {}
