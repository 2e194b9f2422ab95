"""The `align` step: bring the packaged picture and text towers into one space, by contrast of pairs both ways.

Photos with captions and covers with titles each give a batch a step, contrasted among their own kind only, so that
telling a photo from a cover earns nothing; the loss is InfoNCE with a learned temperature (Radford et al. 2021). The
projections learn, on what the towers make of everything, which is computed once. The epoch kept is the best on
validation photos and covers. A run that was stopped goes on at the epoch it was in.
"""

import filecmp
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from torch import nn
from torch.nn import functional

from engine import threads
from engine.captioners import packaged
from engine.encoders import aligned
from engine.encoders.aligned import CONFIG, IMAGE, PROJECTION, TEXT
from engine.files import replacing, replacing_folder, write_json
from training.data.pairs import Pairs
from training.metrics.retrieval import area, mismatched_rows, ranks
from training.modeling.network import average_in, copy_into, write_weights
from training.modeling.towers import KINDS, AlignmentConfig, Material, Towers, material_of
from training.tables import claim, write_table

log = structlog.get_logger()
CHECKPOINT, FINISHED = "checkpoint.pt", "curves.parquet"
# Of a work folder: where trained signals lie beside one another, as they are shipped.
SIGNALS, ALIGNMENT, CAPTIONER = "signals", "alignment", "captioner"
# Where the page reads them.
PACKAGED = {ALIGNMENT: aligned.SHIPPED, CAPTIONER: packaged.SHIPPED}


def is_packaged(work: Path, *names: str) -> bool:
    """Whether signals that were trained in a work folder are, to the byte, those that the page reads."""
    for name in names:
        trained, shipped = work / SIGNALS / name, PACKAGED[name]
        files = sorted(path.name for path in shipped.iterdir())
        if not trained.is_dir() or filecmp.cmpfiles(trained, shipped, files, shallow=False)[0] != files:
            return False
    return True


def _contrast(pictures: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, smoothing: float) -> torch.Tensor:
    logits = pictures @ texts.T * scale.exp().clamp(max=100)
    own = torch.arange(len(logits), device=logits.device)
    ways = (functional.cross_entropy(way, own, label_smoothing=smoothing) for way in (logits, logits.T))
    return sum(ways, torch.zeros(())) / 2


@torch.inference_mode()
def _validated(towers: Towers, materials: Mapping[str, Material]) -> dict[str, float]:
    """Recall at 10 both ways among validation photos, and matched against mismatched validation covers."""
    vectors = {}
    towers.eval()
    for kind, material in materials.items():
        rows = material.pairs.rows("validation")
        places, owner = material.sentences(rows)
        pictures, texts = towers.image(material.pictures(rows)), towers.text(material.read[places])
        vectors[kind] = pictures.numpy(), texts.numpy(), owner
    found = {way: float((places < 10).mean()) for way, places in ranks(*vectors["photos"]).items()}
    pictures, titles, _ = vectors["covers"]
    others = mismatched_rows(len(titles), np.arange(len(titles)))
    mismatched = np.einsum("nd,nkd->nk", pictures, titles[others]).ravel()
    return {**found, "auc": area((pictures * titles).sum(axis=1), mismatched)}


class _Training:
    """State of one training, kept after every epoch."""

    def __init__(self, towers: Towers, materials: dict[str, Material], config: AlignmentConfig, folder: Path) -> None:
        self.towers, self.materials, self.config, self.folder = towers, materials, config, folder
        self.optimiser = torch.optim.AdamW(towers.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        self.steps = max(1, len(materials["photos"].pairs.rows("train")) // config.photos)
        self.parameters = dict(towers.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.epoch, self.best, self.curves = 0, -math.inf, list[dict[str, Any]]()

    def resume(self) -> None:
        path = self.folder / CHECKPOINT
        if path.exists():
            state = torch.load(path, weights_only=True)
            copy_into(self.towers, state["parameters"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average = state["average"]
            for name, value in json.loads(state["state"]).items():
                setattr(self, name, value)
            log.info("resumed", run="alignment", epoch=self.epoch)

    def save(self) -> None:
        facts = json.dumps({"epoch": self.epoch, "best": self.best, "curves": self.curves})
        state = {"parameters": self._live(), "optimiser": self.optimiser.state_dict(), "average": self.average}
        with replacing(self.folder / CHECKPOINT) as temporary:
            torch.save({**state, "state": facts}, temporary)

    def _live(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    def run_epoch(self) -> None:
        began = time.monotonic()
        orders = [self._order(kind, number) for number, kind in enumerate(KINDS)]
        losses = [self._learn(orders, step) for step in range(self.steps)]
        # Judged and kept are the weights averaged over the steps.
        live = self._live()
        copy_into(self.towers, self.average)
        found = _validated(self.towers, self.materials)
        score = found["text_to_image"] + found["image_to_text"] + 2 * found["auc"]
        if score > self.best:
            self.best = score
            self._keep()
        copy_into(self.towers, live)
        found |= dict(zip((f"loss_{kind}" for kind in KINDS), np.mean(losses, axis=0).tolist(), strict=True))
        self.curves += [{"epoch": self.epoch, "metric": metric, "value": value} for metric, value in found.items()]
        shown = {name: round(value, 3) for name, value in found.items()}
        log.info("epoch", epoch=self.epoch, seconds=round(time.monotonic() - began), **shown)
        self.epoch += 1
        self.save()

    def _learn(self, orders: Sequence[npt.NDArray[np.int64]], step: int) -> list[float]:
        """One step; returns the loss of each kind of pairs."""
        config, number = self.config, self.epoch * self.steps + step
        self._rate(number)
        self.towers.train()
        torch.manual_seed(config.seed * 1_000_003 + number)
        chooser = np.random.default_rng([config.seed, number])
        losses = []
        for kind, order, size in zip(KINDS, orders, (config.photos, config.covers), strict=True):
            rows, material = order[step * size : (step + 1) * size], self.materials[kind]
            chosen = material.first[rows] + chooser.integers(material.counts[rows])
            pictures, texts = self.towers.image(material.pictures(rows)), self.towers.text(material.read[chosen])
            losses.append(_contrast(pictures, texts, self.towers.scales[kind], config.smoothing))
        self.optimiser.zero_grad(set_to_none=True)
        (losses[0] + config.covers_weight * losses[1]).backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimiser.step()
        average_in(self.average, self.parameters, number, config.average)
        return [float(loss.detach()) for loss in losses]

    def _keep(self) -> None:
        """Write the projection of each side, in half precision, as the encoders read it."""
        for head, file in ((self.towers.image, IMAGE), (self.towers.text, TEXT)):
            tensors = {f"{PROJECTION}.{name}": parameter for name, parameter in head.named_parameters()}
            write_weights(self.folder / file, tensors, half=True)

    def _order(self, kind: str, number: int) -> npt.NDArray[np.int64]:
        """Training rows of this epoch, again from the start where they are fewer than the steps need."""
        rows = self.materials[kind].pairs.rows("train")
        size = self.steps * (self.config.photos, self.config.covers)[number]
        generator = np.random.default_rng([self.config.seed, self.epoch, number])
        return np.concatenate([generator.permutation(rows) for _ in range(-(-size // len(rows)))])[:size]

    def _rate(self, step: int) -> None:
        """Warm-up and cosine."""
        done = (step + 1) / (self.config.epochs * self.steps)
        share = min(1.0, done / self.config.warmup) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimiser.param_groups:
            group["lr"] = share * self.config.rate


def align(photos: Pairs, covers: Pairs, folder: Path, signals: Path, config: AlignmentConfig) -> Path:
    """Train in `folder`, or go on there; returns the folder in `signals` that `aligned-image:` and `-text:` read.

    Raises DataError when the folder holds one of other pairs or settings.
    """
    threads.configure()
    towers = Towers(config)
    made_from = {
        "config": asdict(config),
        "photos": photos.fingerprint,
        "covers": covers.fingerprint,
        "encoders": [towers.image_encoder.identity, towers.text_encoder.identity],
    }
    claim(folder, made_from, "an alignment")
    result = signals / ALIGNMENT
    if (folder / FINISHED).exists() and (result / CONFIG).exists():
        return result
    materials = {
        kind: material_of(towers, pairs, folder / f"{kind}.npy")
        for kind, pairs in zip(KINDS, (photos, covers), strict=True)
    }
    run = _Training(towers, materials, config, folder)
    run.resume()
    while run.epoch < config.epochs:
        run.run_epoch()
    signals.mkdir(parents=True, exist_ok=True)
    with replacing_folder(result) as temporary:
        for file in (IMAGE, TEXT):
            (temporary / file).write_bytes((folder / file).read_bytes())
        write_json(temporary / CONFIG, {"width": config.width, "hidden": config.hidden, "config": asdict(config)})
    write_table(folder / FINISHED, pd.DataFrame(run.curves))
    return result
