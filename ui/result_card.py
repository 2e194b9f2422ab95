"""An answer as a picture to send around: cover, title, verdict, five bars and what must be kept in mind, as PNG.

The same draft gives the same bytes. The font comes with a package and knows Latin, Greek, Cyrillic, Hebrew and Arabic
letters; emoji are left out, and a title in other letters is said to be one.
"""

import unicodedata
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import emoji
from PIL import Image, ImageDraw, ImageFont, ImageOps

from engine.posts import Post
from engine.prediction import Prediction
from engine.scoring import LEVELS
from ui.bars import percent
from ui.card import BARS, GROUND, INK, NAME, QUIET
from ui.scale import Scale
from ui.verdict import certainty, headline

SIZE = (1200, 675)
MARGIN, COVER = 56, (384, 216)
PAPER, TRACK, LINE = "#ffffff", "#eceff4", "#dfe3ea"
CAVEAT = "One model's opinion; who publishes a post, and when, often matters more."
OTHER_LETTERS = "A title in letters that this picture cannot show"
NO_TITLE, UNREAD, NO_PICTURE = "No title", "Title not read", "No picture"
# Of a title's characters, the share that must be left for it to be shown.
ENOUGH = 0.5
# What no font has.
NOWHERE = "\U0010ffff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def png(post: Post, prediction: Prediction, scale: Scale) -> bytes:
    """The card of a draft and its answer."""
    card = Image.new("RGB", SIZE, GROUND)
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((24, 24, SIZE[0] - 24, SIZE[1] - 24), 24, PAPER, LINE, 2)
    left = MARGIN + COVER[0] + 36
    _cover(card, draw, post.image)
    width = SIZE[0] - MARGIN - left
    title, colour = _title(post, prediction)
    bottom = _text(draw, (left, MARGIN), title, font(26, bold=True), colour, width, lines=2)
    bottom = _text(draw, (left, bottom + 14), headline(prediction, scale), font(40, bold=True), INK, width, lines=3)
    bottom = _text(draw, (left, bottom + 12), certainty(prediction, scale), font(20), QUIET, width, lines=3)
    _bars(draw, prediction, scale, top=max(bottom, MARGIN + COVER[1]) + 30)
    foot = SIZE[1] - MARGIN - 8
    draw.text((MARGIN, foot), CAVEAT, QUIET, font(18), anchor="ls")
    draw.text((SIZE[0] - MARGIN, foot), NAME, QUIET, font(18, bold=True), anchor="rs")
    file = BytesIO()
    card.save(file, "PNG", optimize=True)
    return file.getvalue()


def _title(post: Post, prediction: Prediction) -> tuple[str, str]:
    """The title, or why there is none, and its colour."""
    if not post.title:
        return NO_TITLE, QUIET
    # What is strange was read.
    if prediction.view == "image" and prediction.strange is None:
        return UNREAD, QUIET
    return shown(post.title), INK


def shown(title: str) -> str:
    """A title as far as the font has letters for it; a sentence where that is too little."""
    words = " ".join(emoji.replace_emoji(title, "").split())
    kept = "".join(character for character in words if _drawable(character))
    if len(kept.replace(" ", "")) < ENOUGH * len(words.replace(" ", "")) or not kept.strip():
        return OTHER_LETTERS
    return " ".join(kept.split())


@cache
def font(size: int, bold: bool = False) -> Font:
    """The font, out of a package that comes with the model's; Pillow's own where it is missing."""
    spec = find_spec("matplotlib")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name if spec and spec.origin else Path(name)
    return ImageFont.truetype(str(path), size) if path.is_file() else ImageFont.load_default(size)


@cache
def _drawable(character: str) -> bool:
    """Whether the font has a character; spaces it has, and marks of direction and control it does not show."""
    if unicodedata.category(character).startswith("C"):
        return False
    drawn = font(20)
    return character.isspace() or bytes(drawn.getmask(character)) != bytes(drawn.getmask(NOWHERE))


def _cover(card: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image | None) -> None:
    box = (MARGIN, MARGIN, MARGIN + COVER[0], MARGIN + COVER[1])
    if picture is None:
        draw.rounded_rectangle(box, 14, TRACK)
        draw.text((MARGIN + COVER[0] // 2, MARGIN + COVER[1] // 2), NO_PICTURE, QUIET, font(20), anchor="mm")
        return
    mask = Image.new("L", COVER, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, COVER[0] - 1, COVER[1] - 1), 14, 255)
    card.paste(ImageOps.fit(picture.convert("RGB"), COVER), box[:2], mask)


def _bars(draw: ImageDraw.ImageDraw, prediction: Prediction, scale: Scale, top: int) -> None:
    """The five levels of what is predicted, in their order, each with a tick at its share among all posts."""
    start, end = MARGIN + 140, SIZE[0] - MARGIN - 90
    for level, (name, (_, colour)) in enumerate(zip(LEVELS, BARS, strict=True)):
        share, prior, y = prediction.probabilities[level], prediction.prior[level], top + 44 * level
        bold = level == prediction.level and not prediction.abstain
        draw.text((MARGIN, y + 13), name, INK, font(20, bold=bold), anchor="lm")
        draw.rounded_rectangle((start, y, end, y + 26), 7, TRACK)
        draw.rounded_rectangle((start, y, start + max(3, round((end - start) * share)), y + 26), 7, colour)
        tick = start + round((end - start) * prior)
        draw.rectangle((tick - 1, y - 4, tick + 1, y + 30), INK)
        draw.text((SIZE[0] - MARGIN, y + 13), percent(share), INK, font(20, bold=bold), anchor="rm")
    y = top + 44 * len(LEVELS) + 8
    draw.rectangle((start, y - 9, start + 2, y + 9), INK)
    draw.text((start + 14, y), f"share among all posts; levels of {scale.name}", QUIET, font(16), anchor="lm")


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    face: Font,
    colour: str,
    width: int,
    lines: int,
) -> int:
    """Write a text in so many lines, from the right where its first letter is written so; its lower edge."""
    right = from_right(text)
    x, y = place
    step = round(1.25 * getattr(face, "size", 20))
    for line in wrapped(text, lambda part: draw.textlength(part, face) <= width, lines):
        draw.text((x + width if right else x, y), line, colour, face, anchor="ra" if right else "la")
        y += step
    return y


def from_right(text: str) -> bool:
    """Whether the first letter of a text is of a script that is written from the right."""
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next((kind for kind in kinds if kind in ("L", "R", "AL")), "L") != "L"


def wrapped(text: str, fits: Callable[[str], bool], lines: int) -> list[str]:
    """The text in at most so many lines that fit, cut with an ellipsis; a word longer than a line is broken."""
    found: list[str] = []
    rest = text.strip()
    while rest and len(found) < lines:
        end = len(rest)
        if not fits(rest):
            end = next(place for place in range(len(rest) - 1, 0, -1) if place == 1 or fits(rest[:place]))
            end = rest.rfind(" ", 0, end + 1) if " " in rest[: end + 1].strip() else end
        found.append(rest[:end].strip())
        rest = rest[end:].strip()
    if rest:
        last = found[-1]
        while last and not fits(f"{last}…"):
            last = last[:-1].rstrip()
        found[-1] = f"{last}…"
    return found
