"""How usual a title's wording is, to tiny language models."""

import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EncoderError
from engine.features import default_names
from engine.features.perplexity import Perplexity
from engine.language_models import LanguageModel, load_language_model
from engine.posts import Post
from tests.tiny_language import POSITIONS, TEXTS, build, feature_of, plainly


@pytest.fixture(scope="module", params=["gpt2", "causal"])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"{request.param}:{build(tmp_path_factory.mktemp(request.param), request.param)}"


@pytest.fixture(scope="module")
def model(spec: str) -> LanguageModel:
    return load_language_model(spec, device="cpu", dtype="float32")


def test_the_surprise_is_that_of_one_token_after_another(spec: str, model: LanguageModel) -> None:
    found = model.surprise(TEXTS)
    expected = [plainly(spec.partition(":")[2], text) for text in TEXTS]
    np.testing.assert_allclose(found.nats, [nats for nats, _ in expected], rtol=1e-5)
    assert found.tokens.tolist() == [tokens for _, tokens in expected]
    assert found.characters.tolist() == [len(text) for text in TEXTS]


def test_neighbours_and_padding_change_nothing(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [model.surprise([text]).nats[0] for text in TEXTS]
    np.testing.assert_allclose(model.surprise(TEXTS).nats, alone, rtol=1e-5)
    np.testing.assert_allclose(model.surprise(TEXTS[::-1]).nats, alone[::-1], rtol=1e-5)
    monkeypatch.setattr("engine.language_models.causal.CPU_TOKENS", 20)
    np.testing.assert_allclose(model.surprise(TEXTS * 3).nats, alone * 3, rtol=1e-5)


def test_batches_hold_no_more_than_they_may(model: LanguageModel) -> None:
    lengths = [0, 5, 100, *[9] * 120, 0, 600]
    batches = model._batches(lengths)
    assert sorted(row for rows in batches for row in rows) == [row for row, length in enumerate(lengths) if length]
    sizes = [len(rows) * (1 + max(lengths[row] for row in rows)) for rows in batches]
    assert all(size <= 512 or len(rows) == 1 for size, rows in zip(sizes, batches, strict=True))
    assert len(batches) < 6


def test_a_long_text_is_cut_at_what_the_model_reads(spec: str, model: LanguageModel) -> None:
    long = "the dog and the cat " * 500
    assert len(long) == 10_000
    found = model.surprise([long, "x" * 10_000, "the dog and the cat"])
    assert found.tokens[:2].tolist() == [POSITIONS - 1] * 2 and found.tokens[2] < 20
    assert found.nats[0] == pytest.approx(plainly(spec.partition(":")[2], long)[0], rel=1e-5)
    # Of the characters that were read, not of all.
    assert found.characters[1] == POSITIONS - 1
    assert POSITIONS <= found.characters[0] < 1000 and found.characters[2] == 19
    shorter = LanguageModel("short", model._source, model._files, max_tokens=5, device="cpu", dtype="float32")
    assert shorter.surprise([long]).tokens.tolist() == [5]
    assert shorter.identity != model.identity


def test_what_is_no_text_at_all(model: LanguageModel) -> None:
    nothing = model.surprise([])
    assert len(nothing.nats) == len(nothing.tokens) == len(nothing.characters) == 0
    assert model.surprise([""]).nats.tolist() == [0.0]
    # Half a character, as a broken file may hold it.
    assert math.isfinite(model.surprise(["a \ud83d b"]).nats[0])
    with pytest.raises(EncoderError, match="takes a list of texts"):
        model.surprise("a single one")


def test_several_threads_at_once(model: LanguageModel) -> None:
    expected = model.surprise(TEXTS).nats
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: model.surprise(TEXTS).nats, range(12)):
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_in_bfloat16_it_is_about_the_same(spec: str, model: LanguageModel) -> None:
    rough = load_language_model(spec, device="cpu", dtype="bfloat16")
    assert rough.identity == model.identity and rough.dtype != model.dtype
    np.testing.assert_allclose(rough.surprise(TEXTS).nats, model.surprise(TEXTS).nats, rtol=0.02)


def test_without_a_beginning_the_end_stands_there(tmp_path: Path) -> None:
    model = load_language_model(f"causal:{build(tmp_path, 'gpt2', bos=None)}", device="cpu", dtype="float32")
    assert model.surprise(["the dog"]).nats[0] > 0


def test_unknown_and_missing_models(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no language model “bigram”; known are smollm2, gpt2"):
        load_language_model("bigram")
    with pytest.raises(EncoderError, match="no language model “gpt2”"):
        load_language_model("gpt2")
    with pytest.raises(EncoderError, match="holds no safetensors weights"):
        load_language_model(f"causal:{tmp_path}")
    broken = build(tmp_path, "gpt2")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_language_model(f"causal:{broken}").surprise(["the dog"])


# Of the feature: titles, and whether there is something to say.
TITLES = {
    "I built the fastest car in the world": True,
    "été à la plage": True,
    "5 tips 🔥": True,
    "top привет": False,
    "tops привет vs": True,
    "": False,
    "   ": False,
    "🔥🔥🔥": False,
    "2024!!! 100%": False,
    "Почему так?": False,
    "漢字 カタカナ": False,
    "𝗯𝗼𝗹𝗱 𝗹𝗲𝘁𝘁𝗲𝗿𝘀": False,
}


@pytest.mark.parametrize("title", TITLES)
def test_no_values_and_a_reason_go_together(title: str, spec: str) -> None:
    feature, post = feature_of("gpt2:" + spec.partition(":")[2]), Post(title)
    values = feature.compute([post], {})
    assert np.isnan(values).all() == bool(feature.why_null(post)) == (not TITLES[title])
    assert np.isnan(values).any() == np.isnan(values).all()
    assert not feature.unavailable


def test_the_reasons() -> None:
    missing = feature_of("causal:no/such@model")
    assert "no/such" in missing.why_null(Post("The dog"))


def test_a_model_of_every_script_reads_every_script(spec: str) -> None:
    folder = spec.partition(":")[2]
    posts = [Post("Почему так?"), Post("🔥")]
    assert np.isnan(feature_of(f"gpt2:{folder}").compute(posts, {})).all()
    assert np.isnan(feature_of(f"causal:{folder}").compute(posts, {})).any(axis=1).tolist() == [False, True]
    assert (
        feature_of(f"causal:{folder}").why_null(posts[1])
        == "The title has no letters, so there is no wording to judge."
    )


def test_the_columns_and_the_fields_that_are_read(spec: str) -> None:
    feature = feature_of(spec)
    values = feature.compute([Post("the dog and the cat")], {})[0].astype(float)
    nats, tokens = plainly(spec.partition(":")[2], "the dog and the cat")
    np.testing.assert_allclose(values, [nats / tokens, nats / math.log(2) / 19, tokens], rtol=0.02)
    assert np.isnan(feature.blank()).all() and feature.blank().shape == (1, 3)
    both = feature_of(spec, text_fields=("title", "tags"))
    assert both.compute([Post("", tags=("dog", "cat"))], {})[0, 2] > 0
    assert both.why_null(Post("")) == "There is no text whose wording could be judged."
    assert both.fingerprint != feature.fingerprint
    assert "perplexity" not in default_names()


def test_the_same_weights_elsewhere_are_the_same_feature(spec: str, tmp_path: Path) -> None:
    feature = feature_of(spec)
    elsewhere = shutil.copytree(spec.partition(":")[2], tmp_path / "copy")
    again = Perplexity.load(tmp_path, "perplexity", {**feature.config, "model": f"causal:{elsewhere}"}, (), "cpu")
    assert again.fingerprint == feature.fingerprint
    other = build(tmp_path / "other", "gpt2", seed=1)
    assert feature_of(f"causal:{other}").fingerprint != feature.fingerprint


def loaded(model: LanguageModel) -> bool:
    return model._parts is not None


def test_nothing_is_loaded_before_the_first_title(spec: str) -> None:
    load_language_model.cache_clear()
    feature = feature_of(spec)
    assert (
        feature.fingerprint
        and feature.cache_key
        and not feature.unavailable
        and feature.why_null(Post("The dog")) == ""
    )
    feature.compute([Post("")], {})
    assert feature._model is not None and not loaded(feature._model)
    feature.compute([Post("The dog")], {})
    assert loaded(feature._model)
