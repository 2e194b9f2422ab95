"""Pictures of posts: read safely whatever is given, and bring it to one form (RGB, upright, at most 1024 px).

Files come from strangers, so a picture is refused from its header, before its pixels are decoded, when it is too
large, too small or too long; only common formats are tried; and of an animation only the first frame is decoded.
"""

import hashlib
import stat
import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from engine.addresses import ADDRESS
from engine.errors import ImageError

WORKING_SIZE = 1024
MAX_BYTES = 20_000_000
MAX_PIXELS = 64_000_000
MIN_SIDE = 8
MAX_RATIO = 20

# MPO (the JPEG of two-lens cameras) has no opener of its own: the JPEG one recognises it.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

UNREADABLE = "This file is no picture that can be read; use JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."
BROKEN = "The picture is broken or cut off; export it again, or choose another."
TOO_LARGE = f"The picture's file is larger than {MAX_BYTES // 1_000_000} MB; save it smaller."
TOO_MANY_PIXELS = f"reduce it to at most {MAX_PIXELS // 1_000_000} million."

# MAX_PIXELS is below Pillow's own warning, which would only repeat the refusal on the console.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def load_image(source: bytes | str | Path | BinaryIO | Image.Image, root: str | Path | None = None) -> Image.Image:
    """The picture as RGB, upright, its long side reduced to at most `WORKING_SIZE` px (never enlarged), no metadata.

    `source` is the file's bytes, a path (relative ones start at `root`), an open binary file, or a Pillow image, which
    is left as it was. Alpha is laid on white, 16 bits are scaled to 8, CMYK becomes RGB, EXIF orientation is applied.
    Raises ImageError, one sentence without any path in it, for whatever is no usable picture.
    """
    if isinstance(source, Image.Image):
        _check_size(source.size)
        picture = source
    else:
        picture = _open(read_file(source, root))
        _check_size(picture.size)
        # JPEG alone can be decoded at 1/2, 1/4 or 1/8; the factor leaves the final filter enough to work with,
        # and a phone's 4000 px are still halved.
        width, height = _working_size(picture.size)
        picture.draft(None, (width * 3 // 2, height * 3 // 2))
    try:
        picture.load()
        return _normalise(picture)
    except Exception as error:
        # A hostile file makes Pillow's decoders raise nearly anything, from struct.error to ZeroDivisionError.
        raise ImageError(BROKEN) from error


def pixel_hash(image: Image.Image) -> str:
    """Hash of a loaded picture: 32 hex digits of BLAKE2b over mode, size and pixels."""
    digest = hashlib.blake2b(f"{image.mode} {image.width}x{image.height} ".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()


def read_file(source: bytes | str | Path | BinaryIO, root: str | Path | None = None) -> bytes:
    """The bytes of a source of `load_image`, at most MAX_BYTES of them and only from a regular file.

    Raises ImageError as that does.
    """
    if isinstance(source, str | Path):
        data = _read_path(source, root)
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    else:
        try:
            data = source.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise ImageError("The picture cannot be read; choose it again.") from error
    if not isinstance(data, bytes):
        raise ImageError(UNREADABLE)
    if not data:
        raise ImageError("The picture's file is empty; choose another.")
    if len(data) > MAX_BYTES:
        raise ImageError(TOO_LARGE)
    return data


def _read_path(source: str | Path, root: str | Path | None) -> bytes:
    if isinstance(source, str) and ADDRESS.match(source):
        raise ImageError("The picture is given as a web address and nothing is fetched; download it and give its file.")
    path = Path(root or "", source)
    try:
        status = path.stat()
        # Opening a FIFO would wait for ever, and a device such as /dev/zero never ends.
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("The picture is a folder or a device; give the path of a picture file.")
        if status.st_size > MAX_BYTES:
            raise ImageError(TOO_LARGE)
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError("The picture's file does not exist; check its path.") from error
    except (OSError, ValueError) as error:
        raise ImageError("The picture's file cannot be opened; check its path and its permissions.") from error


def _open(data: bytes) -> Image.Image:
    """A Pillow image whose header is read and whose pixels are not."""
    Image.init()
    try:
        return Image.open(BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"The picture has too many pixels; {TOO_MANY_PIXELS}") from error
    except Exception as error:
        if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
            raise ImageError(UNREADABLE) from error
    _register_heif()
    try:
        return Image.open(BytesIO(data), formats=["HEIF"])
    except Exception as error:
        raise ImageError(UNREADABLE) from error


def _register_heif() -> None:
    """Load the HEIF decoder, with the first HEIF picture: it is an extra (`requirements-heic.txt`), and slow."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError("HEIC pictures cannot be read here; save the picture as JPEG.") from error
    pillow_heif.register_heif_opener(thumbnails=False)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(f"The picture has {width:,} × {height:,} pixels; {TOO_MANY_PIXELS}")
    if min(size) < MIN_SIDE:
        raise ImageError(f"The picture has {width} × {height} pixels; use one of at least {MIN_SIDE} × {MIN_SIDE}.")
    if max(size) > MAX_RATIO * min(size):
        raise ImageError(f"The picture is more than {MAX_RATIO} times as long as it is wide; crop it.")


def _working_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, WORKING_SIZE / max(size))
    return max(MIN_SIDE, round(size[0] * scale)), max(MIN_SIDE, round(size[1] * scale))


def _normalise(picture: Image.Image) -> Image.Image:
    orientation = _orientation(picture)
    picture = _filterable(picture)
    size = _working_size(picture.size)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("RGB")
    if orientation in TRANSPOSE:
        picture = picture.transpose(TRANSPOSE[orientation])
    picture.info = {}
    return picture


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation 1..8; a picture whose EXIF cannot be read is taken as upright."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # As in decoding, broken metadata raises anything; it is no reason to refuse a sound picture.
        return 1


def _filterable(picture: Image.Image) -> Image.Image:
    """The picture in a mode that may be resampled: L, RGB, CMYK, or RGBA when anything in it is transparent."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _eight_bits(picture)
    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        return picture if picture.mode == "RGBA" else picture.convert("RGBA")
    return picture if picture.mode in ("L", "RGB", "CMYK") else picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits, scaled to 8.

    The modes I and F do not say what their white is: it is taken as the first usual one that no pixel exceeds.
    """
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0.0, neginf=0.0)
    white = 65535.0
    if picture.mode in ("I", "F"):
        highest = float(values.max())
        usual = (1.0, 255.0, 65535.0) if picture.mode == "F" else (255.0, 65535.0)
        white = next((limit for limit in usual if highest <= limit), highest)
    scaled = np.clip(values * (255.0 / white) + 0.5, 0.0, 255.0)
    return Image.fromarray(scaled.astype(np.uint8))
