"""The training loop of a fusion network.

Resumable: a checkpoint every few minutes, replaced atomically and read without pickles; nothing random in a step
depends on the steps before it, so a resumed training goes on as if it had not stopped. The weights kept are averaged
over the steps (EMA) and those of the best validation epoch, or of the last where nothing chooses; training stops early
when it no longer improves; an alarm says when predictions collapse to a constant. Under `accelerate launch` every
process takes its share of each batch, which stays the same batch, so any other number of them may go on with it.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from safetensors.torch import load_file
from scipy.stats import spearmanr
from tqdm import tqdm

from engine.errors import DataError
from engine.files import replacing
from engine.prediction import View
from training.modeling.batches import by_length
from training.modeling.network import (
    JointNetwork,
    NetworkConfig,
    average_in,
    check_finite,
    copy_into,
    freeze_normalisation,
    losses,
    parameter_groups,
    predict_rows,
    schedule,
    write_weights,
)
from training.modeling.training_set import TrainingSet
from training.tables import claim, write_table

log = structlog.get_logger()
# Spread of predicted scores, on the normal scale, below which a network says the same of every post.
COLLAPSED = 0.02
# Of a training, beside weights and the optimiser's state.
KEPT = ("curves", "running", "best_src", "best_epoch", "step")


@dataclass
class TrainingResult:
    """The weights kept are in the model and in `folder`/best.safetensors.

    `outputs` are the validation outputs by view, empty without validation posts; `weights` hold every tensor that
    training changed.
    """

    curves: pd.DataFrame
    best_epoch: int
    best_src: float
    seconds: float
    collapsed: bool
    weights: dict[str, torch.Tensor]
    outputs: dict[View, dict[str, npt.NDArray[np.float32]]]


class _Training:
    """State of one training: what a checkpoint holds."""

    def __init__(self, model: JointNetwork, config: NetworkConfig, folder: Path, steps: int) -> None:
        # Poolers that come with an encoder take no part in the loss.
        idle = DistributedDataParallelKwargs(find_unused_parameters=True)
        # As `own_process` says it: the first to ask decides for the whole process.
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[idle])
        self.model, self.config, self.folder = model, config, folder
        self.steps = steps
        self.total = min(config.max_steps or config.epochs * steps, config.epochs * steps)
        groups = parameter_groups(model, config)
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        self.wrapped, self.prepared = self.accelerator.prepare(model, self.optimiser)
        self.average: dict[str, torch.Tensor] = {}
        self.curves: list[dict[str, Any]] = []
        # Losses of the epoch that is under way.
        self.running: list[float] = []
        self.best_src, self.best_epoch, self.step = -math.inf, -1, 0
        self.began = self.saved = time.monotonic()

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def stopped_early(self) -> bool:
        """Whether `patience` whole epochs brought none better than the best."""
        return 0 < self.config.patience <= self.step // self.steps - 1 - self.best_epoch

    def save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        found = {name: getattr(self, name) for name in KEPT} | {"seconds": time.monotonic() - self.began}
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "average": self.average}
        with replacing(self.path) as temporary:
            torch.save({**state, "state": json.dumps(found)}, temporary)
        self.saved = time.monotonic()

    def resume(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = {name: value.to(self.accelerator.device) for name, value in state["average"].items()}
        found = json.loads(state["state"])
        self.began = time.monotonic() - found.pop("seconds")
        for name, value in found.items():
            setattr(self, name, value)
        log.info("resumed", run=self.folder.name, step=self.step, of=self.total)

    def learn(self, data: TrainingSet, batch: npt.NDArray[np.int64]) -> float:
        """One step on a batch, of which this process takes its share; returns the loss of the whole batch."""
        rows = batch[self.accelerator.process_index :: self.accelerator.num_processes]
        rate = schedule(self.step, self.total, self.config.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
        # Dropout and augmentation of a step depend on nothing before it; each process draws its own.
        seed = (self.config.seed + 101 * self.config.replicate) * 1_000_003 + self.step
        seed += 1_000_000_007 * self.accelerator.process_index
        torch.manual_seed(seed)
        self.wrapped.train()
        freeze_normalisation(self.model)
        device = self.accelerator.device
        level = data.levels(rows, ordinal=self.config.ordinal).to(device)
        target = torch.as_tensor(data.target[rows], dtype=torch.float32, device=device)
        loss = losses(self.wrapped(*data.fetch(rows, seed=seed)), level, target, self.config)
        # The mean over the processes, which is taken of gradients too, is that over the batch.
        loss = loss * (len(rows) * self.accelerator.num_processes / len(batch))
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if not self.average:
            # Classifiers and poolers that come with an encoder take no part: they are neither kept nor shipped.
            used = {name: p for name, p in self.parameters.items() if p.grad is not None}
            self.average = {name: p.detach().clone() for name, p in used.items()}
        self.accelerator.clip_grad_norm_(list(self.parameters.values()), 1.0)
        self.prepared.step()
        self.step += 1
        average_in(self.average, self.parameters, self.step, self.config.ema)
        return float(self.accelerator.reduce(loss.detach(), reduction="mean"))

    def validate(self, validation: TrainingSet | None, epoch: int, loss: float) -> None:
        """Validate the averaged weights, keep them if they are the best so far, raise the alarm on a collapse.

        Without patience, or posts to validate on, the last are the best. Raises DataError where they are no numbers.
        """
        check_finite(self.average, self.folder, epoch)
        live = {name: self.parameters[name].detach().clone() for name in self.average}
        copy_into(self.model, self.average)
        outputs = {} if validation is None else predict_rows(self.model, validation)
        copy_into(self.model, live)
        found = {"loss": loss}
        for view, output in outputs.items():
            assert validation is not None
            found[f"src_{view}"] = validation_src(outputs, validation, view)
            found[f"accuracy_{view}"] = float((output["probabilities"].argmax(1) == validation.level).mean())
        place = {"epoch": epoch, "step": self.step}
        self.curves += [
            {**place, "split": "train" if metric == "loss" else "validation", "metric": metric, "value": value}
            for metric, value in found.items()
        ]
        if outputs and _constant(outputs[lead_view(self.model)]):
            log.warning("collapsed", run=self.folder.name, epoch=epoch, advice="lower the rates")
        log.info("epoch", run=self.folder.name, epoch=epoch, **{k: round(v, 4) for k, v in found.items()})
        reached = found.get(f"src_{lead_view(self.model)}", math.nan)
        if not self.config.patience or not outputs or reached > self.best_src:
            self.best_src, self.best_epoch = reached, epoch
            if self.accelerator.is_main_process:
                write_weights(self.folder / "best.safetensors", self.average)


def train_network(
    model: JointNetwork, config: NetworkConfig, train: TrainingSet, validation: TrainingSet | None, folder: Path
) -> TrainingResult:
    """Train to the best validation SRC of the leading head, going on where a killed training stopped in `folder`.

    The leading head is that of both sides, or of the one that the network sees. Without patience in `config`, or
    without validation posts, the last epoch is kept.

    Writes best.safetensors and curves.parquet there; a finished training is taken as it is. Raises DataError when the
    folder holds one of another configuration, other posts, targets or encoders, or there is less than one batch, or
    there are more processes than posts in it.
    """
    made_from = {
        "config": asdict(config),
        "set of training posts": train.fingerprint,
        "set of validation posts": validation.fingerprint if validation else "",
    }
    steps = len(train) // config.batch_size
    if not steps:
        raise DataError(f"{len(train)} training posts are fewer than one batch of {config.batch_size}.")
    run = _Training(model, config, folder, steps)
    if run.accelerator.num_processes > config.batch_size:
        raise DataError(f"A batch of {config.batch_size} posts is too few for more processes; start at most as many.")
    if run.accelerator.is_main_process:
        claim(folder, made_from, "a network")
    finished = folder / "curves.parquet"
    done = finished.exists()
    # Every process has looked at the folder before one of them writes there.
    run.accelerator.wait_for_everyone()
    if not done:
        run.resume()
        _fit(run, train, validation)
        if run.accelerator.is_main_process:
            write_table(finished, pd.DataFrame(run.curves).assign(seconds=time.monotonic() - run.began))
            run.path.unlink(missing_ok=True)
    run.accelerator.wait_for_everyone()
    curves = pd.read_parquet(finished)
    best = load_file(folder / "best.safetensors")
    copy_into(model, best)
    scores = curves[curves["metric"] == f"src_{lead_view(model)}"]
    chosen = int(scores["value"].argmax()) if config.patience and len(scores) else -1
    outputs = {} if validation is None else predict_rows(model, validation)
    return TrainingResult(
        curves=curves.drop(columns="seconds"),
        best_epoch=int((scores if len(scores) else curves)["epoch"].iloc[chosen]),
        best_src=float(scores["value"].iloc[chosen]) if len(scores) else math.nan,
        seconds=float(curves["seconds"].iloc[0]),
        collapsed=bool(outputs) and _constant(outputs[lead_view(model)]),
        weights=best,
        outputs=outputs,
    )


def _fit(run: _Training, train: TrainingSet, validation: TrainingSet | None) -> None:
    config = run.config
    quiet = not run.accelerator.is_main_process
    with tqdm(total=run.total, initial=run.step, desc=run.folder.name, mininterval=5, disable=quiet) as progress:
        while run.step < run.total and not run.stopped_early:
            epoch = run.step // run.steps
            generator = np.random.default_rng([config.seed, config.replicate, epoch])
            order = generator.permutation(len(train))
            if train.lengths is not None:
                order = by_length(order, train.lengths, config.batch_size, generator)
            last = min(run.steps, run.total - epoch * run.steps)
            for number in range(run.step - epoch * run.steps, last):
                batch = order[number * config.batch_size : (number + 1) * config.batch_size]
                run.running.append(run.learn(train, batch))
                progress.update()
                if number % 20 == 0:
                    progress.set_postfix(loss=f"{np.mean(run.running[-50:]):.3f}", src=f"{run.best_src:.3f}")
                # Behind its last batch an epoch would count as over, and not be validated.
                if number + 1 < last and time.monotonic() - run.saved > config.checkpoint_minutes * 60:
                    run.save()
            run.validate(validation, epoch, float(np.mean(run.running)))
            run.running = []
            run.save()
    if run.stopped_early:
        log.info("stopped early", run=run.folder.name, best_epoch=run.best_epoch)


def validation_src(outputs: Mapping[View, Mapping[str, Any]], data: TrainingSet, view: View = "both") -> float:
    """Spearman correlation of a head's scores with the target; 0 for a constant."""
    score = outputs[view]["score"]
    return 0.0 if np.ptp(score) == 0 else float(spearmanr(score, data.target)[0])


def lead_view(model: JointNetwork) -> View:
    """The view whose head decides: both sides, or the only one."""
    return model.fusion.config.views[0]


def _constant(output: Mapping[str, npt.NDArray[np.float32]]) -> bool:
    """Whether a head says the same of every post."""
    return float(np.std(output["score"])) < COLLAPSED
