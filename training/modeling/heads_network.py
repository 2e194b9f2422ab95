"""Two heads on a picture as they are trained: what they learn from, their losses, and how they answer meanwhile.

The losses are weighed by their uncertainty (Kendall, Gal & Cipolla 2018, arXiv:1705.07115): with s = log σ² learned for
each, exp(−s₁)·cross-entropy + s₁/2 + ½·exp(−s₂)·squared error + s₂/2. A `published` training adds up binary
cross-entropy and the mean absolute error of raw scores instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from engine.encoders.runtime import autocast
from engine.heads import HeadsNetwork
from engine.scoring import LOG_FLOOR
from training.recipes.base import Tuning

Rows = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
PREDICTED_AT_ONCE = 64
# Pixels or vectors of some rows, augmented by a generator where one is given.
PictureOf = Callable[[Rows, torch.Generator | None], torch.Tensor]


@dataclass(frozen=True)
class HeadsTraining:
    """One training, whole. Rates are AdamW's at their highest: a warm-up, then a cosine to zero over `epochs`.

    A frozen encoder's vectors are kept from before. Training ends when `patience` epochs brought nothing better for the
    posts set apart. `published` reproduces the published losses, rate and weights, and parts numbers from pictures.
    """

    tuning: Tuning = "finetuned"
    epochs: int = 40
    patience: int = 10
    batch_size: int = 32
    rate: float = 5e-4
    heads_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    smoothing: float = 0.1
    published: bool = False
    seed: int = 0
    checkpoint_minutes: float = 3.0


@dataclass
class HeadsData:
    """n posts to learn from: `picture` gives what is seen of some rows; `numbers` (n, columns) or None; `category`
    (n,), −1 where unknown; log scores `standard` (n,) in deviations from their mean, and the scores themselves,
    `score` (n,)."""

    picture: PictureOf
    numbers: npt.NDArray[np.float32] | None
    category: npt.NDArray[np.int64]
    standard: Array
    score: Array
    fingerprint: str

    def __len__(self) -> int:
        return len(self.score)


class HeadsModel(nn.Module):
    """The heads, the encoder's module where it is trained with them, and the log variances of both losses."""

    def __init__(self, heads: HeadsNetwork, encoder: Any = None) -> None:
        super().__init__()
        self.heads, self._forward = heads, [encoder]
        self.encoder = None if encoder is None else encoder.module.requires_grad_(True)
        self.log_variances = nn.Parameter(torch.zeros(2))

    def forward(
        self, picture: torch.Tensor, numbers: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Vectors (n, dim), category logits (n, categories) and scores as the head says them (n,)."""
        encoder = self._forward[0]
        if encoder is None:
            vectors = picture
        else:
            with autocast(encoder.device, encoder.dtype):
                vectors = encoder.forward({"pixels": picture})[0].float()
        return vectors, *self.heads(vectors, numbers)

    def weighed(self, category: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
        """Both losses weighed by their uncertainty."""
        variances = self.log_variances
        return (-variances[0]).exp() * category + 0.5 * (-variances[1]).exp() * score + variances.sum() / 2


def inputs_of(
    model: HeadsModel, data: HeadsData, rows: Rows, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    device = model.log_variances.device
    numbers = None if data.numbers is None else torch.as_tensor(data.numbers[rows]).to(device)
    return data.picture(rows, generator).to(device), numbers


def losses_of(
    logits: torch.Tensor, said: torch.Tensor, data: HeadsData, rows: Rows, config: HeadsTraining
) -> tuple[torch.Tensor, torch.Tensor]:
    """Category loss over the posts whose category is known (0 where none is), and score loss."""
    category = torch.as_tensor(data.category[rows]).to(logits.device)
    known = category >= 0
    if config.published:
        hits = functional.one_hot(category.clamp(min=0), logits.shape[1]).float()
        each = functional.binary_cross_entropy_with_logits(logits, hits, reduction="none").mean(dim=1)
        raw = torch.as_tensor(data.score[rows], dtype=torch.float32).to(said.device)
        score = functional.l1_loss(said, raw)
    else:
        smoothing = config.smoothing if logits.requires_grad else 0.0
        each = functional.cross_entropy(logits, category.clamp(min=0), reduction="none", label_smoothing=smoothing)
        standard = torch.as_tensor(data.standard[rows], dtype=torch.float32).to(said.device)
        score = functional.mse_loss(said, standard)
    return (each * known).sum() / known.sum().clamp(min=1), score


def accuracy_of(logits: torch.Tensor, category: npt.NDArray[np.int64]) -> float:
    known = category >= 0
    right = logits.detach().argmax(dim=1).cpu().numpy() == category
    return float(right[known].mean()) if known.any() else math.nan


def evaluate_heads(model: HeadsModel, data: HeadsData, config: HeadsTraining) -> dict[str, float]:
    """Losses and accuracy on all of `data`, and the criterion, lowest at the best epoch.

    The criterion is the mean of both losses, each as a share of what a constant answer costs; of a published training
    the sum of both as they are.
    """
    _, logits, said = predict_heads(model, data)
    rows = np.arange(len(data))
    category, score = (float(loss) for loss in losses_of(logits, said, data, rows, config))
    known = data.category[data.category >= 0]
    shares = np.bincount(known) / max(len(known), 1)
    nothing = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    constant = float(np.var(data.standard))
    criterion = (category / max(nothing, LOG_FLOOR) + score / max(constant, LOG_FLOOR)) / 2
    return {
        "category_loss": category,
        "score_loss": score,
        "category_accuracy": accuracy_of(logits, data.category),
        "criterion": category + score if config.published else criterion,
    }


@torch.inference_mode()
def predict_heads(model: HeadsModel, data: HeadsData) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors (n, dim), category logits (n, categories) and scores as the head says them (n,) of all of `data`."""
    model.eval()
    parts = []
    for start in range(0, len(data), PREDICTED_AT_ONCE):
        rows = np.arange(start, min(start + PREDICTED_AT_ONCE, len(data)))
        parts.append([part.cpu() for part in model(*inputs_of(model, data, rows, None))])
    vectors, logits, said = (torch.cat(part) for part in zip(*parts, strict=True))
    return vectors, logits, said
