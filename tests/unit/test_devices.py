"""Networks and encoders answer on their own device, and all that trains agrees on which that is.

Where there is no GPU, torch's `meta` device stands in for one: it computes shapes, and a call that mixes devices fails
on it as on a GPU. Where there is one, the whole way is run on it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.bundle import read_bundle
from engine.encoders import load_encoder
from engine.errors import BundleError
from engine.explain import gradients
from engine.explain.differentiable import DifferentiableNetworks
from engine.features.encoder_tokens import EncoderTokens, to_tokens
from engine.fusion import FUSIONS, FusionConfig, FusionKind, FusionNetwork, HeadOutput
from engine.images import load_image
from engine.members import NetworkMember
from engine.posts import Post
from engine.prediction import VIEWS, View
from engine.predictor import Predictor
from tests import made_up, tiny
from tests.unit.test_training_loop import CONFIG, data_of, run
from training.modeling import processes, trainer
from training.modeling.network import JointNetwork, NetworkConfig
from training.modeling.train import train
from training.recipes.base import Network, Recipe

DIM = 6
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture(scope="module")
def specs(checkpoints: Callable) -> dict[str, str]:
    # BERT's mask is looked into to choose a kernel, and on `meta` there is nothing to see.
    return {"picture": f"vit:{checkpoints(tiny.build_vit)}", "words": f"deberta:{checkpoints(tiny.build_deberta)}"}


class OnMeta(FusionNetwork):
    """A network on `meta`, which computes there and hands out numbers that can be read."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.to("meta")
        self.answered: list[Any] = []

    def forward(self, *sides: Any, **options: Any) -> dict[View, HeadOutput]:
        outputs = super().forward(*sides, **options)
        self.answered += [value for output in outputs.values() for value in (output.logits, output.score)]
        return {
            view: HeadOutput(torch.zeros(output.logits.shape), torch.zeros(output.score.shape))
            for view, output in outputs.items()
        }


def test_a_call_that_mixes_devices_fails_on_meta() -> None:
    network = FusionNetwork(FusionConfig(DIM, DIM, width=8, heads=2)).to("meta")
    with pytest.raises(RuntimeError, match="device"):
        network(to_tokens(np.zeros((2, 3, DIM), dtype=np.float32)), None)


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_member_takes_features_to_its_network(kind: FusionKind) -> None:
    network = OnMeta(FusionConfig(DIM, DIM, kind=kind, width=8, heads=2))
    member = NetworkMember("network", network, "picture.tokens", "words.tokens")
    generator = np.random.default_rng(0)
    features = {name: generator.normal(0, 1, (3, 5, DIM)).astype(np.float32) for name in member.reads["both"]}
    features["words.tokens"][1, 3:] = np.nan
    for view in VIEWS:
        output = member.predict(view, {name: features[name] for name in member.reads[view]})
        assert output.probabilities.shape == (3, 5) and output.score.shape == (3,)
    assert network.answered and all(value.device.type == "meta" for value in network.answered)


def test_a_network_in_training_takes_its_inputs_to_itself(specs: dict[str, str]) -> None:
    frozen = JointNetwork(CONFIG).to("meta")
    train_part, _ = data_of()
    outputs = frozen(*train_part.fetch(np.arange(4), seed=None))
    assert {output.logits.device.type for output in outputs.values()} == {"meta"}
    image, text = (load_encoder(spec, device="meta", dtype="float32", shared=False) for spec in specs.values())
    words: Any = text
    config = NetworkConfig(fusion=FusionConfig(image.token_dim, text.token_dim, width=8, heads=2))
    tuned = JointNetwork(config, image, text).to("meta")
    outputs = tuned({"pixels": torch.zeros(2, 3, 32, 32)}, words.tokenize(["a cat", "the river and a cat"]))
    assert {view: tuple(output.logits.shape) for view, output in outputs.items()} == {view: (2, 5) for view in VIEWS}


def differentiable(specs: dict[str, str], device: str) -> DifferentiableNetworks:
    features = {f"{side}.tokens": EncoderTokens(f"{side}.tokens", spec, device=device) for side, spec in specs.items()}
    image, text = (feature.encoder for feature in features.values())
    network = FusionNetwork(FusionConfig(image.token_dim, text.token_dim, width=8, heads=2)).to(device)
    fit = SimpleNamespace(probability_weights={"network": 1.0}, temperature={"value": 1.0})
    predictor: Any = SimpleNamespace(
        bundle=SimpleNamespace(views=dict.fromkeys(VIEWS, fit)),
        members=[NetworkMember("network", network, *features)],
        extractor=SimpleNamespace(features=features),
    )
    return DifferentiableNetworks(predictor)


def test_gradients_flow_on_the_networks_device(specs: dict[str, str]) -> None:
    model = differentiable(specs, "meta")
    (text,) = model.embeddings(Post("the river and a cat"))
    (here,) = differentiable(specs, "cpu").embeddings(Post("the river and a cat"))
    assert (text.tokens, text.offsets) == (here.tokens, here.offsets)
    pixels = model.pixels(made_up_picture()).requires_grad_(True)
    embeddings = text.embeddings.detach().requires_grad_(True)
    level = model(pixels, [embeddings], [text.mask])
    level.sum().backward()
    assert {part.device.type for part in (level, pixels.grad, embeddings.grad, text.baseline)} == {"meta"}  # type: ignore[union-attr]


def made_up_picture() -> Any:
    return load_image(made_up.picture(0.5, np.random.default_rng(0)))


# --- one process, one device ---


@pytest.mark.parametrize("gpu", [True, False])
def test_all_that_trains_asks_for_the_same_device(gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    class Recorder:
        def __init__(self, cpu: bool, **others: Any) -> None:
            asked.append(cpu)

        def prepare(self, *parts: Any) -> Any:
            return parts

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(processes, "PartialState", Recorder)
    monkeypatch.setattr(trainer, "Accelerator", Recorder)
    processes.own_process()
    trainer._Training(JointNetwork(CONFIG), CONFIG, tmp_path, steps=2)
    assert asked == [not gpu, not gpu]


def test_who_asks_first_and_who_trains_are_on_one_device(tmp_path: Path) -> None:
    place = processes.own_process().device
    result, model = run(tmp_path)
    assert next(model.parameters()).device.type == place.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert result.best_src > 0


# --- a bundle ---


@pytest.fixture(scope="module")
def bundle(specs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle with a network on frozen encoders."""
    work = made_up.make_work(tmp_path_factory.mktemp("devices"), 160)
    network = Network(settings={"tuning": "frozen", "epochs": 1, "batch_size": 16}, shape={"width": 8, "heads": 2})
    yield train(work, Recipe(name="devices", summary="Made up.", encoders=specs, members=(network,)))


def modules_of(predictor: Predictor) -> list[nn.Module]:
    networks = [member.network for member in predictor.members if isinstance(member, NetworkMember)]
    return [*networks, *(encoder.module for encoder in predictor.encoders.values())]


def test_a_predictor_is_whole_on_one_device(bundle: Path) -> None:
    for device in ("meta", "cpu"):
        modules = modules_of(Predictor.load(bundle, device=device))
        # The network, its two encoders, and the two that guards read.
        assert len(modules) == 5
        assert {part.device.type for module in modules for part in module.parameters()} == {device}


@needs_gpu
def test_it_answers_and_explains_on_a_gpu_as_on_a_cpu(bundle: Path) -> None:
    here, there = Predictor.load(bundle, device="cpu"), Predictor.load(bundle, device="cuda")
    assert {part.device.type for module in modules_of(there) for part in module.parameters()} == {"cuda"}
    posts = [Post("fastest river", made_up_picture()), Post("a quiet cat"), Post(image=made_up_picture())]
    for mine, other in zip(here.predict(posts), there.predict(posts), strict=True):
        np.testing.assert_allclose(mine.probabilities, other.probabilities, atol=0.02)
    explained = [gradients.explain(predictor, posts[0], steps=16) for predictor in (here, there)]
    assert abs(explained[0].value - explained[1].value) < 0.05
    assert all(abs(found.completeness_error) < 0.2 for found in explained)


def test_a_bundles_network_is_read_without_its_configuration_taking_memory(bundle: Path, tmp_path: Path) -> None:
    (entry,) = read_bundle(bundle).members
    huge = {**entry.config, "config": {**entry.config["config"], "width": 2**20}}
    with pytest.raises(BundleError, match="do not fit its configuration"):
        NetworkMember.load(bundle / "members", entry.name, huge, "cpu")
