"""A fusion network as it is trained: its configuration, its parameters with their rates, its loss.

The encoders are frozen, their tokens kept from before; or fine-tuned end to end with rates that decay towards the
input; or fine-tuned by low-rank adapters in their attention layers. A convolutional encoder has no attention: beside
adapters, its last blocks are fine-tuned.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from scipy.special import softmax
from torch import nn
from torch.nn import functional

from engine.encoders.base import Tokens
from engine.encoders.runtime import autocast, fast_bfloat16
from engine.errors import DataError
from engine.files import replacing
from engine.fusion import FusionConfig, FusionNetwork, HeadOutput, level_loss
from engine.prediction import View
from engine.scoring import LEVELS
from training.modeling.lora import adapter_parameters, add_adapters, merge_adapters
from training.modeling.training_set import Inputs, TrainingSet
from training.recipes.base import Tuning

# Adapters start at zero and hold few weights: they need about ten times the rate of the whole layer.
ADAPTER_RATE = 10.0
# Blocks of a convolutional encoder that are fine-tuned when the other encoder has adapters.
LAST_BLOCKS = 4
PREDICTED_AT_ONCE = 64
# Logit of a level that no post had.
ABSENT_LEVEL = -20.0


@dataclass(frozen=True)
class NetworkConfig:
    """One network's training, whole.

    Rates are AdamW's; those of the encoders decay by `layer_decay` from the last block to the first, and the picture
    encoder's first `frozen_blocks` blocks, which see edges and colours at the greatest cost, stay as they are. With
    `level_weight` 0 the levels are read off the score after training. The epoch that is best for posts set apart is
    kept, and training ends when `patience` epochs brought none better; with a patience of 0 nothing chooses, no post is
    set apart, and the last epoch is kept. `seed` draws the first weights; `replicate`
    numbers trainings from these weights with another order of the posts, other augmentation and other dropout.
    """

    fusion: FusionConfig
    tuning: Tuning = "finetuned"
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
    word_dropout: float = 0.1
    blank: float = 0.05
    junk: float = 0.0
    ema: float = 0.995
    patience: int = 3
    seed: int = 0
    replicate: int = 0
    checkpoint_minutes: float = 3.0
    max_steps: int | None = None


class JointNetwork(nn.Module):
    """A fusion network with, when fine-tuned, the encoder modules of its sides inside: one state holds them all."""

    def __init__(self, config: NetworkConfig, image_encoder: Any = None, text_encoder: Any = None) -> None:
        super().__init__()
        self.image_encoder, self.text_encoder = image_encoder, text_encoder
        self.encoders = nn.ModuleDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.fusion = FusionNetwork(config.fusion)
            if config.tuning != "frozen":
                sides = {"image": image_encoder, "text": text_encoder}
                self.encoders.update({side: encoder.module for side, encoder in sides.items() if encoder is not None})
            if config.tuning == "lora":
                for encoder in self.encoders.values():
                    add_adapters(encoder)

    def merge_adapters(self) -> list[str]:
        """Make adapters part of the encoders' own weights; returns the names of the weights that this changed."""
        return [
            f"encoders.{side}.{name}" for side, encoder in self.encoders.items() for name in merge_adapters(encoder)
        ]

    def forward(self, image: Inputs | None, text: Inputs | None) -> dict[View, HeadOutput]:
        """Outputs of every head for n posts, from prepared inputs or, with frozen encoders, from their tokens.

        A side that the network does not see is None.
        """
        with self.precision():
            outputs = self.fusion(self._tokens(self.image_encoder, image), self._tokens(self.text_encoder, text))
        return {view: HeadOutput(output.logits.float(), output.score.float()) for view, output in outputs.items()}

    def _tokens(self, encoder: Any, batch: Inputs | None) -> Tokens | None:
        if batch is None:
            return None
        device = next(self.parameters()).device
        batch = {name: value.to(device) for name, value in batch.items()}
        if "values" in batch:
            return Tokens(batch["values"], batch["mask"])
        tokens = encoder.forward(dict(batch))[1]
        return Tokens(tokens.values.float(), tokens.mask.bool())

    def precision(self) -> Any:
        """Autocast as the encoders run it; bfloat16 on a GPU, and to train on words alone on a CPU that has it.

        Trained on pictures alone a CPU keeps to float32: backward through depthwise convolutions it is faster.
        """
        device = next(self.parameters()).device
        alone = self.training and device.type == "cpu"
        if self.image_encoder is not None:
            alone &= self.text_encoder is None
            return autocast(device, torch.float32 if alone else self.image_encoder.dtype)
        half = device.type == "cuda" or (alone and self.text_encoder is not None and fast_bfloat16("cpu"))
        return autocast(device, torch.bfloat16 if half else torch.float32)


def parameter_groups(model: JointNetwork, config: NetworkConfig) -> list[dict[str, Any]]:
    """AdamW groups: heads at `heads_rate`, encoder blocks at rates that decay towards the input (layer-wise rates).

    Word embeddings stay frozen: they are half of a small text encoder and rare words would drift on few posts. Adapters
    learn at `ADAPTER_RATE` times their encoder's rate; everything else in an encoder that has them stays frozen.
    """
    groups = [{"params": list(model.fusion.parameters()), "lr": config.heads_rate}]
    for side, encoder in model.encoders.items():
        rate = config.image_rate if side == "image" else config.text_rate
        if adapters := adapter_parameters(encoder):
            groups.append({"params": adapters, "lr": rate * ADAPTER_RATE})
            continue
        blocks = encoder_blocks(encoder)
        first = config.frozen_blocks if side == "image" else 1
        if config.tuning == "lora":
            first = max(first, len(blocks) - LAST_BLOCKS)
        for depth, block in enumerate(blocks):
            frozen = depth < first
            parameters = list(block.parameters())
            for parameter in parameters:
                parameter.requires_grad_(not frozen)
            if not frozen:
                groups.append({"params": parameters, "lr": rate * config.layer_decay ** (len(blocks) - 1 - depth)})
    return [{**group, "initial_lr": group["lr"]} for group in groups]


def encoder_blocks(module: nn.Module) -> list[nn.Module]:
    """An encoder's parts from input to output: what stands before its longest block list, each block, the rest."""
    lists = [child for child in module.modules() if isinstance(child, nn.ModuleList) and len(child) > 1]
    if not lists:
        return [module]
    blocks = max(lists, key=len)
    inside = {id(parameter) for parameter in blocks.parameters()}
    children = list(module.children())
    holds = [any(id(parameter) in inside for parameter in child.parameters()) for child in children]
    place = holds.index(True)
    return [nn.ModuleList(children[:place]), *blocks, nn.ModuleList(children[place + 1 :])]


def schedule(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then cosine to zero, as a factor of the rate."""
    start = max(1, int(warmup * total))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * (step - start) / max(1, total - start)))


def losses(
    outputs: Mapping[View, HeadOutput], level: torch.Tensor, target: torch.Tensor, config: NetworkConfig
) -> torch.Tensor:
    """Sum over the heads of level loss + `score_weight` · score loss; target (n,), level (n,) or its shares (n, 5)."""
    total = torch.zeros((), device=level.device)
    for output in outputs.values():
        total = total + config.level_weight * level_loss(output.logits, level, ordinal=config.ordinal)
        squared = functional.mse_loss(output.score, target)
        robust = functional.huber_loss(output.score, target)
        total = total + config.score_weight * (config.mse_share * squared + (1 - config.mse_share) * robust)
    return total


def level_fit(
    scores: npt.NDArray[np.float64], level: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Slopes (levels, k) and offsets (levels,) of the logits that a multinomial logistic regression gives each level.

    `scores` is (n, k), `level` (n,). A level that no post has is as good as impossible.
    """
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=100.0, max_iter=1000).fit(scores, level)
    slopes, offsets = np.zeros((len(LEVELS), scores.shape[1])), np.full(len(LEVELS), ABSENT_LEVEL)
    # Of two levels it has a single row, that of the second against the first.
    own = fit.classes_[-len(fit.coef_) :]
    offsets[fit.classes_] = 0.0
    slopes[own], offsets[own] = fit.coef_, fit.intercept_
    return slopes, offsets


def levels_from_score(
    model: JointNetwork, outputs: Mapping[View, Mapping[str, npt.NDArray[np.float32]]], level: npt.NDArray[np.int64]
) -> dict[View, dict[str, npt.NDArray[np.float32]]]:
    """Make every head's level logits a function of its score, z_k = a_k · score + b_k; returns the new outputs.

    For a network whose loss has no levels in it. a and b are a multinomial logistic regression of `level` (n,) on the
    scores of `outputs`; they become part of the level layer's weights, so the network keeps its form.
    """
    found: dict[View, dict[str, npt.NDArray[np.float32]]] = {}
    for view, output in outputs.items():
        score = output["score"][:, None].astype(np.float64)
        slopes, offsets = level_fit(score, level)
        head: Any = model.fusion.heads[view]
        a, b = (torch.as_tensor(values).to(head.score.weight) for values in (slopes[:, 0], offsets))
        with torch.no_grad():
            head.levels.weight.copy_(a[:, None] * head.score.weight)
            head.levels.bias.copy_(a * head.score.bias + b)
        logits = score @ slopes.T + offsets
        found[view] = {**output, "probabilities": softmax(logits, axis=1).astype(np.float32)}
    return found


@torch.inference_mode()
def predict_rows(model: JointNetwork, data: TrainingSet) -> dict[View, dict[str, npt.NDArray[np.float32]]]:
    """Probabilities (n, 5) and scores (n,) of every view for all rows of `data`."""
    model.eval()
    parts: dict[View, list[HeadOutput]] = {view: [] for view in model.fusion.config.views}
    for start in range(0, len(data), PREDICTED_AT_ONCE):
        rows = np.arange(start, min(start + PREDICTED_AT_ONCE, len(data)))
        for view, output in model(*data.fetch(rows, seed=None)).items():
            parts[view].append(HeadOutput(output.logits.cpu(), output.score.cpu()))
    return {
        view: {
            "probabilities": torch.cat([part.logits for part in found]).softmax(-1).numpy(),
            "score": torch.cat([part.score for part in found]).numpy(),
        }
        for view, found in parts.items()
    }


def freeze_normalisation(model: nn.Module) -> None:
    """Batch norms keep the statistics they were pretrained with: batches are small and some pictures are degraded."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def check_finite(weights: Mapping[str, torch.Tensor], folder: Path, epoch: int) -> None:
    """Raises DataError where training has led to weights that are no numbers: they are never better, nor worse."""
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise DataError(f"The network in {folder} diverged in epoch {epoch}; lower its rates.")


@torch.no_grad()
def average_in(
    average: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], step: int, most: float
) -> None:
    """Draw a running average of weights towards those of a step; `most` of it stays, and less at the start."""
    decay = min(most, (1 + step) / (10 + step))
    for name, value in average.items():
        value.lerp_(weights[name], 1 - decay)


def copy_into(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    """Overwrite the named parameters of a model."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(values[name])


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], *, half: bool = False) -> None:
    """Put tensors into a file, whole or not at all; what is no integer in half precision where it is to be `half`."""
    found = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    if half:
        found = {name: value.half() if value.is_floating_point() else value for name, value in found.items()}
    with replacing(path) as temporary:
        save_file(found, temporary)
