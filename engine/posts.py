"""A post before anybody reacted to it, and the limits within which it is accepted.

`Post` has no field for counts, so engagement cannot leak into a prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from engine.errors import PostError

MAX_TITLE = 500
MAX_DESCRIPTION = 20_000
MAX_TAGS = 100
MAX_TAG = 100
TEXT_FIELDS = ("title", "tags", "description")


@dataclass(frozen=True)
class Post:
    """One unpublished post. `image` is an RGB picture from `engine.images.load_image`, or None.

    Raises PostError when a text is beyond its limit.
    """

    title: str = ""
    image: Image.Image | None = field(default=None, compare=False, repr=False)
    tags: tuple[str, ...] = ()
    description: str = ""
    post_id: str = ""

    def __post_init__(self) -> None:
        for name, text, limit in (("title", self.title, MAX_TITLE), ("description", self.description, MAX_DESCRIPTION)):
            if len(text) > limit:
                raise PostError(f"The {name} has {len(text):,} characters; shorten it to at most {limit:,}.")
        if len(self.tags) > MAX_TAGS or any(len(tag) > MAX_TAG for tag in self.tags):
            raise PostError(f"Give at most {MAX_TAGS} tags of at most {MAX_TAG} characters each.")

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
