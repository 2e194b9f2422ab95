"""The contract of a feature, for every kind there is: shapes, identity, saving, and values that stay what they were.

A kind's probe values are pinned with its version. Who changes what `compute` gives raises `version` and pins them
anew; bundles of the former version are then refused, instead of answering otherwise.
"""

import inspect
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from engine import threads
from engine.captioners import load_captioner
from engine.encoders import load_encoder
from engine.errors import DataError, PostError
from engine.features import default_names, find_kind, kinds, make_features, picture_moments, title_moments
from engine.features.adapted import Adapted, Adapter
from engine.features.base import PLAIN, Feature, Features, FeatureSettings, FittedFeature, code_hash
from engine.features.encoder_tokens import EncoderTokens
from engine.features.encoder_vector import EncoderVector
from engine.features.extractor import Extractor
from engine.features.ngrams import Ngrams
from engine.features.picture_statistics import PictureStatistics
from engine.features.text_statistics import TextStatistics
from engine.language_models import load_language_model
from engine.posts import Post

SETTINGS = FeatureSettings(encoders={"picture": "lite0:64x96", "words": "minilm:16"}, device="cpu")
# What guards see before `conftest` makes that little for what tests train.
WHOLE = {module: module.ENCODER for module in (picture_moments, title_moments)}
# A feature of every kind.
NAMES = {
    "adapted": "adapted",
    "author": "author",
    "caption_consistency": "caption_consistency",
    "category": "category",
    "encoder_tokens": "words.tokens",
    "encoder_vector": "picture",
    "faces": "faces",
    "lettering": "lettering",
    "lettering_agreement": "lettering_agreement",
    "ngrams": "ngrams",
    "numbers": "numbers",
    "perplexity": "perplexity",
    "picture_moments": "picture_moments",
    "picture_statistics": "picture_statistics",
    "similarity": "similarity",
    "text_statistics": "text_statistics",
    "time_and_place": "time_and_place",
    "title_moments": "title_moments",
}
# Those that say nothing of a post without words, or with a plain picture.
NULLABLE = ("caption_consistency", "faces", "lettering", "lettering_agreement", "perplexity")
# Between them, and the pictures below, no statistic is the same everywhere.
TITLES = (
    "I Spent 24 Hours in 2021's BEST Hotel (Official) | Ep. 5 🔥 vs THEM?!",
    "Top 10 “goals” – how you never lost $1,000... @me & him, #shorts: new official song ft. x",
    "Почему так？ 안녕 カタカナ 漢字 مرحبا नमत",
    "what a quiet walk",
    "5 tips, explained",
    "so so insane",
    "x",
)
# Of the values of the first two probe posts.
PLACES = (0, 1, 2, 5, 8, 13, 21)
# By kind and version: an encoder's numbers at those places; else a sum over all columns for every probe post.
PINNED: dict[tuple[str, int], Any] = {
    ("adapted", 1): [2.757968, 15.600225, 6.481185, -12.20961, 20.659087, -3.601587, -1.289184],
    ("author", 1): [2.54478, -87.5678, -97.761, 703.126, 9602.93, 99503.8, np.nan],
    ("caption_consistency", 1): [-0.678641, -0.663744, -0.446942, -0.506447, -0.491929, np.nan, np.nan],
    ("category", 1): [1.0, 0.540302, 0.0, 1.0, 0.540302, 0.0, np.nan],
    ("encoder_tokens", 1): [
        [0.274093, 0.18009, 0.0843263, 0.0859594, 0.173428, 0.0318981, 0.0950529],
        [-0.141521, 0.107959, 0.105812, 0.456859, -0.0956356, 0.145588, 0.0342244],
    ],
    ("encoder_vector", 1): [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.721462],
        [0.0, 0.791327, 5.93139, 0.0, 0.186804, 1.51877, 0.0],
    ],
    ("faces", 1): [0.010839, 0.0, 0.0, 0.0, 0.0, np.nan, np.nan],
    ("lettering", 1): [0.0, 0.232544, 0.0, 0.0, 0.0, np.nan, np.nan],
    ("lettering_agreement", 1): [np.nan, 0.0, np.nan, np.nan, np.nan, np.nan, np.nan],
    ("ngrams", 1): [-0.478544, -0.485834, -0.488095, -0.400092, -0.48881, -0.488736, -0.488095],
    ("numbers", 1): [-1.186998, 1.72918, 1.991491, 4.978694, 1.7223, 2.745396, 0.0],
    ("perplexity", 1): [-7.1196, -7.92432, np.nan, 7.58952, 7.19952, 11.4452, 12.7885],
    ("picture_moments", 1): [
        [0.8413467, -0.8338741, 2.4950888, -0.9070324, -2.3253362, -0.3457224, 8.780869],
        [0.4144302, -1.8644994, 6.3777366, -3.1144786, -8.404609, -0.0703112, 7.399392],
    ],
    ("picture_statistics", 1): [-64.2873, -68.7182, -34.8474, -36.6798, -28.9098, -65.4566, -59.8131],
    ("similarity", 1): [0.188222, 0.204741, 0.0930278, -0.0557243, -0.155304, -0.365479, -0.140664],
    ("text_statistics", 1): [64.713, 95.5295, 26.353, 13.8103, 7.49826, 7.84014, -0.186575],
    ("time_and_place", 1): [495.295, 527.694, 557.873, 589.955, 619.325, 651.792, np.nan],
    ("title_moments", 1): [
        [0.046615, 0.174964, -0.06173, 0.102441, -0.24235, 0.044724, -0.192047],
        [0.191078, 0.147555, -0.146275, 0.012188, -0.341055, 0.120043, -0.155879],
    ],
}


def probe_posts() -> list[Post]:
    """Photographs, stripes between black bars, and plain colours; with the titles."""
    photographs = [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    stripes = Image.new("RGB", (96, 54))
    for left in range(0, 96, 6):
        stripes.paste((255, 255, 200), (left, 9, left + 3, 45))
    plain = [Image.new("RGB", (40, 30), colour) for colour in ((10, 200, 190), (10, 200, 90))]
    pictures = [*photographs, stripes, *plain]
    posts = [Post(title, picture, post_id=title) for title, picture in zip(TITLES, pictures, strict=True)]
    # The last says nothing of when, where, by whom and as what.
    return [*(replace(post, **context(place)) for place, post in enumerate(posts[:-1])), posts[-1]]


def context(number: int) -> dict[str, Any]:
    """When, where, by whom and as what a made-up post is published."""
    return {
        "published_at": datetime(2015 + number, 1 + number, 3 + number, 4 * number, 30, tzinfo=UTC),
        "place": (10.0 * number - 25, 30.0 * number - 70),
        "author": (
            *(("photo_count", 10.0**number), ("is_pro", number % 2), ("can_buy_pro", 1.0)),
            *(("account_age_days", 100.0 * number), ("timezone_hours", number - 3.0)),
        ),
        "category": ("Music", "Sports", "Travel")[number % 3],
    }


def probed(feature: Feature) -> np.ndarray:
    """The numbers that are pinned of a feature."""
    if isinstance(feature, Adapted):
        # Training amplifies what processors round differently, so the adapters are those that training starts from.
        feature = untrained(feature)
    values = values_of([feature], probe_posts())[feature.name]
    if isinstance(feature, EncoderVector):
        return values.reshape(len(values), -1)[:2, PLACES]
    return values @ np.cos(np.arange(values.shape[1]))


def untrained(feature: Adapted) -> Adapted:
    image, text = feature.upstream
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapter = Adapter(len(image.columns), len(text.columns), feature.ratio).eval().requires_grad_(False)
    return Adapted(feature.name, image, text, feature.ratio, adapter)


def training_posts(count: int = 40) -> tuple[list[Post], np.ndarray]:
    """Made-up posts with a target for the fitted features."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, 16, 24, 3), dtype=np.uint8)
    words = generator.choice(["river", "house", "fastest", "walk", "morning", "car"], (count, 3))
    posts = [
        Post(
            " ".join(row),
            Image.fromarray(part),
            post_id=f"t{number}",
            category=("Music", "Sports")[number % 2],
            published_at=datetime(2018 + number % 3, 1 + number % 12, 1 + number % 25, number % 24, tzinfo=UTC),
            author=(("photo_count", float(number)),),
        )
        for number, (row, part) in enumerate(zip(words, pixels, strict=True))
    ]
    return posts, generator.normal(0, 1, count)


@pytest.fixture(scope="module", autouse=True)
def whole() -> Any:
    """What guards read is that which ships."""
    with pytest.MonkeyPatch.context() as patch:
        for module, encoder in WHOLE.items():
            patch.setattr(module, "ENCODER", encoder)
        yield


@pytest.fixture(scope="module")
def in_float32() -> Any:
    """Encoders in float32, which is the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        exact = partial(load_encoder, dtype="float32")
        for module in ("features.encoder_vector", "features.caption_consistency", "captioners.packaged"):
            patch.setattr(f"engine.{module}.load_encoder", exact)
        patch.setattr("engine.features.caption_consistency.load_captioner", load_captioner.__wrapped__)
        patch.setattr("engine.features.perplexity.load_language_model", partial(load_language_model, dtype="float32"))
        yield


@pytest.fixture(scope="module")
def made(in_float32: None) -> dict[str, Feature]:
    """A feature of every kind by name, fitted where it is a fitted one."""
    posts, target = training_posts()
    return fitted(make_features(NAMES.values(), SETTINGS), posts, target)


def fitted(features: Mapping[str, Feature], posts: Sequence[Post], target: np.ndarray) -> dict[str, Feature]:
    found: dict[str, Feature] = {}
    for name, feature in features.items():
        if isinstance(feature, FittedFeature):
            feature = feature.fit(posts, values_of(list(feature.upstream), posts), target)
        found[name] = feature
    return found


def values_of(features: Sequence[Feature], posts: Sequence[Post]) -> Features:
    """Values of features and of those they are computed from."""
    found: Features = {}
    for feature in features:
        found |= values_of(feature.upstream, posts)
        found[feature.name] = feature.compute(posts, found)
    return found


def test_every_kind_is_tested_here() -> None:
    assert set(kinds()) == set(NAMES)
    assert default_names() == ("ngrams", "picture_statistics", "text_statistics")
    for kind, feature in kinds().items():
        assert find_kind(kind) is feature and feature.kind == kind
    with pytest.raises(DataError, match="There is no feature “sound” in this version; known are adapted"):
        find_kind("sound")


@pytest.mark.parametrize("kind", NAMES)
def test_values_have_the_shape_that_is_said(kind: str, made: dict[str, Feature]) -> None:
    feature, posts = made[NAMES[kind]], probe_posts()
    assert feature.kind == kind and feature.name == NAMES[kind] and feature.shape[-1] == len(feature.columns)
    assert set(feature.modalities) <= {"image", "text"}
    for some in (posts, []):
        values = values_of([feature], some)[feature.name]
        assert values.shape == (len(some), *feature.shape) and values.dtype == np.float32
        assert not np.isinf(values).any()
    blank = feature.blank()
    assert blank.shape == (1, *feature.shape) and blank.dtype == np.float32
    # Of the context alone there is nothing to say where there is none; of numbers the mean stands for it.
    says = bool(feature.modalities) and kind not in NULLABLE
    assert np.isfinite(blank).any() == (says or kind == "numbers")


@pytest.mark.parametrize("kind", NULLABLE)
def test_where_it_says_nothing_there_is_a_reason(kind: str, made: dict[str, Feature]) -> None:
    feature = made[NAMES[kind]]
    posts = [*probe_posts(), Post("", PLAIN), Post("Почему так", PLAIN), Post("🔥🔥", probe_posts()[0].image)]
    values = values_of([feature], posts)[kind]
    reasons = [feature.why_null(post) for post in posts]
    assert [bool(reason) for reason in reasons] == np.isnan(values).all(axis=1).tolist()
    assert all(not reason or reason.endswith(".") for reason in reasons)


@pytest.mark.parametrize("kind", NAMES)
def test_a_post_does_not_change_with_its_neighbours(kind: str, made: dict[str, Feature]) -> None:
    feature, posts = made[NAMES[kind]], probe_posts()
    together = values_of([feature], posts)[feature.name]
    for row, post in enumerate(posts):
        np.testing.assert_allclose(values_of([feature], [post])[feature.name][0], together[row], atol=1e-4)


@pytest.mark.parametrize("kind", NAMES)
def test_blank_is_a_post_with_nothing_on_its_sides(kind: str, made: dict[str, Feature]) -> None:
    feature = made[NAMES[kind]]
    if kind in ("adapted", "ngrams", "similarity"):
        assert not feature.blank().any()
    else:
        found = values_of([feature], [Post("", PLAIN)])[feature.name]
        np.testing.assert_allclose(feature.blank(), found, atol=1e-5)


@pytest.mark.parametrize("kind", NAMES)
def test_saved_and_loaded_it_is_the_same_feature(kind: str, made: dict[str, Feature], tmp_path: Path) -> None:
    feature, posts = made[NAMES[kind]], probe_posts()
    feature.save(tmp_path)
    assert all(path.name.startswith(feature.name) for path in tmp_path.iterdir())
    again = type(feature).load(tmp_path, feature.name, feature.config, feature.upstream, "cpu")
    again.fitted_on = feature.fitted_on
    assert again.fingerprint == feature.fingerprint and again.cache_key == feature.cache_key
    np.testing.assert_array_equal(values_of([again], posts)[feature.name], values_of([feature], posts)[feature.name])


@pytest.mark.parametrize("kind", NAMES)
def test_the_fingerprint_follows_what_decides_the_values(
    kind: str, made: dict[str, Feature], monkeypatch: pytest.MonkeyPatch
) -> None:
    feature = made[NAMES[kind]]
    before = feature.fingerprint
    monkeypatch.setattr(feature, "name", "another")
    assert feature.fingerprint == before
    monkeypatch.setattr(type(feature), "version", feature.version + 1)
    assert feature.fingerprint != before
    monkeypatch.undo()
    assert feature.fingerprint == before
    if isinstance(feature, FittedFeature):
        monkeypatch.setattr(feature, "fitted_on", "other posts")
        assert feature.fingerprint != before
    if feature.upstream:
        monkeypatch.undo()
        monkeypatch.setattr(type(feature.upstream[0]), "version", 9)
        assert feature.fingerprint != before


def test_fingerprints_follow_configuration_encoders_and_fitted_posts(made: dict[str, Feature]) -> None:
    posts, target = training_posts()
    prints = {name: feature.fingerprint for name, feature in made.items()}

    def others(**changes: Any) -> set[str]:
        settings = FeatureSettings(**{"encoders": SETTINGS.encoders, "device": "cpu", **changes})
        found = fitted(make_features(NAMES.values(), settings), posts, target)
        return {name for name, feature in found.items() if feature.fingerprint != prints[name]}

    assert others() == set()
    assert others(options={"ngrams": {"alpha": 1.0}}) == {"ngrams"}
    assert others(text_fields=("title", "tags")) == {
        *("ngrams", "words", "words.tokens", "similarity", "title_moments"),
        *("adapted", "caption_consistency", "perplexity"),
    }
    assert others(encoders={"picture": "lite0:64x64", "words": "minilm:16"}) == {"adapted", "picture", "similarity"}
    again = Ngrams().fit(posts[1:], {}, target[1:])
    changed = Ngrams().fit(posts, {}, target + np.arange(len(target)))
    assert len({again.fitted_on, changed.fitted_on, made["ngrams"].fitted_on}) == 3


def test_an_encoder_elsewhere_under_another_role_is_the_same_feature(in_float32: None) -> None:
    one, other = EncoderVector("words", "minilm:16", device="cpu"), EncoderVector("text", "minilm:16", device="cpu")
    assert one.fingerprint == other.fingerprint != EncoderVector("words", "minilm:17", device="cpu").fingerprint
    # Tokens and vectors of one encoder are not.
    assert EncoderTokens("words.tokens", "minilm:16", device="cpu").fingerprint != one.fingerprint


def test_the_precision_changes_what_is_stored_and_not_what_it_is(in_float32: None) -> None:
    feature = EncoderVector("picture", "lite0:64x64", device="cpu")
    before = feature.fingerprint, feature.cache_key
    feature.encoder = load_encoder("lite0:64x64", device="cpu", dtype="bfloat16")
    assert feature.encoder.dtype == torch.bfloat16
    assert feature.fingerprint == before[0] and feature.cache_key != before[1]


@pytest.mark.parametrize("kind", NAMES)
def test_values_are_those_that_this_version_had(kind: str, made: dict[str, Feature]) -> None:
    feature = made[NAMES[kind]]
    why = f"{kind} gives other values: raise its version, and pin them here"
    np.testing.assert_allclose(probed(feature), PINNED[kind, feature.version], atol=2e-3, rtol=1e-4, err_msg=why)


def test_every_statistic_is_pinned(made: dict[str, Feature]) -> None:
    for name in ("text_statistics", "picture_statistics"):
        values = made[name].compute(probe_posts(), {})
        assert not [column for column, row in zip(made[name].columns, values.T, strict=True) if np.ptp(row) < 0.01]


def test_a_changed_line_makes_stored_values_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(inspect.getfile(PictureStatistics)).read_text()
    monkeypatch.setattr("inspect.getfile", lambda found: str(tmp_path / "code.py"))
    keys = []
    for text in (
        source,
        source.replace('"""Plain statistics of a picture', '"""Some statistics of a picture') + "\n# A comment.\n",
        source.replace("contrast > 0.6", "contrast > 0.61"),
    ):
        code_hash.cache_clear()
        (tmp_path / "code.py").write_text(text)
        keys.append(PictureStatistics().cache_key)
    code_hash.cache_clear()
    assert keys[0] == keys[1] != keys[2]


def test_code_that_is_derived_from_counts_too() -> None:
    with pytest.MonkeyPatch.context() as patch:
        before = code_hash.__wrapped__(EncoderTokens)
        read_text = Path.read_text
        patch.setattr(
            Path,
            "read_text",
            lambda self, **how: (
                read_text(self, **how) + ("\nMORE = 1\n" if str(self) == inspect.getfile(EncoderVector) else "")
            ),
        )
        assert code_hash.__wrapped__(EncoderTokens) != before


def test_a_picture_that_is_not_there_is_refused(made: dict[str, Feature]) -> None:
    for name in ("picture", "picture_statistics"):
        with pytest.raises(PostError, match="asked of a post that has none"):
            made[name].compute([Post("no picture")], {})
    with pytest.raises(DataError, match="needs an encoder for pictures and one for texts"):
        make_features(["similarity"], FeatureSettings(encoders={"words": "minilm:16"}, device="cpu"))


def test_what_is_known_is_not_computed_again_nor_what_it_came_from() -> None:
    calls: list[str] = []

    def counted(feature: Feature) -> Feature:
        compute = feature.compute

        def count(posts: Sequence[Post], upstream: Mapping[str, Any]) -> Any:
            calls.append(feature.name)
            return compute(posts, upstream)

        feature.compute = count  # type: ignore[method-assign]
        return feature

    class Double(TextStatistics):
        kind = "double"

        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Any]) -> Any:
            return 2 * upstream["text_statistics"]

    class Pair(Double):
        kind = "pair"
        modalities = ("image", "text")

        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Any]) -> Any:
            return upstream["double"][:, :3] + upstream["picture_statistics"][:, :3]

    words, picture = counted(TextStatistics()), counted(PictureStatistics())
    double, pair = counted(Double()), counted(Pair())
    double.upstream, pair.upstream = (words,), (double, picture)
    extractor = Extractor({feature.name: feature for feature in (words, picture, double, pair)}, ["double", "pair"])
    posts = probe_posts()
    whole = extractor.compute(posts, "both")
    assert set(whole) == {"double", "picture_statistics", "pair"}
    calls.clear()
    text, image = extractor.compute(posts, "text"), extractor.compute(posts, "image")
    assert set(text) == {"double"} and calls == ["text_statistics", "double", "picture_statistics"]
    calls.clear()
    both = extractor.compute(posts, "both", known=text | image)
    assert calls == ["pair"]
    for name, values in whole.items():
        np.testing.assert_array_equal(both[name], values)


def test_what_a_pair_is_made_of_is_computed_only_where_the_pair_is_read() -> None:
    class Untouched(PictureStatistics):
        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Any]) -> Any:
            raise AssertionError("nobody reads it")

    class Pair(TextStatistics):
        kind = "pair"
        modalities = ("image", "text")

    words, picture, pair = TextStatistics(), Untouched(), Pair()
    pair.upstream = (picture, words)
    features: dict[str, Feature] = {feature.name: feature for feature in (words, picture, pair)}
    assert set(Extractor(features, [words.name]).compute(probe_posts(), "both")) == {words.name}


def test_what_hangs_together_is_one_chain_and_the_rest_goes_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "workers", lambda: 3)
    meeting = threading.Barrier(3)
    calls: list[str] = []

    class Words(TextStatistics):
        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Any]) -> Any:
            meeting.wait(10)
            calls.append(self.name)
            return super().compute(posts, {})

    class Picture(PictureStatistics):
        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Any]) -> Any:
            meeting.wait(10)
            return super().compute(posts, upstream)

    class Sum(TextStatistics):
        def compute(self, posts: Sequence[Post], upstream: Mapping[str, Any]) -> Any:
            calls.append(self.name)
            return upstream["first"] + upstream["second"]

    # Two of the words that a third is made of, another of the words, and one of the picture.
    first, second, other, total, picture = (
        TextStatistics("first"),
        TextStatistics("second"),
        Words(),
        Sum("sum"),
        Picture(),
    )
    alone = Words("alone")
    total.upstream = (first, second)
    features: dict[str, Feature] = {each.name: each for each in (first, other, second, alone, total, picture)}
    posts = probe_posts()
    found = Extractor(features, features).compute(posts, "both")
    assert sorted(calls) == sorted(["alone", "sum", "text_statistics"])
    words = TextStatistics().compute(posts, {})
    np.testing.assert_array_equal(found["sum"], 2 * words)
    np.testing.assert_array_equal(found["alone"], words)
    np.testing.assert_array_equal(found[picture.name], PictureStatistics().compute(posts, {}))


def test_out_of_fold_values_leave_a_group_out(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[set[int], set[int]]] = []
    posts, target = training_posts(30)
    groups = np.arange(30) // 3
    number = {post.post_id: group for post, group in zip(posts, groups, strict=True)}
    learnt: list[set[int]] = []
    fitted, compute = Ngrams.fitted, Ngrams.compute

    def watched_fit(self: Ngrams, posts: Sequence[Post], *rest: Any) -> Ngrams:
        learnt.append({number[post.post_id] for post in posts})
        return fitted(self, posts, *rest)

    def watched(self: Ngrams, posts: Sequence[Post], upstream: Any) -> Any:
        seen.append((learnt[-1], {number[post.post_id] for post in posts}))
        return compute(self, posts, upstream)

    monkeypatch.setattr(Ngrams, "fitted", watched_fit)
    monkeypatch.setattr(Ngrams, "compute", watched)
    values = Ngrams().out_of_fold(posts, {}, target, groups)
    assert values.shape == (30, 1) and values.dtype == np.float32
    assert len(seen) == 5 and set().union(*(held for _, held in seen)) == set(groups)
    assert not any(rest & held for rest, held in seen)
