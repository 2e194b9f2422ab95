"""Edits of a draft: what the model would make of it, changed in ways that a creator may want to.

An edit counts only where it moves the answer further than changes that mean nothing (`engine.drafts.changes`) move it
for this very draft, on the side that it edits. What is moved is the share of posts that the draft is ranked above. That
is the model's opinion, not a promise: no post was ever published both ways.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import emoji
from PIL import Image, ImageEnhance

from engine.drafts.changes import ENDS, MEANINGLESS, Side, cropped, repictured, retitled
from engine.drafts.compare import beats, span
from engine.errors import ImageError, PostError
from engine.explain.words import group_pieces, split_title
from engine.images import load_image
from engine.posts import Post
from engine.prediction import Prediction

if TYPE_CHECKING:
    from engine.predictor import Predictor

# Of the share of posts: what moves less is not told apart where shares are shown.
LEAST = 0.01
# Neighbouring words of longer titles are dropped together.
MOST_PIECES = 12
_PARTS = re.compile(r"\s+[|–—-]\s+|\s*:\s+|\s*[｜：]\s*")
_BRACKETS = re.compile(r"\s*[(\[【（][^()\[\]【】（）]*[)\]】）]\s*")
_CUT = 0.2
# Left, top, right and bottom of what stays, in shares of the picture's size.
_CROPS = {
    "Crop to the middle": (_CUT / 2, _CUT / 2, 1 - _CUT / 2, 1 - _CUT / 2),
    "Crop the left edge": (_CUT, 0.0, 1.0, 1.0),
    "Crop the right edge": (0.0, 0.0, 1 - _CUT, 1.0),
    "Crop the top": (0.0, _CUT, 1.0, 1.0),
    "Crop the bottom": (0.0, 0.0, 1.0, 1 - _CUT),
}
_LIGHTS = {"Make the picture brighter": 1.2, "Make the picture darker": 0.8}
_CONTRASTS = {"Give the picture more contrast": 1.25, "Give the picture less contrast": 0.8}


@dataclass(frozen=True, eq=False)
class Edit:
    """One edit of one side of a draft: `label` says what it does, `post` is the draft with it."""

    side: Side
    kind: str
    label: str
    post: Post


@dataclass(frozen=True, eq=False)
class Effect:
    """What an edit does: the `number` it has among the draft's edits, the share of posts that the draft is ranked above
    with it (0..1), and the probability that it does better than the draft as it is.
    """

    number: int
    edit: Edit
    share: float
    wins: float


@dataclass(frozen=True, eq=False)
class Trial:
    """A draft tried with its edits: its `share` as it is; the `noise` of each side, how far (0..1) the largest of its
    meaningless changes moves that, without a side of which no such change could be made; how many edits were `tried`;
    and those beyond the noise and `LEAST`, farthest from the draft first.
    """

    share: float
    noise: dict[Side, float]
    tried: int
    better: tuple[Effect, ...]
    worse: tuple[Effect, ...]


def attempt(predictor: "Predictor", post: Post) -> Trial:
    """Answer a draft, its edits and its meaningless changes in one call. Raises PostError for a draft without answer.

    Edits and changes that a guard withholds are left out, and so are edits of a side of which no noise is known.
    """
    view = predictor.view_of(post)
    # A change of a side that the model does not read would leave the answer as it is.
    edits = [(number, edit) for number, edit in enumerate(edits_of(post)) if view in ("both", edit.side)]
    made = [(side, make(post)) for side in MEANINGLESS if view in ("both", side) for make in MEANINGLESS[side]]
    changes = [(side, changed) for side, changed in made if changed is not post]
    posts = [post, *(edit.post for _, edit in edits), *(changed for _, changed in changes)]
    now, *answers = predictor.predict(posts)
    if now.strange is not None:
        raise PostError("Edits are not tried on a draft that the model does not answer; change it first.")
    noise: dict[Side, float] = {}
    for (side, _), answer in zip(changes, answers[len(edits) :], strict=True):
        if answer.strange is None:
            noise[side] = max(noise.get(side, 0.0), abs(_share(answer) - _share(now)))
    effects = [
        Effect(number, edit, _share(answer), float(beats(span(answer), span(now))))
        for (number, edit), answer in zip(edits, answers, strict=False)
        if answer.strange is None and abs(_share(answer) - _share(now)) > max(noise.get(edit.side, 1.0), LEAST)
    ]
    effects.sort(key=lambda effect: (-abs(effect.share - _share(now)), effect.number))
    better = tuple(effect for effect in effects if effect.share > _share(now))
    worse = tuple(effect for effect in effects if effect.share < _share(now))
    return Trial(_share(now), noise, len(edits), better, worse)


def edits_of(post: Post) -> Iterator[Edit]:
    """The edits of a draft, those of its title first, always in the same order; each result once."""
    seen = {post.title.strip()}
    for kind, label, title in _titles(post.title) if post.has_text else ():
        title = " ".join(title.split())
        if title not in seen and (changed := retitled(post, title)) is not post:
            seen.add(title)
            yield Edit("text", kind, label, changed)
    if post.image is not None:
        for kind, label, image in _pictures(post.image):
            if (changed := repictured(post, image)) is not post:
                yield Edit("image", kind, label, changed)


def _titles(title: str) -> Iterator[tuple[str, str, str]]:
    """Kind, label and title of each edit of the words; of two that come to the same, the one that says more first."""
    yield "emoji", "Leave out the emoji", emoji.replace_emoji(title, " ")
    yield "shorten", "Leave out what is in brackets", _BRACKETS.sub(" ", title)
    yield from _shorter(title)
    yield from _swapped(title)
    capitals = title.isupper()
    words = title.split()
    sentence = " ".join(word if word.isupper() and not capitals and len(word) > 1 else word.lower() for word in words)
    headline = " ".join(word[:1].upper() + (word[1:].lower() if capitals else word[1:]) for word in words)
    yield "case", "Write it like a sentence", sentence[:1].upper() + sentence[1:]
    yield "case", "Begin Every Word With a Capital", headline
    yield "case", "Write it in capitals", title.upper()
    yield "punctuation", "End it with a question mark", f"{title.rstrip(f'{ENDS}?？ ')}?"


def _shorter(title: str) -> Iterator[tuple[str, str, str]]:
    pieces = group_pieces(split_title(title), MOST_PIECES)
    for place, piece in enumerate(pieces):
        yield "drop", f"Drop “{piece.strip()}”", "".join((*pieces[:place], *pieces[place + 1 :]))
    parts = _PARTS.split(title)
    for part in parts if len(parts) > 1 else ():
        yield "shorten", f"Keep only “{part.strip()}”", part
    if len(pieces) > 3:
        half = "".join(pieces[: (len(pieces) + 1) // 2])
        yield "shorten", f"Stop after “{pieces[(len(pieces) + 1) // 2 - 1].strip()}”", half


def _swapped(title: str) -> Iterator[tuple[str, str, str]]:
    """The parts of a title in the other order, where something separates two of them."""
    found = _PARTS.search(title)
    if found is not None:
        first, last = title[: found.start()].strip(), title[found.end() :].strip()
        if first and last:
            yield "swap", f"Begin with “{last}”", f"{last}{found.group()}{first}"


def _pictures(image: Image.Image) -> Iterator[tuple[str, str, Image.Image]]:
    """Kind, label and picture of each edit of the picture; a crop that leaves too little is none."""
    for label, box in _CROPS.items():
        try:
            yield "crop", label, load_image(cropped(image, box))
        except ImageError:
            continue
    for label, factor in _LIGHTS.items():
        yield "light", label, ImageEnhance.Brightness(image).enhance(factor)
    for label, factor in _CONTRASTS.items():
        yield "contrast", label, ImageEnhance.Contrast(image).enhance(factor)


def _share(prediction: Prediction) -> float:
    return prediction.percentiles[0]
