"""Loading of pictures: every format and mode that is taken, and everything a hostile file may try."""

import io
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import images
from engine.errors import ImageError
from engine.images import MAX_BYTES, WORKING_SIZE, load_image, pixel_hash

# Pillow grumbles about damaged metadata, which is what some of these pictures are for.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(width: int = 64, height: int = 48) -> Image.Image:
    """Red left half, blue right half."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, rows: bytes = b"", bits: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A hand-made PNG, whose header may claim what its pixels do not hold."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def near(picture: Image.Image, at: tuple[int, int], colour: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(picture.getpixel(at), colour, strict=True))


def refusal(source: object) -> str:
    """The sentence with which a source is refused; it must be one sentence for a user, free of internals."""
    with pytest.raises(ImageError) as caught:
        load_image(source)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and ";" in text
    assert "/" not in text and "Error" not in text and "0x" not in text
    return text


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO", "HEIF"])
def test_every_format_is_read_from_bytes_path_and_file(format: str, tmp_path: Path) -> None:
    if format == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif", reason="requirements-heic.txt is not installed")
        pillow_heif.register_heif_opener()
    options = {"save_all": True, "append_images": [halves()]} if format == "MPO" else {}
    data = encoded(halves(), format, **options)
    path = tmp_path / "picture"
    path.write_bytes(data)
    with path.open("rb") as file:
        loaded = [load_image(data), load_image(path), load_image(str(path)), load_image(file)]
    assert load_image("picture", root=tmp_path).size == (64, 48)
    for picture in loaded:
        assert type(picture) is Image.Image and picture.mode == "RGB" and picture.size == (64, 48)
        assert near(picture, (8, 24), RED, 30) and near(picture, (56, 24), BLUE, 30)
        assert pixel_hash(picture) == pixel_hash(loaded[0])


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_without_the_extra_heic_is_refused_in_a_sentence(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    text = refusal(b"\0\0\0\x18ftyp" + brand + bytes(60))
    assert text == "HEIC pictures cannot be read here; save the picture as JPEG."
    assert "HEIC" not in refusal(b"no picture at all")


def test_without_the_extra_avif_under_the_general_brand_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = encoded(halves(), "AVIF")
    assert load_image(data[:8] + b"mif1" + data[12:]).size == (64, 48)


def test_heif_decoder_is_loaded_with_the_first_heif_picture() -> None:
    pytest.importorskip("pillow_heif", reason="requirements-heic.txt is not installed")
    code = (
        "import sys, io; from PIL import Image; from engine.images import load_image;"
        "b = io.BytesIO(); Image.new('RGB', (9, 9)).save(b, 'PNG'); load_image(b.getvalue());"
        "assert 'pillow_heif' not in sys.modules;"
        "import pillow_heif; h = io.BytesIO(); pillow_heif.from_pillow(Image.new('RGB', (64, 32))).save(h);"
        "assert Image.OPEN.get('HEIF') is None; print(load_image(h.getvalue()).size)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(64, 32)"


@pytest.mark.parametrize(("width", "height"), [(3000, 2000), (2000, 3000), (5000, 300), (1025, 1024), (4096, 4096)])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_long_side_is_reduced_and_shape_kept(width: int, height: int, format: str) -> None:
    picture = load_image(encoded(halves(width, height), format))
    assert max(picture.size) == WORKING_SIZE
    assert abs(picture.width / picture.height - width / height) / (width / height) < 0.02
    assert near(picture, (10, picture.height // 2), RED)
    assert near(picture, (picture.width - 10, picture.height // 2), BLUE)


def test_small_pictures_are_not_enlarged() -> None:
    assert load_image(encoded(halves(20, 12), "PNG")).size == (20, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(orientation: int) -> None:
    upright = halves(64, 32)
    upright.paste(WHITE, (0, 0, 16, 8))
    # How a camera stores an upright scene under each orientation is the inverse of how it is shown.
    inverse = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    method = inverse.get(orientation, images.TRANSPOSE.get(orientation))
    stored = upright if method is None else upright.transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        options = {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
        picture = load_image(encoded(stored, format, exif=exif, **options))
        assert picture.size == (64, 32)
        assert near(picture, (4, 3), WHITE, 40), format
        assert near(picture, (8, 28), RED, 40) and near(picture, (60, 4), BLUE, 40)
        assert load_image(picture).size == (64, 32)


def test_broken_exif_does_not_refuse_a_sound_picture() -> None:
    data = encoded(halves(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff garbage")
    assert load_image(data).size == (64, 48)


def test_metadata_is_dropped() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    picture = load_image(encoded(halves(), "JPEG", exif=exif))
    assert picture.info == {} and not picture.getexif()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(mode: str, format: str) -> None:
    black = (0, 0, 0, 0) if mode == "RGBA" else (0, 0)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = load_image(encoded(Image.new(mode, (16, 16), black), format, **options))
    assert picture.getpixel((8, 8)) == WHITE
    half = (0, 0, 0, 128) if mode == "RGBA" else (0, 128)
    assert near(load_image(encoded(Image.new(mode, (16, 16), half), format, **options)), (8, 8), (127, 127, 127), 2)


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_palette_with_transparency(format: str) -> None:
    picture = Image.new("P", (16, 16), 0)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.paste(1, (8, 0, 16, 16))
    loaded = load_image(encoded(picture, format, transparency=0))
    assert loaded.getpixel((2, 2)) == WHITE and loaded.getpixel((12, 2)) == RED


def test_colour_key_transparency() -> None:
    assert load_image(encoded(Image.new("RGB", (16, 16), RED), "PNG", transparency=RED)).getpixel((1, 1)) == WHITE


def test_large_transparent_picture_keeps_clean_edges() -> None:
    picture = Image.new("RGBA", (2048, 2048), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (1024, 0, 2048, 2048))
    loaded = np.asarray(load_image(encoded(picture, "PNG", compress_level=1)))
    # Without premultiplied resampling, the invisible black would darken the seam.
    assert loaded[..., 0].min() >= 250


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk(format: str) -> None:
    picture = load_image(encoded(halves().convert("CMYK"), format))
    assert near(picture, (8, 24), RED, 30) and near(picture, (56, 24), BLUE, 30)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(format: str) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    data = encoded(Image.fromarray(np.tile(ramp, (16, 1))), format)
    assert Image.open(io.BytesIO(data)).mode.startswith("I;16")
    row = np.asarray(load_image(data))[8, :, 0].astype(int)
    assert np.abs(row - ramp / 257).max() <= 1


@pytest.mark.parametrize(("dtype", "white"), [(np.int32, 255), (np.int32, 65535), (np.float32, 1.0), (np.float32, 9e9)])
def test_thirty_two_bits_are_scaled_by_their_white(dtype: type, white: float) -> None:
    ramp = np.tile(np.linspace(0, white, 32), (16, 1)).astype(dtype)
    row = np.asarray(load_image(encoded(Image.fromarray(ramp), "TIFF")))[8, :, 0].astype(int)
    assert row[0] == 0 and row[-1] == 255 and (np.diff(row) > 0).all()


def test_float_picture_with_nan_is_read() -> None:
    values = np.full((16, 16), np.nan, dtype=np.float32)
    assert load_image(encoded(Image.fromarray(values), "TIFF")).getpixel((3, 3)) == (0, 0, 0)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "GIF"])
def test_one_bit(format: str) -> None:
    picture = Image.new("1", (32, 16), 0)
    picture.paste(1, (16, 0, 32, 16))
    loaded = load_image(encoded(picture, format))
    assert loaded.getpixel((4, 4)) == (0, 0, 0) and loaded.getpixel((28, 4)) == WHITE


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_only(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, BLUE, WHITE)]
    options = {} if format == "TIFF" else {"duration": 50}
    options |= {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    plugin = type(Image.open(io.BytesIO(data)))
    sought: list[int] = []
    original = plugin.seek
    monkeypatch.setattr(plugin, "seek", lambda self, frame: (sought.append(frame), original(self, frame))[1])
    assert near(load_image(data), (5, 5), RED, 3)
    assert all(frame == 0 for frame in sought)


def test_animation_cut_off_after_its_first_frame_is_still_read() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64), dtype=np.uint8)
    frames = [Image.fromarray(frame) for frame in noise]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert load_image(data[: len(data) // 2]).size == (64, 64)


def test_header_claiming_a_huge_picture_is_refused_at_once() -> None:
    start = time.process_time()
    assert "pixels" in refusal(png(50_000, 50_000))
    assert "9,000 × 8,000" in refusal(png(9_000, 8_000))
    assert "pixels" in refusal(png(13_000, 13_000))
    assert time.process_time() - start < 1


def test_a_real_bomb_is_refused_without_being_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = zlib.compress(bytes((1 + 20_000 // 8) * 20_000), 9)
    data = png(20_000, 20_000, rows, bits=1, colour=0)
    assert len(data) < 100_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    assert "pixels" in refusal(data)


def test_compressed_text_bomb_in_a_png_is_refused() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9)
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    rows = zlib.compress(bytes((1 + 3 * 16) * 16))
    refusal(png(16, 16, rows, extra=chunk))


def test_largest_allowed_picture_is_read() -> None:
    data = encoded(Image.new("1", (8_000, 8_000), 1), "PNG")
    assert load_image(data).size == (WORKING_SIZE, WORKING_SIZE)


@pytest.mark.parametrize("size", [(7, 100), (100, 7), (1, 1)])
def test_too_small(size: tuple[int, int]) -> None:
    assert "at least 8 × 8" in refusal(encoded(Image.new("RGB", size), "PNG"))


@pytest.mark.parametrize("size", [(201, 10), (10, 201)])
def test_too_long(size: tuple[int, int]) -> None:
    assert "20 times" in refusal(encoded(Image.new("RGB", size), "PNG"))
    assert load_image(encoded(Image.new("RGB", (200, 10)), "PNG")).size == (200, 10)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_cut_off_files_are_refused(format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format)
    for length in (len(data) // 2, 40, 12, 3):
        refusal(data[:length])


@pytest.mark.parametrize(
    "data", [b"", b"title,image\nhello,world\n" * 50, b"\x00" * 5000, b"%PDF-1.7\n" + b" " * 500, b"<svg></svg>"]
)
def test_what_is_no_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    assert refusal(path) == refusal(data)


def test_exotic_decoders_are_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    Image.init()
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **options: pytest.fail("ghostscript"))
    for format in ("EPS", "ICO", "PPM", "TGA", "PCX", "PDF", "SGI", "ICNS"):
        refusal(encoded(halves(64, 64), format))
    refusal(b"8BPS\x00\x01" + bytes(200))


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.jpg")
    assert "does not exist" in refusal(tmp_path / "none" / "none.jpg")
    assert "folder or a device" in refusal(tmp_path)
    assert "folder or a device" in refusal("/dev/zero")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "folder or a device" in refusal(fifo)
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    assert "folder or a device" in refusal(link)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refusal(loop)
    refusal("a\0b")
    refusal("x" * 5000)


@pytest.mark.parametrize("address", ["http://localhost/x.jpg", "HTTPS://example.org/x", "ftp://x/y", " http://x"])
def test_nothing_is_fetched(address: str, tmp_path: Path) -> None:
    assert "nothing is fetched" in refusal(address)
    with pytest.raises(ImageError, match="nothing is fetched"):
        load_image(address, root=tmp_path)


def test_large_files_are_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(50_000_000_000)
    assert "20 MB" in refusal(path)
    assert "20 MB" in refusal(bytes(MAX_BYTES + 1))

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert size >= 0
            return bytes(size)

    assert "20 MB" in refusal(Endless())


def test_sources_that_cannot_be_read() -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    refusal(closed)
    refusal(io.StringIO("text"))


def test_pillow_images_are_taken_and_left_as_they_were() -> None:
    source = Image.new("RGBA", (2000, 1000), (0, 0, 0, 0))
    loaded = load_image(source)
    assert loaded.size == (1024, 512) and loaded.getpixel((3, 3)) == WHITE
    assert source.mode == "RGBA" and source.size == (2000, 1000)
    plain = halves()
    plain.info["dpi"] = (72, 72)
    copy = load_image(plain)
    copy.putpixel((0, 0), WHITE)
    assert plain.getpixel((0, 0)) == RED and plain.info["dpi"] == (72, 72)
    refusal(Image.new("RGB", (4, 4)))


@pytest.mark.parametrize(("size", "decoded"), [((4000, 3000), (2000, 1500)), ((1500, 9000), (375, 2250))])
def test_large_jpegs_are_decoded_small(
    size: tuple[int, int], decoded: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(halves(*size), "JPEG")
    plugin = type(Image.open(io.BytesIO(data)))
    sizes: list[tuple[int, int]] = []
    original = plugin.load
    monkeypatch.setattr(plugin, "load", lambda self: (original(self), sizes.append(self.size))[0])
    assert max(load_image(data).size) == WORKING_SIZE
    assert set(sizes) == {decoded}


def test_pixel_hash_tells_mode_size_and_pixels_apart() -> None:
    hashes = {
        pixel_hash(Image.new("RGB", (8, 16))),
        pixel_hash(Image.new("RGB", (16, 8))),
        pixel_hash(Image.new("RGB", (8, 16), (0, 0, 1))),
        pixel_hash(Image.new("L", (24, 16))),
    }
    assert len(hashes) == 4 and all(len(value) == 32 for value in hashes)
    assert pixel_hash(Image.new("RGB", (8, 16))) in hashes


SEEDS = {format: encoded(halves(40, 24), format) for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")}


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    st.integers(0, 600),
)
def test_damaged_files_are_read_or_refused_but_never_crash(
    format: str, damage: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(SEEDS[format])
    for at, value in damage:
        data[at % len(data)] = value
    try:
        picture = load_image(bytes(data[: max(1, len(data) - cut)] if cut > 300 else data))
    except ImageError as error:
        assert str(error).endswith(".")
    else:
        assert picture.mode == "RGB" and max(picture.size) <= WORKING_SIZE


@settings(max_examples=60)
@given(
    st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16", "PA", "La", "RGBa"]),
    st.integers(8, 1500),
    st.integers(8, 1500),
)
def test_any_mode_and_size_gives_one_form_and_loading_twice_changes_nothing(mode: str, width: int, height: int) -> None:
    picture = Image.new(mode, (width, height))
    if max(width, height) > 20 * min(width, height):
        refusal(picture)
        return
    loaded = load_image(picture)
    assert loaded.mode == "RGB" and max(loaded.size) == min(WORKING_SIZE, max(width, height))
    assert min(loaded.size) >= 8
    assert pixel_hash(load_image(loaded)) == pixel_hash(loaded)
