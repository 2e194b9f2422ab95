"""Metadata of a post, which stand in for its picture and title where those may not be shown, and on which splits rely.

Pictures: size as loaded, ThumbHash (a preview of about 25 bytes), perceptual hash (64 bits, 16 hex digits;
near-duplicates differ in few bits), hash of the decoded pixels. Titles: language, characters, words.
"""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import imagehash
import pandas as pd
import pyarrow as pa
from fast_thumbhash import rgba_to_thumb_hash
from PIL import Image

from engine.errors import ImageError
from engine.images import load_image, pixel_hash
from engine.language import language_of

METADATA_SCHEMA = pa.schema(
    [
        ("post_id", pa.string()),
        ("image_width", pa.int64()),
        ("image_height", pa.int64()),
        ("thumbhash", pa.string()),
        ("phash", pa.string()),
        ("pixel_hash", pa.string()),
        ("language", pa.string()),
        ("title_characters", pa.int64()),
        ("title_words", pa.int64()),
    ]
)

# ThumbHash takes at most 100 pixels a side.
THUMBHASH_SIDE = 100

UNDETERMINED = "und"


@dataclass(frozen=True)
class PictureMetadata:
    """What is kept of one picture as `load_image` gives it; width and height in pixels, after it is turned upright."""

    image_width: int
    image_height: int
    thumbhash: str
    phash: str
    pixel_hash: str


# From the pictures of a batch to their metadata, in order, or the sentence saying why one cannot be used.
Decoder = Callable[[list[bytes | str]], Iterable[PictureMetadata | str]]


def picture_metadata(image: Image.Image) -> PictureMetadata:
    """Metadata of a loaded RGB picture."""
    small = image.copy()
    small.thumbnail((THUMBHASH_SIDE, THUMBHASH_SIDE))
    preview = bytes(rgba_to_thumb_hash(small.width, small.height, small.convert("RGBA").tobytes()))
    return PictureMetadata(
        image_width=image.width,
        image_height=image.height,
        thumbhash=base64.b64encode(preview).decode("ascii"),
        phash=str(imagehash.phash(image)),
        pixel_hash=pixel_hash(image),
    )


def try_picture(source: bytes | str | Path) -> PictureMetadata | str:
    """Metadata of a picture's file, or the sentence saying why it cannot be used."""
    try:
        return picture_metadata(load_image(source))
    except ImageError as error:
        return str(error)


def languages_of(languages: pd.Series) -> dict[str, float]:
    """Shares of titles by language, the largest first, of those of which it can be told."""
    shares = languages[languages != UNDETERMINED].value_counts(normalize=True)
    return {str(language): float(share) for language, share in shares.items()}


def title_metadata(title: str) -> dict[str, str | int]:
    """Language, number of characters and of space-separated words of a title ("" where there is none).

    A language that cannot be told is "und".
    """
    return {
        "language": language_of(title) or UNDETERMINED,
        "title_characters": len(title),
        "title_words": len(title.split()),
    }
