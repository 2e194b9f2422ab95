"""The `align` step: bring the packaged picture and text towers into one space, by contrast of pairs both ways.

Photos with captions and covers with titles each give a batch a step, contrasted among their own kind only, so that
telling a photo from a cover earns nothing; the loss is InfoNCE with a learned temperature (Radford et al. 2021). First
the projections alone learn, on what the frozen towers make of everything, which is computed once; then the last block
and head of EfficientNet-Lite2 and the upper half of MiniLM learn with them. The epoch kept is the best on validation
photos and covers. A run that was stopped goes on at the epoch it was in.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from engine import threads
from engine.encoders.aligned import CONFIG, IMAGE, TEXT, AlignedImage, AlignedText
from engine.encoders.packaged import MiniLM
from engine.encoders.runtime import autocast
from engine.files import replacing, replacing_folder, write_json
from engine.images import load_image
from training.data.pairs import Pairs
from training.metrics.retrieval import area, mismatched_rows, ranks
from training.modeling.trainer import copy_into
from training.tables import claim, write_table

log = structlog.get_logger()
Half = npt.NDArray[np.float16]
BATCH = 32
KINDS = ("photos", "covers")
CHECKPOINT, FINISHED = "checkpoint.pt", "curves.parquet"
# Of a work folder: where trained signals lie beside one another, as they are shipped.
SIGNALS, ALIGNMENT = "signals", "alignment"


@dataclass(frozen=True)
class AlignmentConfig:
    """How the alignment is trained; rates are those of AdamW at the top of the schedule.

    The first `frozen` epochs train the projections alone, at `frozen_rate`; batches hold so many `photos` and `covers`,
    and the loss of the covers weighs `covers_weight`.
    """

    width: int = 512
    hidden: int = 1024
    frozen: int = 30
    epochs: int = 38
    photos: int = 256
    covers: int = 256
    covers_weight: float = 0.7
    frozen_rate: float = 1e-3
    rate: float = 2e-4
    image_rate: float = 2e-4
    text_rate: float = 6e-5
    text_layers: int = 3
    dropout: float = 0.5
    smoothing: float = 0.1
    noise: float = 0.1
    weight_decay: float = 0.3
    warmup: float = 0.08
    average: float = 0.98
    seed: int = 0


class Towers(nn.Module):
    """Both encoders, and a temperature for each kind of pair."""

    def __init__(self, config: AlignmentConfig) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.image = AlignedImage(None, width=config.width, hidden=config.hidden, dropout=config.dropout)
        self.text = AlignedText(None, width=config.width)
        self.sides = nn.ModuleDict({"image": self.image.module, "text": self.text.module})
        self.scales = nn.ParameterDict({kind: nn.Parameter(torch.tensor(math.log(14.0))) for kind in KINDS})
        layers: Any = self.text.module.get_submodule("encoder.layer")
        self.layers = list(layers[len(layers) - config.text_layers :])
        for module in (self.image.head, self.text.head, *self.layers, *self.image.tail_modules()):
            module.requires_grad_(True)

    def groups(self, config: AlignmentConfig) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser: projections with temperatures, text layers, picture blocks."""
        heads = [*self.image.head.parameters(), *self.text.head.parameters(), *self.scales.parameters()]
        texts = [p for layer in self.layers for p in layer.parameters()]
        pictures = [p for module in self.image.tail_modules() for p in module.parameters()]
        rates = (config.rate, config.text_rate, config.image_rate)
        return [{"params": params, "rate": rate} for params, rate in zip((heads, texts, pictures), rates, strict=True)]

    def seen(self, maps: torch.Tensor) -> torch.Tensor:
        """What the projection reads of pictures, (n, channels), of their maps; differentiable."""
        return self.image.pooled(self.image.tail(maps))

    def read(self, texts: Sequence[str]) -> torch.Tensor:
        """What the projection reads of texts, (n, channels); differentiable."""
        batch = {name: value.to(self.text.device) for name, value in self.text.tokenize(texts).items()}
        return MiniLM.forward(self.text, batch)[0]


class Material:
    """Pairs of one kind as the towers meet them: kept maps of the pictures, and the sentences."""

    def __init__(self, pairs: Pairs, maps: Half) -> None:
        self.pairs, self.maps = pairs, maps
        self.first = np.cumsum([0, *map(len, pairs.texts)])
        self._seen: torch.Tensor | None = None
        self._read: torch.Tensor | None = None

    def maps_of(self, rows: npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
        """Maps (n, channels, rows, columns) of some pictures."""
        return torch.from_numpy(self.maps[rows].astype(np.float32)).to(device).permute(0, 3, 1, 2)

    def freeze(self, towers: Towers) -> None:
        """Compute once what the projections read of every picture and sentence, while the towers are as they are."""
        if self._seen is None:
            self._seen = seen_of(towers, self, np.arange(len(self.maps)))
            self._read = read_of(towers, [text for texts in self.pairs.texts for text in texts])

    def thaw(self) -> None:
        """Let go of what `freeze` computed."""
        self._seen = self._read = None

    def vectors(
        self, towers: Towers, rows: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64], noise: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of some pictures, augmented, and of the sentence chosen for each."""
        if self._seen is not None and self._read is not None:
            return towers.image.head(self._seen[rows]), towers.text.head(self._read[self.first[rows] + chosen])
        texts = [self.pairs.texts[row][choice] for row, choice in zip(rows, chosen, strict=True)]
        maps = _augmented(self.maps_of(rows, towers.image.device), noise)
        return towers.image.head(towers.seen(maps)), towers.text.head(towers.read(texts))


@torch.inference_mode()
def seen_of(towers: Towers, material: Material, rows: npt.NDArray[np.int64]) -> torch.Tensor:
    """What the projection reads of some pictures, (n, channels)."""
    towers.eval()
    with autocast(towers.image.device, towers.image.dtype):
        parts = [
            towers.seen(material.maps_of(rows[start : start + BATCH], towers.image.device)).float()
            for start in range(0, len(rows), BATCH)
        ]
    return torch.cat(parts).clone()


@torch.inference_mode()
def read_of(towers: Towers, texts: Sequence[str]) -> torch.Tensor:
    """What the projection reads of some texts, (n, channels)."""
    towers.eval()
    # Texts of like length share a batch: little padding to compute.
    order = np.argsort([len(text) for text in texts], kind="stable")
    with autocast(towers.text.device, towers.image.dtype):
        parts = [
            towers.read([texts[place] for place in part]).float()
            for part in np.array_split(order, len(order) // 128 + 1)
        ]
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))].clone()


def _augmented(maps: torch.Tensor, noise: float) -> torch.Tensor:
    """Maps of which half are mirrored, all with a little multiplicative noise that the channels of a cell share."""
    mirrored = torch.rand(len(maps), device=maps.device) < 0.5
    maps = torch.where(mirrored[:, None, None, None], maps.flip(-1), maps)
    return maps * (1 + noise * torch.randn_like(maps[:, :1]))


def _contrast(pictures: torch.Tensor, texts: torch.Tensor, scale: torch.Tensor, smoothing: float) -> torch.Tensor:
    logits = pictures @ texts.T * scale.exp().clamp(max=100)
    own = torch.arange(len(logits), device=logits.device)
    ways = (functional.cross_entropy(way, own, label_smoothing=smoothing) for way in (logits, logits.T))
    return sum(ways, torch.zeros(())) / 2


def _maps(towers: Towers, pairs: Pairs, file: Path) -> Half:
    """Maps (n, rows, columns, channels) of every picture before the blocks that are trained, kept in `file`."""
    if not file.exists():
        found: list[Half] = []
        encoder = towers.image

        @torch.inference_mode()
        def run(images: list[bytes]) -> Half:
            pixels = encoder.preprocess([load_image(image) for image in images]).to(encoder.device)
            with autocast(encoder.device, encoder.dtype):
                maps = encoder.trunk(pixels)
            half: Half = maps.float().cpu().permute(0, 2, 3, 1).numpy().astype(np.float16)
            return half

        parts = [pairs.images[start : start + 8] for start in range(0, len(pairs.images), 8)]
        found.extend(tqdm(threads.in_order(run, parts), desc=file.stem, total=len(parts), unit="×8", mininterval=5))
        with replacing(file) as temporary, open(temporary, "wb") as stream:
            np.save(stream, np.concatenate(found))
    return read_maps(file.parent, file.stem)


def read_maps(folder: Path, kind: str) -> Half:
    """Maps (n, rows, columns, channels) that a training in `folder` kept of the pictures of one kind of pairs."""
    kept: Half = np.load(folder / f"{kind}.npy", mmap_mode="r")
    return kept


@torch.inference_mode()
def _validated(towers: Towers, materials: Mapping[str, Material]) -> dict[str, float]:
    """Recall at 10 both ways among validation photos, and matched against mismatched validation covers."""
    vectors = {}
    for kind, material in materials.items():
        rows = material.pairs.rows("validation")
        texts = [text for row in rows for text in material.pairs.texts[row]]
        owner = np.repeat(np.arange(len(rows)), [len(material.pairs.texts[row]) for row in rows])
        pictures = towers.image.head(seen_of(towers, material, rows))
        vectors[kind] = pictures.numpy(), towers.text.head(read_of(towers, texts)).numpy(), owner
    found = {way: float((places < 10).mean()) for way, places in ranks(*vectors["photos"]).items()}
    pictures, titles, _ = vectors["covers"]
    others = mismatched_rows(len(titles), np.arange(len(titles)))
    mismatched = np.einsum("nd,nkd->nk", pictures, titles[others]).ravel()
    return {**found, "auc": area((pictures * titles).sum(axis=1), mismatched)}


class _Training:
    """State of one training, kept after every epoch."""

    def __init__(self, towers: Towers, materials: dict[str, Material], config: AlignmentConfig, folder: Path) -> None:
        self.towers, self.materials, self.config, self.folder = towers, materials, config, folder
        self.optimiser = torch.optim.AdamW(towers.groups(config), lr=config.rate, weight_decay=config.weight_decay)
        self.steps = max(1, len(materials["photos"].pairs.rows("train")) // config.photos)
        self.parameters = {name: p for name, p in towers.named_parameters() if p.requires_grad}
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
        began, frozen = time.monotonic(), self.epoch < self.config.frozen
        for material in self.materials.values():
            if frozen:
                material.freeze(self.towers)
            else:
                material.thaw()
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
        self._rates(number)
        self.towers.train()
        # Batch norms keep the statistics they were pretrained with.
        for module in self.towers.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        torch.manual_seed(config.seed * 1_000_003 + number)
        chooser = np.random.default_rng([config.seed, number])
        losses = []
        for kind, order, size in zip(KINDS, orders, (config.photos, config.covers), strict=True):
            rows, material = order[step * size : (step + 1) * size], self.materials[kind]
            chosen = chooser.integers([len(material.pairs.texts[row]) for row in rows])
            with autocast(self.towers.image.device, self.towers.image.dtype):
                pictures, texts = material.vectors(self.towers, rows, chosen, config.noise)
            losses.append(_contrast(pictures.float(), texts.float(), self.towers.scales[kind], config.smoothing))
        self.optimiser.zero_grad(set_to_none=True)
        (losses[0] + config.covers_weight * losses[1]).backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            decay = min(config.average, (1 + number) / (10 + number))
            for name, value in self.average.items():
                value.lerp_(self.parameters[name], 1 - decay)
        return [float(loss.detach()) for loss in losses]

    def _keep(self) -> None:
        """Write what training changed of each side, in half precision, as the encoders read it."""
        for side, file in (("image", IMAGE), ("text", TEXT)):
            tensors = {
                name: parameter.detach().half().cpu().contiguous()
                for name, parameter in self.towers.sides[side].named_parameters()
                if parameter.requires_grad
            }
            with replacing(self.folder / file) as temporary:
                save_file(tensors, temporary)

    def _order(self, kind: str, number: int) -> npt.NDArray[np.int64]:
        """Training rows of this epoch, again from the start where they are fewer than the steps need."""
        rows = self.materials[kind].pairs.rows("train")
        size = self.steps * (self.config.photos, self.config.covers)[number]
        generator = np.random.default_rng([self.config.seed, self.epoch, number])
        return np.concatenate([generator.permutation(rows) for _ in range(-(-size // len(rows)))])[:size]

    def _rates(self, step: int) -> None:
        """Warm-up and cosine, once for each of the two stages."""
        config, turn = self.config, self.config.frozen * self.steps
        first = step < turn
        begin, end = (0, turn) if first else (turn, config.epochs * self.steps)
        done = (step - begin + 1) / (end - begin)
        share = min(1.0, done / config.warmup) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimiser.param_groups:
            group["lr"] = share * (config.frozen_rate if first else group["rate"])


def align(photos: Pairs, covers: Pairs, folder: Path, signals: Path, config: AlignmentConfig) -> Path:
    """Train in `folder`, or go on there; returns the folder in `signals` that `aligned-image:` and `-text:` read.

    Raises DataError when the folder holds one of other pairs or settings.
    """
    threads.configure()
    made_from = {"config": asdict(config), "photos": photos.fingerprint, "covers": covers.fingerprint}
    claim(folder, made_from, "an alignment")
    result = signals / ALIGNMENT
    if (folder / FINISHED).exists() and (result / CONFIG).exists():
        return result
    towers = Towers(config)
    materials = {
        kind: Material(pairs, _maps(towers, pairs, folder / f"{kind}.npy"))
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
