"""A vision transformer with no pretrained weights: what a recipe trains from scratch, at any picture size.

Patches, learned positions, pre-norm blocks of multi-head attention and MLP with skip connections (Dosovitskiy et al.
2021, arXiv:2010.11929). The picture's vector is the normalised mean of its tokens, so that no dense layer sees them all
at once; `flat` lays them side by side before two dense layers instead, as the Keras example "Image classification with
Vision Transformer" does, where that one layer then holds nearly all of the parameters.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from engine.encoders.base import Batch, Encoder, Modality, Tokens, squashed
from engine.errors import EncoderError

# Weights before training are a matter of this seed alone: the encoder's identity names them by it.
SEED = 0


@dataclass(frozen=True)
class ViTShape:
    """Height and width of the picture and side of a patch, in pixels; width, heads and number of the blocks.

    `flat` holds the widths of the dense layers over all tokens side by side; the mean of the tokens without any.
    """

    height: int = 512
    width: int = 512
    patch: int = 16
    dim: int = 128
    heads: int = 4
    blocks: int = 4
    hidden: int = 256
    dropout: float = 0.1
    flat: tuple[int, ...] = ()

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.height // self.patch, self.width // self.patch


POOLED = ViTShape()
# 134 of its 137 million parameters are the first dense layer's.
FLAT = ViTShape(dim=64, hidden=128, flat=(2048, 1024))


class Block(nn.Module):
    """One pre-norm transformer block: (n, tokens, dim) → the same."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(shape.dim), nn.LayerNorm(shape.dim)
        self.project = nn.Linear(shape.dim, 3 * shape.dim)
        self.merge = nn.Linear(shape.dim, shape.dim)
        self.mlp = nn.Sequential(
            nn.Linear(shape.dim, shape.hidden), nn.GELU(), nn.Dropout(shape.dropout), nn.Linear(shape.hidden, shape.dim)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        count, length, dim = tokens.shape
        joined = self.project(self.attention_norm(tokens)).view(count, length, 3, self.heads, dim // self.heads)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        # Without dropout on the weights, which would cost the kernel that never holds them all.
        seen = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.merge(seen.transpose(1, 2).reshape(count, length, dim))
        attended: torch.Tensor = tokens + self.mlp(self.mlp_norm(tokens))
        return attended


class ViT(nn.Module):
    """Pixels (n, 3, height, width) → vectors (n, `outputs`) and tokens (n, patches, dim)."""

    def __init__(self, shape: ViTShape) -> None:
        super().__init__()
        rows, columns = shape.grid
        self.patches = nn.Conv2d(3, shape.dim, shape.patch, shape.patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, rows * columns, shape.dim))
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.blocks)])
        self.norm = nn.LayerNorm(shape.dim)
        widths = [rows * columns * shape.dim, *shape.flat]
        layers = [
            nn.Sequential(nn.Linear(before, after), nn.GELU(), nn.Dropout(0.5)) for before, after in pairwise(widths)
        ]
        self.flat = nn.Sequential(*layers) if layers else None
        self.outputs = shape.flat[-1] if shape.flat else shape.dim

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens.mean(dim=1) if self.flat is None else self.flat(tokens.flatten(1)), tokens


class ScratchViT(Encoder):
    """A ViT of random weights, always the same ones, for a recipe to train; the picture is squashed to its size.

    Raises EncoderError for a size that is no whole number of patches.
    """

    modality: Modality = "image"
    bfloat16_on_cpu = True

    def __init__(self, shape: ViTShape, *, name: str, **options: Any) -> None:
        if min(shape.height, shape.width) < shape.patch or shape.height % shape.patch or shape.width % shape.patch:
            raise EncoderError(
                f"A picture of {shape.height}x{shape.width} pixels is no whole number of patches of {shape.patch}; "
                f"give multiples of {shape.patch}, such as 96x160."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            module = ViT(shape)
        self.size, self.grid = (shape.height, shape.width), shape.grid
        settings = {"shape": asdict(shape), "seed": SEED, "resize": "bilinear", "mean": 127.5, "scale": 127.5}
        super().__init__(
            module,
            name=name,
            dim=module.outputs,
            token_dim=shape.dim,
            settings=settings,
            files=[],
            **options,
        )

    def prepare(self, items: Sequence[Image.Image]) -> Batch:
        return {"pixels": self.normalise_pixels(squashed(items, self.size))}

    def normalise_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels 0..255, float (n, 3, height, width), as −1..1."""
        return (pixels - 127.5) / 127.5

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        vectors, tokens = self.module(batch["pixels"])
        return vectors, Tokens.real(tokens)
