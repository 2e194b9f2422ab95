"""Who looks out of a picture: how many, how close, where, and whether they smile."""

from typing import Any, ClassVar

from engine import faces
from engine.features.picture_reading import PictureReading
from engine.posts import Post

COLUMNS: tuple[str, ...] = ("count", "area", "x", "y", "smile", "open_mouth")


class Faces(PictureReading):
    """Faces of a picture, (n, len(COLUMNS)).

    How many there are, and of the largest the share of the picture that it covers, the centre as shares of the
    picture's width and height, its smile and its open mouth, 0..1. All zeros where there is no face; NaN where the
    picture cannot be read.
    """

    kind: ClassVar[str] = "faces"
    columns = COLUMNS
    reader = faces.READER

    def row(self, found: Any, post: Post) -> list[float]:
        if not found:
            return [0.0] * len(COLUMNS)
        largest = found[0]
        left, top, right, bottom = largest.box
        return [
            len(found),
            largest.area,
            (left + right) / 2,
            (top + bottom) / 2,
            largest.smile,
            largest.open_mouth,
        ]


FEATURE = Faces
