"""Half of MPNet: its word pieces, its weights in eight bits, and what is said where its wheels are not there."""

import io
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file, save, save_file

from engine.encoders import load_encoder, mpnet
from engine.encoders.packaged import MiniLM
from engine.encoders.packing import FACTOR, MOST, pack, unpack
from engine.errors import BundleError, EncoderError

TEXTS = ["My cat judges me", "ten mistakes \U0001f600 at the river, UNBELIEVABLE", ""]


@given(arrays(np.float32, (3, 5), elements=st.floats(-1e4, 1e4, width=32)))
def test_eight_bits_are_as_near_as_eight_bits_can_be(values: np.ndarray) -> None:
    given_back = unpack(pack({"weight": torch.from_numpy(values), "bias": torch.from_numpy(values[0])}))
    steps = np.abs(values).max(axis=1, keepdims=True) / MOST
    assert (np.abs(given_back["weight"].numpy() - values) <= 0.501 * steps + 1e-30).all()
    assert given_back["bias"].numpy().tolist() == values[0].tolist()


def test_packing_twice_changes_nothing_more() -> None:
    once = unpack(pack({"weight": torch.randn(6, 9, generator=torch.Generator().manual_seed(0))}))
    assert torch.allclose(unpack(pack(once))["weight"], once["weight"], atol=1e-7)


def test_its_word_pieces_are_berts_under_other_numbers() -> None:
    bert, own = MiniLM().tokenizer, mpnet.tokenizer()
    signs = {bert.cls_token_id: 0, bert.sep_token_id: 2, bert.pad_token_id: 1, bert.mask_token_id: own.mask_token_id}
    for text in TEXTS:
        pieces = bert(text)["input_ids"]
        assert own(text)["input_ids"] == [signs.get(piece, piece + 4) for piece in pieces]
    assert (own.mask_token_id, len(own)) == (30526, 30527)
    assert own(TEXTS, padding=True)["input_ids"][2] == [0, 2] + [1] * (len(own(TEXTS[1])["input_ids"]) - 2)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all weights of a network of the true shape, drawn at random."""
    path = tmp_path_factory.mktemp("weights") / "sentence.safetensors"
    shape = mpnet.MPNet(pretrained=False).module.state_dict()
    generator = torch.Generator().manual_seed(0)
    drawn = {
        name: torch.randn(tensor.shape, generator=generator) * 0.05 + float("LayerNorm.weight" in name)
        for name, tensor in shape.items()
    }
    save_file(pack(drawn), path)
    return path


def test_a_tuned_one_needs_no_wheel(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpnet, "PACKAGE", "there-is-no-such-package-{:03d}")
    exact = load_encoder("mpnet6:16", device="cpu", dtype="float32", weights=packed)
    weights = unpack(load_file(packed))
    assert all(torch.equal(weights[name], value) for name, value in exact.module.state_dict().items())
    tokens = exact.tokens(TEXTS)
    assert tokens.values.shape[2] == 768 and tokens.mask.sum(dim=1)[2] == 2
    half = load_encoder("mpnet6:16", device="cpu", dtype="bfloat16", weights=packed)
    assert half.identity == exact.identity
    near = torch.nn.functional.cosine_similarity(half.encode(TEXTS), exact.encode(TEXTS))
    assert (near > 0.999).all()
    with pytest.raises(EncoderError, match=r"pip install --no-deps -r requirements-training.txt"):
        load_encoder("mpnet6:16", shared=False)


def test_a_tuned_one_with_a_weight_missing_is_refused(packed: Path, tmp_path: Path) -> None:
    tensors = load_file(packed)
    name = next(name for name in tensors if name.endswith("attn.q.weight"))
    save_file({key: value for key, value in tensors.items() if key not in (name, name + FACTOR)}, tmp_path / "a")
    with pytest.raises(BundleError, match="do not fit mpnet6"):
        load_encoder("mpnet6", weights=tmp_path / "a")


def test_the_wheels_parts_are_one_archive(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with ZipFile(archive, "w") as made:
        made.writestr(mpnet.INSIDE + "model.safetensors", save({"weight": torch.arange(6.0)}))
    content = archive.getvalue()
    parts = tuple(tmp_path / str(number) for number in range(mpnet.PARTS))
    for part, share in zip(parts, np.array_split(np.frombuffer(content, dtype=np.uint8), mpnet.PARTS), strict=True):
        part.write_bytes(share.tobytes())
    assert mpnet._from_wheels(parts)["weight"].tolist() == list(range(6))
    with pytest.raises(EncoderError, match="reinstall them"):
        mpnet._from_wheels(parts[:-1])
