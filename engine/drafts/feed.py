"""A cover as feeds show it: what a 16:9 crop keeps, and which lettering is too small to read there.

Sizes are in CSS pixels, whose visual angle is fixed: 1.28 minutes of arc at the distance the device is meant for (CSS
Values and Units 4, "reference pixel"). An eye of 20/20 makes out letters of 5 minutes of arc (Snellen); twice that, 8
pixels, is about the least to be read in passing. Capitals take about two thirds of the height of the box that is drawn
around a line, so a line lower than 12 pixels is said to be too small. Contrast and typeface are not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.lettering import Line

Box = tuple[float, float, float, float]

ASPECT = 16 / 9
# Widths of a cover: the feed of a phone, where it takes the whole width; a grid on a desktop; a list of suggestions.
WIDTHS = {"phone": 360, "desktop": 312, "list": 168}
LEAST_HEIGHT = 12.0
# A line of which less than this lies outside is not called cut: boxes are drawn a little larger than the letters.
LEAST_CUT = 0.1


@dataclass(frozen=True)
class Crop:
    """The middle of a picture of `size` that a feed keeps: `box` in shares of its sides, `lost` of its area."""

    size: tuple[int, int]
    box: Box

    @property
    def lost(self) -> float:
        left, top, right, bottom = self.box
        return 1 - (right - left) * (bottom - top)

    def height(self, line: Line, width: int) -> float:
        """Height of a line of lettering where the crop is shown in this width, in the unit of that."""
        return line.height * self.size[1] * width / ((self.box[2] - self.box[0]) * self.size[0])

    def cuts(self, line: Line) -> bool:
        """Whether a part of the line that counts is cut away."""
        (left, top, right, bottom), (start, ceiling, end, floor) = line.box, self.box
        kept = max(min(right, end) - max(left, start), 0.0) * max(min(bottom, floor) - max(top, ceiling), 0.0)
        area = (right - left) * (bottom - top)
        return area > 0 and 1 - kept / area > LEAST_CUT


def crop_of(size: tuple[int, int]) -> Crop:
    """What is kept of a picture of this width and height."""
    width, height = size
    across, down = min(1.0, ASPECT * height / width), min(1.0, width / ASPECT / height)
    return Crop(size, ((1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2))


def too_small(lines: Sequence[Line], crop: Crop, width: int) -> list[Line]:
    """The lines that are left by the crop and cannot be read where it is shown in this width."""
    return [line for line in lines if not crop.cuts(line) and crop.height(line, width) < LEAST_HEIGHT]
