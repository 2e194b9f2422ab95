"""What features have in common that are numbers of what a reader finds in a picture (`engine.readers`)."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from engine import threads
from engine.encoders.base import Modality
from engine.features.base import Feature, Values, nothing_seen, pictures_of
from engine.posts import Post
from engine.readers import PictureReader, Reading


class PictureReading(Feature):
    """Values (n, columns) of what `reader` finds: all NaN where `why_null` has a sentence, else none is."""

    by_default: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ("image",)
    reader: ClassVar[PictureReader[Any]]

    @abstractmethod
    def row(self, found: Any, post: Post) -> list[float]:
        """Numbers of what was found in a post's picture, one a column."""

    def objection(self, found: Any, post: Post) -> str:
        """One sentence on why what was found says nothing of this post; "" where it says something."""
        return ""

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        def row(post: Post) -> list[float]:
            reading = self._reading(post)
            return [np.nan] * len(self.columns) if reading.why else self.row(reading.found, post)

        # A post without a picture is refused.
        pictures_of(posts)
        rows = list(threads.in_order(row, posts))
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(self.columns))

    def _reading(self, post: Post) -> Reading[Any]:
        """What is found in a post's picture, or why that says nothing of the post."""
        nothing = nothing_seen(post)
        if nothing or post.image is None:
            return Reading(None, nothing)
        reading = self.reader.read(post.image)
        why = reading.why or self.objection(reading.found, post)
        return Reading(None, why) if why else reading

    @property
    def unavailable(self) -> str:
        return self.reader.unavailable

    def why_null(self, post: Post) -> str:
        return self._reading(post).why

    def blank(self) -> Values:
        return np.full((1, len(self.columns)), np.nan, dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        return self.reader.config

    @property
    def weights(self) -> str:
        return self.reader.weights

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        # The sizes are this version's; where they are not the bundle's, the fingerprint says so.
        return cls(name)
