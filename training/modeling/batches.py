"""What a network trains on: decoded pictures and tokenised texts with augmentation, or frozen tokens kept in memory."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional
from tqdm import tqdm

from engine.encoders.base import Tokens
from engine.images import load_image
from training.data.workspace import Workspace
from training.features.extract import stored_pictures
from training.modeling.network import NetworkConfig, TrainingSet

# Covers are kept at several sizes by the sites that show them; the smallest common one is about a third as large.
SMALLEST = 0.3


class PictureMemory:
    """All pictures of a work folder, decoded once and squashed to `size` = (height, width): uint8 (n, h, w, 3)."""

    def __init__(self, workspace: Workspace, size: tuple[int, int]) -> None:
        height, width = size
        self.pixels = np.zeros((len(workspace.posts), height, width, 3), dtype=np.uint8)

        def decode(item: tuple[int, bytes | None]) -> None:
            row, data = item
            small = load_image(data or b"").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
            self.pixels[row] = np.asarray(small)

        pictures = enumerate(data for _, data in stored_pictures(workspace.folder))
        with ThreadPoolExecutor(2) as pool:
            for _ in tqdm(pool.map(decode, pictures), total=len(self.pixels), desc="pictures"):
                continue

    def batch(self, rows: npt.NDArray[np.int64], generator: torch.Generator | None) -> torch.Tensor:
        """Pixels 0..255 of some rows, float (n, 3, h, w); augmented when a generator is given."""
        pixels = torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2).float()
        return pixels if generator is None else augment(pixels, generator)


def augment(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random crop of up to 8 %, flip, light and contrast, and for half of the batches' rows a coarser copy.

    The coarser copies keep the network from reading a picture's size or sharpness, which tell where it came from.
    """
    count, _, height, width = pixels.shape

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    scale = uniform(0.92, 1.0)
    grid = torch.zeros(count, 2, 3)
    grid[:, 0, 0] = scale * torch.where(uniform(0, 1) < 0.3, -1.0, 1.0)
    grid[:, 1, 1] = scale
    grid[:, 0, 2] = uniform(-1, 1) * (1 - scale)
    grid[:, 1, 2] = uniform(-1, 1) * (1 - scale)
    where = functional.affine_grid(grid, list(pixels.shape), align_corners=False)
    pixels = functional.grid_sample(pixels, where, mode="bilinear", padding_mode="reflection", align_corners=False)
    coarse = torch.rand(count, generator=generator) < 0.5
    if coarse.any():
        factor = SMALLEST + float(torch.rand(1, generator=generator)) * (0.7 - SMALLEST)
        small = functional.interpolate(
            pixels[coarse], size=(int(height * factor), int(width * factor)), mode="bilinear", antialias=True
        )
        pixels[coarse] = functional.interpolate(small, size=(height, width), mode="bilinear")
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    contrast = uniform(0.85, 1.15).view(-1, 1, 1, 1)
    light = uniform(-20, 20).view(-1, 1, 1, 1)
    return ((pixels - mean) * contrast + mean + light).clamp(0, 255)


def finetuning_examples(
    posts: pd.DataFrame,
    rows: npt.NDArray[np.int64],
    pictures: PictureMemory,
    image_tower: Any,
    text_tower: Any,
    *,
    texts: Sequence[str],
    config: NetworkConfig,
) -> TrainingSet:
    """Rows of `posts` as tower inputs; `texts` has a text for every post.

    In training a word piece is hidden with probability `config.word_dropout`, so that no single name decides, and with
    probability `config.blank` a title is left empty, or a picture is its mean colour: the network learns what it can
    say of a post with nothing on that side, the baseline of every explanation.
    """
    generator = torch.Generator().manual_seed(config.seed + 101 * config.run)

    def fetch(index: npt.NDArray[np.int64], *, train: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        pixels = pictures.batch(rows[index], generator if train else None)
        words = [texts[row] for row in rows[index]]
        if train and config.blank > 0:
            chance = torch.rand(2, len(index), generator=generator)
            pixels[chance[0] < config.blank] = pixels[chance[0] < config.blank].mean(dim=(2, 3), keepdim=True)
            words = [
                word if keep else "" for word, keep in zip(words, (chance[1] >= config.blank).tolist(), strict=True)
            ]
        image = {"pixels": image_tower.normalise_pixels(pixels).to(image_tower.device)}
        return image, tokenised(text_tower, words, generator if train else None, config.word_dropout)

    return TrainingSet(posts["target"].to_numpy()[rows], posts["level"].to_numpy()[rows], fetch)


def tokenised(
    tower: Any, texts: list[str], generator: torch.Generator | None, word_dropout: float
) -> dict[str, torch.Tensor]:
    """Word pieces on the tower's device, some of them masked when a generator is given."""
    batch = tower.tokenize(texts)
    mask_token = tower.tokenizer.mask_token_id
    if generator is not None and mask_token is not None and word_dropout > 0:
        identifiers = batch["input_ids"]
        special = torch.isin(identifiers, torch.tensor(tower.tokenizer.all_special_ids))
        hidden = torch.rand(identifiers.shape, generator=generator) < word_dropout
        batch["input_ids"] = identifiers.masked_fill(hidden & ~special, mask_token)
    return {name: value.to(tower.device) for name, value in batch.items()}


def frozen_examples(
    posts: pd.DataFrame, rows: npt.NDArray[np.int64], image: Tokens, text: Tokens, device: torch.device | str = "cpu"
) -> TrainingSet:
    """Rows of kept tokens (float16 of all posts), for training heads and fusions on frozen towers."""

    def fetch(index: npt.NDArray[np.int64], *, train: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        chosen = torch.as_tensor(rows[index])
        return _rows(image, chosen, device), _rows(text, chosen, device)

    return TrainingSet(posts["target"].to_numpy()[rows], posts["level"].to_numpy()[rows], fetch)


def _rows(tokens: Tokens, rows: torch.Tensor, device: torch.device | str) -> dict[str, torch.Tensor]:
    return {"values": tokens.values[rows].float().to(device), "mask": tokens.mask[rows].to(device)}
