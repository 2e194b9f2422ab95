"""Replicates of one network from the same first weights, averaged into one: a model soup (Wortsman et al. 2022).

Replicates that differ in the order of the posts, in augmentation and dropout end in the same valley of the loss, and
the mean of their weights generalises better than any of them, at the price of one when it answers.
"""

from collections.abc import Callable, Sequence

import structlog
import torch
from torch import nn

from training.modeling.network import copy_into

log = structlog.get_logger()
Weights = dict[str, torch.Tensor]


def mean_weights(ingredients: Sequence[Weights]) -> Weights:
    """The mean of every tensor; all ingredients hold the same names and shapes."""
    return {name: torch.stack([weights[name] for weights in ingredients]).mean(dim=0) for name in ingredients[0]}


def greedy_soup(
    model: nn.Module, replicates: Sequence[Weights], scores: Sequence[float], quality: Callable[[], float]
) -> list[int]:
    """Put the greedy soup of `replicates` into `model`; returns which of them are in it.

    They are tried from the best of `scores` on; one stays in when `quality()`, the validation figure of `model` as it
    stands, is no worse with it.
    """
    order = sorted(range(len(replicates)), key=lambda number: -scores[number])
    kept, best = order[:1], scores[order[0]]
    for replicate in order[1:]:
        copy_into(model, mean_weights([replicates[number] for number in (*kept, replicate)]))
        found = quality()
        log.info("soup", replicates=[*kept, replicate], quality=round(found, 4), without=round(best, 4))
        if found >= best:
            kept, best = [*kept, replicate], found
    copy_into(model, mean_weights([replicates[number] for number in kept]))
    return kept
