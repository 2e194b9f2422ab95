"""Statistics of titles and pictures: hand-worked values, limits, and independence of the picture's size."""

import sys
import time
from collections.abc import Sequence

import emoji
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from engine.features.picture_statistics import COLUMNS as PICTURE_COLUMNS
from engine.features.picture_statistics import PictureStatistics
from engine.features.text_statistics import COLUMNS as TEXT_COLUMNS
from engine.features.text_statistics import TextStatistics
from engine.posts import Post


def text_statistics(titles: Sequence[str]) -> np.ndarray:
    return TextStatistics().compute([Post(title) for title in titles], {})


def picture_statistics(images: Sequence[Image.Image]) -> np.ndarray:
    return PictureStatistics().compute([Post(image=image) for image in images], {})


def title_row(title: str) -> dict[str, float]:
    return dict(zip(TEXT_COLUMNS, text_statistics([title])[0].tolist(), strict=True))


def picture_row(image: Image.Image) -> dict[str, float]:
    return dict(zip(PICTURE_COLUMNS, picture_statistics([image])[0].tolist(), strict=True))


def flat(colour: tuple[int, int, int], size: tuple[int, int] = (320, 180)) -> Image.Image:
    return Image.new("RGB", size, colour)


@pytest.mark.parametrize(
    ("title", "name", "value"),
    [
        ("How I built THIS", "characters", 16),
        ("How I built THIS", "words", 4),
        ("How I built THIS", "question_word_first", 1),
        ("THIS is NASA", "capital_words", 2),
        ("I am", "capital_words", 0),
        ("Ab Cd", "upper_share", 0.5),
        ("a1b2", "digit_share", 0.5),
        ("$1,000 vs $10", "numbers", 2),
        ("$1,000 vs $10", "money", 2),
        ("$1,000 vs $10", "versus_words", 1),
        ("Best of 2021", "has_year", 1),
        ("Route 12021", "has_year", 0),
        ("Top 10 Goals", "ranking", 1),
        ("5 ways to cook", "ranking", 1),
        ("Really?! What?", "question_marks", 2),
        ("Really?! What?", "exclamation_marks", 1),
        ("wait for it...", "ellipses", 1),
        ('He said "no"', "quotes", 2),
        ("don't stop", "quotes", 0),
        ("watch #shorts #1", "hashtags", 1),
        ("A | B - C: well-known", "bars", 1),
        ("A | B - C: well-known", "dashes", 1),
        ("A | B - C: well-known", "colons", 1),
        ("Song (Official) [4K]", "brackets", 2),
        ("I’m here and you’re not", "first_person", 1),
        ("I’m here and you’re not", "second_person", 1),
        ("The best, the fastest", "superlatives", 2),
        ("Привет мир", "cyrillic_share", 1),
        ("안녕 abc", "hangul_share", 0.4),
        ("カタカナ", "kana_share", 1),
        ("漢字", "han_share", 1),
        ("مرحبا", "arabic_share", 1),
        ("नमत", "devanagari_share", 1),
        ("plain", "latin_share", 1),
        ("12:30", "latin_share", 0),
        ("éa", "non_ascii_share", 0.5),
    ],
)
def test_title_values(title: str, name: str, value: float) -> None:
    assert title_row(title)[name] == pytest.approx(value)


@pytest.mark.parametrize("title", ["😂😂", "👨‍👩‍👧 family", "🇫🇷 vs 🇧🇷", "👍🏽", "❤️ love ⭐", "no emoji", "1st #2 *"])
def test_emoji_are_counted_as_the_emoji_library_counts_them(title: str) -> None:
    assert title_row(title)["emoji"] == emoji.emoji_count(title)


def test_empty_title_is_a_row_of_zeros() -> None:
    assert not text_statistics([""]).any()
    assert text_statistics([]).shape == (0, len(TEXT_COLUMNS))


ODD = {one for one in map(chr, range(sys.maxunicode + 1)) if one.isupper() and not one.isalpha()}
# Code points that stand for nothing yet (Cn) are no letters, but lie in the blocks of scripts: with them, the shares of
# scripts, which are of letters, can come to more than 1.
ASSIGNED = st.text(st.characters(exclude_categories=["Cn", "Cs"]), max_size=120)


@given(st.lists(ASSIGNED, max_size=4))
@example(["AⅠ", "Plain"])
def test_every_title_gives_finite_statistics(titles: list[str]) -> None:
    values = text_statistics(titles)
    assert values.shape == (len(titles), len(TEXT_COLUMNS)) and np.isfinite(values).all() and (values >= 0).all()
    for index, name in enumerate(TEXT_COLUMNS):
        if name.endswith("_share"):
            # Capitals that are no letters, such as Ⅷ, can make more of them than there are letters.
            held = [not (name == "upper_share" and ODD & set(title)) for title in titles]
            assert (values[np.array(held, dtype=bool), index] <= 1.0 + 1e-6).all()


def test_title_rows_do_not_depend_on_their_neighbours() -> None:
    titles = ["One!", "Two 🔥", "Три"]
    together = text_statistics(titles)
    np.testing.assert_array_equal(together, np.concatenate([text_statistics([title]) for title in titles]))


def test_names_are_distinct() -> None:
    assert len(set(TEXT_COLUMNS)) == len(TEXT_COLUMNS)
    assert len(set(PICTURE_COLUMNS)) == len(PICTURE_COLUMNS)


def test_flat_pictures() -> None:
    black, white, red = picture_row(flat((0, 0, 0))), picture_row(flat((255, 255, 255))), picture_row(flat((255, 0, 0)))
    assert (black["brightness_mean"], black["dark_share"], black["bars_horizontal"]) == (0, 1, 1)
    assert (white["brightness_mean"], white["bright_share"], white["bars_horizontal"]) == (1, 1, 0)
    for row in (black, white, red):
        assert row["entropy"] == row["edge_density"] == row["contrast"] == row["symmetry"] == 0
    assert red["hue_red"] == pytest.approx(1, abs=1e-3)
    assert red["warm_share"] == red["saturation_mean"] == 1
    assert picture_row(flat((0, 0, 255)))["cool_share"] == 1


@pytest.mark.parametrize(
    ("colour", "hue"),
    [
        ((255, 255, 0), "yellow"),
        ((0, 255, 0), "green"),
        ((0, 255, 255), "cyan"),
        ((0, 0, 255), "blue"),
        ((255, 0, 255), "magenta"),
    ],
)
def test_hues(colour: tuple[int, int, int], hue: str) -> None:
    assert picture_row(flat(colour))[f"hue_{hue}"] == pytest.approx(1, abs=1e-3)


def test_colourfulness_follows_the_published_formula() -> None:
    image = flat((255, 0, 0), (96, 54))
    image.paste((0, 0, 255), (0, 0, 48, 54))
    rgb = np.asarray(image, dtype=np.float64)
    red_green, yellow_blue = rgb[..., 0] - rgb[..., 1], (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    expected = np.hypot(red_green.std(), yellow_blue.std()) + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean())
    assert picture_row(image)["colourfulness"] == pytest.approx(expected, rel=1e-4)
    assert picture_row(flat((90, 90, 90)))["colourfulness"] == 0


def test_layout_of_pictures() -> None:
    letterbox = flat((0, 0, 0), (96, 54))
    letterbox.paste((200, 180, 90), (0, 9, 96, 45))
    row = picture_row(letterbox)
    assert row["bars_horizontal"] == pytest.approx(1 / 3) and row["bars_vertical"] == 0
    assert row["symmetry"] == pytest.approx(1, abs=0.01) and row["centre_brightness"] > 0.3
    half = flat((0, 0, 0), (96, 54))
    half.paste((255, 255, 255), (48, 0, 96, 54))
    row = picture_row(half)
    assert row["symmetry"] == pytest.approx(-1, abs=0.01) and row["edge_horizontal_share"] == 0
    assert row["edges_middle_centre"] > 0 == row["edges_middle_left"]


def test_skin_rule_sees_a_face_and_not_the_sky() -> None:
    assert picture_row(flat((224, 172, 140)))["skin_share"] == picture_row(flat((120, 80, 60)))["skin_share"] == 1
    assert picture_row(flat((90, 140, 220)))["skin_share"] == 0


def test_lettering_is_denser_than_a_photograph() -> None:
    stripes = np.zeros((54, 96), dtype=np.uint8)
    stripes[:, ::6] = stripes[:, 1::6] = stripes[:, 2::6] = 255
    assert picture_row(Image.fromarray(stripes))["text_density"] > 0.8
    assert picture_row(Image.fromarray(data.astronaut()))["text_density"] < 0.4


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_statistics_do_not_depend_on_the_picture_size(name: str) -> None:
    large = Image.fromarray(getattr(data, name)()).resize((320, 180), Image.Resampling.LANCZOS)
    small = large.resize((120, 68), Image.Resampling.LANCZOS)
    scale = np.ones(len(PICTURE_COLUMNS))
    scale[PICTURE_COLUMNS.index("colourfulness")] = 100.0
    scale[PICTURE_COLUMNS.index("entropy")] = 5.0
    scale[PICTURE_COLUMNS.index("sharpness")] = 5.0
    rows = picture_statistics([large, small]) / scale
    np.testing.assert_allclose(rows[0], rows[1], atol=0.04)


@settings(max_examples=30)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    mode=st.sampled_from(["RGB", "L", "P", "RGBA", "CMYK", "1"]),
    seed=st.integers(0, 99),
)
def test_every_picture_gives_finite_statistics(size: tuple[int, int], mode: str, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    values = picture_statistics([Image.fromarray(noise).convert(mode)])
    assert values.shape == (1, len(PICTURE_COLUMNS)) and np.isfinite(values).all()


def test_pictures_in_chunks_equal_pictures_alone() -> None:
    image = Image.fromarray(data.chelsea())
    images = [image.rotate(angle) for angle in range(70)]
    together = picture_statistics(images)
    np.testing.assert_allclose(
        together[[0, 63, 64, 69]],
        np.concatenate([picture_statistics([images[i]]) for i in (0, 63, 64, 69)]),
        rtol=1e-4,
        atol=1e-5,
    )
    assert picture_statistics([]).shape == (0, len(PICTURE_COLUMNS))


def test_statistics_are_quick() -> None:
    titles = ["I Spent 24 Hours in 2021's BEST Hotel (Official) | Ep. 5 🔥"] * 500
    images = [Image.fromarray(data.astronaut()).resize((320, 180))] * 50

    def best(run: object, count: int) -> float:
        seconds = []
        for _ in range(5):
            start = time.process_time()
            run()  # type: ignore[operator]
            seconds.append(time.process_time() - start)
        return min(seconds) / count

    # Five times the time measured on a quiet core: a busy machine must not fail the test.
    assert best(lambda: text_statistics(titles), len(titles)) < 0.5e-3
    assert best(lambda: picture_statistics(images), len(images)) < 7.5e-3
