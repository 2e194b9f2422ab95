"""The tab "Preview": the draft as feeds on a phone and a desktop show it, light and dark, and what becomes of words."""

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from engine.drafts.feed import WIDTHS, Crop, crop_of, too_small
from engine.errors import FirstImpressionsError
from engine.lettering import READER, Line
from engine.memory import released
from engine.posts import Post
from engine.previews import data_url
from ui.bars import percent
from ui.newest import Newest
from ui.signals import quoted
from ui.uploads import read_draft

# Twice the widest cover, for screens with two dots a pixel.
SIDE = 2 * max(WIDTHS.values())
CAPTIONS = {"phone": "On a phone", "desktop": "On a desktop", "list": "In a list of suggestions"}
# Below this a picture is called as wide as feeds show it.
LEAST_LOSS = 0.01
HOW = "By size alone: capitals below about 8 pixels are hardly read in passing."


def show(post: Post | None, path: str | None = None, title: str = "") -> str:
    """HTML of the draft that was predicted last, as feeds show it, before its lettering is read.

    One that the model does not answer is shown from its picture and title: a crop needs no verdict.
    """
    if post is None:
        try:
            post = read_draft(path, title, "", "")
        except FirstImpressionsError:
            return ""
    return panel(post, None) if post.has_image or post.has_text else ""


def read(post: Post | None, newest: Newest | None = None) -> Any:
    """The same with what becomes of its lettering, where there is any, unless `newest` shows another draft by now."""
    if post is None or post.image is None:
        return gr.skip()
    with released():
        # A lone character is a cup as often as a letter.
        lines = [line for line in READER.read(post.image).found or () if len(line.text.strip()) > 1]
    return panel(post, lines) if lines and not (newest and newest.left(post)) else gr.skip()


def panel(post: Post, lines: Sequence[Line] | None) -> str:
    """HTML of a draft as feeds show it; `lines` of lettering are None where they were not read."""
    cover, style, safe, told = '<i class="fi-no-cover">no picture</i>', "", "", ""
    if post.image is not None:
        small = post.image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        # Once for all places where it is shown.
        cover, style = "", f" style=\"--cover:url('{data_url(small, 'JPEG', quality=82)}')\""
        crop = crop_of(post.image.size)
        safe = _safe(crop)
        told = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(crop, lines))
        told += f'<p class="fi-small">{HOW}</p>' if lines else ""
    title = escape(post.title) or "<em>no title</em>"
    screens = "".join(
        f'<figure class="fi-screen fi-on-{name}">'
        f"<figcaption>{CAPTIONS[name]}, where it is {width} pixels wide</figcaption>"
        f'<div class="fi-post"><div class="fi-crop" style="width:{width}px">{cover}<u aria-hidden="true">12:34</u>'
        f'</div><div class="fi-under"><b aria-hidden="true"></b><div><p>{title}</p>'
        '<span aria-hidden="true">Your channel</span></div></div></div></figure>'
        for name, width in WIDTHS.items()
    )
    choices = "".join(
        f'<label><input type="radio" name="fi-scheme" value="{scheme}"{" checked" * (scheme == "light")}>{scheme}'
        "</label>"
        for scheme in ("light", "dark")
    )
    return (
        f'<section class="fi-card fi-feed"{style}><h3>As feeds show it</h3>'
        f'<fieldset class="fi-by"><legend>Colours</legend>{choices}</fieldset>'
        f'<div class="fi-screens">{screens}</div>{safe}{told}</section>'
    )


def sentences(crop: Crop, lines: Sequence[Line] | None) -> list[str]:
    """What a feed's crop takes away, and which words are cut or too small; nothing of words that were not read."""
    sides = "left and right" if crop.box[0] > 0 else "top and bottom"
    found = (
        [f"A feed cuts {percent(crop.lost)} of the picture away, at the {sides}: what is marked stays."]
        if crop.lost >= LEAST_LOSS
        else ["The picture is as wide as feeds show it: nothing is cut away."]
    )
    if not lines:
        return found
    if cut := [line.text for line in lines if crop.cuts(line)]:
        found.append(f"Words are cut off: {quoted(cut)}.")
    left = [line for line in lines if not crop.cuts(line)]
    small = {name: [line.text for line in too_small(left, crop, width)] for name, width in WIDTHS.items()}
    if small["phone"]:
        found.append(f"Words will be too small to read on a phone: {quoted(small['phone'])}.")
    elif small["list"]:
        found.append(f"Words can be read on a phone, but not in a list of suggestions: {quoted(small['list'])}.")
    elif left:
        found.append("All words in the picture are large enough to read, also in a list of suggestions.")
    return found


def _safe(crop: Crop) -> str:
    """The whole picture with what a feed keeps of it marked; "" where that is all of it."""
    if crop.lost < LEAST_LOSS:
        return ""
    left, top, right, bottom = (100 * edge for edge in crop.box)
    style = f"left:{left:.1f}%;top:{top:.1f}%;width:{right - left:.1f}%;height:{bottom - top:.1f}%"
    width, height = crop.size
    return (
        f'<div class="fi-safe" role="img" aria-label="The whole picture, with what a feed keeps marked" '
        f'style="aspect-ratio:{width}/{height};width:min(100%,{round(200 * width / height)}px)">'
        f'<i style="{style}"></i></div>'
    )
