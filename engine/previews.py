"""Small pictures as data URLs: thumbnails, and the blurred preview that a ThumbHash holds."""

import base64
import io
from functools import lru_cache
from typing import Any

from PIL import Image

# The longest hash that ThumbHash makes is 25 bytes.
MOST_BYTES = 64


def data_url(image: Image.Image, kind: str, **options: Any) -> str:
    """A picture as a data URL, `kind` and options as Pillow writes it: PNG, JPEG, WEBP."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


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
