"""Integrated Gradients: complete, over pixels and the words of every text encoder."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engine.encoders import load_encoder
from engine.errors import FirstImpressionsError, PostError
from engine.explain import faithfulness, gradients
from engine.explain.differentiable import EmbeddedText
from engine.features.encoder_tokens import EncoderTokens
from engine.fusion import FusionConfig, FusionNetwork
from engine.members import NetworkMember
from engine.posts import Post
from tests import tiny
from tests.unit.test_explain import FakePredictor, nonlinear, photo

STEPS = 64


class TinyEncoders:
    """Two small smooth encoders, joined by a product: the differentiable API without a trained weight."""

    image_encoder = "of made-up networks"
    text_encoders = ("of made-up networks",)

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randn(64, 6, generator=generator)
        self.kernel = 0.3 * torch.randn(4, 3, 3, 3, generator=generator)
        self.join = torch.randn(4, 6, generator=generator)

    def pixels(self, image):
        array = np.asarray(image.resize((24, 16))).transpose(2, 0, 1)[None] / 255.0
        return torch.from_numpy(array).float()

    def embeddings(self, post):
        tokens, offsets, start = ["[CLS]"], [(0, 0)], 0
        for word in post.title.split():
            start = post.title.index(word, start)
            for first in range(0, len(word), 3):
                tokens.append(word[first : first + 3])
                offsets.append((start + first, start + min(first + 3, len(word))))
            start += len(word)
        tokens, offsets = [*tokens, "[SEP]"], [*offsets, (0, 0)]
        numbers = [sum(map(ord, token)) % 62 + 2 for token in tokens]
        neutral = [number if token[0] == "[" else 0 for number, token in zip(numbers, tokens, strict=True)]
        mask = torch.ones(1, len(tokens))
        return (EmbeddedText(self.table[numbers][None], self.table[neutral][None], mask, tokens, offsets),)

    def __call__(self, pixels, embeddings, masks):
        sides = []
        if pixels is not None:
            sides.append(torch.tanh(torch.conv2d(pixels, self.kernel)).mean(dim=(2, 3)) @ self.join)
        for words, mask in zip(embeddings, masks, strict=True):
            weights = mask[..., None] / mask.sum(dim=1)[:, None, None]
            sides.append(torch.tanh(words * weights * 3).sum(dim=1))
        product = sides[0] * sides[-1]
        return 2 + 2 * torch.tanh(0.3 * product.sum(dim=-1))


@pytest.mark.parametrize("title", ["something about gradients", ""])
@pytest.mark.parametrize("image", [photo(), None])
def test_integrated_gradients_are_complete(title, image, monkeypatch):
    predictor = FakePredictor(nonlinear)
    monkeypatch.setattr(gradients, "DifferentiableNetworks", lambda _: TinyEncoders())
    post = Post(title=title, image=image)
    if not title and image is None:
        with pytest.raises(PostError):
            gradients.explain(predictor, post)
        return
    with torch.inference_mode():
        explanation = gradients.explain(predictor, post)
    assert explanation.completeness_error < 1e-3
    assert abs(explanation.value - explanation.base_value) > 1e-3
    assert "".join(word for word, _ in explanation.words) == title
    assert "members with gradients" in explanation.target
    if image is not None:
        assert explanation.heat.shape == (16, 24)
        assert explanation.heat.sum() == pytest.approx(explanation.segment_values.sum(), abs=1e-5)
        assert len(explanation.segment_values) == explanation.segments.max() + 1
        faithfulness.deletion_insertion(predictor, post, explanation)


def test_a_model_without_gradients_says_so():
    with pytest.raises(FirstImpressionsError, match="gradients"):
        gradients.explain(FakePredictor(nonlinear), Post(title="a"))


def test_tokens_count_to_the_piece_they_start_in():
    offsets = [(0, 0), (0, 3), (3, 7), (7, 8), (8, 12), (12, 15), (0, 0)]
    totals, outside = gradients.piece_values(
        ("abc def", " ghij", " kl"), offsets, np.array([9, 1, 2, 0.5, 3.5, 8, 16.0])
    )
    assert totals.tolist() == [3.0, 4.0, 8.0]
    assert outside == 25.0


def test_two_text_encoders_are_both_explained(checkpoints: Callable) -> None:
    """Each cuts the title into pieces of its own; the blend's answer is what the values of the words add up to."""
    features, members = {}, []
    for number, (kind, build) in enumerate({"bert": tiny.build_bert, "deberta": tiny.build_deberta}.items()):
        feature = EncoderTokens(f"{kind}.tokens", f"{kind}:{checkpoints(build)}", device="cpu")
        torch.manual_seed(number)
        network = FusionNetwork(FusionConfig(0, feature.encoder.token_dim, width=8, heads=2))
        torch.nn.init.normal_(network.heads["text"].levels.weight, std=2.0)
        features[feature.name] = feature
        members.append(NetworkMember(kind, network, None, feature.name))
    # As a blend has them, they need not add up to 1.
    weights = {"bert": 0.9, "deberta": 0.4}

    def predictor(known: list[NetworkMember]) -> Any:
        fit = SimpleNamespace(probability_weights=weights, temperature={"value": 1.5})
        bundle, extractor = SimpleNamespace(views={"text": fit}), SimpleNamespace(features=features)
        return SimpleNamespace(bundle=bundle, members=known, extractor=extractor, text_fields=("title",))

    post = Post("the river and a cat")
    logs = [
        weights[member.name] * np.log(member.predict("text", {name: features[name].compute([post], {})}).probabilities)
        for member in members
        for name in [member.text or ""]
    ]
    pooled = np.exp(sum(logs) / 1.5)
    explanation = gradients.explain(predictor(members), post, steps=STEPS)
    assert explanation.value == pytest.approx(float(pooled[0] @ np.arange(5) / pooled.sum()), abs=1e-5)
    assert explanation.completeness_error < 1e-3 < 0.1 < abs(explanation.value - explanation.base_value)
    assert "".join(word for word, _ in explanation.words) == post.title
    alone = gradients.explain(predictor(members[:1]), post, steps=STEPS)
    assert not np.allclose(explanation.text_values, alone.text_values, atol=1e-3)
    assert (explanation.text_passes, alone.text_passes) == (2 * (STEPS + 2), STEPS + 2)


def test_an_encoder_trained_from_scratch_is_explained() -> None:
    torch.manual_seed(0)
    feature = EncoderTokens("picture.tokens", "scratch-vit:64x64", device="cpu")
    # Where the processor multiplies bfloat16 an answer is rounded by it, and gradients are not.
    feature.encoder = load_encoder("scratch-vit:64x64", device="cpu", dtype="float32")
    network = FusionNetwork(FusionConfig(feature.encoder.token_dim, 0, width=8, heads=2))
    torch.nn.init.normal_(network.heads["image"].levels.weight, std=2.0)
    member = NetworkMember("network", network, feature.name, None)
    fit = SimpleNamespace(probability_weights={"network": 1.0}, temperature={"value": 1.0})
    extractor = SimpleNamespace(features={feature.name: feature})
    bundle = SimpleNamespace(views={"image": fit})
    predictor: Any = SimpleNamespace(bundle=bundle, members=[member], extractor=extractor, text_fields=("title",))
    post = Post(image=photo())
    explanation = gradients.explain(predictor, post, steps=STEPS)
    found = member.predict("image", {feature.name: feature.compute([post], {})}).probabilities
    assert explanation.value == pytest.approx(float(found[0] @ np.arange(5)), abs=1e-4)
    assert explanation.completeness_error < 0.05 < abs(explanation.value - explanation.base_value)
