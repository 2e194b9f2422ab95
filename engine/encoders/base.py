"""The protocol every tower follows, whatever it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from PIL import Image

Modality = Literal["image", "text"]


@dataclass(frozen=True)
class Tokens:
    """Token-level features of n items: `values` (n, tokens, dim) and `mask` (n, tokens), True where a token is real.

    A picture's tokens are its grid cells or patches, row by row; a text's are its word pieces.
    """

    values: torch.Tensor
    mask: torch.Tensor


@runtime_checkable
class Encoder(Protocol):
    """A frozen tower. Everything runs under inference mode and returns float32 on the CPU.

    `fingerprint` names weights, preprocessing and precision: equal fingerprints give equal vectors, so features are
    cached by it. `identity` leaves the precision out, which differs from machine to machine: a bundle pins that.
    `aligned` is the name of the shared space when image and text vectors of it may be compared by cosine, else None.
    """

    name: str
    modality: Modality
    dim: int
    token_dim: int
    identity: str
    fingerprint: str
    aligned: str | None

    def encode(self, items: Sequence[Image.Image] | Sequence[str]) -> torch.Tensor:
        """Pooled vectors, shape (n, dim)."""
        ...

    def tokens(self, items: Sequence[Image.Image] | Sequence[str]) -> Tokens:
        """Token-level features with `token_dim` channels."""
        ...

    def encode_with_tokens(self, items: Sequence[Image.Image] | Sequence[str]) -> tuple[torch.Tensor, Tokens]:
        """What `encode` and `tokens` give, of one pass."""
        ...
