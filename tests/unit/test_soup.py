"""Averaging the replicates of one network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.test_training_loop import CONFIG, run
from training.modeling.model_soup import greedy_soup, mean_weights


def parts(*values: float) -> list[dict[str, torch.Tensor]]:
    return [{"weight": torch.full((1, 1), value), "bias": torch.zeros(1)} for value in values]


def test_the_mean_is_of_every_tensor() -> None:
    mean = mean_weights(parts(1.0, 2.0, 6.0))
    assert mean["weight"].item() == 3.0 and mean["bias"].item() == 0.0


def test_a_replicate_stays_in_only_where_it_does_not_hurt() -> None:
    model = nn.Linear(1, 1)
    tried: list[float] = []

    def quality() -> float:
        tried.append(model.weight.item())
        return -abs(model.weight.item() - 2.0)

    kept = greedy_soup(model, parts(1.0, 9.0, 3.0), [-1.0, -7.0, -1.5], quality)
    assert kept == [0, 2]
    assert tried == pytest.approx([2.0, 13 / 3], rel=1e-5)
    assert model.weight.item() == 2.0


def test_one_replicate_is_left_as_it_is() -> None:
    model = nn.Linear(1, 1)
    assert greedy_soup(model, parts(4.0), [0.1], lambda: 0.0) == [0]
    assert model.weight.item() == 4.0


def test_replicates_start_alike_and_go_their_own_ways(tmp_path: Path) -> None:
    (first, _), (second, _) = (run(tmp_path / str(number), replace(CONFIG, replicate=number)) for number in (0, 1))
    assert not np.allclose(first.outputs["both"]["score"], second.outputs["both"]["score"])
    correlation = np.corrcoef(first.outputs["both"]["score"], second.outputs["both"]["score"])[0, 1]
    assert correlation > 0.9
