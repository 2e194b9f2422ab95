"""Pictures that nobody publishes, drawn: what is dropped first to see what a page does.

The kinds of `LEARNED_PICTURES` may be learned from, those of `UNSEEN_PICTURES` are kept for measuring (`junk`).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice

import numpy as np
from PIL import Image, ImageDraw

from training.data.junk import Draw, mash

SIZE = (320, 180)


def _colour(draw: Draw) -> tuple[int, int, int]:
    red, green, blue = draw.integers(0, 256, 3).tolist()
    return red, green, blue


def _ground(draw: Draw, *shades: int) -> tuple[int, Image.Image, ImageDraw.ImageDraw]:
    """A plain ground in one of some shades of grey, its picture, and a pen on it."""
    ground = int(draw.choice(shades))
    image = Image.new("RGB", SIZE, (ground,) * 3)
    return ground, image, ImageDraw.Draw(image)


def _plain(draw: Draw) -> Image.Image:
    return Image.new("RGB", SIZE, _colour(draw))


def _gradient(draw: Draw) -> Image.Image:
    corners = Image.fromarray(draw.integers(0, 256, (2, 2, 3), dtype=np.uint8))
    return corners.resize(SIZE, Image.Resampling.BILINEAR)


def _noise(draw: Draw) -> Image.Image:
    coarse = int(draw.choice([1, 1, 2, 4]))
    shape = (SIZE[1] // coarse, SIZE[0] // coarse, 3 if draw.random() < 0.7 else 1)
    pixels = draw.normal(draw.uniform(60, 200), draw.uniform(10, 90), shape).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (*shape[:2], 3)).copy()).resize(SIZE, Image.Resampling.NEAREST)


def _stripes(draw: Draw) -> Image.Image:
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    width = int(draw.integers(2, 40))
    chosen = [rows // width, columns // width, rows // width + columns // width][int(draw.integers(3))] % 2
    return Image.fromarray(draw.integers(0, 256, (2, 3), dtype=np.uint8)[chosen])


def _page(draw: Draw) -> Image.Image:
    """A nearly empty page: a plain ground with a few thin lines of type."""
    ground, image, pen = _ground(draw, 255, 250, 245, 30, 0)
    for line in range(int(draw.integers(0, 7))):
        left, top = int(draw.integers(5, 60)), 12 + 14 * line
        pen.text((left, top), mash(draw), fill=(255 - ground,) * 3)
    return image


def _shapes(draw: Draw) -> Image.Image:
    """Flat forms on a plain ground or a gradient."""
    image = (_plain, _gradient)[int(draw.integers(2))](draw)
    pen = ImageDraw.Draw(image)
    for _ in range(int(draw.integers(1, 9))):
        left, top, width, height = (int(draw.integers(*ends)) for ends in ((-40, 300), (-40, 170), (8, 168), (8, 128)))
        box, fill = (left, top, left + width, top + height), _colour(draw)
        form = int(draw.integers(4))
        if form == 0:
            pen.ellipse(box, fill)
        elif form == 1:
            pen.rectangle(box, fill, _colour(draw) if draw.random() < 0.5 else None)
        elif form == 2:
            pen.polygon(draw.integers(0, 320, 6).tolist(), fill)
        else:
            pen.line(box, fill, int(draw.integers(1, 12)))
    return image


def _chart(draw: Draw) -> Image.Image:
    """Bars or a line between two axes, with a few numbers beside them."""
    ground, image, pen = _ground(draw, 255, 245, 30)
    ink, fill = (255 - ground,) * 3, _colour(draw)
    pen.line((25, 10, 25, 160, 310, 160), ink)
    count = int(draw.integers(3, 14))
    points = [
        (30 + 280 * place // count, 160 - int(height)) for place, height in enumerate(draw.integers(10, 140, count))
    ]
    if draw.random() < 0.5:
        for left, top in points:
            pen.rectangle((left, top, left + 200 // count, 160), fill)
    else:
        pen.line(points, fill, 2)
    for line in range(int(draw.integers(0, 5))):
        pen.text((2, 10 + 30 * line), str(draw.integers(0, 999)), ink)
    return image


def _site(draw: Draw) -> Image.Image:
    """A page of a site: a bar above, lines of type in columns, frames where pictures would be."""
    ground, image, pen = _ground(draw, 255, 250, 240, 35, 20)
    ink, frame = (255 - ground,) * 3, (abs(ground - 40),) * 3
    pen.rectangle((0, 0, SIZE[0], int(draw.integers(8, 26))), _colour(draw) if draw.random() < 0.5 else frame)
    pen.text((8, 2), mash(draw), ink)
    columns = int(draw.integers(1, 5))
    for column in range(columns):
        left, top, width = 8 + 312 * column // columns, 32, 304 // columns - 8
        while top < SIZE[1] - 12:
            if draw.random() < 0.3:
                pen.rectangle((left, top, left + width, top + 40), frame)
                top += 46
            else:
                pen.text((left, top), f"{mash(draw)} {mash(draw)}"[: width // 6], ink)
                top += int(draw.integers(11, 18))
    return image


def _sheet(draw: Draw) -> Image.Image:
    """A sheet of cells, some with a number or a word."""
    ground, image, pen = _ground(draw, 255, 248, 30)
    ink, line = (255 - ground,) * 3, (abs(ground - 50),) * 3
    width, height, filled = int(draw.integers(28, 90)), int(draw.integers(12, 22)), draw.random()
    pen.rectangle((0, 0, SIZE[0], height), _colour(draw) if draw.random() < 0.5 else line)
    for top in range(0, SIZE[1], height):
        pen.line((0, top, SIZE[0], top), line)
        for left in range(0, SIZE[0], width):
            pen.line((left, 0, left, SIZE[1]), line)
            if draw.random() < filled:
                pen.text((left + 3, top + 1), str(draw.integers(0, 9999)) if left else mash(draw)[: width // 7], ink)
    return image


def _messages(draw: Draw) -> Image.Image:
    """A conversation: bubbles on either side."""
    ground, image, pen = _ground(draw, 255, 235, 25)
    theirs, own, top = (abs(ground - 30),) * 3, _colour(draw), int(draw.integers(4, 30))
    while top < SIZE[1] - 20:
        width, lines = int(draw.integers(50, 190)), int(draw.integers(1, 4))
        mine = draw.random() < 0.5
        left = SIZE[0] - width - 10 if mine else 10
        pen.rounded_rectangle((left, top, left + width, top + 8 + 11 * lines), 8, own if mine else theirs)
        for line in range(lines):
            pen.text((left + 6, top + 3 + 11 * line), mash(draw)[: width // 7], (255 - ground,) * 3)
        top += 16 + 11 * lines
    return image


def _clouds(draw: Draw) -> Image.Image:
    size = int(draw.integers(2, 9))
    return Image.fromarray(draw.integers(0, 256, (size, 2 * size, 3), dtype=np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )


def _windows(draw: Draw) -> Image.Image:
    """A bare desktop: a plain ground with empty windows and bars."""
    image = _gradient(draw)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, SIZE[1] - 10, SIZE[0], SIZE[1]), fill=(40, 40, 45))
    for _ in range(int(draw.integers(1, 4))):
        left, top = int(draw.integers(0, 200)), int(draw.integers(0, 110))
        pen.rectangle((left, top, left + 110, top + 60), fill=(250, 250, 250), outline=(120, 120, 120))
        pen.rectangle((left, top, left + 110, top + 8), fill=(200, 200, 205))
    return image


def _blocks(draw: Draw) -> Image.Image:
    """What a two-dimensional bar code looks like."""
    size = int(draw.integers(9, 40))
    cells = np.repeat(255 * draw.integers(0, 2, (size, size, 1)), 3, axis=2).astype(np.uint8)
    image = Image.new("RGB", SIZE, (255, 255, 255))
    image.paste(Image.fromarray(cells).resize((150, 150), Image.Resampling.NEAREST), (85, 15))
    return image


# The three that follow were drawn when the guards had been settled.
def _editor(draw: Draw) -> Image.Image:
    """Lines of code in a few colours, indented, behind their numbers."""
    _, image, pen = _ground(draw, 30, 20, 40, 250, 255)
    inks, indent = [_colour(draw) for _ in range(4)], 0
    for number, top in enumerate(range(4, SIZE[1] - 8, 11)):
        pen.text((4, top), str(number + 1), (128,) * 3)
        left, indent = 26 + 14 * indent, max(0, min(5, indent + int(draw.integers(-1, 2))))
        for _ in range(int(draw.integers(0, 6))):
            word = mash(draw)[: int(draw.integers(2, 9))]
            pen.text((left, top), word, inks[int(draw.integers(4))])
            left += 6 * len(word) + 6
    return image


def _phone(draw: Draw) -> Image.Image:
    """A phone's list of settings, upright between bars."""
    ground, image, pen = _ground(draw, 255, 240, 0, 25)
    ink, line, left = (255 - ground,) * 3, (abs(ground - 35),) * 3, int(draw.integers(100, 124))
    pen.rectangle((0, 0, left, SIZE[1]), (0, 0, 0))
    pen.rectangle((SIZE[0] - left, 0, SIZE[0], SIZE[1]), (0, 0, 0))
    pen.text((left + 4, 2), f"{draw.integers(0, 24)}:{draw.integers(10, 60)}", ink)
    for top in range(18, SIZE[1] - 12, int(draw.integers(15, 26))):
        pen.ellipse((left + 4, top, left + 12, top + 8), _colour(draw))
        pen.text((left + 16, top - 2), mash(draw)[:10], ink)
        pen.line((left + 16, top + 12, SIZE[0] - left, top + 12), line)
    return image


def _map(draw: Draw) -> Image.Image:
    """Streets across a pale ground, with water or a park and a few names."""
    image = Image.new("RGB", SIZE, tuple(draw.integers(225, 250, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for colour in ((170, 211, 223), (200, 230, 190)):
        pen.polygon(draw.integers(0, 320, 8).tolist(), colour)
    for _ in range(int(draw.integers(6, 24))):
        ends = draw.integers(-40, 360, 4).tolist()
        pen.line(ends, (200, 200, 200), int(draw.integers(4, 8)))
        pen.line(ends, (255, 255, 255) if draw.random() < 0.8 else (250, 220, 140), int(draw.integers(2, 4)))
    for _ in range(int(draw.integers(0, 7))):
        pen.text(draw.integers(0, 170, 2).tolist(), mash(draw)[:12], (90, 90, 90))
    return image


Picture = Callable[[Draw], Image.Image]
LEARNED_PICTURES: Mapping[str, Picture] = {
    "plain colours": _plain,
    "gradients": _gradient,
    "noise": _noise,
    "stripes": _stripes,
    "empty pages": _page,
    "flat shapes": _shapes,
    "charts": _chart,
    "web pages": _site,
    "sheets": _sheet,
    "messages": _messages,
}
UNSEEN_PICTURES: Mapping[str, Picture] = {
    "clouds of colour": _clouds,
    "bare desktops": _windows,
    "bar codes": _blocks,
    "code editors": _editor,
    "phone screens": _phone,
    "street maps": _map,
}


def junk_pictures(kinds: Mapping[str, Picture], count: int, seed: int | Sequence[int]) -> list[tuple[str, Image.Image]]:
    """`count` made-up (kind, picture), every kind as often as another."""
    draw = np.random.default_rng(seed)
    return [(name, make(draw)) for name, make in islice(cycle(kinds.items()), count)]
