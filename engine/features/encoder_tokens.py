"""The tokens that an encoder makes of a post: grid cells or patches of its picture, word pieces of its text.

Named after the encoder's role with “.tokens” behind it. Networks read them; they join no table of columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from engine.encoders.base import Tokens
from engine.features.base import Values
from engine.features.encoder_vector import EncoderVector
from engine.posts import Post

TOKENS = ".tokens"


class EncoderTokens(EncoderVector):
    """Values (n, tokens, dim) of one encoder; a text's unused places are NaN."""

    kind: ClassVar[str] = "encoder_tokens"
    stored_as: ClassVar[type[np.floating]] = np.float16

    @staticmethod
    def role_of(name: str) -> str:
        return name.removesuffix(TOKENS)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(map(str, range(self.encoder.token_dim)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Places and channels; a picture encoder that cuts every picture otherwise cannot say the places."""
        encoder: Any = self.encoder
        if encoder.modality == "text":
            return encoder.max_length, encoder.token_dim
        rows, columns = encoder.grid
        return rows * columns, encoder.token_dim

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        if not posts:
            return np.zeros((0, *self.shape), dtype=np.float32)
        tokens = self.encoder.tokens(self.items(posts))
        if self.encoder.modality == "image" and bool(tokens.mask.all()):
            return tokens.values.numpy()
        length = max(self.shape[0], tokens.mask.shape[1]) if self.encoder.modality == "text" else tokens.mask.shape[1]
        values = np.full((len(posts), length, self.encoder.token_dim), np.nan, dtype=np.float32)
        values[:, : tokens.mask.shape[1]][tokens.mask.numpy()] = tokens.values[tokens.mask].numpy()
        return values


def to_tokens(values: npt.NDArray[np.floating], device: torch.device | str = "cpu") -> Tokens:
    """Values of this feature as a network on `device` reads them: what is NaN is masked, and zero.

    Places behind the longest text are left out.
    """
    there = ~np.isnan(values[..., 0])
    longest = int(there.any(axis=0).nonzero()[0].max(initial=0)) + 1
    array = torch.from_numpy(np.ascontiguousarray(values[:, :longest]))
    mask = torch.from_numpy(there[:, :longest])
    whole = array if bool(mask.all()) else array.nan_to_num()
    return Tokens(whole.to(device), mask.to(device))


FEATURE = EncoderTokens
