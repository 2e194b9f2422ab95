"""Changes that mean nothing: each touches one side of a post alone, and what became of the answers is counted right."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.robustness import CHANGES, summary
from engine.drafts.changes import (
    MEANINGLESS,
    lower_case,
    mirrored,
    more_spaces,
    punctuation_added,
    punctuation_removed,
    recompressed,
    small_copy,
)
from engine.images import load_image
from engine.posts import MAX_TITLE, Post
from engine.prediction import Prediction

PIXELS = np.random.default_rng(0).integers(0, 256, (180, 320, 3), dtype=np.uint8)
POST = Post("My  Cat eats!..", Image.fromarray(PIXELS), tags=("Cats",), description="Of Cats", post_id="a")
OF_TITLES = {name: change for name, change in CHANGES.items() if name.startswith("title")}
OF_PICTURES = {name: change for name, change in CHANGES.items() if name.startswith("picture")}


def answer(level: int, expected: float, strange: bool = False) -> Prediction:
    probabilities = tuple(np.eye(5)[level].tolist())
    score = (0.1, 0.1, 0.1, (0.5, 0.5, 0.5), (level,), (0.2,) * 5, False, "", "")
    return Prediction("a", "both", level, probabilities, expected, *score, strange="text" if strange else None)


def test_every_change_is_of_the_title_or_of_the_picture() -> None:
    assert len(OF_TITLES) == 4 and len(OF_PICTURES) == 3 and len(CHANGES) == 7


@pytest.mark.parametrize("name", OF_TITLES)
def test_a_change_of_the_title_never_touches_the_picture(name: str) -> None:
    changed = OF_TITLES[name](POST)
    assert changed.title != POST.title and changed.image is POST.image
    assert (changed.tags, changed.description, changed.post_id) == (POST.tags, POST.description, POST.post_id)
    assert np.array_equal(np.asarray(POST.image), PIXELS)


@pytest.mark.parametrize("name", OF_PICTURES)
def test_a_change_of_the_picture_never_touches_the_words(name: str) -> None:
    changed = OF_PICTURES[name](POST)
    assert changed == POST and changed.image is not None and changed.image.mode == "RGB"
    assert not np.array_equal(np.asarray(changed.image), PIXELS)
    assert np.array_equal(np.asarray(POST.image), PIXELS)


@pytest.mark.parametrize("name", CHANGES)
def test_a_post_that_lacks_the_side_stays_itself(name: str) -> None:
    post = Post(image=POST.image) if name in OF_TITLES else Post(POST.title)
    assert CHANGES[name](post) is post


def test_titles() -> None:
    assert lower_case(POST).title == "my  cat eats!.."
    assert punctuation_added(POST).title == "My  Cat eats!..!"
    assert punctuation_removed(POST).title == "My  Cat eats"
    assert more_spaces(Post("My cat")).title == " My  cat "


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (lower_case, "my cat"),
        (punctuation_removed, "Who eats?"),
        (punctuation_removed, "..."),
        (punctuation_added, "a" * MAX_TITLE),
        (more_spaces, "a " * (MAX_TITLE // 2)),
    ],
)
def test_a_title_with_nothing_to_change_or_no_room_stays(change, title: str) -> None:
    post = Post(title)
    assert change(post) is post


def test_mirrored_twice_is_the_same() -> None:
    assert np.array_equal(np.asarray(mirrored(POST).image), PIXELS[:, ::-1])
    assert np.array_equal(np.asarray(mirrored(mirrored(POST)).image), PIXELS)


def test_a_recompressed_picture_keeps_its_size() -> None:
    assert recompressed(POST).image.size == (320, 180)


@pytest.mark.parametrize("size", [(2000, 100), (26, 520), (160, 8)])
def test_pictures_as_long_as_may_be_have_every_change(size: tuple[int, int]) -> None:
    picture = load_image(Image.fromarray(np.resize(PIXELS, (size[1], size[0], 3))))
    changed = [change(Post(image=picture)) for change in MEANINGLESS["image"]]
    assert all(post.image is not None and min(post.image.size) >= 8 for post in changed)


@pytest.mark.parametrize(("size", "small"), [((320, 180), (120, 68)), ((90, 240), (45, 120)), ((1024, 576), (120, 68))])
def test_a_small_copy_keeps_its_shape(size: tuple[int, int], small: tuple[int, int]) -> None:
    copy = small_copy(Post(image=Image.new("RGB", size)))
    assert copy.image.size == small
    assert small_copy(copy) is copy


def test_flips_and_moves_are_of_posts_that_are_answered_on_both_sides() -> None:
    pairs = [
        (answer(1, 1.0), answer(1, 1.2)),
        (answer(1, 1.5), answer(2, 1.4)),
        (answer(3, 3.0), answer(3, 3.0)),
        (answer(0, 0.5), answer(4, 2.0, strange=True)),
        (answer(4, 2.0, strange=True), answer(0, 0.0)),
        (answer(2, 2.0, strange=True), answer(2, 2.0, strange=True)),
    ]
    found = summary(pairs)
    assert (found.n, found.answered) == (6, 3)
    assert found.withheld == pytest.approx(2 / 6)
    assert found.flipped == pytest.approx(1 / 3)
    assert found.mean == pytest.approx(0.1)
    assert found.high == pytest.approx(np.quantile([0.2, 0.1, 0.0], 0.95))
    assert "flips  33.3%" in str(found) and "(n 3)" in str(found) and "(n 6)" in str(found)


def test_nothing_is_said_of_moves_where_nothing_is_answered() -> None:
    found = summary([(answer(2, 2.0, strange=True), answer(1, 1.0))])
    assert (found.answered, found.withheld) == (0, 1.0) and np.isnan([found.flipped, found.mean, found.high]).all()
