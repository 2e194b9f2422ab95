"""Training a fusion network: on the frozen tokens of two towers, or end to end with the towers fine-tuned.

Resumable (a checkpoint every `checkpoint_minutes`, written atomically and read without pickles), early stopping on the
validation rank correlation with the best weights restored, weights averaged over the last steps (EMA), and an alarm
when predictions collapse to a constant.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from engine.encoders.base import Tokens
from engine.encoders.runtime import autocast
from engine.fusion import FusionConfig, FusionNetwork, HeadOutput, level_loss
from engine.prediction import VIEWS, View

log = structlog.get_logger()
Towers = Literal["frozen", "finetuned"]


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
    texts_per_batch: int = 16
    heads_rate: float = 1e-3
    text_rate: float = 6e-5
    image_rate: float = 3e-4
    layer_decay: float = 0.9
    frozen_blocks: int = 4
    weight_decay: float = 0.01
    warmup: float = 0.1
    score_weight: float = 0.5
    ordinal: bool = True
    ema: float = 0.995
    patience: int = 3
    seed: int = 0
    checkpoint_minutes: float = 3.0
    max_steps: int | None = None


class JointNetwork(nn.Module):
    """A fusion network with, when fine-tuned, the two tower modules inside; EMA and checkpoints cover them all."""

    def __init__(self, config: NetworkConfig, image_tower: Any = None, text_tower: Any = None) -> None:
        super().__init__()
        self.fusion = FusionNetwork(config.fusion)
        self.image_tower, self.text_tower = image_tower, text_tower
        self.towers = nn.ModuleDict()
        if config.towers == "finetuned":
            self.towers["image"] = image_tower.module
            self.towers["text"] = text_tower.module

    def forward(
        self, image: Mapping[str, torch.Tensor] | None, text: Mapping[str, torch.Tensor] | None, pictured: int
    ) -> dict[View, HeadOutput]:
        """Outputs for a batch whose first `pictured` rows have both sides and whose others have a text only."""
        image_tokens = self._tokens("image", image)
        text_tokens = self._tokens("text", text)
        assert text_tokens is not None
        projected = self.fusion.project_text(text_tokens)
        both = Tokens(projected.values[:pictured], projected.mask[:pictured])
        outputs = self.fusion.answer(
            self.fusion.project_image(image_tokens) if image_tokens is not None else None, both
        )
        if len(projected.values) > pictured:
            outputs["text"] = self.fusion.answer(None, projected)["text"]
        return outputs

    def _tokens(self, side: str, batch: Mapping[str, torch.Tensor] | None) -> Tokens | None:
        if batch is None:
            return None
        if "values" in batch:
            return Tokens(batch["values"], batch["mask"])
        tower = self.image_tower if side == "image" else self.text_tower
        _, tokens = tower.forward(dict(batch))
        return Tokens(tokens.values.float(), tokens.mask.bool())


@dataclass
class Example:
    """Training material: features or inputs of a set of rows, fetched by row number."""

    target: npt.NDArray[np.float64]
    level: npt.NDArray[np.int64]
    fetch: Any
    pictured: bool = True

    def __len__(self) -> int:
        return len(self.target)


@dataclass
class TrainingResult:
    """Best validation outputs by view, the curves, and the path of the best weights (safetensors)."""

    weights: Path
    curves: pd.DataFrame
    best_epoch: int
    best_src: float
    seconds: float
    collapsed: bool
    outputs: dict[View, dict[str, npt.NDArray[np.float32]]] = field(default_factory=dict)


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
    outputs: Mapping[View, HeadOutput],
    level: torch.Tensor,
    target: torch.Tensor,
    pictured: int,
    config: NetworkConfig,
) -> torch.Tensor:
    """Sum over heads of level loss + `score_weight` · Huber of the score, each head on the rows it answers."""
    total = torch.zeros((), device=level.device)
    for view, output in outputs.items():
        rows = slice(None) if view == "text" else slice(0, pictured)
        total = total + level_loss(output.logits, level[rows], ordinal=config.ordinal)
        total = total + config.score_weight * functional.huber_loss(output.score, target[rows])
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
        image, text = data.fetch(rows, train=False)
        with _precision(model):
            outputs = model(image, text, len(rows))
        for view, output in outputs.items():
            parts[view].append(HeadOutput(output.logits.float().cpu(), output.score.float().cpu()))
    return {
        view: {
            "probabilities": torch.cat([part.logits for part in found]).softmax(-1).numpy(),
            "score": torch.cat([part.score for part in found]).numpy(),
        }
        for view, found in parts.items()
        if found
    }


def _precision(model: JointNetwork) -> Any:
    tower = model.image_tower
    if tower is None:
        device = next(model.parameters()).device
        return autocast(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    return autocast(tower.device, tower.dtype)


def _batches(
    train: Example, texts: Example | None, config: NetworkConfig, generator: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    order = generator.permutation(len(train))
    extra = generator.permutation(len(texts)) if texts is not None and len(texts) else np.zeros(0, dtype=np.int64)
    for number, start in enumerate(range(0, len(order) - config.batch_size + 1, config.batch_size)):
        first = number * config.texts_per_batch
        rows = np.arange(first, first + config.texts_per_batch) % max(len(extra), 1)
        yield order[start : start + config.batch_size], extra[rows] if len(extra) else extra


def _joined(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Two text batches as one, padded with zeros to the longer."""
    joined = {}
    for name, left in first.items():
        right = second[name]
        length = max(left.shape[1], right.shape[1])
        pads = [functional.pad(part, (0, 0) * (part.ndim - 2) + (0, length - part.shape[1])) for part in (left, right)]
        joined[name] = torch.cat(pads)
    return joined


class _Checkpoint:
    """Everything a killed run needs to go on; two files replaced atomically, loaded with weights_only."""

    def __init__(self, folder: Path, minutes: float) -> None:
        self.path = folder / "checkpoint.pt"
        self.seconds = minutes * 60
        self.last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.last > self.seconds

    def save(self, state: dict[str, Any]) -> None:
        temporary = self.path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.path)
        self.last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        return torch.load(self.path, weights_only=True) if self.path.exists() else None


def train_network(
    model: JointNetwork,
    config: NetworkConfig,
    train: Example,
    validation: Example,
    folder: Path,
    *,
    texts: Example | None = None,
) -> TrainingResult:
    """Train to the best validation SRC of the fused head; resume from `folder` when a former run was killed there.

    Writes best.safetensors, curves.parquet and config.json into `folder`. The last checkpoint is removed at the end.
    """
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1))
    torch.manual_seed(config.seed)
    groups = parameter_groups(model, config)
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    steps = len(train) // config.batch_size
    total = config.epochs * steps if config.max_steps is None else min(config.max_steps, config.epochs * steps)
    trained = [parameter for group in groups for parameter in group["params"]]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    average = {names[id(parameter)]: parameter.detach().clone() for parameter in trained}
    checkpoint = _Checkpoint(folder, config.checkpoint_minutes)
    curves: list[dict[str, Any]] = []
    best_src, best_epoch, step, seconds = -math.inf, -1, 0, 0.0
    if (state := checkpoint.load()) is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average = state["average"]
        trained = [parameter for parameter in trained if names[id(parameter)] in average]
        curves, best_src, best_epoch = json.loads(state["curves"]), state["best_src"], state["best_epoch"]
        step, seconds = state["step"], state["seconds"]
        log.info("resumed", folder=str(folder), step=step, of=total)
    began = time.monotonic() - seconds
    collapsed = False
    progress = tqdm(total=total, initial=step, desc=folder.name, mininterval=5)
    device = next(model.parameters()).device

    def state_of() -> dict[str, Any]:
        return {
            "model": model.state_dict(), "optimiser": optimiser.state_dict(), "average": average,
            "curves": json.dumps(curves), "best_src": best_src, "best_epoch": best_epoch, "step": step,
            "seconds": time.monotonic() - began,
        }  # fmt: skip

    while step < total:
        epoch = step // steps
        generator = np.random.default_rng([config.seed, epoch])
        running: list[float] = []
        for number, (rows, extra) in enumerate(_batches(train, texts, config, generator)):
            if number < step - epoch * steps:
                continue
            if step >= total:
                break
            rate = _schedule(step, total, config.warmup)
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * rate
            model.train()
            _freeze_normalisation(model)
            image, text = train.fetch(rows, train=True)
            level, target = train.level[rows], train.target[rows]
            if len(extra) and texts is not None:
                _, more = texts.fetch(extra, train=True)
                text = _joined(text, more)
                level = np.concatenate([level, texts.level[extra]])
                target = np.concatenate([target, texts.target[extra]])
            with _precision(model):
                outputs = model(image, text, len(rows))
            loss = losses(
                {v: HeadOutput(o.logits.float(), o.score.float()) for v, o in outputs.items()},
                torch.as_tensor(level, device=device),
                torch.as_tensor(target, dtype=torch.float32, device=device),
                len(rows),
                config,
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if step == 0:
                # Classifiers and poolers that come with a tower take no part: they are neither kept nor shipped.
                trained = [parameter for parameter in trained if parameter.grad is not None]
                average = {names[id(parameter)]: average[names[id(parameter)]] for parameter in trained}
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            step += 1
            with torch.no_grad():
                decay = min(config.ema, (1 + step) / (10 + step))
                for parameter in trained:
                    average[names[id(parameter)]].lerp_(parameter, 1 - decay)
            running.append(float(loss.detach()))
            progress.update()
            if number % 20 == 0:
                progress.set_postfix(loss=f"{np.mean(running[-50:]):.3f}", src=f"{best_src:.3f}")
            if checkpoint.due():
                checkpoint.save(state_of())
        live = {name: parameter.detach().clone() for name, parameter in model.named_parameters() if name in average}
        _copy_into(model, average)
        outputs_now = predict_rows(model, validation)
        for view, found in outputs_now.items():
            src = float(spearmanr(found["score"], validation.target)[0])
            accuracy = float((found["probabilities"].argmax(1) == validation.level).mean())
            for metric, value in (("src", src), ("accuracy", accuracy)):
                curves.append(
                    {"epoch": epoch, "step": step, "split": "validation", "metric": f"{metric}_{view}", "value": value}
                )
        curves.append(
            {"epoch": epoch, "step": step, "split": "train", "metric": "loss", "value": float(np.mean(running or [0]))}
        )
        spread = float(np.std(outputs_now["both"]["score"]))
        src = next(c["value"] for c in reversed(curves) if c["metric"] == "src_both")
        collapsed = spread < 0.02 or math.isnan(src)
        if collapsed:
            log.warning(
                "collapsed: predictions are nearly constant; lower the rates", folder=str(folder), spread=spread
            )
        log.info("epoch", run=folder.name, epoch=epoch, **{c["metric"]: round(c["value"], 4) for c in curves[-7:]})
        if not math.isnan(src) and src > best_src:
            best_src, best_epoch = src, epoch
            save_file({name: value.contiguous() for name, value in average.items()}, folder / "best.safetensors.tmp")
            (folder / "best.safetensors.tmp").replace(folder / "best.safetensors")
        _copy_into(model, live)
        checkpoint.save(state_of())
        if epoch - best_epoch >= config.patience:
            log.info("stopped early", run=folder.name, epoch=epoch, best_epoch=best_epoch)
            break
    progress.close()
    _copy_into(model, load_file(folder / "best.safetensors"))
    table = pd.DataFrame(curves)
    table.to_parquet(folder / "curves.parquet")
    checkpoint.path.unlink(missing_ok=True)
    return TrainingResult(
        weights=folder / "best.safetensors",
        curves=table,
        best_epoch=best_epoch,
        best_src=best_src,
        seconds=time.monotonic() - began,
        collapsed=collapsed,
        outputs=predict_rows(model, validation),
    )


def _copy_into(model: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in values:
                parameter.copy_(values[name])


def _schedule(step: int, total: int, warmup: float) -> float:
    """Linear warm-up, then cosine to zero, as a factor of the rate."""
    start = max(1, int(warmup * total))
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * (step - start) / max(1, total - start)))


def _freeze_normalisation(model: nn.Module) -> None:
    """Batch norms keep the statistics they were pretrained with: batches are small and some pictures are degraded."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
