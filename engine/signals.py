"""What picture and words of a draft say to each other, for its creator to read; what is answered does not hang on it.

Each signal stands alone: one whose packages or weights are missing, or which fails, is null with a sentence, and
nothing else is touched. Nothing is loaded before the first post that needs it.
"""

import logging
import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock

from engine import lettering, threads
from engine.encoders.base import Modality
from engine.errors import FirstImpressionsError
from engine.features import make_features
from engine.features.base import Feature, FeatureSettings, Values, nothing_seen
from engine.features.caption_consistency import CaptionConsistency
from engine.features.extractor import SIDES, Extractor
from engine.features.lettering_agreement import words
from engine.language import language_of
from engine.posts import Post

ENCODERS: Mapping[str, str] = {"picture": "aligned-image", "words": "aligned-text"}
# From here on a face smiles (0..1).
SMILES = 0.5
OFF = "This is switched off here, since what computes it is missing or broken."
FAILED = "This could not be computed for this draft."
NO_CAPTION = "Nothing is recognised in the picture."
NO_TITLE = "There is no title."
NO_WORDS = "The title has no words."
NO_LATIN = "Most letters of the title are not Latin, the only script that can be compared with a picture here."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a signal is read: a column of a feature. `sides` are those of a post that it needs.

    `latin` says that words in other scripts are noise to its encoders.
    """

    feature: str
    column: str
    sides: tuple[Modality, ...]
    latin: bool = False


BOTH: tuple[Modality, ...] = ("image", "text")
SIGNALS: Mapping[str, Source] = {
    "similarity": Source("similarity", "cosine", BOTH, latin=True),
    "caption_consistency": Source("caption_consistency", "cosine", BOTH, latin=True),
    "log_perplexity": Source("perplexity", "log_perplexity", ("text",)),
    "title_written": Source("lettering_agreement", "title_written", BOTH),
    "faces": Source("faces", "count", ("image",)),
}


@dataclass(frozen=True)
class Signal:
    """One signal of one post: a `value`, or None and in `why` one sentence on the reason.

    Values: `similarity` and `caption_consistency` cosines, −1..1; `log_perplexity` nats a word piece; `title_written` a
    share, 0..1; `faces` how many. `total` is the number of the title's distinct words, for the two of words. `detail`
    holds what was read on the way: the caption, the title's language (ISO 639-1), the lines of lettering, or "smile"
    where the largest face smiles.
    """

    name: str
    value: float | None
    why: str = ""
    detail: tuple[str, ...] = ()
    total: int | None = None


def objection(name: str, post: Post) -> str:
    """One sentence on why a post cannot have this signal, whatever is installed; "" where it may. Loads nothing."""
    source = SIGNALS[name]
    seen = nothing_seen(post) if "image" in source.sides else ""
    return seen or ("text" in source.sides and _unread(post.title, latin=source.latin)) or ""


def _unread(title: str, *, latin: bool) -> str:
    if not title.strip():
        return NO_TITLE
    if not any(map(str.isalnum, title)):
        return NO_WORDS
    letters = [character for character in title if character.isalpha()]
    known = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    return NO_LATIN if latin and 2 * known < len(letters) else ""


class Signals:
    """Reads the signals of posts, several side by side. May be shared by threads."""

    def __init__(self, device: str = "auto") -> None:
        threads.configure()
        self._settings = FeatureSettings(encoders=ENCODERS, device=device)
        self._features: dict[str, dict[str, Feature]] = {}
        self._off: set[str] = set()
        # Several share an encoder: together for the first time, each would load it.
        self._loading = Lock()
        self._loaded: set[str] = set()

    def read(self, post: Post) -> dict[str, Signal]:
        """Every signal of a post, in the order of `SIGNALS`. Raises nothing: what is missing or fails is null."""
        found = {signal.name: signal for signal in self.stream(post)}
        return {name: found[name] if name in found else Signal(name, None, objection(name, post)) for name in SIGNALS}

    def stream(self, post: Post) -> Iterator[Signal]:
        """The signals of those sides that a post has, in order, each as soon as it and those before it are there."""
        sides = {side for side, there in (("image", post.has_image), ("text", post.has_text)) if there}
        names = [name for name, source in SIGNALS.items() if sides.issuperset(source.sides)]
        yield from threads.in_order(lambda name: self._read(name, post), names)

    def _read(self, name: str, post: Post) -> Signal:
        why = objection(name, post) or (OFF if name in self._off else "")
        if why:
            return Signal(name, None, why)
        try:
            if name in self._loaded:
                return self._computed(name, post)
            with self._loading:
                signal = self._computed(name, post)
                self._loaded.add(name)
                return signal
        except FirstImpressionsError as error:
            # It may name folders, which are nobody else's business.
            _log.warning("The signal %s is switched off: %s", name, error)
            self._off.add(name)
            return Signal(name, None, OFF)
        except Exception as error:
            # One signal of several is no reason to refuse a post. The message may quote the draft.
            _log.error("The signal %s failed: %s", name, type(error).__name__)
            return Signal(name, None, FAILED)

    def _computed(self, name: str, post: Post) -> Signal:
        source = SIGNALS[name]
        if name not in self._features:
            self._features[name] = make_features([source.feature], self._settings)
        feature = self._features[name][source.feature]
        if why := feature.unavailable or feature.why_null(post):
            return Signal(name, None, why)
        detail: tuple[str, ...]
        if isinstance(feature, CaptionConsistency):
            assert post.image is not None
            [caption] = feature.captioner.captions([post.image])
            if not caption.text.strip():
                return Signal(name, None, NO_CAPTION)
            values, detail = feature.of_captions([post], {0: caption}), (caption.text,)
        else:
            view = next(view for view, sides in SIDES.items() if sides == source.sides)
            values = Extractor(self._features[name], [source.feature]).compute([post], view)[source.feature]
            detail = self._detail(name, feature, values, post)
        value = float(values[0, feature.columns.index(source.column)])
        if not math.isfinite(value):
            # A network that turns out to be broken says so now.
            return Signal(name, None, feature.why_null(post) or FAILED)
        total = len(words(post.title)) if name in ("title_written", "log_perplexity") else None
        return Signal(name, value, detail=detail, total=total)

    @staticmethod
    def _detail(name: str, feature: Feature, values: Values, post: Post) -> tuple[str, ...]:
        if name == "log_perplexity":
            language = language_of(post.title)
            return (language,) if language else ()
        if name == "title_written" and post.image is not None:
            return tuple(line.text for line in lettering.lines(post.image))
        if name == "faces" and values[0, feature.columns.index("smile")] >= SMILES:
            return ("smile",)
        return ()
