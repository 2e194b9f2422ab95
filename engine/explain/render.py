"""An explanation drawn as a layer over its picture."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.explain.base import Explanation

# Ends of ColorBrewer's PuOr, told apart by people with any common colour blindness.
LOWERS = (94, 60, 153)
RAISES = (230, 97, 1)
# Below this, in levels, nothing changes for the reader, so such values must not look strong.
SMALLEST_SCALE = 0.05
# Share of the longer side over which edges fade.
SOFTNESS = 0.025
# Longer side of the layer: it is stretched over the picture, and has no finer detail.
LAYER_SIDE = 320


def heat_limit(explanation: Explanation) -> float:
    """What full strength stands for: levels, or, where pixels are told apart, levels a pixel; above 0."""
    if explanation.pixel_values is not None:
        return max(float(np.percentile(np.abs(_soft(explanation.pixel_values)), 99)), 1e-12)
    values = explanation.segment_values if explanation.segment_values is not None else np.empty(0)
    return max(float(np.abs(values).max(initial=0.0)), SMALLEST_SCALE)


def heat_layer(explanation: Explanation) -> Image.Image | None:
    """What the parts of the picture did: orange raised the answer, purple lowered it, clear did neither.

    Opacity is proportional to |value| on the picture's own scale (`heat_limit`); edges are soft. RGBA, the picture's
    shape, at most `LAYER_SIDE` px. None without a picture part.
    """
    heat = explanation.heat
    if heat is None:
        return None
    scale = LAYER_SIDE / max(heat.shape)
    size = (max(1, round(heat.shape[1] * scale)), max(1, round(heat.shape[0] * scale)))
    method = Image.Resampling.BILINEAR if explanation.pixel_values is not None else Image.Resampling.NEAREST
    values = _soft(np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, method)))
    strength = np.clip(values / heat_limit(explanation), -1.0, 1.0)
    pixels = np.empty((*strength.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(strength[..., None] > 0, RAISES, LOWERS)
    pixels[..., 3] = (255 * np.abs(strength)).round()
    return Image.fromarray(pixels, "RGBA")


def _soft(heat: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    soft: npt.NDArray[np.float32] = gaussian_filter(np.asarray(heat, dtype=np.float32), max(heat.shape) * SOFTNESS)
    return soft
