"""A post before anybody reacted to it, and the limits within which it is accepted.

`Post` has no field for counts, so engagement cannot leak into a prediction. Beside its two sides, picture and words, it
has a context: when, where, by whom and as what it is published.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from PIL import Image

from engine.errors import PostError

MAX_TITLE = 500
MAX_DESCRIPTION = 20_000
MAX_TAGS = 100
MAX_TAG = 100
TEXT_FIELDS = ("title", "tags", "description")
EMPTY_POST = "Give the post a picture, a title, or both."
# Degrees.
MAX_LATITUDE, MAX_LONGITUDE = 90.0, 180.0
# Parts of names of what is known only once people have reacted.
REACTIONS = (
    *("view", "like", "comment", "share", "favo", "fave", "reaction", "engagement", "popular", "click", "vote"),
    *("repost", "retweet", "impression", "score"),
)

# Half of a character that UTF-16 writes in two parts: no text that can be stored or sent.
HALF = "The text holds half of a character, as a cut emoji is; delete it."
SURROGATE = re.compile("[\ud800-\udfff]")

Facts = tuple[tuple[str, float], ...]


def fault_of_facts(facts: Iterable[tuple[str, float]]) -> str:
    """One sentence on what is wrong with named numbers of an account; "" where nothing is."""
    for name, value in facts:
        if any(part in name.lower() for part in REACTIONS):
            return (
                f"The author's {name} may count reactions, which nobody knows before a post is published; leave it out."
            )
        if not math.isfinite(value):
            return f"The author's {name} is no finite number; leave it out."
    return ""


@dataclass(frozen=True)
class Post:
    """One unpublished post. `image` is an RGB picture from `engine.images.load_image`, or None.

    Its context: `published_at` is the time for which it is planned, with its time zone; `place` is latitude and
    longitude in degrees; `author` are named numbers of the account, such as `photo_count`. Raises PostError when a text
    is beyond its limit, or for a context that cannot be, or that counts reactions.
    """

    title: str = ""
    image: Image.Image | None = field(default=None, compare=False, repr=False)
    tags: tuple[str, ...] = ()
    description: str = ""
    post_id: str = ""
    published_at: datetime | None = None
    place: tuple[float, float] | None = None
    author: Facts = ()
    category: str = ""

    def __post_init__(self) -> None:
        if any(SURROGATE.search(text) for text in (self.title, self.description, self.category, *self.tags)):
            raise PostError(HALF)
        limits = (("title", MAX_TITLE), ("description", MAX_DESCRIPTION), ("category", MAX_TITLE))
        for name, limit in limits:
            text = getattr(self, name)
            if len(text) > limit:
                raise PostError(f"The {name} has {len(text):,} characters; shorten it to at most {limit:,}.")
        if len(self.tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in self.tags):
            raise PostError(f"Give at most {MAX_TAGS} tags of at most {MAX_TAG} characters each.")
        if self.published_at is not None and self.published_at.tzinfo is None:
            raise PostError("The time of publication has no time zone; give it one, such as UTC.")
        if self.place is not None:
            latitude, longitude = self.place
            # A comparison that NaN fails too.
            if not (abs(latitude) <= MAX_LATITUDE and abs(longitude) <= MAX_LONGITUDE):
                raise PostError("The place is nowhere on earth; give latitude (-90 to 90) and longitude (-180 to 180).")
        if fault := fault_of_facts(self.author):
            raise PostError(fault)

    @property
    def has_text(self) -> bool:
        return bool(self.title.strip())

    @property
    def has_image(self) -> bool:
        return self.image is not None

    def text(self, fields: Sequence[str]) -> str:
        """The words of the given fields, one field a line, empty ones left out: what text encoders read."""
        parts = {"title": self.title, "tags": ", ".join(self.tags), "description": self.description}
        return "\n".join(parts[name].strip() for name in fields if parts[name].strip())
