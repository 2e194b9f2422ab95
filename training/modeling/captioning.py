"""The captioner's training: a small decoder learns to say what photos show, on the grid of a frozen picture tower.

The grids of every photo, as it is and mirrored, are computed once and kept. The tokenizer (byte-pair encoding) learns
from the training captions alone. Weights are averaged over the steps, and the epoch kept is the best on validation
photos by BLEU-4. A run that was stopped goes on at the epoch it was in.
"""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from PIL import ImageOps
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from engine import threads
from engine.captioners.decoder import END, PAD, SPECIALS, START, CaptionDecoder, DecoderConfig, beam_search
from engine.captioners.packaged import BEAMS, CONFIG, PENALTY, TOKENIZER, WEIGHTS
from engine.encoders import load_encoder
from engine.encoders.base import Encoder
from engine.encoders.runtime import autocast
from engine.files import replacing, replacing_folder, write_json
from engine.images import load_image
from training.data.pairs import Pairs, plain_caption
from training.metrics.captions import bleu4
from training.modeling.alignment import CAPTIONER
from training.modeling.network import average_in, write_weights
from training.tables import claim, write_table

log = structlog.get_logger()
Half = npt.NDArray[np.float16]
BATCH = 32
FINISHED = "curves.parquet"
# Validation photos that an epoch is judged by; a beam search of all of them every time would take as long as learning.
JUDGED = 300


@dataclass(frozen=True)
class CaptioningConfig:
    """How the captioner is trained. `photos` a batch, each with all its captions."""

    tower: str = "lite2"
    vocabulary: int = 3000
    width: int = 256
    layers: int = 3
    epochs: int = 9
    photos: int = 64
    rate: float = 1e-3
    warmup: int = 100
    dropout: float = 0.3
    smoothing: float = 0.1
    weight_decay: float = 0.05
    average: float = 0.998
    seed: int = 0


def learn_tokenizer(captions: list[str], size: int) -> Any:
    """A byte-pair tokenizer of the `tokenizers` library, from plain captions."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIALS[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=3, special_tokens=list(SPECIALS), show_progress=False)
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer


def _grids(tower: Encoder, pairs: Pairs, file: Path) -> Half:
    """Grids (2, n, cells, channels) of every photo, as it is and mirrored, kept in `file`."""
    if not file.exists():
        count, cells = len(pairs.images), math.prod(tower.grid)  # type: ignore[attr-defined]
        with replacing(file) as temporary:
            found = np.lib.format.open_memmap(temporary, "w+", np.float16, (2, count, cells, tower.token_dim))
            for start in tqdm(range(0, count, BATCH), desc="grids", mininterval=5):
                images = [load_image(image) for image in pairs.images[start : start + BATCH]]
                for side, pictures in enumerate((images, [ImageOps.mirror(image) for image in images])):
                    found[side, start : start + BATCH] = tower.tokens(pictures).values.half().numpy()
            found.flush()
    kept: Half = np.load(file, mmap_mode="r")
    return kept


class _Training:
    """State of one training, kept after every epoch."""

    def __init__(self, pairs: Pairs, grids: Half, tower: Encoder, config: CaptioningConfig, folder: Path) -> None:
        self.pairs, self.grids, self.config, self.folder = pairs, grids, config, folder
        self.captions = [[plain_caption(text) for text in texts] for texts in pairs.texts]
        train = pairs.rows("train")
        self.tokenizer = learn_tokenizer([text for row in train for text in self.captions[row]], config.vocabulary)
        self.shape = DecoderConfig(
            self.tokenizer.get_vocab_size(),
            grid=tower.token_dim,
            width=config.width,
            layers=config.layers,
            dropout=config.dropout,
        )
        self.pieces = [
            [self.tokenizer.encode(text).ids[: self.shape.length - 1] for text in texts] for texts in self.captions
        ]
        self.captions_each = max(len(self.pieces[row]) for row in train)
        torch.manual_seed(config.seed)
        self.decoder, self.dtype = CaptionDecoder(self.shape), tower.dtype
        self.average = {name: p.detach().clone() for name, p in self.decoder.named_parameters()}
        self.optimiser = torch.optim.AdamW(
            self.decoder.parameters(), lr=config.rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
        )
        self.steps = max(1, len(train) // config.photos)
        self.epoch, self.step, self.best, self.curves = 0, 0, -math.inf, list[dict[str, Any]]()

    def resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.decoder.load_state_dict(state["decoder"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average = state["average"]
            for name, value in json.loads(state["state"]).items():
                setattr(self, name, value)
            log.info("resumed", run="captioner", epoch=self.epoch)

    def save(self) -> None:
        facts = {name: getattr(self, name) for name in ("epoch", "step", "best", "curves")}
        state = {"decoder": self.decoder.state_dict(), "optimiser": self.optimiser.state_dict()}
        with replacing(self.folder / "checkpoint.pt") as temporary:
            torch.save({**state, "average": self.average, "state": json.dumps(facts)}, temporary)

    def learn(self, rows: npt.NDArray[np.int64]) -> float:
        """One step on some photos with all their captions; returns the loss."""
        config = self.config
        torch.manual_seed(config.seed * 1_000_003 + self.step)
        sides = np.random.default_rng([config.seed, self.step]).integers(2, size=len(rows))
        grid = torch.from_numpy(
            np.stack([self.grids[side, row] for side, row in zip(sides, rows, strict=True)])
        ).float()
        # Of each photo as many as every other has, some twice where it has fewer.
        own, count = [self.pieces[row] for row in rows], self.captions_each
        sequences = [[START, *texts[place % len(texts)], END] for texts in own for place in range(count)]
        pieces = torch.full((len(sequences), max(map(len, sequences))), PAD)
        for place, sequence in enumerate(sequences):
            pieces[place, : len(sequence)] = torch.tensor(sequence)
        done = self.step / (self.steps * config.epochs)
        rate = config.rate * min(1, (self.step + 1) / config.warmup) * 0.5 * (1 + math.cos(math.pi * done))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.decoder.train()
        with autocast(torch.device("cpu"), self.dtype):
            logits = self.decoder(self.decoder.look(grid), pieces[:, :-1])
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1), pieces[:, 1:].flatten(), ignore_index=PAD, label_smoothing=config.smoothing
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        average_in(self.average, dict(self.decoder.named_parameters()), self.step, config.average)
        return float(loss.detach())

    def run_epoch(self) -> None:
        began = time.monotonic()
        order = np.random.default_rng([self.config.seed, self.epoch]).permutation(self.pairs.rows("train"))
        size = self.config.photos
        losses = [self.learn(order[number * size : (number + 1) * size]) for number in range(self.steps)]
        judge = CaptionDecoder(self.shape).eval()
        judge.load_state_dict(self.average)
        judged = self.pairs.rows("validation")[:JUDGED]
        score = bleu4(self.write(judge, judged), [self.captions[row] for row in judged])[0]
        self.curves += [
            {"epoch": self.epoch, "metric": metric, "value": value}
            for metric, value in (("loss", float(np.mean(losses))), ("bleu4", score))
        ]
        seconds = round(time.monotonic() - began)
        log.info(
            "epoch", epoch=self.epoch, seconds=seconds, loss=round(float(np.mean(losses)), 3), bleu4=round(score, 4)
        )
        if score > self.best:
            self.best = score
            write_weights(self.folder / WEIGHTS, self.average, half=True)
        self.epoch += 1
        self.save()

    def write(self, decoder: CaptionDecoder, rows: npt.NDArray[np.int64]) -> list[str]:
        """Captions of some photos."""
        found: list[str] = []
        with autocast(torch.device("cpu"), self.dtype):
            for start in range(0, len(rows), BATCH):
                grid = torch.from_numpy(self.grids[0][rows[start : start + BATCH]]).float()
                searched = beam_search(decoder, grid, beams=BEAMS, penalty=PENALTY)
                found += [self.tokenizer.decode(pieces) for pieces, _ in searched]
        return found


def train_captioner(
    photos: Pairs, folder: Path, signals: Path, config: CaptioningConfig, *, minutes: float = math.inf
) -> Path:
    """Train in `folder`, or go on there; returns the folder in `signals` that `grid:` reads.

    No pass over the photos begins after so many `minutes`; the best of those made is taken then.

    Raises DataError when the folder holds one of other photos or settings.
    """
    threads.configure()
    tower = load_encoder(config.tower)
    made_from = {"config": asdict(config), "photos": photos.fingerprint, "tower": tower.identity}
    claim(folder, made_from, "a captioner")
    result = signals / CAPTIONER
    made = result / CONFIG
    finished = (folder / FINISHED).exists() and made.exists()
    # One that was given few minutes goes on.
    if finished and json.loads(made.read_text(encoding="utf-8"))["passes"] >= config.epochs:
        return result
    run = _Training(photos, _grids(tower, photos, folder / "grids.npy"), tower, config, folder)
    run.resume()
    began = time.monotonic()
    while run.epoch < config.epochs and (not run.epoch or time.monotonic() - began < 60 * minutes):
        run.run_epoch()
    signals.mkdir(parents=True, exist_ok=True)
    with replacing_folder(result) as temporary:
        (temporary / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes())
        run.tokenizer.save(str(temporary / TOKENIZER), pretty=False)
        facts = {
            "tower": config.tower,
            "tower_identity": tower.identity,
            "decoder": asdict(run.shape),
            "passes": run.epoch,
        }
        write_json(temporary / CONFIG, {**facts, "config": asdict(config)})
    write_table(folder / FINISHED, pd.DataFrame(run.curves))
    return result
