"""What is known of the account before a post is published, as far as the post names it. Never what others did there."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from engine.context import AUTHOR
from engine.encoders.base import Modality
from engine.features.base import Feature, Values
from engine.posts import Post

# Days since its first post; hours from UTC; the others are a count and 0 or 1.
COLUMNS = ("photo_count", "is_pro", "can_buy_pro", "account_age_days", "timezone_hours")


class Author(Feature):
    """Values (n, len(COLUMNS)): the numbers of these names in `Post.author`, NaN where it has none."""

    kind: ClassVar[str] = "author"
    by_default: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ()
    columns = COLUMNS

    @property
    def context(self) -> dict[str, tuple[str, ...]]:
        return {f"{AUTHOR}{name}": () for name in COLUMNS}

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        known = [dict(post.author) for post in posts]
        rows = [[facts.get(name, np.nan) for name in COLUMNS] for facts in known]
        return np.array(rows, dtype=np.float32).reshape(-1, len(COLUMNS))

    def why_null(self, post: Post) -> str:
        known = {name for name, _ in post.author}.intersection(COLUMNS)
        return "" if known else f"The post says nothing of its author; name one of {', '.join(COLUMNS)}."


FEATURE = Author
