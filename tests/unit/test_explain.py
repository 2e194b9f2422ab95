"""Explanations: values that add up, on predictors whose true values are known."""

from collections.abc import Callable
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import PostError
from engine.explain import faithfulness, owen, regions, render
from engine.explain.base import Explanation
from engine.explain.game import Game
from engine.explain.words import MOST_PIECES, group_pieces, split_title
from engine.posts import MAX_TITLE, Post

SIDE = 8
Judge = Callable[[np.ndarray | None, list[Post] | None], np.ndarray]


class FakePredictor:
    """The predictor's API over a plain function of small pictures (n, 8, 8, 3) in 0..1 and the posts' texts.

    It is its own extractor.
    """

    joint = ()

    def __init__(self, judge: Judge, text_fields: tuple[str, ...] = ("title",)) -> None:
        self.judge = judge
        self.bundle, self.text_fields = SimpleNamespace(text_fields=text_fields), text_fields
        self.extractor, self.members = self, ()
        self.pictures = self.texts = self.rows = 0
        self.posts: list[Post] = []

    def compute(self, posts, view, known=None, without=()):
        if view == "both":
            return dict(known)
        if view == "image":
            self.pictures += len(posts)
            small = [np.asarray(post.image.resize((SIDE, SIDE), Image.Resampling.BOX)) for post in posts]
            return {"pixels": np.stack(small) / 255.0}
        assert all(post.image is None for post in posts)
        self.texts += len(posts)
        self.posts += posts
        return {"post": np.arange(len(self.posts) - len(posts), len(self.posts))}

    def predict_features(self, view, features, known=None):
        assert not known
        assert set(features) == {"both": {"pixels", "post"}, "image": {"pixels"}, "text": {"post"}}[view]
        sizes = {len(values) for values in features.values()}
        assert len(sizes) == 1
        self.rows += sizes.pop()
        posts = None if view == "image" else [self.posts[index] for index in features["post"]]
        return SimpleNamespace(expected_level=self.judge(features.get("pixels"), posts))


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """Four strong colour fields with some noise, so that SLIC has something to find."""
    generator = np.random.default_rng(3)
    pixels = generator.integers(0, 40, (height, width, 3))
    pixels[: height // 2, : width // 2, 0] += 180
    pixels[: height // 2, width // 2 :, 1] += 180
    pixels[height // 2 :, : width // 2, 2] += 180
    return Image.fromarray(pixels.astype(np.uint8))


def nonlinear(pictures, posts):
    """Picture and title interact, and so do the title's words."""
    size = 0.0 if posts is None else np.array([len(post.title) + 3 * ("wow" in post.title) for post in posts]) / 30
    light = 0.0 if pictures is None else pictures.mean(axis=(1, 2, 3)) + pictures[:, 0, 0, 0] * pictures[:, -1, -1, 2]
    return np.tanh(size + light + size * light)


def by_word(explanation: Explanation) -> dict[str, float]:
    return {word.strip(): value for word, value in explanation.words}


# --- Owen values ---


@pytest.mark.parametrize("title", ["wow what a picture", "wow", ""])
@pytest.mark.parametrize("image", [photo(), None])
def test_values_add_up(title, image):
    predictor = FakePredictor(nonlinear)
    post = Post(title=title, image=image)
    if not title and image is None:
        with pytest.raises(PostError, match="nothing to explain"):
            owen.explain(predictor, post)
        return
    explanation = owen.explain(predictor, post)
    assert abs(explanation.values.sum() - (explanation.value - explanation.base_value)) < 1e-5
    assert explanation.completeness_error < 1e-5
    assert explanation.picture_share + explanation.text_share == pytest.approx(1.0)
    assert "".join(word for word, _ in explanation.words) == title
    assert len(explanation.half_widths) == len(explanation.values) == len(explanation.certain)
    assert (explanation.heat is None) == (image is None) == (explanation.image_passes == 0)
    assert explanation.text_passes > 0 or not title
    assert len(explanation.notes) == bool(title) + (image is not None)
    if image is not None:
        assert explanation.heat.dtype == np.float32
        assert explanation.heat.shape == explanation.segments.shape


def test_full_coalition_is_the_prediction_of_the_whole_picture():
    image = photo(900, 600)
    predictor = FakePredictor(nonlinear)
    sides = predictor.compute([Post(title="a title")], "text") | predictor.compute([Post(image=image)], "image")
    expected = predictor.predict_features("both", sides).expected_level[0]
    assert owen.explain(predictor, Post(title="a title", image=image)).value == expected


def test_a_part_that_does_nothing_is_worth_nothing_and_equal_parts_are_worth_the_same():
    def judge(pictures, posts):
        return np.array([float("red" in post.title and "blue" in post.title) for post in posts])

    explanation = owen.explain(FakePredictor(judge), Post(title="red and blue", image=photo()))
    assert by_word(explanation)["and"] == 0.0
    assert np.all(explanation.segment_values == 0.0)
    assert by_word(explanation)["red"] == pytest.approx(by_word(explanation)["blue"], abs=1e-6)
    assert explanation.picture_share == 0.0 and explanation.text_share == 1.0


def test_an_additive_model_is_recovered_exactly():
    worth = {"three": 0.3, "minus": -0.2, "half": 0.5}

    def judge(pictures, posts):
        words = np.array([sum(value for word, value in worth.items() if word in post.title) for post in posts])
        return words + pictures.mean(axis=(1, 2, 3))

    predictor = FakePredictor(judge)
    image = photo(SIDE, SIDE)
    explanation = owen.explain(predictor, Post(title="three minus half", image=image))
    assert by_word(explanation) == pytest.approx(worth, abs=1e-6)
    assert np.abs(explanation.half_widths).max() < 1e-5
    difference = (np.asarray(image) / 255.0 - np.asarray(regions.baseline_picture(image)) / 255.0).mean(axis=2)
    expected = [difference[explanation.segments == number].sum() / SIDE**2 for number in range(explanation.heat.size)]
    assert explanation.segment_values == pytest.approx(expected[: len(explanation.segment_values)], abs=1e-6)


def test_an_interaction_of_words_is_shared_exactly():
    """v = product of the first three words, plus one for the fourth: Shapley values 1/3, 1/3, 1/3 and 1."""

    def judge(pictures, posts):
        return np.array([float(all(w in p.title for w in ("aa", "bb", "cc"))) + ("dd" in p.title) for p in posts])

    explanation = owen.explain(FakePredictor(judge), Post(title="aa bb cc dd ee"))
    assert explanation.values == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 0])
    assert np.all(explanation.half_widths == 0.0) and explanation.certain.all()


def test_what_both_sides_do_together_is_halved_between_them_and_shared_within():
    """v = 1 where all words and the picture's corner are there: each side is worth a half, each word a quarter."""

    def judge(pictures, posts):
        return (pictures[:, 0, 0, 0] > 0.5) * np.array([float(post.title == "aa bb") for post in posts])

    explanation = owen.explain(FakePredictor(judge), Post(title="aa bb", image=photo()))
    assert explanation.text_values == pytest.approx([0.25, 0.25])
    assert explanation.segment_values.sum() == pytest.approx(0.5)
    assert explanation.segment_values.max() == pytest.approx(0.5)


def test_values_are_those_of_the_definition():
    """Against every order in which sides, and parts within them, can join (Owen 1977)."""
    predictor, post = FakePredictor(nonlinear), Post(title="one two wow", image=photo())
    game = Game(predictor, post, segments=2)
    regions_, texts = range(game.region_count), range(game.region_count, game.players)
    orders = [
        first + second
        for a in permutations(regions_)
        for b in permutations(texts)
        for first, second in ((a, b), (b, a))
    ]
    expected = np.zeros(game.players)
    for order in orders:
        keep = np.zeros((game.players + 1, game.players), dtype=bool)
        for step, player in enumerate(order):
            keep[step + 1 :, player] = True
        expected[list(order)] += np.diff(game.values(keep)) / len(orders)
    found = owen.explain(predictor, post, segments=2, error=0.0, seconds=None)
    assert found.text_values == pytest.approx(expected[game.region_count :])
    assert np.all(np.abs(found.segment_values - expected[: game.region_count]) <= found.half_widths.max() + 1e-9)


def test_words_come_first_and_regions_get_sharper_until_they_are_sharp_enough():
    post = Post(title="one two three four wow", image=photo())
    found = list(owen.stream(FakePredictor(nonlinear), post, error=0.0, seconds=None))
    shares, explanations = zip(*found, strict=True)
    assert explanations[0].segment_values is None and explanations[0].words == explanations[-1].words
    assert shares == tuple(sorted(shares)) and shares[-1] == 1.0
    widths = [explanation.half_widths.max() for explanation in explanations[2:]]
    assert widths[-1] < widths[0]
    easy = list(owen.stream(FakePredictor(nonlinear), post, error=10.0, seconds=None))
    assert len(easy) == 1 + owen.FEWEST_PAIRS / owen.PAIRS_PER_ROUND
    again = owen.explain(FakePredictor(nonlinear), post, error=0.0, seconds=None)
    assert np.array_equal(again.values, explanations[-1].values)


def test_a_game_played_again_answers_from_what_it_knows():
    post = Post(title="one two wow", image=photo())
    game = Game(FakePredictor(nonlinear), post)
    sides = owen.Sides(game)
    owen.exact(sides.regions, sides.of_regions)
    passes = game.image_passes
    for seed in range(2):
        *_, (_, again) = owen.play(game, seed=seed, seconds=None)
        alone = owen.explain(FakePredictor(nonlinear), post, seed=seed, seconds=None)
        assert again.image_passes == passes > alone.image_passes
        np.testing.assert_allclose(again.values, alone.values, atol=1e-6)


def test_time_that_is_over_ends_it_with_the_noise_that_is_left():
    post = Post(title="wow", image=photo())
    found = list(owen.stream(FakePredictor(nonlinear), post, error=0.0, seconds=0.0))
    assert len(found) == 1 + owen.LEAST_PAIRS / owen.PAIRS_PER_ROUND
    explanation = found[-1][1]
    assert explanation.half_widths.max() > 0 and explanation.completeness_error < 1e-5


def test_no_round_is_begun_that_would_end_too_late(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(owen, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def slow(*arguments):
        clock[0] += 0.1
        return nonlinear(*arguments)

    post = Post(title="wow", image=photo())
    explanation = owen.explain(FakePredictor(slow), post, error=0.0, seconds=2.0)
    longer = owen.explain(FakePredictor(slow), post, error=0.0, seconds=None)
    assert 1.0 < explanation.seconds <= 2.0 < longer.seconds


def test_intervals_hold_the_values_of_many_orders():
    post = Post(title="wow", image=photo())
    reference = np.mean(
        [owen.explain(FakePredictor(nonlinear), post, error=0.0, seconds=None, seed=s).values for s in range(100, 120)],
        axis=0,
    )
    held = []
    for seed in range(40):
        found = owen.explain(FakePredictor(nonlinear), post, seconds=0.0, error=0.0, seed=seed)
        held.append(np.abs(found.values - reference) <= found.half_widths + 1e-6)
    assert np.mean(held) > 0.9


def test_a_few_estimates_that_happen_to_agree_are_not_taken_for_certainty():
    estimates = np.random.default_rng(0).normal(size=(6, 8))
    estimates[:, 0] = 0.1
    widths = owen._half_widths(estimates)
    assert widths[0] > 0.4 * np.median(widths)
    assert owen._half_widths(np.repeat(estimates[:1], 6, axis=0)) == pytest.approx(np.zeros(8))


def test_every_variant_is_encoded_and_judged_once():
    predictor = FakePredictor(nonlinear)
    post = Post(title="one two three four five six", image=photo())
    explanation = owen.explain(predictor, post, error=10.0, seconds=None)
    parts, words = len(explanation.segment_values), 6
    orders = 2 * owen.FEWEST_PAIRS
    assert predictor.pictures == explanation.image_passes <= orders * (parts - 1) + 2
    assert predictor.texts == explanation.text_passes == 2**words
    assert predictor.rows == explanation.evaluations <= 2 * (orders * (parts - 1) + 2**words)


def test_equal_words_are_encoded_as_one_text():
    predictor = FakePredictor(nonlinear)
    explanation = owen.explain(predictor, Post(title="very very very"))
    assert predictor.texts == 4
    assert explanation.values == pytest.approx(np.full(3, explanation.values.mean()), abs=1e-6)


def test_fields_are_parts_only_where_the_bundle_reads_them():
    def judge(pictures, posts):
        return np.array([0.25 * len(post.tags) + (post.description != "") for post in posts])

    post = Post(title="a title", tags=("x", "y"), description="long")
    read = owen.explain(FakePredictor(judge, ("title", "tags", "description")), post)
    assert dict(read.fields) == pytest.approx({"tags": 0.5, "description": 1.0})
    assert read.text_share == 1.0 and len(read.notes) == 2
    unread = owen.explain(FakePredictor(judge), post)
    assert unread.fields == () and unread.scale == 0.0
    assert unread.picture_share == unread.text_share == 0.0


def test_tags_alone_are_a_text_where_the_bundle_reads_them():
    def judge(pictures, posts):
        return np.array([float("x" in post.tags) for post in posts])

    explanation = owen.explain(FakePredictor(judge, ("title", "tags")), Post(tags=("x",)))
    assert explanation.fields == (("tags", 1.0),) and explanation.words == ()


@pytest.mark.parametrize(("title", "read"), [("  ", ("title",)), ("not read", ("tags",))])
def test_a_title_that_takes_no_part_has_no_words(title, read):
    explanation = owen.explain(FakePredictor(nonlinear, read), Post(title=title, image=photo()))
    assert explanation.words == () and explanation.text_passes == 0
    assert explanation.certain.shape == explanation.segment_values.shape


def test_a_long_title_costs_no_more_than_its_groups():
    title = ("word " * 100).strip()[:MAX_TITLE]
    explanation = owen.explain(FakePredictor(nonlinear), Post(title=title))
    assert len(explanation.words) == MOST_PIECES
    assert "".join(word for word, _ in explanation.words) == title


# --- words ---


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=60), st.text("aé 猫は カ🔥👩‍👧🇩🇪️ส。【】、(", max_size=40)))
def test_pieces_are_the_title(title):
    pieces = split_title(title)
    assert "".join(pieces) == title
    assert all(pieces)
    assert all(piece.strip() for piece in pieces) or not title.strip()
    grouped = group_pieces(pieces)
    assert "".join(grouped) == title and len(grouped) <= MOST_PIECES


@pytest.mark.parametrize(
    ("title", "pieces"),
    [
        ("I tried 100 days, OK?", ["I ", "tried ", "100 ", "days, ", "OK?"]),
        ("  two  words ", ["  two  ", "words "]),
        ("wow🔥🔥 👩‍👧x 🇩🇪🇫🇷", ["wow", "🔥", "🔥 ", "👩‍👧", "x ", "🇩🇪", "🇫🇷"]),
        ("我们来自中国2024 MV", ["我们", "来自", "中国", "2024 ", "MV"]),
        ("私は猫が好きです。", ["私は", "猫が", "好きです。"]),
        ("Live【公式】動画", ["Live", "【公式】", "動画"]),
        ("한국어 제목", ["한국어 ", "제목"]),
        ("cafe\u0301 noir", ["cafe\u0301 ", "noir"]),
        ("", []),
        (" ", [" "]),
    ],
)
def test_splitting(title, pieces):
    assert list(split_title(title)) == pieces


# --- regions ---


@pytest.mark.parametrize("size", [(320, 180), (64, 48), (8, 8), (160, 8), (8, 160)])
def test_regions_are_numbered_without_gaps(size):
    image = photo(*size)
    labels = regions.find_regions(image)
    assert labels.shape == (image.height, image.width)
    assert 4 <= labels.max() + 1 <= 24
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_a_picture_without_superpixels_is_cut_into_a_grid(monkeypatch):
    monkeypatch.setattr("skimage.segmentation.slic", lambda picture, **_: np.zeros(picture.shape[:2], dtype=int))
    labels = regions.find_regions(Image.new("RGB", (160, 90), "grey"))
    assert np.array_equal(np.unique(labels), np.arange(10))
    counts = np.bincount(labels.ravel())
    assert counts.max() <= 1.3 * counts.min()


def test_a_flat_picture_has_regions():
    assert regions.find_regions(Image.new("RGB", (160, 90), "white")).max() + 1 >= 4


def test_masks_show_what_is_kept_and_the_baseline_elsewhere():
    image = photo()
    labels = regions.find_regions(image)
    keep = np.random.default_rng(0).random((5, labels.max() + 1)) < 0.5
    keep[0], keep[1] = True, False
    baseline = regions.baseline_picture(image)
    pictures = regions.mask_regions(image, labels, keep, baseline)
    assert np.array_equal(np.asarray(pictures[0]), np.asarray(image))
    assert np.array_equal(np.asarray(pictures[1]), np.asarray(baseline))
    assert len(np.unique(np.asarray(baseline).reshape(-1, 3), axis=0)) == 1
    for picture, row in zip(pictures, keep, strict=True):
        shown = row[labels]
        assert np.array_equal(np.asarray(picture)[shown], np.asarray(image)[shown])
        assert np.array_equal(np.asarray(picture)[~shown], np.asarray(baseline)[~shown])


# --- faithfulness ---


def corner(pictures, posts):
    """Looks at one corner only: how much the picture there differs from grey."""
    return pictures[:, 0, 0, 0] - 0.2 * pictures[:, -1, -1, 2]


def test_deletion_in_the_explained_order_falls_faster_than_random():
    post = Post(title="some words nobody reads", image=photo())
    explanation = owen.explain(FakePredictor(corner), post)
    points = faithfulness.deletion_insertion(FakePredictor(corner), post, explanation)
    control = faithfulness.deletion_insertion(FakePredictor(corner), post, explanation, random_orders=20)
    assert faithfulness.area(points, "deletion") < faithfulness.area(control, "deletion") - 0.05
    assert faithfulness.area(points, "insertion") > faithfulness.area(control, "insertion") + 0.05
    curve = {(point.kind, point.fraction): point.value for point in points}
    assert curve["deletion", 0.0] == curve["insertion", 1.0] == explanation.value
    assert curve["deletion", 1.0] == curve["insertion", 0.0] == explanation.base_value


def test_an_explanation_of_another_post_is_refused():
    explanation = owen.explain(FakePredictor(nonlinear), Post(title="one two"))
    with pytest.raises(ValueError, match="this very post"):
        faithfulness.deletion_insertion(FakePredictor(nonlinear), Post(title="one two three"), explanation)


# --- drawing ---


def explained(values: list[float], **more: object) -> Explanation:
    labels = regions.grid(30, 40, len(values))
    return Explanation("", 0.0, sum(values), (), (), segments=labels, segment_values=np.array(values), **more)


def test_the_layer_is_clear_where_nothing_happened_and_told_apart_by_sign():
    drawn = np.asarray(render.heat_layer(explained([0.5, -0.25, 0.0, 0.0]))).astype(int)
    assert drawn.shape == (240, 320, 4)
    raised, lowered, clear = drawn[50, 70], drawn[50, 250], drawn[200, 70]
    assert tuple(raised[:3]) == render.RAISES and tuple(lowered[:3]) == render.LOWERS
    assert raised[3] > 240 and 110 < lowered[3] < 145 and clear[3] < 10


def test_edges_of_the_layer_are_soft():
    alpha = np.asarray(render.heat_layer(explained([0.5, 0.0, 0.0, 0.0])))[..., 3].astype(int)
    assert np.abs(np.diff(alpha, axis=1)).max() < 40


def test_what_did_little_is_pale_and_what_is_noise_is_clear():
    assert render.heat_limit(explained([1e-9, 0, 0, 0])) == render.SMALLEST_SCALE
    assert np.asarray(render.heat_layer(explained([1e-9, 0, 0, 0])))[..., 3].max() == 0
    noisy = explained([0.2, 0.1, 0.0, 0.0], half_widths=np.array([0.05, 0.15, 0.1, 0.1]))
    assert noisy.certain.tolist() == [True, False, False, False]
    assert np.asarray(render.heat_layer(noisy))[50, 250, 3] < 10


def test_a_layer_of_pixels_and_none_without_a_picture():
    heat = np.random.default_rng(0).normal(size=(26, 39))
    labels = regions.grid(150, 225, 4)
    dense = Explanation("", 0, 0, (), (), segments=labels, segment_values=np.zeros(4), pixel_values=heat)
    assert render.heat_layer(dense).size == (320, 213)
    assert render.heat_layer(Explanation("", 0, 0, (), ())) is None


def test_game_counts_what_it_did():
    game = Game(FakePredictor(nonlinear), Post(title="one two", image=photo()))
    keep = np.zeros((4, game.players), dtype=bool)
    keep[1:, 0] = True
    keep[3, -1] = True
    values = game.values(keep)
    assert values[1] == values[2]
    assert (game.image_passes, game.text_passes, game.evaluations) == (2, 2, 3)
