"""Regions of a picture as parts that can be taken away: superpixels, and pictures with some of them missing."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

# Encoders read about 260 px: more would only be scaled down again, once for every variant.
WORKING_SIDE = 384
# SLIC needs no detail to find a dozen regions, and its time grows with the pixels.
SLIC_SIDE = 192
FEWEST = 4
# About how many a picture is cut into: more would show finer parts, each less surely.
SEGMENTS = 12

REMOVED = "Regions taken away are filled with the average colour of the picture."


def shrink(image: Image.Image, side: int = WORKING_SIDE) -> Image.Image:
    """An RGB copy whose long side is at most `side` px, aspect kept, never enlarged."""
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    plain = image.convert("RGB")
    return plain if size == plain.size else plain.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def grid(height: int, width: int, count: int) -> npt.NDArray[np.int32]:
    """About `count` equal rectangles as a label map (height, width) of 0..k-1."""
    columns = min(width, max(1, round((count * width / height) ** 0.5)))
    rows = min(height, max(1, round(count / columns)))
    down = np.arange(height) * rows // height
    across = np.arange(width) * columns // width
    labels: npt.NDArray[np.int32] = (down[:, None] * columns + across[None, :]).astype(np.int32)
    return labels


def fit_labels(segments: npt.NDArray[np.integer], height: int, width: int) -> npt.NDArray[np.int32]:
    """A label map stretched to (height, width), nearest neighbour."""
    rows = np.arange(height) * segments.shape[0] // height
    columns = np.arange(width) * segments.shape[1] // width
    labels: npt.NDArray[np.int32] = segments[rows[:, None], columns[None, :]].astype(np.int32)
    return labels


def find_regions(image: Image.Image, count: int = SEGMENTS) -> npt.NDArray[np.int32]:
    """About `count` superpixels as a label map of the picture's (height, width), numbered 0..k-1 without gaps.

    SLIC (Achanta et al. 2012) on a small copy. Where it finds fewer than four, as in a nearly uniform picture, a grid
    takes its place. Raises ValueError for a count below 1.
    """
    from skimage.segmentation import slic

    if count < 1:
        raise ValueError(f"A picture cannot be cut into {count} regions; ask for at least 1.")
    small = np.asarray(shrink(image, SLIC_SIDE))
    found = slic(small, n_segments=count, compactness=10.0, sigma=1.0, start_label=0)
    numbers, labels = np.unique(found, return_inverse=True)
    labels = labels.reshape(found.shape)
    if len(numbers) < min(FEWEST, count):
        return grid(image.height, image.width, count)
    return fit_labels(labels, image.height, image.width)


def baseline_picture(image: Image.Image) -> Image.Image:
    """A uniform picture of the same size in the mean colour.

    A blur would still show where things are, so f(∅) would depend on the layout; one colour tells nothing but itself,
    and unlike grey or black it lies among the picture's own colours.
    """
    mean = np.asarray(image.convert("RGB")).reshape(-1, 3).mean(axis=0)
    return Image.new("RGB", image.size, tuple(int(value) for value in mean.round()))


def mask_regions(
    image: Image.Image, segments: npt.NDArray[np.integer], keep: npt.NDArray[np.bool_], baseline: Image.Image
) -> Sequence[Image.Image]:
    """n pictures: row i shows the regions of `image` where `keep[i]`, and `baseline` elsewhere.

    `segments` is a label map (h, w) of 0..k-1, `keep` is (n, k), and both pictures are w × h.
    """
    picture, removed = image.convert("RGB"), baseline.convert("RGB")
    shown = np.where(keep, np.uint8(255), np.uint8(0))
    return [Image.composite(picture, removed, Image.fromarray(row[segments])) for row in shown]
