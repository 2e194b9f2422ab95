"""A fusion network as it is trained: its configuration, its parameters with their rates, its loss.

The towers are frozen, their tokens kept from before, or fine-tuned end to end with rates that decay towards the input,
or fine-tuned by low-rank adapters (LoRA, Hu et al. 2022) inside their attention layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from engine.encoders.base import Tokens
from engine.encoders.runtime import autocast
from engine.fusion import FusionConfig, FusionNetwork, HeadOutput, level_loss
from engine.prediction import VIEWS, View

Towers = Literal["frozen", "finetuned"]
Inputs = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class NetworkConfig:
    """One network's training, whole.

    Rates are AdamW's; those of the towers decay by `layer_decay` from the last block to the first, and the picture
    tower's first `frozen_blocks` blocks, which see edges and colours at the greatest cost, stay as they are.
    """

    fusion: FusionConfig
    towers: Towers = "finetuned"
    epochs: int = 5
    batch_size: int = 32
    heads_rate: float = 1e-3
    text_rate: float = 6e-5
    image_rate: float = 3e-4
    layer_decay: float = 0.9
    frozen_blocks: int = 4
    weight_decay: float = 0.01
    warmup: float = 0.1
    level_weight: float = 1.0
    score_weight: float = 0.5
    mse_share: float = 0.0
    ordinal: bool = True
    ema: float = 0.995
    patience: int = 3
    seed: int = 0
    checkpoint_minutes: float = 3.0
    max_steps: int | None = None


class JointNetwork(nn.Module):
    """A fusion network with, when fine-tuned, the two tower modules inside, so that one state holds them all."""

    def __init__(self, config: NetworkConfig, image_tower: Any = None, text_tower: Any = None) -> None:
        super().__init__()
        self.fusion = FusionNetwork(config.fusion)
        self.image_tower, self.text_tower = image_tower, text_tower
        self.towers = nn.ModuleDict()
        if config.towers == "finetuned":
            self.towers["image"] = image_tower.module
            self.towers["text"] = text_tower.module

    def forward(self, image: Inputs, text: Inputs) -> dict[View, HeadOutput]:
        """Outputs of every head for n posts, from prepared inputs or, with frozen towers, from their tokens."""
        with self.precision():
            outputs = self.fusion(self._tokens(self.image_tower, image), self._tokens(self.text_tower, text))
        return {view: HeadOutput(output.logits.float(), output.score.float()) for view, output in outputs.items()}

    @staticmethod
    def _tokens(tower: Any, batch: Inputs) -> Tokens:
        if "values" in batch:
            return Tokens(batch["values"], batch["mask"])
        tokens = tower.forward(dict(batch))[1]
        return Tokens(tokens.values.float(), tokens.mask.bool())

    def precision(self) -> Any:
        """Autocast as the towers run it; bfloat16 on a GPU."""
        if self.image_tower is not None:
            return autocast(self.image_tower.device, self.image_tower.dtype)
        device = next(self.parameters()).device
        return autocast(device, torch.bfloat16 if device.type == "cuda" else torch.float32)


class Fetch(Protocol):
    """Inputs of both sides for some rows; augmented when `train`."""

    def __call__(self, index: npt.NDArray[np.int64], *, train: bool) -> tuple[Inputs, Inputs]: ...


@dataclass
class Example:
    """Training material: targets (n,) on the normal scale, levels (n,), and the inputs of any rows."""

    target: npt.NDArray[np.float64]
    level: npt.NDArray[np.int64]
    fetch: Fetch

    def __len__(self) -> int:
        return len(self.target)


def parameter_groups(model: JointNetwork, config: NetworkConfig) -> list[dict[str, Any]]:
    """AdamW groups: heads at `heads_rate`, tower blocks at rates that decay towards the input (layer-wise rates).

    Word embeddings stay frozen: they are half of a small text tower and rare words would drift on few posts.
    """
    groups = [{"params": list(model.fusion.parameters()), "lr": config.heads_rate}]
    for side, tower in model.towers.items():
        rate = config.image_rate if side == "image" else config.text_rate
        blocks = tower_blocks(tower)
        for depth, block in enumerate(blocks):
            frozen = depth < (config.frozen_blocks if side == "image" else 1)
            parameters = list(block.parameters())
            for parameter in parameters:
                parameter.requires_grad_(not frozen)
            if not frozen:
                groups.append({"params": parameters, "lr": rate * config.layer_decay ** (len(blocks) - 1 - depth)})
    return [{**group, "initial_lr": group["lr"]} for group in groups]


def tower_blocks(module: nn.Module) -> list[nn.Module]:
    """A tower's parts from input to output: what comes before its longest block list, each block, what comes after."""
    lists = [child for child in module.modules() if isinstance(child, nn.ModuleList) and len(child) > 1]
    if not lists:
        return [module]
    blocks = max(lists, key=len)
    inside = {id(parameter) for parameter in blocks.parameters()}
    children = list(module.children())
    holds = [any(id(parameter) in inside for parameter in child.parameters()) for child in children]
    place = holds.index(True)
    return [nn.ModuleList(children[:place]), *blocks, nn.ModuleList(children[place + 1 :])]


def losses(
    outputs: Mapping[View, HeadOutput], level: torch.Tensor, target: torch.Tensor, config: NetworkConfig
) -> torch.Tensor:
    """Sum over the heads of level loss + `score_weight` · score loss; level and target have shape (n,)."""
    total = torch.zeros((), device=level.device)
    for output in outputs.values():
        total = total + config.level_weight * level_loss(output.logits, level, ordinal=config.ordinal)
        squared = functional.mse_loss(output.score, target)
        robust = functional.huber_loss(output.score, target)
        total = total + config.score_weight * (config.mse_share * squared + (1 - config.mse_share) * robust)
    return total


@torch.inference_mode()
def predict_rows(
    model: JointNetwork, data: Example, batch_size: int = 64
) -> dict[View, dict[str, npt.NDArray[np.float32]]]:
    """Probabilities (n, 5) and scores (n,) of every view for all rows of `data`."""
    model.eval()
    parts: dict[View, list[HeadOutput]] = {view: [] for view in VIEWS}
    for start in range(0, len(data), batch_size):
        rows = np.arange(start, min(start + batch_size, len(data)))
        for view, output in model(*data.fetch(rows, train=False)).items():
            parts[view].append(HeadOutput(output.logits.cpu(), output.score.cpu()))
    return {
        view: {
            "probabilities": torch.cat([part.logits for part in found]).softmax(-1).numpy(),
            "score": torch.cat([part.score for part in found]).numpy(),
        }
        for view, found in parts.items()
    }
