"""The training loop on tiny frozen tokens that tell something on both sides: learning, stopping, resuming, alarms."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from structlog.testing import capture_logs

from engine.encoders import load_encoder
from engine.errors import DataError
from engine.features.base import Values
from engine.fusion import FusionConfig
from tests import tiny
from training.data.workspace import normal_scores
from training.modeling import trainer
from training.modeling.batches import frozen_set
from training.modeling.network import (
    ADAPTER_RATE,
    JointNetwork,
    NetworkConfig,
    encoder_blocks,
    level_fit,
    levels_from_score,
    losses,
    parameter_groups,
    predict_rows,
)
from training.modeling.trainer import _Training, train_network
from training.modeling.training_set import TrainingSet

DIM = 6
FUSION = FusionConfig(DIM, DIM, kind="gated", width=12, heads=2, dropout=0.1)
CONFIG = NetworkConfig(fusion=FUSION, tuning="frozen", epochs=4, batch_size=16, heads_rate=3e-3, ema=0.9, patience=9)


def tokens_of(signal: np.ndarray, length: int, seed: int) -> Values:
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 1, (len(signal), length, DIM))
    values[:, :, 0] += signal[:, None]
    values[np.arange(length) >= generator.integers(2, length + 1, len(signal))[:, None]] = np.nan
    return values.astype(np.float16)


class Kept(dict):
    """Two features by name, as a `FeatureMatrix` gives them."""

    def __init__(self, image: Values, text: Values, posts: pd.DataFrame, files: str) -> None:
        super().__init__(image=image, text=text)
        self.workspace = SimpleNamespace(posts=posts)
        self.texts, self.files = list(posts["post_id"]), [files] * len(posts)

    def feature(self, name: str) -> Any:
        return SimpleNamespace(fingerprint=f"{name} as it stands")


def data_of(noise: float = 0.3, seed: int = 0, files: str = "") -> tuple[TrainingSet, TrainingSet]:
    """320 training and 96 validation posts; the target is the sum of something in the picture and in the text."""
    generator = np.random.default_rng(seed)
    left, right = generator.normal(0, 1, (2, 416))
    score = left + right + noise * generator.normal(0, 1, 416)
    target = normal_scores(score, score)
    level = np.digitize(target, np.quantile(target, (0.2, 0.4, 0.6, 0.8)))
    posts = pd.DataFrame({"post_id": [f"p{row}" for row in range(416)], "target": target, "level": level})
    kept: Any = Kept(tokens_of(left, 4, 1), tokens_of(right, 5, 2), posts, files)
    rows = np.arange(416)
    return frozen_set(kept, rows[:320], "image", "text"), frozen_set(kept, rows[320:], "image", "text")


def run(
    folder: Path, config: NetworkConfig = CONFIG, data: tuple[TrainingSet, TrainingSet] | None = None, model: Any = None
):
    train, validation = data or data_of()
    model = model or JointNetwork(config)
    return train_network(model, config, train, validation, folder), model


def curve(result: Any, metric: str) -> list[float]:
    table = result.curves[result.curves["metric"] == metric].sort_values("epoch")
    return table["value"].tolist()


FILES = ("settings.json", "best.safetensors", "curves.parquet")


class Killed(BaseException):
    """Stands for a signal: nothing between the step and the shell catches it."""


def dying(part: TrainingSet, after: int) -> TrainingSet:
    """The posts, whose `after`-th training batch never comes."""
    served = 0

    def fetch(index: Any, *, seed: int | None) -> Any:
        nonlocal served
        served += seed is not None
        if served > after:
            raise Killed
        return part.fetch(index, seed=seed)

    return replace(part, fetch=fetch)


def counting(part: TrainingSet) -> tuple[TrainingSet, list[int]]:
    """The posts with the list of its training batches' sizes."""
    sizes: list[int] = []

    def fetch(index: Any, *, seed: int | None) -> Any:
        if seed is not None:
            sizes.append(len(index))
        return part.fetch(index, seed=seed)

    return replace(part, fetch=fetch), sizes


def test_it_learns_from_both_sides(tmp_path: Path) -> None:
    result, model = run(tmp_path / "run", replace(CONFIG, epochs=8))
    loss, found = curve(result, "loss"), curve(result, "src_both")
    assert loss[-1] < 0.95 * loss[0]
    assert found[-1] > found[0] and result.best_src > 0.75
    assert result.best_src > max(*curve(result, "src_text"), *curve(result, "src_image")) + 0.1
    assert not result.collapsed
    assert {view: output["probabilities"].shape for view, output in result.outputs.items()} == {
        view: (96, 5) for view in ("both", "text", "image")
    }
    assert {path.name for path in (tmp_path / "run").iterdir()} == set(FILES)
    assert not model.training


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a training comes to that nothing stops."""
    return run(tmp_path_factory.mktemp("whole"))[0]


def test_same_seed_same_result_other_seed_another(tmp_path: Path, whole: Any) -> None:
    second, _ = run(tmp_path / "b")
    assert np.array_equal(whole.outputs["both"]["score"], second.outputs["both"]["score"])
    assert whole.curves.equals(second.curves)
    third, _ = run(tmp_path / "c", replace(CONFIG, seed=1))
    assert not np.allclose(whole.outputs["both"]["score"], third.outputs["both"]["score"])


def test_a_new_network_does_not_disturb_other_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    JointNetwork(CONFIG)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("after", [3, 20, 47])
def test_killed_and_resumed_ends_as_if_it_had_not_been(tmp_path: Path, whole: Any, after: int) -> None:
    config = replace(CONFIG, checkpoint_minutes=0.0)
    train, validation = data_of()
    with pytest.raises(Killed):
        run(tmp_path / "killed", config, (dying(train, after), validation))
    assert (tmp_path / "killed" / "checkpoint.pt").exists()
    watched, sizes = counting(train)
    with capture_logs() as logs:
        resumed, _ = run(tmp_path / "killed", config, (watched, validation))
    assert [entry["step"] for entry in logs if entry["event"] == "resumed"] == [after]
    assert len(sizes) == 4 * 20 - after
    for view in ("both", "text", "image"):
        assert np.array_equal(resumed.outputs[view]["score"], whole.outputs[view]["score"])
    assert resumed.curves.equals(whole.curves)
    assert not (tmp_path / "killed" / "checkpoint.pt").exists()


@pytest.mark.parametrize("patience", [0, 2])
def test_killed_while_it_validates_it_validates_that_epoch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any, patience: int
) -> None:
    config = replace(CONFIG, checkpoint_minutes=0.0, patience=patience)
    validate = _Training.validate

    def killed(self: _Training, validation: Any, epoch: int, loss: float) -> None:
        if epoch == 3:
            raise Killed
        validate(self, validation, epoch, loss)

    monkeypatch.setattr(_Training, "validate", killed)
    with pytest.raises(Killed):
        run(tmp_path / "killed", config)
    monkeypatch.undo()
    resumed, _ = run(tmp_path / "killed", config)
    assert curve(resumed, "src_both") == curve(whole, "src_both") and len(curve(whole, "src_both")) == 4
    assert all(torch.equal(value, whole.weights[name]) for name, value in resumed.weights.items())


def test_killed_after_it_stopped_early_it_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, epochs=30, patience=1, heads_rate=0.05)
    whole, _ = run(tmp_path / "whole", config)
    epochs = len(curve(whole, "src_both"))
    assert epochs < 30

    def killed(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(trainer, "write_table", killed)
    with pytest.raises(Killed):
        run(tmp_path / "killed", config)
    monkeypatch.undo()
    resumed, _ = run(tmp_path / "killed", config)
    assert len(curve(resumed, "src_both")) == epochs


def test_a_torn_checkpoint_never_takes_the_place_of_a_whole_one(tmp_path: Path, monkeypatch) -> None:
    config = replace(CONFIG, checkpoint_minutes=0.0)
    train, validation = data_of()
    with pytest.raises(Killed):
        run(tmp_path, config, (dying(train, 5), validation))
    kept = (tmp_path / "checkpoint.pt").read_bytes()

    def torn(state: Any, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(Killed):
        run(tmp_path, config)
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept
    monkeypatch.undo()
    resumed, _ = run(tmp_path, config)
    assert len(curve(resumed, "src_both")) == 4


def test_a_finished_run_is_taken_as_it_is(tmp_path: Path) -> None:
    first, _ = run(tmp_path)
    train, validation = data_of()
    watched, sizes = counting(train)
    second, model = run(tmp_path, data=(watched, validation))
    assert not sizes
    assert np.array_equal(first.outputs["both"]["score"], second.outputs["both"]["score"])
    assert (second.best_epoch, second.best_src) == (first.best_epoch, first.best_src)
    assert all(torch.equal(value, first.weights[name]) for name, value in second.weights.items())
    best = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(value, best[name]) for name, value in model.named_parameters() if name in best)


def test_fewer_posts_than_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="320 training posts are fewer than one batch of 400"):
        run(tmp_path, replace(CONFIG, batch_size=400))


def test_early_stopping_restores_the_best_weights(tmp_path: Path) -> None:
    train, validation = data_of()
    order = np.random.default_rng(3).permutation(len(validation))
    lost = replace(validation, target=validation.target[order], level=validation.level[order])
    with capture_logs() as logs:
        result, model = run(tmp_path, replace(CONFIG, epochs=30, patience=2, heads_rate=1e-2), (train, lost))
    found = curve(result, "src_both")
    assert len(found) < 30
    assert any(entry["event"] == "stopped early" for entry in logs)
    assert result.best_epoch == int(np.argmax(found)) == len(found) - 3
    assert found[-1] < max(found)
    now = predict_rows(model, lost)["both"]["score"]
    assert spearmanr(now, lost.target)[0] == pytest.approx(max(found), abs=1e-6)


def test_steps_can_be_limited(tmp_path: Path) -> None:
    train, validation = data_of()
    watched, sizes = counting(train)
    result, _ = run(tmp_path, replace(CONFIG, max_steps=7), (watched, validation))
    assert len(sizes) == 7
    assert len(curve(result, "src_both")) == 1


def test_a_constant_network_raises_the_alarm(tmp_path: Path) -> None:
    config = replace(CONFIG, heads_rate=0.0, epochs=1)
    model = JointNetwork(config)
    with torch.no_grad():
        for head in model.fusion.heads.values():
            head.score.weight.zero_()  # type: ignore[union-attr, operator]
    with capture_logs() as logs:
        result, _ = run(tmp_path, config, model=model)
    assert result.collapsed
    assert [entry["log_level"] for entry in logs if entry["event"] == "collapsed"] == ["warning"]
    assert curve(result, "src_both") == [0.0]
    again, _ = run(tmp_path, config, model=model)
    assert again.collapsed


def test_a_network_that_diverges_is_an_error_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(DataError, match=r"diverged in epoch 0; lower its rates"):
            run(tmp_path, replace(CONFIG, heads_rate=1e30))
    assert not (tmp_path / "curves.parquet").exists()


def test_the_average_follows_the_weights_step_by_step(tmp_path: Path) -> None:
    train, _ = data_of()
    model = JointNetwork(CONFIG)
    state = _Training(model, CONFIG, tmp_path, steps=20)
    expected: dict[str, torch.Tensor] = {}
    for number in range(1, 12):
        # The average starts from the weights before the first step.
        expected = expected or {name: value.detach().clone() for name, value in model.named_parameters()}
        state.learn(train, np.arange(16))
        decay = min(CONFIG.ema, (1 + number) / (10 + number))
        for name, value in model.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * value.detach()
    assert set(state.average) == set(expected)
    for name, value in state.average.items():
        assert torch.allclose(value, expected[name], atol=1e-6), name
    live = dict(model.named_parameters())
    assert any(not torch.allclose(value, live[name], atol=1e-4) for name, value in state.average.items())


def test_losses_weigh_levels_and_both_score_losses() -> None:
    model = JointNetwork(CONFIG).eval()
    train, _ = data_of()
    outputs = model(*train.fetch(np.arange(8), seed=None))
    level = torch.as_tensor(train.level[:8])
    target = torch.as_tensor(train.target[:8], dtype=torch.float32)
    config = replace(CONFIG, level_weight=0.0, score_weight=1.0, mse_share=0.7)
    total = losses(outputs, level, target, config)
    expected = sum(
        0.7 * torch.nn.functional.mse_loss(output.score, target)
        + 0.3 * torch.nn.functional.huber_loss(output.score, target)
        for output in outputs.values()
    )
    assert torch.allclose(total, torch.as_tensor(expected))
    more = losses(outputs, level, target, replace(config, level_weight=1.0))
    assert more.item() > total.item()


def test_levels_read_off_the_score_are_part_of_the_network() -> None:
    model = JointNetwork(CONFIG).eval()
    _, validation = data_of()
    before = predict_rows(model, validation)
    found = levels_from_score(model, before, validation.level)
    after = predict_rows(model, validation)
    for view, output in found.items():
        assert np.array_equal(output["score"], before[view]["score"])
        assert np.allclose(output["probabilities"], after[view]["probabilities"], atol=1e-4)
        assert np.allclose(output["probabilities"].mean(0), np.bincount(validation.level) / 96, atol=0.02)


@pytest.mark.parametrize("levels", [(0, 4), (1, 2, 3), (0, 1, 2, 3, 4)])
def test_levels_are_told_apart_however_many_there_are(levels: tuple[int, ...]) -> None:
    level = np.repeat(levels, 40)
    score = (level + np.random.default_rng(0).normal(0, 0.4, len(level)))[:, None]
    slopes, offsets = level_fit(score, level)
    shares = softmax(score @ slopes.T + offsets, axis=1)
    expected = LogisticRegression(C=100.0, max_iter=1000).fit(score, level).predict_proba(score)
    assert np.allclose(shares[:, levels], expected, atol=1e-6) and (shares.argmax(1) == level).mean() > 0.7


@pytest.fixture(scope="module")
def encoders(checkpoints: Callable) -> dict[str, str]:
    """Specs of tiny checkpoints."""
    builders = {"vit": tiny.build_vit, "bert": tiny.build_bert, "deberta": tiny.build_deberta}
    return {kind: f"{kind}:{checkpoints(build)}" for kind, build in builders.items()}


def joint(specs: dict[str, str], text: str = "bert", image: str = "vit", **settings: Any) -> tuple[JointNetwork, Any]:
    picture = load_encoder(specs.get(image, image), device="cpu", shared=False)
    words = load_encoder(specs[text], device="cpu", shared=False)
    fusion = FusionConfig(picture.token_dim, words.token_dim, kind="concat", width=12, heads=2)
    config = NetworkConfig(fusion=fusion, **{"tuning": "finetuned", "frozen_blocks": 1, **settings})
    return JointNetwork(config, picture, words), config


@pytest.mark.parametrize("text", ["bert", "deberta"])
def test_rates_decay_layer_by_layer(encoders: dict[str, str], text: str) -> None:
    model, config = joint(encoders, text, text_rate=1e-3, image_rate=2e-3, layer_decay=0.5)
    groups = parameter_groups(model, config)
    rate_of = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert all(group["initial_lr"] == group["lr"] for group in groups)
    assert {rate_of[id(parameter)] for parameter in model.fusion.parameters()} == {config.heads_rate}
    for side, rate in (("image", 2e-3), ("text", 1e-3)):
        blocks = encoder_blocks(model.encoders[side])
        assert len(blocks) == 4
        for depth, block in enumerate(blocks):
            for parameter in block.parameters():
                assert parameter.requires_grad == (depth > 0)
                if depth > 0:
                    assert rate_of[id(parameter)] == pytest.approx(rate * 0.5 ** (3 - depth))
    words = model.encoders["text"].get_input_embeddings().weight  # type: ignore[operator, union-attr]
    assert not words.requires_grad and id(words) not in rate_of


def test_frozen_picture_blocks_stay_frozen(encoders: dict[str, str]) -> None:
    model, config = joint(encoders, frozen_blocks=3)
    parameter_groups(model, config)
    blocks = encoder_blocks(model.encoders["image"])
    assert [any(p.requires_grad for p in block.parameters()) for block in blocks] == [False, False, False, True]


def inputs_of(model: JointNetwork, count: int = 4) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(count, 3, 32, 32, generator=generator)
    return {"pixels": pixels}, model.text_encoder.tokenize(
        [f"the river {number} of the world" for number in range(count)]
    )


def step(model: JointNetwork, config: NetworkConfig) -> None:
    optimiser = torch.optim.AdamW(parameter_groups(model, config))
    for _ in range(2):
        outputs = model(*inputs_of(model))
        losses(outputs, torch.arange(4), torch.linspace(-1, 1, 4), config).backward()
        optimiser.step()
        optimiser.zero_grad()


@pytest.mark.parametrize("text", ["bert", "deberta"])
def test_word_embeddings_stay_frozen_while_blocks_learn(encoders: dict[str, str], text: str) -> None:
    model, config = joint(encoders, text)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    step(model, config)
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert not [name for name in moved if name.startswith("encoders.text.embeddings")]
    for prefix in ("fusion.", "encoders.text.encoder.layer.0.", "encoders.image.layers.0."):
        assert any(name.startswith(prefix) for name in moved)


@pytest.mark.parametrize("text", ["bert", "deberta"])
def test_adapters_start_at_nothing_and_merge_into_the_weights(encoders: dict[str, str], text: str) -> None:
    plain, _ = joint(encoders, text, tuning="finetuned")
    model, config = joint(encoders, text, tuning="lora", text_rate=1e-3)
    image, words = inputs_of(model)
    with torch.inference_mode():
        assert torch.allclose(
            plain.eval()(image, words)["both"].logits, model.eval()(image, words)["both"].logits, atol=1e-5
        )
    groups = parameter_groups(model, config)
    assert [group["lr"] for group in groups[1:]] == [config.image_rate * ADAPTER_RATE, 1e-3 * ADAPTER_RATE]
    step(model, config)
    learnt = {name for name, value in model.named_parameters() if value.requires_grad and name.startswith("encoders")}
    assert learnt and all(".lora_" in name for name in learnt)
    with torch.inference_mode():
        before = model.eval()(image, words)["both"].logits.clone()
    changed = model.merge_adapters()
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in plain.named_parameters()}
    assert set(changed) <= {name for name, _ in plain.named_parameters()} and len(changed) == 8
    with torch.inference_mode():
        assert torch.allclose(model.eval()(image, words)["both"].logits, before, atol=1e-5)
    originals = dict(plain.named_parameters())
    for name, value in model.named_parameters():
        # The checkpoint has no pooler, so each network drew its own; nothing reads it.
        if name.startswith("encoders") and ".pooler." not in name:
            assert torch.equal(value, originals[name]) == (name not in changed), name


def test_beside_adapters_a_convolutional_encoder_learns_in_its_last_blocks(encoders: dict[str, str]) -> None:
    model, config = joint(encoders, image="lite0:32x32", tuning="lora")
    parameter_groups(model, config)
    learning = [any(p.requires_grad for p in block.parameters()) for block in encoder_blocks(model.encoders["image"])]
    assert learning == [False] * (len(learning) - 4) + [True] * 4
