"""An explanation drawn over its picture."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from engine.explain.base import Explanation

# Ends of ColorBrewer's PuOr, told apart by people with any common colour blindness.
LOWERS = np.array([94, 60, 153], dtype=np.float32)
RAISES = np.array([230, 97, 1], dtype=np.float32)
# Below a twentieth of a level nothing changes for the reader, so such values must not look strong.
SMALLEST_SCALE = 0.05
STRONGEST = 0.72
FAINTEST = 0.06
LEGEND_HEIGHT = 34


def heat_overlay(
    image: Image.Image, explanation: Explanation, *, limit: float | None = None, legend: bool = False
) -> Image.Image:
    """The picture in light greys under what its parts did: orange raised the answer, purple lowered it.

    Colour is mixed in proportion to |value|; ±`limit` is full strength and 0 is transparent. By default `limit` is the
    explanation's largest value of any part, words too, so that a picture that did little stays pale; give one limit
    for pictures that are compared. A map of pixels is smoothed and has a scale of its own, its 99th percentile.
    `legend` adds a strip below. Without a picture part the image comes back unchanged. RGB, size of `image`.
    """
    plain = image.convert("RGB")
    heat = explanation.heat
    if heat is None:
        return plain
    dense = explanation.pixel_values is not None
    if dense:
        heat = _smooth(heat)
        limit = limit or float(np.percentile(np.abs(heat), 99))
    else:
        limit = limit or max(explanation.scale, SMALLEST_SCALE)
    strength = np.clip(heat / max(limit, 1e-12), -1.0, 1.0)
    method = Image.Resampling.BILINEAR if dense else Image.Resampling.NEAREST
    strength = np.asarray(Image.fromarray(strength.astype(np.float32)).resize(plain.size, method))
    drawn = _blend(plain, strength)
    if not dense:
        _outline(drawn, strength)
    picture = Image.fromarray(drawn.round().astype(np.uint8))
    return _with_legend(picture, None if dense else limit) if legend else picture


def _smooth(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Single pixels of a gradient map are noise to the eye: a Gaussian of 2 % of the longer side."""
    from scipy.ndimage import gaussian_filter

    smooth: npt.NDArray[np.float32] = gaussian_filter(heat, sigma=max(heat.shape) * 0.02)
    return smooth


def _blend(plain: Image.Image, strength: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    grey = np.asarray(plain.convert("L"), dtype=np.float32)[..., None]
    # The picture's own orange and purple would read as heat, so it is drawn in light greys.
    base = 0.82 * grey + 0.18 * 255.0
    size = np.abs(strength)
    alpha = np.where(size < FAINTEST, 0.0, STRONGEST * size)[..., None]
    tint = np.where(strength[..., None] > 0, RAISES, LOWERS)
    mixed: npt.NDArray[np.float32] = base * (1.0 - alpha) + tint * alpha
    return mixed


def _outline(drawn: npt.NDArray[np.float32], strength: npt.NDArray[np.float32]) -> None:
    """Thin light lines between regions of different value, in place."""
    edge = np.zeros(strength.shape, dtype=bool)
    edge[:, 1:] |= strength[:, 1:] != strength[:, :-1]
    edge[1:] |= strength[1:] != strength[:-1]
    drawn[edge] = 0.5 * drawn[edge] + 0.5 * 255.0


def _with_legend(picture: Image.Image, limit: float | None) -> Image.Image:
    """The picture over a strip from `LOWERS` to `RAISES`; its ends say ± `limit` levels where that is known."""
    width = picture.width
    sheet = Image.new("RGB", (width, picture.height + LEGEND_HEIGHT), "white")
    sheet.paste(picture, (0, 0))
    ramp = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :].repeat(10, axis=0)
    white = Image.new("RGB", (width, 10), "white")
    sheet.paste(Image.fromarray(_blend(white, ramp).round().astype(np.uint8)), (0, picture.height + 4))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    low, high = ("lowers", "raises") if limit is None else (f"-{limit:.2f} levels", f"+{limit:.2f} levels")
    top = picture.height + 17
    draw.text((2, top), low, fill="black", font=font)
    draw.text((width - 2, top), high, fill="black", font=font, anchor="ra")
    return sheet
