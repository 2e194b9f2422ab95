"""Pictures as data URLs, made and read: thumbnails, and the blurred preview that a ThumbHash holds."""

import base64
import io
from functools import lru_cache
from typing import Any

from PIL import Image

from engine.errors import ImageError
from engine.images import MAX_BYTES, TOO_LARGE

# The longest hash that ThumbHash makes is 25 bytes.
MOST_BYTES = 64
# Longer side of a copy: more than any encoder reads, and a few of them fit into the storage of a browser's tab.
SIDE = 640


def data_url(image: Image.Image, kind: str, **options: Any) -> str:
    """A picture as a data URL, `kind` and options as Pillow writes it: PNG, JPEG, WEBP."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def copy_of(picture: Image.Image | None) -> str:
    """A smaller copy of a picture as a data URL; "" for none."""
    if picture is None:
        return ""
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return data_url(small, "JPEG", quality=88)


def file_of(url: object) -> bytes:
    """The file in a data URL, whatever it is. Raises ValueError for what is none, ImageError where it is too large."""
    head, found, text = url.partition(";base64,") if isinstance(url, str) else ("", "", "")
    if not found or not head.startswith("data:"):
        raise ValueError("no data URL in base64")
    # Before it is decoded: four characters hold three bytes.
    if len(text) > 4 * MAX_BYTES // 3 + 4:
        raise ImageError(TOO_LARGE)
    return base64.b64decode(text, validate=True)


@lru_cache(maxsize=4096)
def thumbhash_url(thumbhash: bytes) -> str:
    """A ThumbHash as a PNG data URL of about 32 pixels a side; "" when it is none."""
    import fast_thumbhash

    if not 5 <= len(thumbhash) <= MOST_BYTES:
        return ""
    try:
        width, height, pixels = fast_thumbhash.thumb_hash_to_rgba(thumbhash)
        return data_url(Image.frombytes("RGBA", (width, height), bytes(pixels)), "PNG")
    except ValueError:
        return ""
