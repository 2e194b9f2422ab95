"""Changes that mean nothing: whoever sees the post sees the same. How far they move an answer is the model's noise."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from typing import Literal

from PIL import Image, ImageOps

from engine.posts import MAX_TITLE, Post

# A question mark makes a question of a title, and brackets and quotes have an other half: those stay.
ENDS = ".!…,;:。！"
QUALITY = 60
# Pixels of the long side: 120×68 where a picture is 16:9.
SMALL = 120
# Share of a picture's width and height that is cut off at every edge.
RIM = 0.02

Side = Literal["text", "image"]
Change = Callable[[Post], Post]


def lower_case(post: Post) -> Post:
    return retitled(post, post.title.lower())


def punctuation_added(post: Post) -> Post:
    return retitled(post, f"{post.title}!")


def full_stop_added(post: Post) -> Post:
    return retitled(post, f"{post.title}.")


def punctuation_removed(post: Post) -> Post:
    return retitled(post, post.title.rstrip(ENDS))


def more_spaces(post: Post) -> Post:
    """Every space doubled, and one before and behind."""
    return retitled(post, f" {post.title.replace(' ', '  ')} ")


def mirrored(post: Post) -> Post:
    return post if post.image is None else replace(post, image=ImageOps.mirror(post.image))


def recompressed(post: Post) -> Post:
    """The picture as a JPEG of `QUALITY`."""
    if post.image is None:
        return post
    file = BytesIO()
    post.image.save(file, "JPEG", quality=QUALITY)
    # Not as a visitor's file is read: rounding may have left a shape that would be refused there.
    return replace(post, image=Image.open(file, formats=["JPEG"]).convert("RGB"))


def small_copy(post: Post) -> Post:
    """The picture in its own shape with a long side of `SMALL` px; one that is no larger stays."""
    if post.image is None or max(post.image.size) <= SMALL:
        return post
    copy = post.image.copy()
    copy.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
    return replace(post, image=copy)


def rim_cut(post: Post) -> Post:
    """The picture without `RIM` of its width and height at every edge."""
    if post.image is None:
        return post
    return repictured(post, cropped(post.image, (RIM, RIM, 1 - RIM, 1 - RIM)))


def retitled(post: Post, title: str) -> Post:
    """The post under another title; the post itself where that is its own, too long, or no title any more."""
    same = title == post.title or not title.strip() or not post.has_text or len(title) > MAX_TITLE
    return post if same else replace(post, title=title)


def repictured(post: Post, image: Image.Image) -> Post:
    """The post with another picture; the post itself where that has the same pixels."""
    assert post.image is not None
    same = image.size == post.image.size and image.tobytes() == post.image.tobytes()
    return post if same else replace(post, image=image)


def cropped(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """The part of a picture between left, top, right and bottom, in shares of its size."""
    left, top, right, bottom = box
    width, height = image.size
    return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


def in_turn(*changes: Change) -> Change:
    """The changes one after another; the post itself where one of them changes nothing."""

    def change(post: Post) -> Post:
        found = post
        for step in changes:
            before, found = found, step(found)
            if found is before:
                return post
        return found

    return change


# What a visitor sees of a draft is the same after each; a copy of 120 px loses what can be seen, and is none of them.
MEANINGLESS: Mapping[Side, tuple[Change, ...]] = {
    "text": (
        lower_case,
        punctuation_added,
        full_stop_added,
        punctuation_removed,
        more_spaces,
        in_turn(lower_case, punctuation_added),
        in_turn(lower_case, full_stop_added),
        in_turn(lower_case, punctuation_removed),
    ),
    "image": (
        mirrored,
        recompressed,
        rim_cut,
        in_turn(mirrored, recompressed),
        in_turn(mirrored, rim_cut),
        in_turn(rim_cut, recompressed),
        in_turn(mirrored, rim_cut, recompressed),
    ),
}
