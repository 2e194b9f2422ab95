"""Metadata of a post, which stand in for its picture and title where those may not be shown, and on which splits rely.

Pictures: size as loaded, ThumbHash (a preview of about 25 bytes), perceptual hash (64 bits, 16 hex digits;
near-duplicates differ in few bits), hash of the decoded pixels. Titles: language, characters, words.
"""

import base64
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imagehash
import pyarrow as pa
from fast_thumbhash import rgba_to_thumb_hash
from PIL import Image
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from engine.errors import ImageError
from engine.images import load_image, pixel_hash

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

# A title says too little to name a language of the 130 that the identifier knows: it would find Latin and Nigerian
# Pidgin in every fourth. Among these, at this probability, what it still gets wrong are titles that mix languages.
LANGUAGES = (
    "ar bg bn cs da de el en es fa fi fr he hi hr hu id it ja ko ml mr ms nl no pl pt ro ru sk sr sv ta te th tr uk ur "
    "vi zh"
).split()
UNDETERMINED = "und"
LANGUAGE_PROBABILITY = 0.5
LANGUAGE_LETTERS = 10
# A Chinese or Korean character says as much as a few Latin letters.
LANGUAGE_LETTERS_DENSE = 3

DENSE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
NO_WORDS = re.compile(r"https?://\S+|[@#]\w+|[\W\d_]+")


@dataclass(frozen=True)
class PictureMetadata:
    """What is kept of one picture as `load_image` gives it; width and height in pixels, after it is turned upright."""

    image_width: int
    image_height: int
    thumbhash: str
    phash: str
    pixel_hash: str


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


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier


def title_language(title: str) -> str:
    """ISO 639-1 code of the title's language, or "und" where it is too short or too mixed to say."""
    words = NO_WORDS.sub(" ", title.lower()).strip()
    letters = len(words.replace(" ", ""))
    if letters < LANGUAGE_LETTERS and len(DENSE.findall(words)) < LANGUAGE_LETTERS_DENSE:
        return UNDETERMINED
    language, probability = _identifier().classify(words)
    return str(language) if probability >= LANGUAGE_PROBABILITY else UNDETERMINED


def title_metadata(title: str) -> dict[str, str | int]:
    """Language, number of characters and of space-separated words of a title ("" where there is none)."""
    return {
        "language": title_language(title),
        "title_characters": len(title),
        "title_words": len(title.split()),
    }
