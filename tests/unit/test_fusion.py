"""Fusion networks: what each of them must and must not depend on."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from engine.encoders.base import Tokens
from engine.errors import BundleError
from engine.fusion import (
    FUSIONS,
    AttentionPool,
    CrossAttention,
    FusionConfig,
    FusionKind,
    FusionNetwork,
    GatedUnit,
    level_loss,
    soft_levels,
)
from engine.members import NetworkMember
from engine.scoring import LEVELS

IMAGE_DIM, TEXT_DIM = 10, 6
POSTS, PATCHES, PIECES = 5, 9, 7


def network(kind: FusionKind, seed: int = 0) -> FusionNetwork:
    torch.manual_seed(seed)
    return FusionNetwork(FusionConfig(IMAGE_DIM, TEXT_DIM, kind=kind, width=16, heads=2)).eval()


def sides(seed: int = 1) -> tuple[Tokens, Tokens]:
    """Picture tokens, and text tokens of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(POSTS, PATCHES, IMAGE_DIM, generator=generator)
    text = torch.randn(POSTS, PIECES, TEXT_DIM, generator=generator)
    lengths = torch.tensor([7, 5, 6, 3, 4])
    return (
        Tokens(image, torch.ones(POSTS, PATCHES, dtype=torch.bool)),
        Tokens(text, torch.arange(PIECES) < lengths[:, None]),
    )


def shuffled(tokens: Tokens) -> Tokens:
    order = torch.roll(torch.arange(POSTS), 1)
    return Tokens(tokens.values[order], tokens.mask[order])


@pytest.mark.parametrize("kind", FUSIONS)
@torch.inference_mode()
def test_both_depends_on_the_text_and_on_the_picture(kind: FusionKind) -> None:
    model = network(kind)
    image, text = sides()
    base = model(image, text)["both"]
    for changed in (model(image, shuffled(text))["both"], model(shuffled(image), text)["both"]):
        assert ((changed.logits - base.logits).abs().amax(dim=1) > 1e-3).all()
        assert ((changed.score - base.score).abs() > 1e-4).all()


@pytest.mark.parametrize("kind", FUSIONS)
@torch.inference_mode()
def test_one_sided_heads_see_their_side_only(kind: FusionKind) -> None:
    model = network(kind)
    image, text = sides()
    base = model(image, text)
    assert torch.equal(model(image, shuffled(text))["image"].logits, base["image"].logits)
    assert torch.equal(model(shuffled(image), text)["text"].logits, base["text"].logits)
    assert set(model(image, None)) == {"image"}
    assert set(model(None, text)) == {"text"}
    assert torch.equal(model(None, text)["text"].logits, base["text"].logits)
    assert set(model(image, text, views=("both",))) == {"both"}


@pytest.mark.parametrize("kind", FUSIONS)
@torch.inference_mode()
def test_padding_never_leaks(kind: FusionKind) -> None:
    model = network(kind)
    image, text = sides()
    base = model(image, text)
    noise = torch.where(text.mask.unsqueeze(-1), text.values, torch.full_like(text.values, 1e3))
    longer = Tokens(
        torch.cat([noise, torch.full((POSTS, 4, TEXT_DIM), -1e3)], dim=1),
        torch.cat([text.mask, torch.zeros(POSTS, 4, dtype=torch.bool)], dim=1),
    )
    wider = Tokens(
        torch.cat([image.values, torch.full((POSTS, 3, IMAGE_DIM), 50.0)], dim=1),
        torch.cat([image.mask, torch.zeros(POSTS, 3, dtype=torch.bool)], dim=1),
    )
    found = model(wider, longer)
    for view, output in base.items():
        assert torch.allclose(found[view].logits, output.logits, atol=1e-5), view
        assert torch.allclose(found[view].score, output.score, atol=1e-5), view


@pytest.mark.parametrize("kind", FUSIONS)
@torch.inference_mode()
def test_posts_of_a_batch_do_not_mix(kind: FusionKind) -> None:
    model = network(kind)
    image, text = sides()
    together = model(image, text)["both"].logits
    for row in range(POSTS):
        alone = model(
            Tokens(image.values[row : row + 1], image.mask[row : row + 1]),
            Tokens(text.values[row : row + 1], text.mask[row : row + 1]),
        )
        assert torch.allclose(alone["both"].logits[0], together[row], atol=1e-5)


@pytest.mark.parametrize("kind", FUSIONS)
@torch.inference_mode()
def test_half_precision_state_round_trips(kind: FusionKind, tmp_path) -> None:
    model = network(kind)
    member = NetworkMember("net", model, "picture", "words")
    loaded = NetworkMember.load(tmp_path, "net", member.save(tmp_path), "cpu")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value.half().float()), name
    image, text = sides()
    before, after = model(image, text), loaded.network(image, text)
    for view, output in before.items():
        assert torch.allclose(output.logits, after[view].logits, atol=5e-3)
    again = NetworkMember("net", loaded.network, "picture", "words")
    again.save(tmp_path)
    twice = NetworkMember.load(tmp_path, "net", member.save(tmp_path), "cpu").network(image, text)
    assert torch.equal(twice["both"].logits, after["both"].logits)


@pytest.mark.parametrize("kind", FUSIONS)
def test_gradients_reach_every_parameter(kind: FusionKind) -> None:
    model = network(kind)
    outputs = model(*sides())
    sum(output.logits.square().sum() + output.score.square().sum() for output in outputs.values()).backward()
    idle = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    # A bias that shifts every key or every pooling logit alike cancels in the softmax.
    assert not [name for name in idle if not name.endswith(("query.bias", "in_proj_bias"))]


@torch.inference_mode()
def test_cross_attention_with_many_keys_is_not_constant() -> None:
    """With one query and one key the attention is 1 whatever they hold; here it must depend on what they hold."""
    mixer = network("cross_attention").mixer
    assert isinstance(mixer, CrossAttention)
    generator = torch.Generator().manual_seed(3)
    image, text = (torch.randn(2, count, 16, generator=generator) * 3 for count in (PATCHES, PIECES))
    _, weights = mixer.text_to_image(text, image, image)
    assert weights.shape == (2, PIECES, PATCHES)
    assert torch.allclose(weights.sum(-1), torch.ones(2, PIECES))
    assert float(weights.std(dim=-1).min()) > 0.01
    _, others = mixer.text_to_image(text.flip(0), image, image)
    assert float((weights - others).abs().max()) > 0.01
    _, single = mixer.text_to_image(text[:, :1], image[:, :1], image[:, :1])
    assert torch.equal(single, torch.ones_like(single))


@torch.inference_mode()
def test_cross_attention_text_decides_what_is_read_of_the_picture() -> None:
    model = network("cross_attention")
    image, text = (model.image_projection(sides()[0]), model.text_projection(sides()[1]))
    seen, _ = model.mixer.text_to_image(text.values, image.values, image.values)  # type: ignore[operator, union-attr]
    assert float(seen.std(dim=1).max()) > 1e-4


@torch.inference_mode()
def test_gated_unit_is_its_formula() -> None:
    torch.manual_seed(0)
    unit = GatedUnit(FusionConfig(IMAGE_DIM, TEXT_DIM, kind="gated", width=8))
    image, text = torch.randn(3, 16), torch.randn(3, 16)
    nothing = Tokens(torch.zeros(3, 1, 8), torch.ones(3, 1, dtype=torch.bool))
    found = unit(nothing, nothing, image, text)
    for row in range(3):
        both = torch.cat([image[row], text[row]])
        gate = torch.sigmoid(unit.gate.weight @ both + unit.gate.bias)
        left = torch.tanh(unit.image.weight @ image[row] + unit.image.bias)
        right = torch.tanh(unit.text.weight @ text[row] + unit.text.bias)
        assert torch.allclose(found[row], gate * left + (1 - gate) * right, atol=1e-6)
    assert found.shape == (3, unit.outputs)


@torch.inference_mode()
def test_attention_pool_is_attended_beside_mean() -> None:
    pool = AttentionPool(4)
    values = torch.randn(1, 3, 4)
    found = pool(Tokens(values, torch.tensor([[True, True, False]])))
    weights = torch.softmax((values[0, :2] @ pool.query.weight[0]) + pool.query.bias, dim=0)
    assert torch.allclose(found[0, :4], weights @ values[0, :2], atol=1e-6)
    assert torch.allclose(found[0, 4:], values[0, :2].mean(0), atol=1e-6)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.floats(0.1, 8))
def test_soft_levels_sum_to_one_and_peak_at_the_level(levels: list[int], sharpness: float) -> None:
    soft = soft_levels(torch.tensor(levels), sharpness)
    assert soft.shape == (len(levels), len(LEVELS))
    assert torch.allclose(soft.sum(dim=1), torch.ones(len(levels)), atol=1e-6)
    for row, level in zip(soft.tolist(), levels, strict=True):
        assert row.index(max(row)) == level
        falling = sorted(range(5), key=lambda k: abs(k - level))
        assert all(row[a] >= row[b] - 1e-7 for a, b in pairwise(falling))


def test_level_loss_is_cross_entropy_ordinal_or_plain() -> None:
    logits, levels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 2])
    plain = level_loss(logits, levels, ordinal=False)
    assert torch.allclose(plain, functional.cross_entropy(logits, levels))
    expected = -(soft_levels(levels) * logits.log_softmax(-1)).sum(1).mean()
    assert torch.allclose(level_loss(logits, levels), expected)
    far, near = torch.zeros(1, 5), torch.zeros(1, 5)
    far[0, 4], near[0, 1] = 3.0, 3.0
    zero = torch.tensor([0])
    assert level_loss(near, zero) < level_loss(far, zero)
    assert math.isclose(
        float(level_loss(near, zero, ordinal=False)), float(level_loss(far, zero, ordinal=False)), rel_tol=1e-6
    )


@torch.inference_mode()
def test_a_network_of_one_side_answers_both_by_it_and_must_say_which(tmp_path) -> None:
    config = FusionConfig(0, TEXT_DIM, width=16, heads=2)
    member = NetworkMember("net", FusionNetwork(config), None, "words")
    assert member.reads == {"both": ("words",), "text": ("words",)} and config.views == ("text",)
    stored = member.save(tmp_path)
    loaded = NetworkMember.load(tmp_path, "net", stored, "cpu")
    _, text = sides()
    values = torch.where(text.mask[..., None], text.values, torch.nan).numpy()
    both, alone = (loaded.predict(view, {"words": values}) for view in ("both", "text"))
    assert (both.score == alone.score).all() and both.score.std() > 0
    for broken in ({"image": "picture"}, {"text": None}, {"config": {**stored["config"], "text_dim": 0}}):
        with pytest.raises(BundleError, match="sides of net are not those"):
            NetworkMember.load(tmp_path, "net", {**stored, **broken}, "cpu")
