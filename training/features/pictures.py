"""All pictures of a work folder at one size, decoded once, as a memory map: the system keeps in memory what fits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from engine import threads
from engine.errors import DataError, ImageError
from engine.features.base import digest
from engine.files import replacing
from engine.images import load_image
from training.features.batches import stored_pictures

VERSION = 1


def decoded_pictures(
    work: Path, files: Sequence[str], size: tuple[int, int], table: str = "posts.parquet"
) -> npt.NDArray[np.uint8]:
    """Pixels (n, height, width, 3) of a table's n pictures squashed to `size` = (height, width), mapped from the disk.

    `files` (n) are the hashes of the stored pictures: the map is keyed by them. Raises DataError, naming the post, for
    a picture that cannot be read.
    """
    height, width = size
    path = work / "features" / f"pictures-{digest([VERSION, list(size), list(files)])}.npy"
    if not path.exists():
        with replacing(path) as temporary:
            shape = (len(files), height, width, 3)
            pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)

            def decode(item: tuple[int, tuple[str, bytes | None]]) -> None:
                row, (post_id, data) = item
                try:
                    image = load_image(data or b"")
                except ImageError as error:
                    raise DataError(f"The picture of {post_id} cannot be read any more ({error}).") from error
                pixels[row] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))

            decoded = threads.in_order(decode, enumerate(stored_pictures(work, table=table, files=files)))
            for _ in tqdm(decoded, total=len(files), desc="pictures", mininterval=5):
                continue
            pixels.flush()
    return np.load(path, mmap_mode="r")
