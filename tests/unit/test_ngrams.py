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
from engine.features.ngrams import ANALYSERS, BUCKETS, NgramRidge
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


@settings(max_examples=50, deadline=None)
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


def test_saved_and_loaded_it_says_the_same(model: NgramRidge, tmp_path: Path) -> None:
    model.save(tmp_path / "ngrams.safetensors")
    loaded = NgramRidge.load(tmp_path / "ngrams.safetensors")
    texts = [*titles(20, seed=3)[0], "", "ein ganz anderer Titel", "日本語のタイトル"]
    assert np.allclose(loaded.predict(texts), model.predict(texts), atol=5e-3)
    assert loaded.bias == model.bias
    loaded.save(tmp_path / "again.safetensors")
    assert np.array_equal(NgramRidge.load(tmp_path / "again.safetensors").predict(texts), loaded.predict(texts))


def test_no_word_of_the_training_texts_ships(model: NgramRidge, tmp_path: Path) -> None:
    model.save(tmp_path / "ngrams.safetensors")
    content = (tmp_path / "ngrams.safetensors").read_bytes()
    assert not [word for text in titles(150)[0] for word in text.split() if word.encode() in content]
    assert set(load_file(tmp_path / "ngrams.safetensors")) == {"idf", "weights", "bias"}


def test_another_models_file_is_refused(tmp_path: Path) -> None:
    save_file({"idf": np.zeros(4, dtype=np.float16)}, tmp_path / "other.safetensors")
    with pytest.raises(BundleError, match="no n-gram model of this version"):
        NgramRidge.load(tmp_path / "other.safetensors")
    small = {"idf": np.zeros(8), "weights": np.zeros(8), "bias": np.zeros(1)}
    save_file(small, tmp_path / "small.safetensors")
    with pytest.raises(BundleError, match=r"small\.safetensors"):
        NgramRidge.load(tmp_path / "small.safetensors")


def test_a_stronger_penalty_gives_smaller_weights() -> None:
    texts, target = titles(80)
    loose, strict = (NgramRidge.fit(texts, target, alpha=alpha) for alpha in (0.3, 30.0))
    assert np.linalg.norm(strict.weights) < np.linalg.norm(loose.weights)
