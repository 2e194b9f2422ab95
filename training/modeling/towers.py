"""What the alignment trains and on what: both towers, and pairs as the towers meet them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from engine import threads
from engine.encoders.aligned import AlignedImage, AlignedText
from engine.encoders.packaged import MiniLM
from engine.encoders.runtime import autocast
from engine.files import replacing
from engine.images import load_image
from training.data.pairs import Pairs

Half = npt.NDArray[np.float16]
BATCH = 32
KINDS = ("photos", "covers")


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


def maps_of(towers: Towers, pairs: Pairs, file: Path) -> Half:
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
