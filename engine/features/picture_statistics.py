"""Plain statistics of a picture: light, colour, layout, edges.

Nothing here depends on how many pixels a picture has: it is resized to `PICTURE_SIZE` first, and neither its width,
its height nor its file size is looked at.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.encoders.base import Modality
from engine.features.base import Feature, Values, pictures_of
from engine.posts import Post

Array = Values

# Smaller than the smallest covers seen (120×68), so that every picture is scaled down and equally blurred.
PICTURE_SIZE = (96, 54)
_BLOCK = 6
_CHUNK = 64
_HUES = ("red", "yellow", "green", "cyan", "blue", "magenta")
_CELLS = tuple(f"{row}_{column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right"))

COLUMNS: tuple[str, ...] = (
    *("brightness_mean", "brightness_std", "contrast", "dark_share", "bright_share", "entropy"),
    *("saturation_mean", "saturation_std", "vivid_share", "colourfulness", "warm_share", "cool_share"),
    *(f"hue_{hue}" for hue in _HUES),
    *("skin_share", "skin_centre"),
    *("centre_brightness", "centre_saturation", "symmetry", "bars_horizontal", "bars_vertical"),
    *("sharpness", "edge_density", "edge_horizontal_share", "text_density", "text_bottom"),
    *(f"edges_{cell}" for cell in _CELLS),
)


def _mean(values: npt.NDArray[np.generic]) -> Array:
    """Mean over every axis but the first."""
    found: Array = values.reshape(len(values), -1).mean(axis=1, dtype=np.float32)
    return found


def _light(luma: npt.NDArray[np.uint8]) -> list[Array]:
    """Brightness, contrast (95th − 5th percentile) and Shannon entropy in bits, from each picture's histogram."""
    count = len(luma)
    flat = luma.reshape(count, -1).astype(np.int64) + 256 * np.arange(count)[:, None]
    histogram = np.bincount(flat.ravel(), minlength=256 * count).reshape(count, 256) / flat.shape[1]
    cumulative = histogram.cumsum(axis=1)
    values = np.arange(256) / 255.0
    mean = histogram @ values
    deviation = np.sqrt(np.maximum(histogram @ values**2 - mean**2, 0.0))
    contrast = ((cumulative < 0.95).sum(axis=1) - (cumulative < 0.05).sum(axis=1)) / 255.0
    # Eight grey values a bin: a finer histogram would count noise as information.
    coarse = histogram.reshape(count, 32, 8).sum(axis=2)
    entropy = -(coarse * np.log2(np.maximum(coarse, 1e-12))).sum(axis=1)
    return [mean, deviation, contrast, histogram[:, :51].sum(axis=1), histogram[:, 204:].sum(axis=1), entropy]


def _colour(rgb: Array, hue: Array, saturation: Array, value: Array) -> list[Array]:
    """Saturation, colourfulness, warm and cool shares, and hues weighted by chroma."""
    red_green = rgb[..., 0] - rgb[..., 1]
    yellow_blue = (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    axes = np.stack([red_green, yellow_blue]).reshape(2, len(rgb), -1)
    colourfulness = np.sqrt((axes.var(axis=2)).sum(axis=0)) + 0.3 * np.sqrt((axes.mean(axis=2) ** 2).sum(axis=0))
    chroma = saturation * value
    total = chroma.reshape(len(chroma), -1).sum(axis=1) + 1e-3
    turned = hue + np.float32(1 / 12)
    # Floats have no quick modulo.
    sector = ((turned - (turned >= 1)) * len(_HUES)).astype(np.int64)
    hues = [(chroma * (sector == index)).reshape(len(chroma), -1).sum(axis=1) / total for index in range(len(_HUES))]
    coloured = chroma > 0.15
    warm = coloured & ((hue < 1 / 6) | (hue > 11 / 12))
    cool = coloured & (hue > 5 / 12) & (hue < 3 / 4)
    spread = saturation.reshape(len(saturation), -1).std(axis=1)
    vivid = _mean((saturation > 0.6) & (value > 0.5))
    return [_mean(saturation), spread, vivid, colourfulness, _mean(warm), _mean(cool), *hues]


def _bars(luma: Array, axis: int) -> Array:
    """Share of the picture's lines (rows for axis 1, columns for axis 2) that are black bars at its two ends."""
    black = luma.max(axis=3 - axis) < 0.12
    leading = np.cumprod(black, axis=1).sum(axis=1)
    trailing = np.cumprod(black[:, ::-1], axis=1).sum(axis=1)
    found: Array = np.minimum(leading + trailing, black.shape[1]) / black.shape[1]
    return found


def _layout(luma: Array, saturation: Array, skin: Array) -> list[Array]:
    """Centre against border, left–right symmetry (correlation with the mirror image), black bars."""
    height, width = luma.shape[1:]
    rows, columns = slice(height // 4, height - height // 4), slice(width // 4, width - width // 4)

    def against_border(values: Array) -> Array:
        inner, total = values[:, rows, columns], values.sum(axis=(1, 2))
        inside = inner.sum(axis=(1, 2))
        size = inner.shape[1] * inner.shape[2]
        found: Array = inside / size - (total - inside) / (height * width - size)
        return found

    centred = luma - luma.mean(axis=(1, 2), keepdims=True)
    symmetry = _mean(centred * centred[:, :, ::-1]) / (_mean(centred**2) + 1e-4)
    return [
        *(_mean(skin), _mean(skin[:, rows, columns])),
        *(against_border(luma), against_border(saturation), symmetry, _bars(luma, 1), _bars(luma, 2)),
    ]


def _detail(luma: Array) -> list[Array]:
    """Sharpness, edges overall and in a 3×3 grid, and blocks that look like lettering."""
    count, height, width = luma.shape
    across = np.zeros_like(luma)
    down = np.zeros_like(luma)
    across[:, :, 1:-1] = (luma[:, :, 2:] - luma[:, :, :-2]) / 2
    down[:, 1:-1] = (luma[:, 2:] - luma[:, :-2]) / 2
    laplacian = (
        luma[:, 2:, 1:-1] + luma[:, :-2, 1:-1] + luma[:, 1:-1, 2:] + luma[:, 1:-1, :-2] - 4 * luma[:, 1:-1, 1:-1]
    )
    sharpness = np.log(laplacian.reshape(count, -1).var(axis=1) + 1e-4)
    edges = np.hypot(across, down) > 0.1
    horizontal = (edges & (np.abs(down) > np.abs(across))).sum(axis=(1, 2)) / (edges.sum(axis=(1, 2)) + 1.0)
    grid = edges.reshape(count, 3, height // 3, 3, width // 3).mean(axis=(2, 4), dtype=np.float32)
    shape = (count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    blocks = luma.reshape(shape)
    # Rows first, which lie side by side: both axes at once take four times as long.
    contrast = blocks.max(axis=2).max(axis=3) - blocks.min(axis=2).min(axis=3)
    lettering = (contrast > 0.6) & (edges.reshape(shape).mean(axis=(2, 4)) > 0.5)
    bottom = lettering[:, -lettering.shape[1] // 3 :]
    return [sharpness, _mean(edges), horizontal, _mean(lettering), _mean(bottom), *grid.reshape(count, 9).T]


def _picture_rows(images: Sequence[Image.Image]) -> Array:
    plain = (image if image.mode == "RGB" else image.convert("RGB") for image in images)
    small = [image.resize(PICTURE_SIZE, Image.Resampling.BILINEAR, reducing_gap=2.0) for image in plain]
    rgb = np.stack([np.asarray(image) for image in small])
    hsv = np.stack([np.asarray(image.convert("HSV")) for image in small]).astype(np.float32) / 255.0
    ycc = np.stack([np.asarray(image.convert("YCbCr")) for image in small])
    luma = ycc[..., 0].astype(np.float32) / 255.0
    blue, red = ycc[..., 1], ycc[..., 2]
    skin = ((blue >= 77) & (blue <= 127) & (red >= 133) & (red <= 173)).astype(np.float32)
    columns = [
        *_light(ycc[..., 0]),
        *_colour(rgb.astype(np.float32), hsv[..., 0], hsv[..., 1], hsv[..., 2]),
        *_layout(luma, hsv[..., 1], skin),
        *_detail(luma),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


class PictureStatistics(Feature):
    """Statistics of a picture, (n, len(COLUMNS)).

    Brightness, saturation and shares run 0..1. Colourfulness is Hasler & Süsstrunk (2003), eq. 4, on 0..255 values
    (0 grey, above 80 extremely colourful). Skin is the rule of Chai & Ngan (1999): 77 ≤ Cb ≤ 127, 133 ≤ Cr ≤ 173;
    it fires on sand and wood too. Sharpness is the log variance of the Laplacian. Edges are pixels whose luma
    gradient exceeds 0.1 a pixel; lettering is a 6×6 block full of edges that holds both dark and bright.
    """

    kind: ClassVar[str] = "picture_statistics"
    modalities: tuple[Modality, ...] = ("image",)
    columns = COLUMNS

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        images = pictures_of(posts)
        chunks = [_picture_rows(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
        return np.concatenate(chunks) if chunks else np.empty((0, len(COLUMNS)), dtype=np.float32)


FEATURE = PictureStatistics
