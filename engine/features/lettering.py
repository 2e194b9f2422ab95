"""What is written in a picture: how much, how large, how loud."""

import re
from typing import Any, ClassVar

import numpy as np

from engine import lettering
from engine.features.picture_reading import PictureReading
from engine.posts import Post

COLUMNS: tuple[str, ...] = ("boxes", "area", "tallest", "characters", "words", "capital_share", "confidence")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Lettering(PictureReading):
    """Lettering of a picture, (n, len(COLUMNS)).

    Lines of lettering, the share of the picture that they cover (at most 1), the height of the tallest as a share of
    the picture's, characters that are no spaces, words, the share of letters that are capitals, and the mean confidence
    of the lines, 0..1. All zeros where nothing is written; NaN where the picture cannot be read.
    """

    kind: ClassVar[str] = "lettering"
    columns = COLUMNS
    reader = lettering.READER

    def row(self, found: Any, post: Post) -> list[float]:
        text = " ".join(line.text for line in found)
        letters = sum(map(str.isalpha, text))
        return [
            len(found),
            min(1.0, sum(line.area for line in found)),
            max((line.height for line in found), default=0.0),
            sum(not character.isspace() for character in text),
            len(_WORD.findall(text)),
            sum(map(str.isupper, text)) / max(letters, 1),
            float(np.mean([line.confidence for line in found])) if found else 0.0,
        ]


FEATURE = Lettering
