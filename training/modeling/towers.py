"""What the alignment trains and on what: a projection for each tower, and pairs as the towers, left as they are, see
them."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from engine import threads
from engine.encoders.aligned import AlignedImage, AlignedText
from engine.encoders.runtime import autocast
from engine.files import replacing
from engine.images import load_image
from training.data.pairs import Pairs

Half = npt.NDArray[np.float16]
Rows = npt.NDArray[np.int64]
# Pictures, and sentences, that go through a tower together.
PICTURES, SENTENCES = 8, 128
KINDS = ("photos", "covers")


@dataclass(frozen=True)
class AlignmentConfig:
    """How the alignment is trained; the rate is that of AdamW at the top of its schedule.

    Batches hold so many `photos` and `covers`, and the loss of the covers weighs `covers_weight`. Of what the
    projections read, and of hidden units, `dropout` is dropped on the side of pictures, `text_dropout` of words.
    """

    width: int = 512
    hidden: int = 1024
    epochs: int = 60
    photos: int = 256
    covers: int = 256
    covers_weight: float = 0.7
    rate: float = 1e-3
    dropout: float = 0.5
    text_dropout: float = 0.1
    smoothing: float = 0.1
    weight_decay: float = 0.3
    warmup: float = 0.08
    average: float = 0.98
    seed: int = 0


class Towers(nn.Module):
    """Projections of both sides, and a temperature for each kind of pair: what is trained, on the CPU.

    The encoders stay as they are, where they are.
    """

    def __init__(self, config: AlignmentConfig) -> None:
        super().__init__()
        torch.manual_seed(config.seed)
        self.image_encoder = AlignedImage(None, width=config.width, hidden=config.hidden, dropout=config.dropout)
        self.text_encoder = AlignedText(None, width=config.width, dropout=config.text_dropout)
        self.image, self.text = self.image_encoder.head, self.text_encoder.head
        self.scales = nn.ParameterDict({kind: nn.Parameter(torch.tensor(math.log(14.0))) for kind in KINDS})
        self.cpu().requires_grad_(True)


@dataclass(frozen=True)
class Material:
    """Pairs of one kind with what the projections read of every picture, (n, channels), and sentence, (m, channels)."""

    pairs: Pairs
    seen: Half
    read: torch.Tensor

    @cached_property
    def counts(self) -> Rows:
        """How many sentences each picture has; those of one stand together, in the order of the pictures."""
        return np.array([len(texts) for texts in self.pairs.texts])

    @cached_property
    def first(self) -> Rows:
        """Place of each picture's first sentence."""
        return self.counts.cumsum() - self.counts

    def sentences(self, rows: Rows) -> tuple[Rows, Rows]:
        """Places of all sentences of some pictures, and which of these pictures each is of."""
        places = [np.arange(self.first[row], self.first[row] + self.counts[row]) for row in rows]
        return np.concatenate(places), np.repeat(np.arange(len(rows)), self.counts[rows])

    def pictures(self, rows: Rows) -> torch.Tensor:
        """What the projection reads of some pictures."""
        return torch.from_numpy(self.seen[rows].astype(np.float32))


def material_of(towers: Towers, pairs: Pairs, file: Path) -> Material:
    """The pairs as the towers see them; of the pictures, which take the time, it is kept in `file`."""
    if not file.exists():
        encoder = towers.image_encoder

        @torch.inference_mode()
        def run(images: list[bytes]) -> Half:
            pixels = encoder.preprocess([load_image(image) for image in images]).to(encoder.device)
            with autocast(encoder.device, encoder.dtype):
                seen = encoder.seen(pixels)[0]
            half: Half = seen.float().cpu().numpy().astype(np.float16)
            return half

        parts = [pairs.images[start : start + PICTURES] for start in range(0, len(pairs.images), PICTURES)]
        done = threads.in_order(run, parts)
        found = [*tqdm(done, desc=file.stem, total=len(parts), unit=f"×{PICTURES}", mininterval=5)]
        with replacing(file) as temporary, open(temporary, "wb") as stream:
            np.save(stream, np.concatenate(found))
    seen: Half = np.load(file, mmap_mode="r")
    return Material(pairs, seen, _read_of(towers, [text for texts in pairs.texts for text in texts]))


@torch.inference_mode()
def _read_of(towers: Towers, texts: list[str]) -> torch.Tensor:
    encoder = towers.text_encoder
    # Texts of like length share a batch: little padding to compute.
    order = np.argsort([len(text) for text in texts], kind="stable")
    parts = []
    with autocast(encoder.device, towers.image_encoder.dtype):
        for part in np.array_split(order, len(order) // SENTENCES + 1):
            batch = encoder.tokenize([texts[place] for place in part])
            read = encoder.read({name: value.to(encoder.device) for name, value in batch.items()})[0]
            parts.append(read.float().cpu())
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))].clone()
