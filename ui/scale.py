"""How a bundle's score is told to people: an engagement rate per 100 views, a popularity, or likes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.scoring import SCORE_WEIGHTS

if TYPE_CHECKING:
    from engine.bundle import Bundle

POPULARITY = "popularity"
POPULARITY_KEY = (
    "Popularity points: a post's reactions added up, not per view; a count that follows the views closely weighs less."
)
LIKES = "likes"
LIKES_KEY = "Likes: how many a post earns, whoever sees it; the account that publishes it matters most."
# How the formula of a score begins that a dataset brings itself.
PUBLISHED = "popularity as published"
PUBLISHED_KEY = "Popularity points: as the dataset publishes them, in the place of counts."


@dataclass(frozen=True)
class Scale:
    """Words for one score: its `name`, the `unit` of what `number` gives, a `key` to what counts, the `formula`.

    `crowd` is what the posts are called that the model learned from.
    """

    name: str
    unit: str
    key: str
    formula: str
    crowd: str = "posts"
    factor: float = 1.0

    @property
    def is_rate(self) -> bool:
        """Whether the score is one per view, so that counts of a post give it."""
        return self.factor != 1

    def number(self, score: float) -> str:
        """A score in the unit, to two meaningful digits: "6.1", "12,000"."""
        value = self.factor * score
        if value >= 100:
            return f"{float(f'{value:.2g}'):,.0f}"
        if value >= 10:
            return f"{value:.0f}"
        return f"{value:.1f}" if value >= 1 else f"{value:.2g}"

    def mark(self, score: float) -> str:
        """The same as short as an axis has room for: "6.1", "12k"."""
        value = float(f"{self.factor * score:.2g}")
        return f"{value / 1000:,.0f}k" if value >= 10_000 else self.number(score)


def scale_of(bundle: "Bundle") -> Scale:
    """The scale that the bundle's score formula asks for; counts that its data lack are left out of the key."""
    formula = bundle.score_formula
    crowd = "trending posts" if "trending" in str(bundle.data.get("description", "")).lower() else "posts"
    if formula.startswith(LIKES):
        return Scale(LIKES, "likes", LIKES_KEY, formula, crowd)
    if formula.startswith(POPULARITY):
        key = PUBLISHED_KEY if formula.startswith(PUBLISHED) else POPULARITY_KEY
        return Scale(POPULARITY, "popularity points", key, formula, crowd)
    key = _points_key(bundle.data.get("absent_counts", ()))
    return Scale("engagement", "points per 100 views", key, formula, crowd, factor=100)


def _points_key(absent_counts: Sequence[str]) -> str:
    parts = [
        f"a {count.removesuffix('s')} counts {weight:g}"
        for count, weight in SCORE_WEIGHTS.items()
        if count not in absent_counts
    ]
    return f"Points: {', '.join(parts)}."
