"""Mean and spread of every channel of every map that a frozen EfficientNet-Lite0 makes of a picture.

Drawn pictures and screenshots are far from photographs there, whatever they show. Nothing was fine-tuned on any post.
"""

from collections.abc import Callable
from typing import ClassVar, Self

from engine.features.base import Feature, FeatureSettings
from engine.features.encoder_vector import EncoderVector

ENCODER = "lite0-moments:96x160"


class PictureMoments(EncoderVector):
    """Values (n, 2 · channels of all blocks), a block behind the other, means before spreads."""

    kind: ClassVar[str] = "picture_moments"

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, ENCODER, device=settings.device)


FEATURE = PictureMoments
