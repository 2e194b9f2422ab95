"""Caption consistency: does the title say what a captioner says of the picture?

The cosine of the title and of the caption under a sentence encoder, and how sure the captioner was. The captioner is
loaded when the first picture comes; `options` may name another: `{"caption_consistency": {"captioner": "blip:…"}}`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from engine.captioners import Caption, Captioner, load_captioner
from engine.encoders import Encoder, load_encoder
from engine.encoders.base import Modality
from engine.features.base import Feature, FeatureSettings, Values, nothing_seen, pictures_of
from engine.features.similarity import cosine
from engine.posts import Post


class CaptionConsistency(Feature):
    """Values (n, 2): cosine of title and caption, −1..1, and the caption's mean log probability a word piece."""

    kind: ClassVar[str] = "caption_consistency"
    by_default: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ("image", "text")
    columns: tuple[str, ...] = ("cosine", "confidence")

    def __init__(
        self,
        name: str | None = None,
        text_fields: Sequence[str] = ("title",),
        captioner: str = "grid",
        encoder: str = "minilm",
        device: str = "auto",
    ) -> None:
        super().__init__(name)
        self.text_fields, self.captioner_spec, self.encoder_spec = tuple(text_fields), captioner, encoder
        self.device = device

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, settings.text_fields, device=settings.device, **settings.options.get(name, {}))

    @cached_property
    def captioner(self) -> Captioner:
        return load_captioner(self.captioner_spec, device=self.device)

    @cached_property
    def encoder(self) -> Encoder:
        return load_encoder(self.encoder_spec, device=self.device)

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        rows = [row for row, post in enumerate(posts) if not self.why_null(post)]
        return self.of_captions(
            posts, dict(zip(rows, self.captioner.captions(pictures_of([posts[r] for r in rows])), strict=True))
        )

    def of_captions(self, posts: Sequence[Post], captions: Mapping[int, Caption]) -> Values:
        """Values of n posts from the captions of some of them, by row; NaN for the others."""
        values = np.full((len(posts), 2), np.nan, dtype=np.float32)
        rows = list(captions)
        titles = [posts[row].text(self.text_fields) for row in rows]
        vectors = self.encoder.encode([*titles, *(captions[row].text for row in rows)]).numpy()
        values[rows, 0] = cosine(vectors[: len(rows)], vectors[len(rows) :])
        values[rows, 1] = [captions[row].confidence for row in rows]
        return values

    def why_null(self, post: Post) -> str:
        if not post.text(self.text_fields):
            return "There is no title to compare with the picture."
        return nothing_seen(post)

    def blank(self) -> Values:
        return np.full((1, 2), np.nan, dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        return {
            "text_fields": list(self.text_fields),
            "captioner": self.captioner_spec,
            "encoder": self.encoder_spec,
        }

    @property
    def weights(self) -> str:
        return f"{self.captioner.identity} {self.encoder.identity}"

    @property
    def precision(self) -> str:
        return f"{self.captioner.dtype} {self.encoder.dtype}"

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        return cls(name, **config, device=device)


FEATURE = CaptionConsistency
