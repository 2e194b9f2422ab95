"""The n-gram ridge: what it learns, that it ships no word, and that saving changes nothing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.preprocessing import normalize

from engine.errors import BundleError
from engine.features.ngrams import ANALYSERS, BUCKETS, NgramRidge, Ngrams
from engine.posts import Post
from tests.made_up import own_word


def titles(count: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Titles of own words and one that decides the target."""
    word = np.random.default_rng(seed).integers(0, 2, count)
    return [f"{('quiet', 'fastest')[kind]} {own_word(number)}" for number, kind in enumerate(word)], word * 2.0 - 1


@pytest.fixture(scope="module")
def model() -> NgramRidge:
    return NgramRidge.fit(*titles(150))


def test_it_finds_the_word_that_decides(model: NgramRidge) -> None:
    fast, quiet, neither = model.predict(["the fastest car", "a quiet car", "car"])
    assert fast > neither > quiet
    # Parts and other spellings of the word are found by its character runs.
    assert model.predict(["FASTEST!"])[0] > 0.3
    assert model.predict(["fasttest"])[0] > model.predict(["quiett"])[0]


def test_nothing_gives_the_mean_and_no_text_no_score(model: NgramRidge) -> None:
    assert model.predict(["", "car", "  "])[[0, 2]].tolist() == [0.0, 0.0]
    assert model.predict([]).shape == (0,)


@settings(max_examples=50)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_any_text_has_a_finite_score_that_does_not_depend_on_its_company(texts: list[str]) -> None:
    model = _cached()
    together = model.predict(texts)
    assert np.isfinite(together).all()
    for text, score in zip(texts, together, strict=True):
        assert model.predict([text])[0] == pytest.approx(score, abs=1e-9)


_MODELS: list[NgramRidge] = []


def _cached() -> NgramRidge:
    if not _MODELS:
        _MODELS.append(NgramRidge.fit(*titles(60)))
    return _MODELS[0]


def test_weights_are_those_of_scikit_learns_tf_idf() -> None:
    texts, target = titles(80)
    model = NgramRidge.fit(texts, target)
    parts, start = [], 0
    for how in ANALYSERS:
        counts = HashingVectorizer(n_features=BUCKETS, alternate_sign=False, norm=None, **how).transform(texts)
        weighting = TfidfTransformer(sublinear_tf=True, smooth_idf=True, norm=None).fit(counts)
        assert np.allclose(model.idf[start : start + BUCKETS], weighting.idf_, atol=1e-5)
        parts.append(normalize(weighting.transform(counts)))
        start += BUCKETS
    expected = sum(part @ model.weights[number * BUCKETS : (number + 1) * BUCKETS] for number, part in enumerate(parts))
    assert np.allclose(model.predict(texts), expected + model.bias, atol=1e-5)


@pytest.fixture(scope="module")
def feature() -> Ngrams:
    posts = [Post(title) for title in titles(150)[0]]
    return Ngrams().fit(posts, {}, titles(150)[1].astype(np.float64))


def test_saved_and_loaded_it_says_the_same(model: NgramRidge, feature: Ngrams, tmp_path: Path) -> None:
    posts = [Post(text) for text in (*titles(20, seed=3)[0], "", "ein ganz anderer Titel", "日本語のタイトル")]
    feature.save(tmp_path)
    loaded = Ngrams.load(tmp_path, "ngrams", feature.config, (), "cpu")
    values = feature.compute(posts, {})
    assert values.shape == (len(posts), 1) and values.dtype == np.float32
    assert np.array_equal(loaded.compute(posts, {}), values)
    # Rounding to half precision moves a score by next to nothing, and training sees the rounded one.
    assert np.allclose(values[:, 0], model.predict([post.title for post in posts]), atol=5e-3)


def test_no_word_of_the_training_texts_ships(feature: Ngrams, tmp_path: Path) -> None:
    feature.save(tmp_path)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    assert not [word for text in titles(150)[0] for word in text.split() if word.encode() in content]
    assert set(load_file(file)) == {"idf", "weights", "bias"}


def test_another_models_numbers_are_refused(tmp_path: Path) -> None:
    for wrong in ({"idf": np.zeros(4)}, {"idf": np.zeros(8), "weights": np.zeros(8), "bias": np.zeros(1)}):
        save_file(wrong, tmp_path / "ngrams.safetensors")
        with pytest.raises(BundleError, match="no model of this version"):
            Ngrams.load(tmp_path, "ngrams", {}, (), "cpu")
    with pytest.raises(BundleError, match="were not fitted"):
        Ngrams().compute([Post("x")], {})


def test_training_posts_are_scored_by_copies_that_did_not_see_their_group() -> None:
    """Targets that no other group explains: what was seen is found again, what was not is not."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 3)
    target = generator.normal(0, 1, 40)[groups]
    posts = [Post(f"{own_word(group)} {own_word(group + 500)}") for group in groups]
    seen = Ngrams().fit(posts, {}, target).compute(posts, {})[:, 0]
    held = Ngrams().out_of_fold(posts, {}, target, groups)[:, 0]
    assert np.corrcoef(seen, target)[0, 1] > 0.9 > 0.4 > abs(np.corrcoef(held, target)[0, 1])


def test_a_stronger_penalty_gives_smaller_weights() -> None:
    texts, target = titles(80)
    loose, strict = (NgramRidge.fit(texts, target, alpha=alpha) for alpha in (0.3, 30.0))
    assert np.linalg.norm(strict.weights) < np.linalg.norm(loose.weights)
