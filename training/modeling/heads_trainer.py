"""The training loop of two heads on a picture: what each epoch reached, when it stopped, which weights are kept.

The best weights are kept, those of a `published` training are its last. A killed training goes on from its last
checkpoint, which is read without pickles.
"""

import json
import math
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import structlog
import torch
from safetensors.torch import load_file
from torch import nn

from engine.errors import DataError
from engine.files import replacing, write_json
from training.modeling.heads_network import (
    HeadsData,
    HeadsModel,
    HeadsTraining,
    Rows,
    accuracy_of,
    evaluate_heads,
    inputs_of,
    losses_of,
)
from training.modeling.network import check_finite, freeze_normalisation, schedule, write_weights
from training.tables import claim, write_table

log = structlog.get_logger()


@dataclass
class HeadsResult:
    """Curves (epoch, step, split, metric, value), the epoch whose weights the model now has, and what it took."""

    curves: pd.DataFrame
    epochs: int
    kept_epoch: int
    seconds: float
    images_per_second: float
    peak_megabytes: float


def train_heads(
    model: HeadsModel, config: HeadsTraining, learning: HeadsData, choosing: HeadsData, folder: Path
) -> HeadsResult:
    """Train until the posts set apart are answered no better, and leave the best weights in the model.

    Writes best.safetensors and curves.parquet into `folder`; a finished training is taken as it is. Raises DataError
    when the folder holds one of other posts or another configuration, or there is less than one batch.
    """
    if len(learning) < config.batch_size:
        raise DataError(f"{len(learning)} training posts are fewer than one batch of {config.batch_size}.")
    made_from = {"config": asdict(config), "train": learning.fingerprint, "choosing": choosing.fingerprint}
    claim(folder, made_from, "a network")
    finished = folder / "curves.parquet"
    if not finished.exists():
        _fit(model, config, learning, choosing, folder, finished)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    model.load_state_dict(load_file(folder / "best.safetensors"))
    curves = pd.read_parquet(finished)
    facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return HeadsResult(curves, **facts)


def _fit(
    model: HeadsModel, config: HeadsTraining, learning: HeadsData, choosing: HeadsData, folder: Path, finished: Path
) -> None:
    steps = len(learning) // config.batch_size
    encoder = [] if model.encoder is None else list(model.encoder.parameters())
    heads = [parameter for name, parameter in model.named_parameters() if not name.startswith("encoder.")]
    groups = [
        {"params": heads, "lr": config.heads_rate},
        *([{"params": encoder, "lr": config.rate}] if encoder else []),
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)
    rates = [group["lr"] for group in optimiser.param_groups]
    state: dict[str, Any] = {"curves": [], "best": math.inf, "kept": 0, "epoch": 0, "seconds": 0.0}
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(stored["model"])
        optimiser.load_state_dict(stored["optimiser"])
        state = json.loads(stored["state"])
    began = time.monotonic() - state["seconds"]
    saved = time.monotonic()
    for epoch in range(state["epoch"], config.epochs):
        order = np.random.default_rng([config.seed, epoch]).permutation(len(learning))
        found = []
        for number in range(steps):
            place = epoch * steps + number
            factor = 1.0 if config.published else schedule(place, config.epochs * steps, config.warmup)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            rows = order[number * config.batch_size : (number + 1) * config.batch_size]
            found.append(_learn(model, config, optimiser, learning, rows, config.seed * 1_000_003 + place))
        check_finite(model.state_dict(), folder, epoch)
        means = {name: float(np.nanmean([one[name] for one in found])) for name in found[0]}
        reached = evaluate_heads(model, choosing, config)
        for split, figures in (("train", means), ("validation", reached)):
            state["curves"] += [(epoch, (epoch + 1) * steps, split, name, value) for name, value in figures.items()]
        log.info("epoch", run=folder.name, epoch=epoch, **{name: round(value, 3) for name, value in reached.items()})
        better = reached["criterion"] < state["best"]
        if better:
            state["best"], state["best_epoch"] = reached["criterion"], epoch
        if better or config.published:
            state["kept"] = epoch
        if better and not config.published:
            write_weights(folder / "best.safetensors", model.state_dict())
        state |= {"epoch": epoch + 1, "seconds": time.monotonic() - began}
        if epoch - state.get("best_epoch", 0) >= config.patience:
            log.info("stopped early", run=folder.name, epoch=epoch, kept=state["kept"])
            break
        if time.monotonic() - saved > config.checkpoint_minutes * 60:
            stored = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "state": json.dumps(state)}
            with replacing(checkpoint) as temporary:
                torch.save(stored, temporary)
            saved = time.monotonic()
    if config.published:
        write_weights(folder / "best.safetensors", model.state_dict())
    seconds = time.monotonic() - began
    # The most that this process has held, in MB; Linux counts in KiB.
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    peak = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else resident
    facts = {
        "kept_epoch": state["kept"],
        "epochs": state["epoch"],
        "seconds": seconds,
        "images_per_second": state["epoch"] * steps * config.batch_size / max(seconds, 1e-9),
        "peak_megabytes": peak,
    }
    write_json(folder / "training.json", facts)
    write_table(finished, pd.DataFrame(state["curves"], columns=["epoch", "step", "split", "metric", "value"]))


def _learn(
    model: HeadsModel, config: HeadsTraining, optimiser: torch.optim.Optimizer, data: HeadsData, rows: Rows, seed: int
) -> dict[str, float]:
    """One step on some rows; returns what both losses and the accuracy were."""
    torch.manual_seed(seed)
    model.train()
    freeze_normalisation(model)
    _, logits, said = model(*inputs_of(model, data, rows, torch.Generator().manual_seed(seed)))
    category, score = losses_of(logits, said, data, rows, config)
    loss = category + score if config.published else model.weighed(category, score)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), math.inf if config.published else 1.0)
    optimiser.step()
    figures = {"loss": loss, "category_loss": category, "score_loss": score}
    found = {name: float(value.detach()) for name, value in figures.items()}
    return {**found, "category_accuracy": accuracy_of(logits, data.category[rows])}


def figures_of(model: HeadsModel, result: HeadsResult) -> Mapping[str, Any]:
    """How large the network is, how much of it one layer holds, and what its training took."""
    sizes = {
        name: sum(parameter.numel() for parameter in module.parameters(recurse=False))
        for name, module in model.named_modules()
        if name
    }
    largest = max(sizes, key=lambda name: sizes[name])
    total = sum(parameter.numel() for parameter in model.parameters())
    return {
        "parameters": total,
        "largest_layer": largest,
        "largest_share": sizes[largest] / total,
        **{name: value for name, value in vars(result).items() if name != "curves"},
    }
