"""Lettering of pictures and its agreement with the title, on words drawn here."""

import logging
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from engine import lettering
from engine.features.base import PLAIN
from engine.features.lettering import COLUMNS, Lettering
from engine.features.lettering_agreement import LetteringAgreement, share_within, words
from engine.lettering import LetteringReader, cleaned, lines
from engine.posts import Post
from tests.pictures import drawn

pytest.importorskip("rapidocr")
DEJAVU = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")


def row(picture: Image.Image) -> dict[str, float]:
    values = Lettering().compute([Post(image=picture)], {})[0]
    return dict(zip(COLUMNS, values.tolist(), strict=True))


def agreement(title: str, picture: Image.Image) -> list[float]:
    found: list[float] = LetteringAgreement().compute([Post(title, picture)], {})[0].tolist()
    return found


@pytest.mark.parametrize(("size", "height"), [((1280, 720), 120), ((640, 360), 60), ((320, 180), 28), ((120, 68), 15)])
def test_words_are_read_at_any_size(size: tuple[int, int], height: int) -> None:
    picture = drawn("GIANT PIZZA", "for a day", size=size, height=height)
    assert [line.text for line in lines(picture)] == ["GIANT PIZZA", "for a day"]


def test_words_are_read_in_a_small_copy() -> None:
    picture = drawn("I SPENT", "24 HOURS", height=90)
    small = picture.resize((120, 68), Image.Resampling.BICUBIC)
    assert [line.text for line in lines(small)] == ["I SPENT", "24 HOURS"]
    large, little = row(picture), row(small)
    for name in ("boxes", "characters", "words", "capital_share"):
        assert large[name] == little[name]
    assert large["tallest"] == pytest.approx(little["tallest"], rel=0.15)
    assert large["area"] == pytest.approx(little["area"], rel=0.15)


def test_columns_say_what_is_there() -> None:
    found = row(drawn("GIANT PIZZA", "for a day"))
    assert found["boxes"] == 2 and found["words"] == 5 and found["characters"] == 17
    assert found["capital_share"] == pytest.approx(10 / 17) and found["confidence"] > 0.9
    # Letters of 60 pixels in 360, with the margin that the detector leaves.
    assert 0.12 < found["tallest"] < 0.25 and 0.1 < found["area"] < 0.4


def test_lines_lie_where_they_are_drawn() -> None:
    line = lines(drawn("PIZZA", size=(640, 360), height=60))[0]
    left, top, right, bottom = line.box
    assert left == pytest.approx(1 / 16, abs=0.03) and right < 0.5
    assert top == pytest.approx(0.13, abs=0.06) and bottom < 0.4
    assert line.height == pytest.approx(bottom - top, abs=0.02)
    assert line.area == pytest.approx((right - left) * (bottom - top), abs=0.02)


def test_a_picture_without_words_is_all_zeros() -> None:
    picture = Image.linear_gradient("L").convert("RGB")
    assert lines(picture) == () and not any(row(picture).values())
    assert Lettering().why_null(Post(image=picture)) == ""


def test_agreement_with_the_title() -> None:
    picture = drawn("GIANT PIZZA", "for a day")
    assert agreement("We Ate a GIANT Pizza!", picture) == pytest.approx([3 / 5, 3 / 5])
    assert agreement("giant pizza for a day", picture) == [1, 1]
    assert agreement("Nothing of it", picture) == [0, 0]
    assert np.isnan(agreement("🔥🔥", picture)).all()


@pytest.mark.parametrize(
    ("some", "others", "share"),
    [
        ("minecraft world", "MINECRAF7", 0.5),
        ("I spent 24 hours", "ISPENT 24HOURS", 0.5),
        ("cat", "cut", 0),
        ("cat", "concatenate", 0),
        ("Don’t stop", "dont", 0.5),
        ("café", "CAFE", 1),
        ("東京", "東京タワーに行った", 1),
        ("안녕", "안녕하세요", 1),
        ("Привет мир", "ПРИВЕТ", 0.5),
        ("a a a b", "b", 0.5),
    ],
)
def test_slips_of_reading_are_forgiven(some: str, others: str, share: float) -> None:
    assert share_within(words(some), words(others)) == pytest.approx(share)


def test_of_much_text_the_first_words_count() -> None:
    title = words(" ".join(f"sentence{number}" for number in range(300)))
    written = words(" ".join(f"sentense{number}" for number in range(3000)))
    assert len(title) == len(written) == 100
    assert share_within(title, written) == 1


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[31mred\x00", "[31mred"),
        ("a\u202eb\u200bc", "a b c"),
        ("ＦＵＬＬ", "FULL"),
        ("\ud800x\ue000\n\ty ", "x y"),
        ("x" * 900, "x" * 200),
        ("\ufdfa" * 300, None),
    ],
)
def test_text_of_strangers_is_cleaned_and_bounded(text: str, clean: str | None) -> None:
    assert len(cleaned(text)) <= 200
    if clean is not None:
        assert cleaned(text) == clean


def test_lines_are_bounded() -> None:
    picture = drawn(*["the small print goes on and on"] * 90, size=(640, 1000), height=7)
    assert len(lines(picture)) <= lettering.MOST_LINES


def test_other_scripts_break_nothing() -> None:
    picture = drawn("Привет мир", "Ελλάδα", font=DEJAVU)
    assert np.isfinite(list(row(picture).values())).all()
    assert np.isfinite(agreement("Привет, мир! 🔥", picture)).all()


def test_a_value_is_missing_exactly_where_a_sentence_says_why() -> None:
    written, plain = drawn("PIZZA"), Image.new("RGB", (64, 64), "red")
    posts = [Post("Pizza", written), Post("Pizza", plain), Post("!?", written), Post("Pizza", PLAIN)]
    posts += [Post("Pizza", Image.linear_gradient("L").convert("RGB")), Post("", written)]
    said = {}
    for feature in (Lettering(), LetteringAgreement()):
        values = feature.compute(posts, {})
        said[feature.kind] = [feature.why_null(post) for post in posts]
        for value, why in zip(values, said[feature.kind], strict=True):
            assert np.isnan(value).all() == bool(why) and (why or np.isfinite(value).all())
            assert not why or why.endswith(".")
        assert feature.why_null(Post("Pizza")) == "There is no picture."
        assert feature.blank().shape == (1, *feature.shape) and np.isnan(feature.blank()).all()
    one_colour = "The picture shows a single colour."
    assert said["lettering"] == ["", one_colour, "", one_colour, "", ""]
    assert said["lettering_agreement"][2:3] + said["lettering_agreement"][4:] == [
        *("The title has no words.", "No words are written in the picture.", "The title has no words.")
    ]


def test_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    reader = LetteringReader()
    reading = reader.read(drawn("QUIET"))
    assert reading.found is not None and [line.text for line in reading.found] == ["QUIET"]
    assert reader.read(Image.linear_gradient("L")).found == ()
    assert reader.read(Image.new("RGB", (64, 64), "red")).found == ()
    assert capfd.readouterr() == ("", "")


def test_a_network_that_does_not_load_costs_its_own_values_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader = LetteringReader()
    monkeypatch.setattr(Lettering, "reader", reader)
    tried = []

    def load(files: list[Path]) -> Any:
        tried.append(files)
        raise ImportError("libGL.so.1")

    monkeypatch.setattr(reader, "load", load)
    feature, post = Lettering(), Post("Pizza", drawn("PIZZA"))
    with caplog.at_level(logging.WARNING):
        assert np.isnan(feature.compute([post, post], {})).all()
    assert len(tried) == 1 and "does not load" in caplog.text
    assert "do not load; reinstall them: pip install" in feature.unavailable == feature.why_null(post)


def test_the_identity_follows_sizes_and_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = Lettering().fingerprint
    assert Lettering("another").fingerprint == before != LetteringAgreement().fingerprint
    again = Lettering.load(tmp_path, "lettering", Lettering().config, (), "cpu")
    assert again.fingerprint == before
    monkeypatch.setattr(lettering, "DETECTOR_SIDE", 640)
    assert Lettering().fingerprint != before
    monkeypatch.undo()
    reader = LetteringReader()
    monkeypatch.setattr(Lettering, "reader", reader)
    assert Lettering().fingerprint == before
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    reader = LetteringReader()
    reader.paths = [other]
    monkeypatch.setattr(Lettering, "reader", reader)
    assert Lettering().fingerprint != before
