"""What a network trains on: decoded pictures and tokenised texts with augmentation, or frozen tokens kept in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from engine.features.base import Values, digest
from engine.features.encoder_tokens import to_tokens
from training.data.workspace import Workspace
from training.features.matrix import FeatureMatrix
from training.modeling.further import Further
from training.modeling.network import NetworkConfig
from training.modeling.training_set import Inputs, TrainingSet, rounded

# Covers are kept at several sizes by the sites that show them; the smallest common one is about a third as large.
SMALLEST = 0.3
JUNK_TITLES = 4000
# Batches among which rows are sorted by length: few enough that their order stays random.
SORTED = 50

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
    # Chance is drawn on the CPU, the same wherever the pixels are.
    where = functional.affine_grid(grid.to(pixels.device), list(pixels.shape), align_corners=False)
    pixels = functional.grid_sample(pixels, where, mode="bilinear", padding_mode="reflection", align_corners=False)
    coarse = torch.rand(count, generator=generator) < 0.5
    if coarse.any():
        factor = SMALLEST + float(torch.rand(1, generator=generator)) * (0.7 - SMALLEST)
        small = functional.interpolate(
            pixels[coarse], size=(int(height * factor), int(width * factor)), mode="bilinear", antialias=True
        )
        pixels[coarse] = functional.interpolate(small, size=(height, width), mode="bilinear")
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    contrast = uniform(0.85, 1.15).view(-1, 1, 1, 1).to(pixels.device)
    light = uniform(-20, 20).view(-1, 1, 1, 1).to(pixels.device)
    return ((pixels - mean) * contrast + mean + light).clamp(0, 255)


def finetuning_set(
    matrix: FeatureMatrix,
    rows: Rows,
    image_encoder: Any,
    text_encoder: Any,
    config: NetworkConfig,
    further: Further | None = None,
) -> TrainingSet:
    """Some posts as the inputs of two encoders, or of one where the other is None.

    In training a word piece is hidden with probability `config.word_dropout`, so that no single name decides, and with
    probability `config.blank` a title is left empty, or a picture is its mean colour: the network learns what it can
    say of a post with nothing on that side, the baseline of every explanation. With probability `config.junk` a title
    is one that nobody publishes: the outcome stays what it was, so the network learns that nothing follows of it.
    Behind the posts stand the `further` pictures, for a network that sees pictures alone.
    """
    picture = image_encoder and _stacked(matrix, rows, image_encoder.size, further)
    texts = [matrix.texts[row] for row in rows]
    junk = matrix.junk_titles(JUNK_TITLES, config.seed) if config.junk and text_encoder else []

    def fetch(index: Rows, *, seed: int | None) -> tuple[Inputs | None, Inputs | None]:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        pixels = None
        if picture is not None:
            pixels = torch.from_numpy(picture(index)).to(image_encoder.device).permute(0, 3, 1, 2).float()
            if generator is not None:
                pixels = augment(pixels, generator)
        empty = torch.zeros(2, len(index), dtype=torch.bool)
        if generator is not None:
            empty = torch.rand(2, len(index), generator=generator) < config.blank
        image = text = None
        if pixels is not None:
            pixels[empty[0]] = pixels[empty[0]].mean(dim=(2, 3), keepdim=True)
            image = {"pixels": image_encoder.normalise_pixels(pixels)}
        if text_encoder is not None:
            words = ["" if gone else texts[row] for row, gone in zip(index, empty[1].tolist(), strict=True)]
            # Nothing is drawn without junk, so that trainings without it stay what they were.
            if junk and generator is not None:
                replaced = torch.rand(len(index), generator=generator) < config.junk
                drawn = torch.randint(len(junk), (len(index),), generator=generator)
                words = [
                    junk[new] if gone else word
                    for word, gone, new in zip(words, replaced.tolist(), drawn.tolist(), strict=True)
                ]
            hidden = 0.0 if generator is None else config.word_dropout
            text = tokenised(text_encoder, words, generator, hidden)
        return image, text

    read: list[Any] = [[text, matrix.files[row]] for text, row in zip(texts, rows, strict=True)]
    identities = [encoder and encoder.identity for encoder in (image_encoder, text_encoder)]
    size = list(image_encoder.size) if image_encoder else []
    made_from = [read, identities, size, junk, *([further.fingerprint] if further else [])]
    data = _training_set(matrix.workspace, rows, fetch, made_from)
    if image_encoder is None:
        data.lengths = np.array([len(text) for text in texts])
    return data if further is None else further.behind(data)


def _stacked(
    matrix: FeatureMatrix, rows: Rows, size: tuple[int, int], further: Further | None
) -> Callable[[Rows], npt.NDArray[np.uint8]]:
    """From places among the posts of `rows`, and behind them the further pictures, to their pixels."""
    own = matrix.pictures(size)
    if further is None:
        return lambda index: own[rows[index]]
    others = further.pixels(size)

    def pixels(index: Rows) -> npt.NDArray[np.uint8]:
        found = np.empty((len(index), *size, 3), dtype=np.uint8)
        is_post = index < len(rows)
        found[is_post] = own[rows[index[is_post]]]
        found[~is_post] = others[further.rows[index[~is_post] - len(rows)]]
        return found

    return pixels


def by_length(
    order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], batch: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """An order of rows (n,) in which each batch holds rows of like length, drawn from `SORTED` batches that follow."""
    parts = []
    for start in range(0, len(order), SORTED * batch):
        chunk = order[start : start + SORTED * batch]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        whole = len(chunk) // batch
        batches = chunk[: whole * batch].reshape(whole, batch)[generator.permutation(whole)]
        parts += [batches.ravel(), chunk[whole * batch :]]
    return np.concatenate(parts)


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


def frozen_set(matrix: FeatureMatrix, rows: Rows, image: str | None, text: str | None) -> TrainingSet:
    """Some posts as the tokens of two features, or of one, kept from before, for training on frozen encoders."""
    sides = [None if name is None else matrix[name] for name in (image, text)]

    def fetch(index: Rows, *, seed: int | None) -> tuple[Inputs | None, Inputs | None]:
        found = [None if side is None else _inputs(side[rows[index]]) for side in sides]
        return found[0], found[1]

    keys = [matrix.feature(name).fingerprint for name in (image, text) if name is not None]
    read = [[matrix.texts[row], matrix.files[row]] for row in rows]
    return _training_set(matrix.workspace, rows, fetch, [read, keys])


def _inputs(values: Values) -> Inputs:
    tokens = to_tokens(values.astype(np.float32))
    return {"values": tokens.values, "mask": tokens.mask}


def _training_set(workspace: Workspace, rows: Rows, fetch: Any, read: Sequence[Any]) -> TrainingSet:
    posts = workspace.posts.iloc[rows]
    target, level = posts["target"].to_numpy(), posts["level"].to_numpy()
    made_from = digest([posts["post_id"].tolist(), rounded(target), level.tolist(), read])
    return TrainingSet(target, level, fetch, made_from)
