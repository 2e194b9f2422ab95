"""How usual a title's wording is: its perplexity under a language model that has read much text and no titles of ours.

The model is loaded when the first title comes; `options` may name another: `{"perplexity": {"model": "gpt2:…"}}`.
"""

import logging
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from engine.encoders.base import Modality
from engine.errors import EncoderError
from engine.features.base import Feature, FeatureSettings, Values, digest
from engine.language_models import LanguageModel, load_language_model
from engine.posts import Post

_log = logging.getLogger(__name__)


class Perplexity(Feature):
    """Values (n, 3) of the texts made of `text_fields`.

    `log_perplexity` is the surprise in nats a token, so that perplexity is its exponential; `bits_per_character` the
    surprise in bits a character, which does not depend on how a model divides words; `tokens` how many were read. NaN
    without letters, or where most are in a script that the model does not read.
    """

    kind: ClassVar[str] = "perplexity"
    by_default: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ("text",)
    columns: tuple[str, ...] = ("log_perplexity", "bits_per_character", "tokens")

    def __init__(
        self,
        name: str | None = None,
        text_fields: Sequence[str] = ("title",),
        model: str = "smollm2",
        device: str = "auto",
    ) -> None:
        super().__init__(name)
        self.text_fields, self.spec = tuple(text_fields), model
        self._model: LanguageModel | None = None
        self._missing = ""
        try:
            self._model = load_language_model(model, device=device)
        except EncoderError as error:
            self._missing = str(error)

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, settings.text_fields, device=settings.device, **settings.options.get(name, {}))

    @property
    def unavailable(self) -> str:
        return self._missing

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        values = np.full((len(posts), len(self.columns)), np.nan, dtype=np.float32)
        rows = [row for row, post in enumerate(posts) if not self.why_null(post)]
        if self._model is None or not rows:
            return values
        try:
            found = self._model.surprise([posts[row].text(self.text_fields) for row in rows])
        except EncoderError as error:
            # A wheel may be there and broken. One signal of several is no reason to refuse a post.
            _log.warning("%s", error)
            self._missing = str(error)
            return values
        bits = found.nats / np.log(2)
        values[rows] = np.stack([found.nats / found.tokens, bits / found.characters, found.tokens], axis=1)
        return values

    def why_null(self, post: Post) -> str:
        if self._model is None or self._missing:
            return self._missing
        text = post.text(self.text_fields)
        what = "title" if self.text_fields == ("title",) else "text"
        letters = [character for character in text if character.isalpha()]
        if not text:
            return f"There is no {what} whose wording could be judged."
        if not letters:
            return f"The {what} has no letters, so there is no wording to judge."
        known = sum(unicodedata.name(letter, "").startswith(self._model.script) for letter in letters)
        if 2 * known < len(letters):
            script = self._model.script.capitalize()
            return f"Most letters of the {what} are not {script}, the only script that the language model reads."
        return ""

    def blank(self) -> Values:
        return np.full((1, len(self.columns)), np.nan, dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        return {"text_fields": list(self.text_fields), "model": self.spec}

    @property
    def weights(self) -> str:
        return self._model.identity if self._model else ""

    @property
    def precision(self) -> str:
        return str(self._model.dtype) if self._model else ""

    @property
    def fingerprint(self) -> str:
        # Not the spec, which may be a folder: the model's identity says what it is.
        return digest([self.kind, self.version, self.columns, self.text_fields, self.weights])

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        return cls(name, **config, device=device)


FEATURE = Perplexity
