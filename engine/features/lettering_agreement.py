"""Whether a picture's lettering and the title say the same."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import islice
from typing import Any, ClassVar

from engine import lettering
from engine.encoders.base import Modality
from engine.features.picture_reading import PictureReading
from engine.posts import Post

COLUMNS: tuple[str, ...] = ("title_written", "lettering_in_title")
# Of one side; the first of a longer text say what it is about.
MOST_WORDS = 100
# One slip in five characters; below four characters a slip makes another word.
LEAST_RATIO = 0.8
LEAST_CHARACTERS = 4
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Distinct words of a text, in lower case and without accents and apostrophes, at most `MOST_WORDS`."""
    spread = unicodedata.normalize("NFKD", text.casefold().replace("'", "").replace("’", ""))
    plain = "".join(character for character in spread if not unicodedata.combining(character))
    # Hangul is written in syllables, which the form above takes apart.
    found = dict.fromkeys(_WORD.findall(unicodedata.normalize("NFC", plain)))
    return list(islice(found, MOST_WORDS))


def _alike(one: str, other: str) -> bool:
    if min(len(one), len(other)) < LEAST_CHARACTERS:
        return False
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.real_quick_ratio() >= LEAST_RATIO <= matcher.quick_ratio() and matcher.ratio() >= LEAST_RATIO


def share_within(some: Iterable[str], others: list[str]) -> float:
    """Share of words that are among others, but for slips of reading: a letter in five, and spaces that went lost."""
    some, joined, known = list(some), "".join(others), set(others)
    # Scripts without spaces have long runs in place of words, and say in two characters what takes four letters.
    least = {word: 2 if not word.isascii() else LEAST_CHARACTERS for word in some}
    inside = (
        word in known or (len(word) >= least[word] and word in joined) or any(_alike(word, other) for other in others)
        for word in some
    )
    return sum(inside) / len(some)


def _written(found: Iterable[lettering.Line]) -> list[str]:
    return words(" ".join(line.text for line in found))


class LetteringAgreement(PictureReading):
    """Agreement of lettering and title, (n, 2): share of the title's words that are written, and the other way about.

    NaN where nothing legible is written, and where the title has no words. Pictures are read once for this and for
    `lettering`: the reader keeps its last answers.
    """

    kind: ClassVar[str] = "lettering_agreement"
    modalities: tuple[Modality, ...] = ("image", "text")
    columns = COLUMNS
    reader = lettering.READER

    def objection(self, found: Any, post: Post) -> str:
        if not words(post.title):
            return "The title has no words."
        return "" if _written(found) else "No words are written in the picture."

    def row(self, found: Any, post: Post) -> list[float]:
        title, written = words(post.title), _written(found)
        return [share_within(title, written), share_within(written, title)]


FEATURE = LetteringAgreement
