"""What a network trains on: decoded pictures and tokenised texts with augmentation, or frozen tokens kept in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from engine.features.base import Values, digest
from engine.features.encoder_tokens import to_tokens
from training.data.workspace import Workspace
from training.features.matrix import FeatureMatrix
from training.modeling.network import Inputs, NetworkConfig, TrainingSet

# Covers are kept at several sizes by the sites that show them; the smallest common one is about a third as large.
SMALLEST = 0.3
JUNK_TITLES = 4000

Rows = npt.NDArray[np.int64]


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


def finetuning_set(
    matrix: FeatureMatrix, rows: Rows, image_encoder: Any, text_encoder: Any, config: NetworkConfig
) -> TrainingSet:
    """Some posts as the inputs of two encoders.

    In training a word piece is hidden with probability `config.word_dropout`, so that no single name decides, and with
    probability `config.blank` a title is left empty, or a picture is its mean colour: the network learns what it can
    say of a post with nothing on that side, the baseline of every explanation. With probability `config.junk` a title
    is one that nobody publishes: the outcome stays what it was, so the network learns that nothing follows of it.
    """
    pictures, texts = matrix.pictures(image_encoder.size), matrix.texts
    junk = matrix.junk_titles(JUNK_TITLES, config.seed) if config.junk else []

    def fetch(index: Rows, *, seed: int | None) -> tuple[Inputs, Inputs]:
        pixels = torch.from_numpy(pictures[rows[index]]).permute(0, 3, 1, 2).float()
        words = [texts[row] for row in rows[index]]
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        if generator is not None:
            pixels = augment(pixels, generator)
            empty = torch.rand(2, len(index), generator=generator) < config.blank
            pixels[empty[0]] = pixels[empty[0]].mean(dim=(2, 3), keepdim=True)
            words = ["" if gone else word for word, gone in zip(words, empty[1].tolist(), strict=True)]
            # Nothing is drawn without junk, so that trainings without it stay what they were.
            if junk:
                replaced = torch.rand(len(index), generator=generator) < config.junk
                drawn = torch.randint(len(junk), (len(index),), generator=generator)
                words = [
                    junk[new] if gone else word
                    for word, gone, new in zip(words, replaced.tolist(), drawn.tolist(), strict=True)
                ]
        hidden = 0.0 if generator is None else config.word_dropout
        return {"pixels": image_encoder.normalise_pixels(pixels)}, tokenised(text_encoder, words, generator, hidden)

    read = [[texts[row], matrix.files[row]] for row in rows]
    identities = [encoder.identity for encoder in (image_encoder, text_encoder)]
    return _training_set(matrix.workspace, rows, fetch, [read, identities, list(image_encoder.size), junk])


def tokenised(encoder: Any, texts: list[str], generator: torch.Generator | None, word_dropout: float) -> Inputs:
    """Word pieces, some of them masked when a generator is given."""
    batch = encoder.tokenize(texts)
    mask_token = encoder.tokenizer.mask_token_id
    if generator is not None and mask_token is not None and word_dropout > 0:
        identifiers = batch["input_ids"]
        special = torch.isin(identifiers, torch.tensor(encoder.tokenizer.all_special_ids))
        hidden = torch.rand(identifiers.shape, generator=generator) < word_dropout
        batch["input_ids"] = identifiers.masked_fill(hidden & ~special, mask_token)
    return batch


def frozen_set(matrix: FeatureMatrix, rows: Rows, image: str, text: str) -> TrainingSet:
    """Some posts as the tokens of two features, kept from before, for training on frozen encoders."""
    sides = matrix[image], matrix[text]

    def fetch(index: Rows, *, seed: int | None) -> tuple[Inputs, Inputs]:
        chosen = rows[index]
        return _inputs(sides[0][chosen]), _inputs(sides[1][chosen])

    keys = [matrix.feature(name).cache_key for name in (image, text)]
    read = [[matrix.texts[row], matrix.files[row]] for row in rows]
    return _training_set(matrix.workspace, rows, fetch, [read, keys])


def _inputs(values: Values) -> Inputs:
    tokens = to_tokens(values.astype(np.float32))
    return {"values": tokens.values, "mask": tokens.mask}


def _training_set(workspace: Workspace, rows: Rows, fetch: Any, read: Sequence[Any]) -> TrainingSet:
    posts = workspace.posts.iloc[rows]
    target, level = posts["target"].to_numpy(), posts["level"].to_numpy()
    made_from = digest([posts["post_id"].tolist(), target.tolist(), level.tolist(), read])
    return TrainingSet(target, level, fetch, made_from)
