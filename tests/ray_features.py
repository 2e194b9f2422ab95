"""Features that Ray's workers compute in its tests; these import them from here."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from engine.features.base import Feature, Values, pictures_of
from engine.features.extractor import Extractor
from engine.features.text_statistics import TextStatistics
from engine.posts import Post
from engine.prediction import View
from tests.ray_predictors import fall


class WordsPredictor:
    """Reads statistics of titles, and answers nothing."""

    context = ()
    extractor = Extractor({"text_statistics": TextStatistics()}, ["text_statistics"])
    reads: ClassVar[set[str]] = {"text_statistics"}
    guards: ClassVar[dict[str, Any]] = {}

    def view_of(self, post: Post) -> View:
        return "text"


class FragileFeature(Feature):
    """The red of a picture and the first number above; in another process than its own it falls as the other does."""

    kind: ClassVar[str] = "fragile"
    columns = ("red", "above")
    modalities = ("image",)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.home = folder, os.getpid()

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        if os.getpid() != self.home:
            fall(self.folder, posts)
        reds = [np.asarray(picture)[0, 0, 0] for picture in pictures_of(posts)]
        return np.column_stack([reds, upstream["above"][:, 0]]).astype(np.float32)
