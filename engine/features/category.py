"""The category under which a post is published: one column for each that the training posts have."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from engine.encoders.base import Modality
from engine.features.base import FittedFeature, Values
from engine.posts import Post

# A dataset may let its users name their own.
MOST = 64


class Category(FittedFeature):
    """Values (n, categories): 1 in the column of a post's category, else 0; NaN for a post without one.

    The columns are the `MOST` most frequent categories of the training posts; any other is all zeros.
    """

    kind: ClassVar[str] = "category"
    by_default: ClassVar[bool] = False
    supervised: ClassVar[bool] = False
    foldwise: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ()

    def __init__(self, name: str | None = None, categories: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.columns = tuple(categories)

    @property
    def context(self) -> dict[str, tuple[str, ...]]:
        return {"category": self.columns}

    def fitted(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        counts = Counter(sorted(post.category for post in posts if post.category))
        return type(self)(self.name, [category for category, _ in counts.most_common(MOST)])

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        place = {category: number for number, category in enumerate(self.columns)}
        values = np.zeros((len(posts), len(self.columns)), dtype=np.float32)
        for row, post in enumerate(posts):
            if not post.category:
                values[row] = np.nan
            elif post.category in place:
                values[row, place[post.category]] = 1
        return values

    def why_null(self, post: Post) -> str:
        return "" if post.category else "The post has no category."

    @property
    def config(self) -> dict[str, Any]:
        return {"categories": list(self.columns)}


FEATURE = Category
