"""Fusion networks: token-level picture and text features → five level logits and a score, for each view of a post.

Every network of two sides has its own head for `text`, `image` and `both`, so a post with one side missing is answered
by a head trained for that, and neither side can hide behind the other. One of a single side has its head alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from engine.encoders.base import Tokens
from engine.prediction import VIEWS, View
from engine.scoring import LEVELS

FusionKind = Literal["concat", "cross_attention", "gated"]
FUSIONS: tuple[FusionKind, ...] = ("concat", "cross_attention", "gated")
HEADS: tuple[View, ...] = ("image", "text", "both")


@dataclass(frozen=True)
class FusionConfig:
    """Shape of a fusion network; saved beside its weights. A side whose dimension is 0 is not there."""

    image_dim: int
    text_dim: int
    kind: FusionKind = "cross_attention"
    width: int = 192
    heads: int = 4
    dropout: float = 0.2

    @property
    def views(self) -> tuple[View, ...]:
        """The views that have a head."""
        sides = {"image": self.image_dim > 0, "text": self.text_dim > 0}
        return tuple(view for view in VIEWS if all(sides.values() if view == "both" else [sides[view]]))


@dataclass(frozen=True)
class HeadOutput:
    """Of n posts: `logits` (n, 5) in level order, and `score` (n,), the training score on a standard normal scale."""

    logits: torch.Tensor
    score: torch.Tensor


class AttentionPool(nn.Module):
    """One learned query attends over the tokens, beside their mean: (n, t, d), (n, t) → (n, 2d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, 1)

    def forward(self, tokens: Tokens) -> torch.Tensor:
        mask = tokens.mask.unsqueeze(-1)
        weights = self.query(tokens.values).masked_fill(~mask, float("-inf")).softmax(dim=1)
        attended = (weights * tokens.values).sum(dim=1)
        mean = (tokens.values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return torch.cat([attended, mean], dim=-1)


class Head(nn.Module):
    """Pooled features (n, d) → `HeadOutput`."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(inputs), nn.Dropout(dropout), nn.Linear(inputs, width), nn.GELU(), nn.Dropout(dropout)
        )
        self.levels = nn.Linear(width, len(LEVELS))
        self.score = nn.Linear(width, 1)

    def forward(self, pooled: torch.Tensor) -> HeadOutput:
        hidden = self.body(pooled)
        return HeadOutput(self.levels(hidden), self.score(hidden).squeeze(-1))


class Projection(nn.Module):
    """Encoder tokens (n, t, dim) → tokens of the network's width."""

    def __init__(self, dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width), nn.GELU(), nn.Dropout(dropout))

    def forward(self, tokens: Tokens) -> Tokens:
        return Tokens(self.layers(tokens.values), tokens.mask)


class Concatenation(nn.Module):
    """Pooled picture and pooled text side by side."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.outputs = 4 * config.width

    def forward(
        self, image: Tokens, text: Tokens, image_pooled: torch.Tensor, text_pooled: torch.Tensor
    ) -> torch.Tensor:
        return torch.cat([image_pooled, text_pooled], dim=-1)


class GatedUnit(nn.Module):
    """Gated multimodal unit (Arevalo et al. 2017): h = g ⊙ tanh(W_v v) + (1 − g) ⊙ tanh(W_t t), g = σ(W [v, t])."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        pooled = 2 * config.width
        self.image = nn.Linear(pooled, pooled)
        self.text = nn.Linear(pooled, pooled)
        self.gate = nn.Linear(2 * pooled, pooled)
        self.outputs = pooled

    def forward(
        self, image: Tokens, text: Tokens, image_pooled: torch.Tensor, text_pooled: torch.Tensor
    ) -> torch.Tensor:
        gate = torch.sigmoid(self.gate(torch.cat([image_pooled, text_pooled], dim=-1)))
        return gate * torch.tanh(self.image(image_pooled)) + (1 - gate) * torch.tanh(self.text(text_pooled))


class CrossAttention(nn.Module):
    """Text tokens look at grid cells, and grid cells at text tokens (as in ViLBERT, Lu et al. 2019); both are pooled.

    There are many queries and many keys on each side; with one of each the softmax is 1 and one side is lost.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.text_to_image = nn.MultiheadAttention(config.width, config.heads, config.dropout, batch_first=True)
        self.image_to_text = nn.MultiheadAttention(config.width, config.heads, config.dropout, batch_first=True)
        self.text_norm = nn.LayerNorm(config.width)
        self.image_norm = nn.LayerNorm(config.width)
        self.text_pool = AttentionPool(config.width)
        self.image_pool = AttentionPool(config.width)
        self.outputs = 4 * config.width

    def forward(
        self, image: Tokens, text: Tokens, image_pooled: torch.Tensor, text_pooled: torch.Tensor
    ) -> torch.Tensor:
        seen, _ = self.text_to_image(
            text.values, image.values, image.values, key_padding_mask=~image.mask, need_weights=False
        )
        read, _ = self.image_to_text(
            image.values, text.values, text.values, key_padding_mask=~text.mask, need_weights=False
        )
        text_side = Tokens(self.text_norm(text.values + seen), text.mask)
        image_side = Tokens(self.image_norm(image.values + read), image.mask)
        return torch.cat([self.image_pool(image_side), self.text_pool(text_side)], dim=-1)


MIXERS: Mapping[FusionKind, type[nn.Module]] = {
    "concat": Concatenation,
    "cross_attention": CrossAttention,
    "gated": GatedUnit,
}


class FusionNetwork(nn.Module):
    """A projection for each side, a mixer where there are two, a head for each view."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        inputs = dict.fromkeys(config.views, 2 * config.width)
        if "image" in inputs:
            self.image_projection = Projection(config.image_dim, config.width, config.dropout)
        if "text" in inputs:
            self.text_projection = Projection(config.text_dim, config.width, config.dropout)
        if "image" in inputs:
            self.image_pool = AttentionPool(config.width)
        if "text" in inputs:
            self.text_pool = AttentionPool(config.width)
        if "both" in inputs:
            self.mixer = MIXERS[config.kind](config)
            inputs["both"] = self.mixer.outputs  # type: ignore[assignment]
        # In the order in which first weights have always been drawn.
        heads: dict[str, nn.Module] = {
            view: Head(inputs[view], config.width, config.dropout) for view in HEADS if view in inputs
        }
        self.heads = nn.ModuleDict(heads)

    def forward(
        self, image: Tokens | None, text: Tokens | None, views: Sequence[View] = VIEWS
    ) -> dict[View, HeadOutput]:
        """Outputs of the heads of `views` whose sides are there, from the encoders' tokens."""
        image = self.image_projection(image) if image is not None and "image" in self.heads else None
        text = self.text_projection(text) if text is not None and "text" in self.heads else None
        outputs: dict[View, HeadOutput] = {}
        image_pooled = self.image_pool(image) if image is not None else None
        text_pooled = self.text_pool(text) if text is not None else None
        if image_pooled is not None and "image" in views:
            outputs["image"] = self.heads["image"](image_pooled)
        if text_pooled is not None and "text" in views:
            outputs["text"] = self.heads["text"](text_pooled)
        if image_pooled is not None and text_pooled is not None and "both" in views:
            outputs["both"] = self.heads["both"](self.mixer(image, text, image_pooled, text_pooled))
        return outputs


def soft_levels(levels: torch.Tensor, sharpness: float = 1.5) -> torch.Tensor:
    """Soft targets (n,) → (n, 5): softmax(−sharpness·|k − level|), SORD (Diaz & Marathe 2019)."""
    distance = (torch.arange(len(LEVELS), device=levels.device) - levels.unsqueeze(-1)).abs()
    return (-sharpness * distance).softmax(dim=-1)


def level_loss(logits: torch.Tensor, levels: torch.Tensor, *, ordinal: bool = True) -> torch.Tensor:
    """Cross-entropy of level logits (n, 5) with levels (n,), against soft ordinal targets or plain, or with their
    shares (n, 5)."""
    return functional.cross_entropy(logits, soft_levels(levels) if ordinal and levels.ndim == 1 else levels)
