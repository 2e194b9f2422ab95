"""What an explanation says, whatever method it came from: values that add up, what they are of, what they cost."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TARGET = "expected level, 0–4"
NOTHING = "There is nothing to explain: give the post a picture or a title."

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each part of one post moved the answer away from the answer for nothing at all.

    All values are in units of `target` (levels), positive where the part raised the answer.

    `method` and `target` are plain words for the page. `base_value` is f(∅), the answer with every part removed, and
    `value` is f(post). `words` covers the title where it takes part: pieces with their following space, joined they are
    the title again. `fields` holds tags and description where the model reads them. `segments` is a map (h, w) of
    region numbers 0..k-1 over the picture, whatever its size, and `segment_values` (k,) their values; both None without
    a picture.
    `pixel_values` (h, w) is there when the method tells pixels apart; each region's value is then its sum.
    `half_widths` are half of the values' 95 % intervals, 0 where exact, in the order regions, words, fields; None for a
    method that does not sample.
    `image_passes` and `text_passes` count the variants that went through the encoders, `evaluations` those that the
    model judged. `notes` are sentences for the page: what removing means, and what the method leaves out.
    """

    method: str
    base_value: float
    value: float
    words: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]
    fields: tuple[tuple[str, float], ...] = ()
    segments: Labels | None = None
    segment_values: Floats | None = None
    pixel_values: Floats | None = None
    half_widths: Floats | None = None
    image_passes: int = 0
    text_passes: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    target: str = TARGET

    @property
    def text_values(self) -> Floats:
        """Values of words, then fields."""
        return np.array([value for _, value in (*self.words, *self.fields)], dtype=np.float64)

    @property
    def values(self) -> Floats:
        """Values of all parts: regions, words, fields."""
        regions = np.empty(0) if self.segment_values is None else np.asarray(self.segment_values, dtype=np.float64)
        return np.concatenate([regions, self.text_values])

    @property
    def certain(self) -> npt.NDArray[np.bool_]:
        """Of each part, whether its value lies outside of its own sampling noise."""
        noise = np.zeros(len(self.values)) if self.half_widths is None else self.half_widths
        found: npt.NDArray[np.bool_] = (np.abs(self.values) > noise) | (noise == 0)
        return found

    @property
    def completeness_error(self) -> float:
        """|Σ values − (f(post) − f(∅))|: what the parts together fail to account for, in levels."""
        return float(abs(self.values.sum() - (self.value - self.base_value)))

    @property
    def picture_share(self) -> float:
        """Share of the sum of |values| that lies in the picture, 0..1; 0 when nothing moved the answer."""
        regions = 0.0 if self.segment_values is None else float(np.abs(self.segment_values).sum())
        total = float(np.abs(self.values).sum())
        return regions / total if total > 0 else 0.0

    @property
    def text_share(self) -> float:
        """Share of the sum of |values| that lies in the words and fields, 0..1; 0 when nothing moved the answer."""
        words = float(np.abs(self.text_values).sum())
        total = float(np.abs(self.values).sum())
        return words / total if total > 0 else 0.0

    @property
    def scale(self) -> float:
        """Largest |value| of any part, in levels: words and regions drawn on it can be compared."""
        return float(np.abs(self.values).max(initial=0.0))

    @property
    def heat(self) -> npt.NDArray[np.float32] | None:
        """Map (h, w) over the picture: each pixel's value, or its region's where that is more than noise; or None."""
        if self.pixel_values is not None:
            return np.asarray(self.pixel_values, dtype=np.float32)
        if self.segments is None or self.segment_values is None:
            return None
        certain = self.certain[: len(self.segment_values)]
        return np.where(certain, self.segment_values, 0.0).astype(np.float32)[self.segments]
