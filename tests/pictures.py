"""Pictures for tests: of one colour, a gradient, an astronaut's face out of scikit-image, and words drawn here."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps


def png(width: int = 32, height: int = 16, colour: str | tuple[int, int, int] = (200, 10, 10)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def gradient_file(path: Path) -> Path:
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(path)
    return path


def photograph(name: str = "astronaut") -> Image.Image:
    from skimage import data

    return Image.fromarray(getattr(data, name)()).convert("RGB")


def pair() -> Image.Image:
    """A cover with the astronaut twice: right above, and smaller and mirrored left below."""
    cover = Image.new("RGB", (1280, 720), (90, 120, 60))
    face = photograph().crop((130, 30, 330, 230))
    cover.paste(face.resize((330, 330)), (900, 100))
    cover.paste(ImageOps.mirror(face).resize((200, 200)), (100, 300))
    return cover


def drawn(*texts: str, size: tuple[int, int] = (640, 360), height: int = 60, font: Path | None = None) -> Image.Image:
    """Yellow lines one under the other on dark blue, letters about `height` pixels tall."""
    picture = Image.new("RGB", size, (20, 20, 80))
    face = ImageFont.truetype(font, height) if font else ImageFont.load_default(height)
    for number, text in enumerate(texts):
        ImageDraw.Draw(picture).text((size[0] // 16, size[1] // 10 + number * height * 1.6), text, (255, 230, 0), face)
    return picture
