"""The preview of feeds: what a crop keeps, which words are cut or too small, nothing said where none were read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.drafts.feed import ASPECT, LEAST_HEIGHT, WIDTHS, crop_of, too_small
from engine.lettering import Line
from engine.posts import Post
from engine.readers import Reading
from ui import feed

TALL = Image.new("RGB", (800, 900), (200, 30, 30))
HOSTILE = "<img src=x onerror=alert(1)>"


def line(text: str, height: float, box: tuple[float, float, float, float] = (0.2, 0.45, 0.8, 0.55)) -> Line:
    return Line(text, 0.9, box, height, 0.05)


@given(st.integers(8, 5000), st.integers(8, 5000))
def test_a_crop_lies_in_the_middle_and_is_as_wide_as_feeds(width: int, height: int) -> None:
    crop = crop_of((width, height))
    left, top, right, bottom = crop.box
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert left == pytest.approx(1 - right) and top == pytest.approx(1 - bottom)
    assert (right - left) * width / ((bottom - top) * height) == pytest.approx(ASPECT)
    assert min(left, top) == pytest.approx(0, abs=1e-9) and 0 <= crop.lost < 1


def test_lettering_is_as_high_as_it_is_shown() -> None:
    """Of 900 rows a tenth is 90; the 800 columns are shown in 360."""
    crop = crop_of(TALL.size)
    assert crop.height(line("a", 0.1), 360) == pytest.approx(40.5)
    wide = crop_of((1600, 400))
    assert wide.height(line("a", 0.1), 360) == pytest.approx(40 * 360 / (400 * ASPECT))
    edge = LEAST_HEIGHT * 800 / 900 / 360
    assert [one.text for one in too_small([line("no", 0.98 * edge), line("yes", 1.02 * edge)], crop, 360)] == ["no"]


def test_only_lines_that_lose_a_part_are_cut() -> None:
    crop = crop_of((900, 1600))
    top = crop.box[1]
    assert crop.cuts(line("a", 0.1, (0.1, 0.0, 0.9, top / 2))) and crop.cuts(
        line("a", 0.1, (0.1, top - 0.05, 0.9, top + 0.05))
    )
    assert not crop.cuts(line("a", 0.1, (0.1, top - 0.005, 0.9, top + 0.095)))
    assert not too_small([line("a", 0.001, (0.1, 0.0, 0.9, top / 2))], crop, WIDTHS["phone"])


def test_sentences_say_what_becomes_of_words() -> None:
    crop = crop_of(TALL.size)
    first, *rest = feed.sentences(crop, [line("BIG", 0.3), line("tiny", 0.02), line("GONE", 0.1, (0, 0, 1, 0.1))])
    assert first.startswith("A feed cuts 50") and "at the top and bottom" in first
    assert rest == ["Words are cut off: “GONE”.", "Words will be too small to read on a phone: “tiny”."]
    middling = line("SO SO", 1.5 * LEAST_HEIGHT * 800 / 900 / 360)
    assert (
        feed.sentences(crop, [middling])[1]
        == "Words can be read on a phone, but not in a list of suggestions: “SO SO”."
    )
    assert feed.sentences(crop, [line("BIG", 0.3)])[1].startswith("All words in the picture are large enough")
    assert feed.sentences(crop, None) == feed.sentences(crop, []) == [first]
    assert feed.sentences(crop_of((1280, 720)), None) == [
        "The picture is as wide as feeds show it: nothing is cut away."
    ]


def test_the_panel_shows_three_sizes_and_escapes() -> None:
    html = feed.panel(Post(HOSTILE, TALL), [line(HOSTILE, 0.02)] * 9)
    assert html.count("fi-crop") == len(WIDTHS) and html.count("data:image/jpeg") == 1 and "fi-safe" in html
    assert HOSTILE not in html and "and 6 more" in html and feed.HOW in html
    assert feed.HOW not in feed.panel(Post("My cat", TALL), None)
    bare = feed.panel(Post("My cat"), None)
    assert bare.count("no picture") == len(WIDTHS) and "data:image" not in bare and "fi-safe" not in bare


def test_a_draft_without_a_verdict_is_shown_all_the_same() -> None:
    assert "asdf" in feed.show(None, None, "asdf") and feed.show(None) == ""
    # One that cannot be read has had its sentence.
    assert feed.show(None, "/nowhere.png", "asdf") == ""


def test_lettering_that_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (None, ()):
        monkeypatch.setattr(feed.READER, "read", lambda picture, found=found: Reading(found))
        assert feed.read(Post("My cat", TALL)) == {"__type__": "update"}
    # A cup is read as a letter.
    monkeypatch.setattr(feed.READER, "read", lambda picture: Reading((line("O", 0.3),)))
    assert feed.read(Post("My cat", TALL)) == {"__type__": "update"}
    monkeypatch.setattr(feed.READER, "read", lambda picture: Reading((line("tiny", 0.01),)))
    assert "too small to read on a phone: “tiny”" in feed.read(Post("My cat", TALL))
    assert feed.read(Post("My cat")) == {"__type__": "update"}
