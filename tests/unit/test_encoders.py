"""Encoders: the packaged ones with their real weights, the Hugging Face ones with tiny checkpoints."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from engine.encoders import Encoder, known_encoders, load_encoder
from engine.encoders.huggingface import TextEncoder
from engine.encoders.packaged import TINY, EfficientNetLite, MiniLM
from engine.encoders.runtime import pick_device, pick_dtype
from engine.errors import BundleError, EncoderError
from tests import tiny

TEXTS = ["The cat", "We built a very small house along the river and learned this", "Ten mistakes", "x", ""]
CHECKPOINTS = {
    "bert": tiny.build_bert,
    "text": tiny.build_bert,
    "deberta": tiny.build_deberta,
    "vit": tiny.build_vit,
    "image": tiny.build_vit,
    "clip-image": tiny.build_clip,
    "clip-text": tiny.build_clip,
    "siglip-image": tiny.build_siglip,
    "siglip-text": tiny.build_siglip,
}
# A checkpoint's file, what is in it otherwise (as a newer version may write it), and what is said of it.
FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("bert", "tokenizer.json", {"model": {"type": "Newer"}}, "cannot be loaded: "),
    ("vit", "config.json", {"hidden_act": 5}, "cannot be loaded: "),
    ("clip-text", "config.json", {}, "names a model type"),
]
IMAGES = ["lite0", "lite2", "lite0-style", "lite2-style", "lite0-moments", "vit", "image", "clip-image", "siglip-image"]
TEXT = ["minilm", "minilm-moments", "bert", "text", "deberta", "clip-text", "siglip-text"]
ENCODERS = [*IMAGES, *TEXT]
# Those of CLIP and SigLIP for texts take no word embeddings.
DIFFERENTIABLE = [name for name in ENCODERS if not name.endswith("-text")]


def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    sizes = [(36, 64), (50, 50), (64, 36), (90, 160), (40, 40), (33, 47)]
    return [Image.fromarray(generator.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]


def items_for(encoder: Encoder) -> list:
    return pictures() if encoder.modality == "image" else list(TEXTS)


# All tests of one before the next: more are not kept at a time.
@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request: pytest.FixtureRequest, checkpoints: Callable) -> Encoder:
    spec = request.param
    if spec in CHECKPOINTS:
        spec = f"{spec}:{checkpoints(CHECKPOINTS[spec])}"
    return load_encoder(spec, device="cpu", dtype="float32")


def test_follows_the_protocol(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)
    items = items_for(encoder)
    vectors, tokens = encoder.encode_with_tokens(items)
    assert vectors.shape == (len(items), encoder.dim)
    assert tokens.values.shape == (*tokens.mask.shape, encoder.token_dim)
    assert len(tokens.mask) == len(items) and tokens.mask.any(dim=1).all()
    assert vectors.dtype == tokens.values.dtype == torch.float32 and tokens.mask.dtype == torch.bool
    assert torch.isfinite(vectors).all() and not vectors.requires_grad
    torch.testing.assert_close(encoder.encode(items), vectors)
    torch.testing.assert_close(encoder.tokens(items).values, tokens.values)


def test_different_items_give_different_vectors(encoder: Encoder) -> None:
    vectors = encoder.encode(items_for(encoder)[:3])
    assert torch.cdist(vectors, vectors)[0, 1:].min() > 1e-4


def test_shuffled_items_give_shuffled_vectors(encoder: Encoder) -> None:
    items = items_for(encoder)
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(1))
    vectors, tokens = encoder.encode_with_tokens(items)
    shuffled, shuffled_tokens = encoder.encode_with_tokens([items[index] for index in order.tolist()])
    torch.testing.assert_close(shuffled, vectors[order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shuffled_tokens.values, tokens.values[order], atol=1e-4, rtol=1e-4)
    assert torch.equal(shuffled_tokens.mask, tokens.mask[order])


def test_neither_batch_nor_padding_changes_a_result(encoder: Encoder) -> None:
    items = items_for(encoder)
    together, tokens = encoder.encode_with_tokens(items)
    for row, item in enumerate(items):
        alone, alone_tokens = encoder.encode_with_tokens([item])
        torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            alone_tokens.values[0][alone_tokens.mask[0]], tokens.values[row][tokens.mask[row]], atol=1e-4, rtol=1e-4
        )


def test_nothing_in_nothing_out(encoder: Encoder) -> None:
    vectors, tokens = encoder.encode_with_tokens([])
    assert vectors.shape == (0, encoder.dim) and tokens.values.shape == (0, 0, encoder.token_dim)
    assert encoder.encode([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("encoder", DIFFERENTIABLE, indirect=True)
def test_forward_can_be_differentiated(encoder: Encoder) -> None:
    batch = encoder.prepare(items_for(encoder)[:2])
    if encoder.modality == "image":
        batch["pixels"].requires_grad_(True)
        wanted = batch["pixels"]
    else:
        embed = encoder.module.get_input_embeddings()  # type: ignore[operator]
        wanted = embed(batch.pop("input_ids")).detach().requires_grad_(True)
        batch["inputs_embeds"] = wanted
    vectors, _ = encoder.forward(batch)
    torch.testing.assert_close(vectors.detach(), encoder.encode(items_for(encoder)[:2]), atol=1e-4, rtol=1e-4)
    vectors.sum(0).square().sum().backward()
    assert wanted.grad is not None and wanted.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.module.parameters())


def test_a_single_item_is_refused(encoder: Encoder) -> None:
    with pytest.raises(EncoderError, match="takes a list"):
        encoder.encode(items_for(encoder)[0])


@pytest.mark.parametrize("encoder", IMAGES, indirect=True)
def test_pixels_are_normalised_one_way(encoder: Encoder) -> None:
    height, width = encoder.size  # type: ignore[attr-defined]
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8))
    raw = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    expected = encoder.prepare([image])["pixels"]
    torch.testing.assert_close(encoder.normalise_pixels(raw), expected, atol=1e-5, rtol=1e-5)  # type: ignore[attr-defined]
    rows, columns = encoder.grid  # type: ignore[attr-defined]
    assert encoder.tokens([image]).mask.shape == (1, rows * columns)


@pytest.mark.parametrize(
    ("picture", "classes"), [("cat", range(281, 288)), ("coffee", (504, 967, 968)), ("rocket", (540, 657, 744, 812))]
)
@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_lite_recognises_photographs(variant: str, picture: str, classes: range) -> None:
    encoder = load_encoder(variant, device="cpu", dtype="float32")
    assert isinstance(encoder, EfficientNetLite)
    with torch.inference_mode():
        scores = encoder.module(encoder.preprocess([Image.fromarray(getattr(data, picture)())]))
    assert int(scores.argmax()) in classes


def test_minilm_knows_what_means_the_same() -> None:
    vectors = load_encoder("minilm", device="cpu").encode(
        ["A kitten sleeps on the couch", "The cat is napping on a sofa", "Stock markets fell sharply"]
    )
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.6 > 0.2 > similarity[0, 2]


def test_a_long_text_is_cut() -> None:
    encoder = MiniLM(max_length=8, device="cpu")
    beginning = "one two three four five six"
    torch.testing.assert_close(encoder.encode([beginning]), encoder.encode([beginning + " seven eight"]))
    assert encoder.tokens([beginning * 50]).mask.shape == (1, 8)


def test_bfloat16_is_close_to_float32() -> None:
    photographs = [Image.fromarray(getattr(data, name)()) for name in ("cat", "coffee", "astronaut")]
    exact = load_encoder("lite0", device="cpu", dtype="float32")
    rough = load_encoder("lite0", device="cpu", dtype="bfloat16")
    similarity = torch.cosine_similarity(exact.encode(photographs), rough.encode(photographs))
    assert similarity.min() > 0.995
    assert exact.dtype != rough.dtype and exact.identity == rough.identity


def test_whatever_changes_the_vectors_changes_the_identity(checkpoints: Callable, tmp_path: Path) -> None:
    specs = ["lite0", "lite2", "lite2:128x224", "minilm", "minilm:32", f"bert:{checkpoints(tiny.build_bert)}"]
    specs += [f"bert:{tiny.build_bert(tmp_path, seed=7)}"]
    identities = [load_encoder(spec, device="cpu", dtype="float32").identity for spec in specs]
    assert len(set(identities)) == len(specs)


def test_the_same_checkpoint_elsewhere_has_the_same_identity(checkpoints: Callable, tmp_path: Path) -> None:
    for file in checkpoints(tiny.build_bert).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    one, other = (load_encoder(f"bert:{place}", device="cpu") for place in (checkpoints(tiny.build_bert), tmp_path))
    assert one.identity == other.identity


@pytest.mark.parametrize(("kind", "builder"), [("clip", tiny.build_clip), ("siglip", tiny.build_siglip)])
def test_aligned_encoders_are_those_of_the_whole_model(kind: str, builder, checkpoints: Callable) -> None:
    from transformers import AutoModel

    place = checkpoints(builder)
    whole = AutoModel.from_pretrained(place).eval()
    image, text = (load_encoder(f"{kind}-{side}:{place}", device="cpu") for side in ("image", "text"))
    assert image.aligned == text.aligned == str(place)
    with torch.inference_mode():
        expected = whole.get_image_features(pixel_values=image.prepare(pictures())["pixels"]).pooler_output
        tokens = text.prepare(TEXTS)
        arguments = tokens if kind == "clip" else {"input_ids": tokens["input_ids"]}
        expected_text = whole.get_text_features(**arguments).pooler_output
    normalise = torch.nn.functional.normalize
    torch.testing.assert_close(image.encode(pictures()), normalise(expected, dim=-1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(text.encode(TEXTS), normalise(expected_text, dim=-1), atol=1e-5, rtol=1e-4)


def test_clip_sees_the_borders(checkpoints: Callable) -> None:
    encoder = load_encoder(f"clip-image:{checkpoints(tiny.build_clip)}", device="cpu")
    cover = Image.new("RGB", (160, 90))
    marked = cover.copy()
    marked.paste((255, 255, 255), (0, 0, 20, 90))
    assert (encoder.encode([cover]) - encoder.encode([marked])).abs().max() > 1e-3


def test_siglip2_of_flexible_size(tmp_path: Path) -> None:
    tiny.build_siglip(tmp_path, naflex=True)
    image, text = (load_encoder(f"siglip-{side}:{tmp_path}", device="cpu") for side in ("image", "text"))
    vectors, tokens = image.encode_with_tokens(pictures())
    assert vectors.shape == (6, 16) and text.encode(TEXTS).shape == (5, 16)
    assert 0 < tokens.mask[0].sum() <= 16


def test_fine_tuned_weights_take_their_place_and_name(tmp_path: Path) -> None:
    original = load_encoder("lite0", device="cpu", dtype="float32")
    own = load_encoder("lite0", device="cpu", dtype="float32", shared=False)
    assert own.module is not original.module
    before = own.encode(pictures())
    with torch.no_grad():
        for parameter in own.module.parameters():
            parameter.add_(0.01)
    tensors = {name: value.detach().contiguous() for name, value in own.module.named_parameters()}
    save_file(tensors, tmp_path / "encoder.safetensors")
    tuned = load_encoder("lite0", device="cpu", dtype="float32", weights=tmp_path / "encoder.safetensors")
    assert tuned.identity != original.identity == own.identity
    torch.testing.assert_close(tuned.encode(pictures()), own.encode(pictures()))
    assert (tuned.encode(pictures()) - before).abs().max() > 1e-3
    assert load_encoder("lite0", device="cpu", dtype="float32") is original
    torch.testing.assert_close(before, original.encode(pictures()))


def test_the_style_of_a_picture_is_added_to_every_cell(tmp_path: Path) -> None:
    plain = load_encoder("lite0:64x96", device="cpu", dtype="float32")
    styled = load_encoder("lite0-style:64x96", device="cpu", dtype="float32", shared=False)
    assert styled.name == "lite0-style:64x96" and styled.identity != plain.identity
    items = pictures()
    before = plain.tokens(items).values
    torch.testing.assert_close(styled.tokens(items).values, before)
    layers = styled.module.get_submodule("style").layers
    with torch.no_grad():
        layers[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
    added = styled.tokens(items).values - before
    assert added.abs().max() > 0.1
    torch.testing.assert_close(added, added[:, :1].expand_as(added), atol=1e-4, rtol=1e-4)
    assert (added[0] - added[1]).abs().max() > 0.01
    tensors = {f"style.layers.{name}": value.detach().contiguous() for name, value in layers.named_parameters()}
    save_file(tensors, tmp_path / "style.safetensors")
    tuned = load_encoder("lite0-style:64x96", device="cpu", dtype="float32", weights=tmp_path / "style.safetensors")
    torch.testing.assert_close(tuned.tokens(items).values - before, added)


def test_style_is_read_in_units_that_batch_norms_know() -> None:
    encoder = load_encoder("lite0-style", device="cpu", dtype="float32", shared=False)
    photographs = [Image.fromarray(getattr(data, name)()) for name in ("cat", "coffee", "astronaut", "rocket")]
    style, seen = encoder.module.get_submodule("style"), []
    style.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.encode(photographs)
    means, spreads = torch.cat(seen).chunk(2, dim=1)
    # Of photographs, as the network was trained on: near none, by about one.
    for found in (means, spreads):
        assert abs(float(found.mean())) < 0.5 and 0.4 < float(found.std()) < 2.0


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x01\x02")
    for name in ("other.safetensors", "torn.safetensors", "absent.safetensors"):
        with pytest.raises(BundleError, match=f"weights {name} do not fit lite0"):
            load_encoder("lite0", device="cpu", weights=tmp_path / name)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet", "There is no encoder “resnet”; known are lite0"),
        ("lite2:wide", "lite2:HEIGHTxWIDTH"),
        ("lite2:8x8", "too small"),
        ("minilm:long", "minilm:LENGTH"),
        ("minilm:0", "minilm:LENGTH"),
        ("minilm:2", "minilm:LENGTH"),
        ("bert:", "Name a checkpoint"),
        ("bert:not a name", "hf download"),
    ],
)
def test_an_unusable_spec_says_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(spec)


def test_moments_of_words_are_those_of_their_own_pieces_in_every_layer() -> None:
    encoder = load_encoder("minilm-moments", device="cpu")
    found = encoder.encode(TEXTS)[0].reshape(-1, 2, encoder.token_dim)
    batch = encoder.prepare([TEXTS[0]])
    layers = encoder.module(**batch, output_hidden_states=True).hidden_states
    assert len(found) == len(layers) == 7 and batch["input_ids"].shape == (1, 4)
    for (means, spreads), states in zip(found, layers, strict=True):
        torch.testing.assert_close(means, states[0].mean(0), atol=1e-5, rtol=1e-4)
        expected = states[0].var(0, correction=0).clamp(min=TINY).sqrt()
        torch.testing.assert_close(spreads, expected, atol=1e-4, rtol=1e-4)


def test_every_kind_is_listed() -> None:
    assert len(known_encoders()) == len(set(known_encoders())) == 21


def test_a_checkpoint_that_cannot_be_had_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match=r"hf download openai/clip-vit-base-patch32.*--encoders embedded"):
        load_encoder("clip-image:openai/clip-vit-base-patch32")


def test_pickled_weights_are_not_loaded(checkpoints: Callable, tmp_path: Path) -> None:
    for file in checkpoints(tiny.build_bert).iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="holds no safetensors weights"):
        load_encoder(f"bert:{tmp_path}")


def test_a_checkpoint_with_missing_weights_is_refused(checkpoints: Callable, tmp_path: Path) -> None:
    for file in checkpoints(tiny.build_bert).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file({"embeddings.word_embeddings.weight": torch.zeros(200, 16)}, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match="weights do not fit"):
        load_encoder(f"bert:{tmp_path}")
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(f"text:{tmp_path}")


@pytest.mark.parametrize(("kind", "name", "changed", "said"), FAULTS)
def test_whatever_is_wrong_with_a_file_is_a_sentence(
    checkpoints: Callable, tmp_path: Path, kind: str, name: str, changed: dict[str, Any], said: str
) -> None:
    for file in checkpoints(CHECKPOINTS[kind]).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    facts = json.loads((tmp_path / name).read_text())
    (tmp_path / name).write_text(json.dumps(facts | changed if changed else []))
    with pytest.raises(EncoderError, match=said):
        load_encoder(f"{kind}:{tmp_path}")


def test_another_kind_of_checkpoint_is_refused(checkpoints: Callable) -> None:
    with pytest.raises(EncoderError, match="holds a bert model"):
        load_encoder(f"clip-text:{checkpoints(tiny.build_bert)}")


def test_devices_and_precisions_have_names() -> None:
    with pytest.raises(EncoderError, match="no device"):
        pick_device("gpu please")
    with pytest.raises(EncoderError, match="no precision"):
        pick_dtype("float8", torch.device("cpu"), on_cpu=True)
    assert pick_dtype("auto", torch.device("cpu"), on_cpu=False) == torch.float32
    if not torch.cuda.is_available():
        with pytest.raises(EncoderError, match="no usable GPU"):
            pick_device("cuda")


def test_importing_encoders_loads_no_transformers() -> None:
    code = "import sys, engine.encoders; sys.exit('transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_tokenizer_serves_one_thread_at_a_time() -> None:
    """Padding and truncation are state of a tokenizer: who sets it anew in one thread disturbs another."""
    encoder = load_encoder("minilm:16", device="cpu", shared=False)
    assert isinstance(encoder, TextEncoder)
    tokenizer, inside, met = encoder.tokenizer, Lock(), []

    def watched(*arguments: Any, **options: Any) -> Any:
        if not inside.acquire(blocking=False):
            met.append(options)
            return tokenizer(*arguments, **options)
        try:
            time.sleep(0.002)
            return tokenizer(*arguments, **options)
        finally:
            inside.release()

    encoder.tokenizer = watched
    texts = ["a", "We built a very small house along the river and learned this " * 3, "x y z"]
    expected = encoder.tokenize(texts)
    until = time.monotonic() + 0.5

    def pieces(offsets: bool) -> None:
        while time.monotonic() < until:
            found = encoder.tokenize(texts[2:] if offsets else texts, offsets=offsets)
            assert offsets or all(torch.equal(found[name], values) for name, values in expected.items())

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(pieces, offsets) for offsets in (True, False, False)]:
            done.result()
    assert not met
