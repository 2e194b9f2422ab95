"""A fine-tuning that is killed ends with the very weights of one that was not, augmentation and dropout included."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from engine.encoders import load_encoder
from engine.fusion import FusionConfig
from tests import tiny
from tests.made_up import own_word
from tests.unit.test_training_loop import Killed, dying
from training.modeling.batches import augment, finetuning_set, tokenised
from training.modeling.network import JointNetwork, NetworkConfig
from training.modeling.trainer import train_network
from training.modeling.training_set import TrainingSet

POSTS, HELD = 48, 16


@pytest.fixture(scope="module")
def encoders(vit_and_bert: dict[str, str]) -> Callable[[], tuple[Any, ...]]:
    """Fresh encoders of tiny checkpoints."""
    return lambda: tuple(load_encoder(spec, device="cpu", shared=False) for spec in vit_and_bert.values())


def made_up(pictures_seed: int = 0) -> Any:
    """What `finetuning_set` asks of a `FeatureMatrix`: pictures, texts, targets."""
    generator = np.random.default_rng(pictures_seed)
    target = np.random.default_rng(1).normal(0, 1, POSTS + HELD)
    texts = [f"the river {own_word(row)} of the world and a cat" for row in range(len(target))]
    level = np.digitize(target, np.quantile(target, (0.2, 0.4, 0.6, 0.8)))
    posts = pd.DataFrame({"post_id": texts, "target": target, "level": level})
    pixels = generator.integers(0, 256, (len(target), 32, 32, 3), dtype=np.uint8)
    return SimpleNamespace(
        workspace=SimpleNamespace(posts=posts),
        texts=texts,
        files=[f"file {pictures_seed} {row}" for row in range(len(target))],
        pictures=lambda size: pixels,
    )


def config_of(image: Any, text: Any, **settings: Any) -> NetworkConfig:
    fusion = FusionConfig(image.token_dim, text.token_dim, kind="concat", width=12, heads=2, dropout=0.2)
    defaults: dict[str, Any] = {"epochs": 2, "batch_size": 8, "word_dropout": 0.3, "blank": 0.2}
    return NetworkConfig(fusion=fusion, **{**defaults, "checkpoint_minutes": 0.0, "frozen_blocks": 1, **settings})


def sets(matrix: Any, image: Any, text: Any, config: NetworkConfig) -> tuple[TrainingSet, TrainingSet]:
    rows = np.arange(POSTS + HELD)
    return (
        finetuning_set(matrix, rows[:POSTS], image, text, config),
        finetuning_set(matrix, rows[POSTS:], image, text, config),
    )


def test_killed_in_the_middle_it_ends_with_the_same_weights(encoders: Callable, tmp_path: Path) -> None:
    def run(folder: Path, after: int | None = None) -> Any:
        image, text = encoders()
        config = config_of(image, text)
        train, held = sets(made_up(), image, text, config)
        model = JointNetwork(config, image, text)
        return train_network(model, config, train if after is None else dying(train, after), held, folder)

    whole = run(tmp_path / "whole")
    for after in (3, 8):
        with pytest.raises(Killed):
            run(tmp_path / "killed", after)
    # What the process drew meanwhile has no say.
    torch.manual_seed(123)
    resumed = run(tmp_path / "killed")
    assert set(resumed.weights) == set(whole.weights) and any("encoders.image" in name for name in whole.weights)
    for name, value in whole.weights.items():
        assert torch.equal(resumed.weights[name], value), name
    kept = (load_file(tmp_path / part / "best.safetensors") for part in ("whole", "killed"))
    assert len({tuple(float(value.sum()) for _, value in sorted(found.items())) for found in kept}) == 1


def test_augmentation_follows_from_the_seed_alone(encoders: Callable) -> None:
    image, text = encoders()
    config = config_of(image, text)
    train, _ = sets(made_up(), image, text, config)
    index = np.arange(8)
    first = train.fetch(index, seed=7)
    train.fetch(index, seed=8)
    again, other, plain = (train.fetch(index, seed=seed) for seed in (7, 9, None))
    for side, key in enumerate(("pixels", "input_ids")):
        assert torch.equal(first[side][key], again[side][key])
        assert not torch.equal(first[side][key], other[side][key])
        assert torch.equal(plain[side][key], train.fetch(index, seed=None)[side][key])
    pixels = torch.from_numpy(made_up().pictures((32, 32))[:8]).permute(0, 3, 1, 2).float()
    assert torch.equal(plain[0]["pixels"], image.normalise_pixels(pixels))
    shaken = augment(pixels, torch.Generator().manual_seed(0))
    assert shaken.shape == pixels.shape and shaken.min() >= 0 and shaken.max() <= 255


def test_pictures_are_augmented_where_their_encoder_is(encoders: Callable) -> None:
    image, text = encoders()
    config = config_of(image, text)
    train, _ = sets(made_up(), image, text, config)
    # Where there is no GPU, torch's `meta` stands in for one: a call that mixes devices fails on it.
    image.module.to("meta")
    for seed in (None, 7):
        assert train.fetch(np.arange(8), seed=seed)[0]["pixels"].device.type == "meta"


def test_some_words_are_hidden_and_no_special_ones(encoders: Callable) -> None:
    _, text = encoders()
    texts = made_up().texts
    whole = tokenised(text, texts, None, 0.5)["input_ids"]
    hidden = tokenised(text, texts, torch.Generator().manual_seed(0), 0.5)["input_ids"]
    changed = whole != hidden
    assert (hidden[changed] == text.tokenizer.mask_token_id).all()
    special = torch.isin(whole, torch.tensor(text.tokenizer.all_special_ids))
    assert not changed[special].any() and 0.3 < changed[~special].float().mean() < 0.7


def test_another_replicate_sees_its_posts_otherwise(encoders: Callable, tmp_path: Path) -> None:
    weights = []
    for replicate in (0, 1):
        image, text = encoders()
        config = config_of(image, text, epochs=1, replicate=replicate)
        train, held = sets(made_up(), image, text, config)
        weights.append(
            train_network(JointNetwork(config, image, text), config, train, held, tmp_path / str(replicate)).weights
        )
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_fingerprint_follows_posts_pictures_words_targets_and_encoders(encoders: Callable, tmp_path: Path) -> None:
    image, text = encoders()
    config = config_of(image, text)

    def name_of(matrix: Any, words: Any = text) -> str:
        return sets(matrix, image, words, config)[0].fingerprint

    def changed(**columns: Any) -> Any:
        matrix = made_up()
        matrix.workspace.posts = matrix.workspace.posts.assign(**columns)
        return matrix

    same = name_of(made_up())
    assert name_of(made_up()) == same
    others = [
        name_of(made_up(pictures_seed=5)),
        name_of(changed(post_id=[str(row) for row in range(POSTS + HELD)])),
        name_of(changed(target=np.arange(POSTS + HELD) / 10)),
        name_of(changed(level=0)),
        name_of(made_up(), load_encoder(f"bert:{tiny.build_bert(tmp_path, seed=7)}", device="cpu", shared=False)),
        sets(made_up(), image, text, config)[1].fingerprint,
    ]
    words = made_up()
    words.texts = [word.upper() for word in words.texts]
    assert len({same, *others, name_of(words)}) == len(others) + 2
