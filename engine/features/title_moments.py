"""Mean and spread of every channel of every layer that a frozen MiniLM makes of a title's word pieces.

What somebody typed at random, code, and languages that MiniLM hardly read fall into other pieces than titles do, and
its layers make other things of them. Nothing was fine-tuned on any post.
"""

from collections.abc import Callable
from typing import ClassVar, Self

from engine.features.base import Feature, FeatureSettings
from engine.features.encoder_vector import EncoderVector

ENCODER = "minilm-moments"


class TitleMoments(EncoderVector):
    """Values (n, 2 · channels of all layers), a layer behind the other, means before spreads."""

    kind: ClassVar[str] = "title_moments"

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, ENCODER, settings.text_fields, device=settings.device)


FEATURE = TitleMoments
