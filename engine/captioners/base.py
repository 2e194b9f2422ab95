"""What every captioner does: pictures in, one English sentence each out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Caption:
    """A sentence, and the mean log probability of its word pieces under the captioner that wrote it."""

    text: str
    confidence: float


class Captioner(ABC):
    """Says what pictures show.

    `identity` names weights and settings: equal identities give equal captions up to `dtype`, the precision.
    """

    name: str
    identity: str
    dtype: "torch.dtype"

    @abstractmethod
    def captions(self, images: Sequence[Image.Image]) -> list[Caption]:
        """One caption a picture, in order."""
