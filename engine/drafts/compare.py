"""Drafts side by side: how likely each does better than each other, which comes first, and what makes the difference.

The predictive distribution of a draft's log score is read off its answer: the median is the predicted score, and either
half is normal, so wide that the ends of the 80 % interval are its 10 and 90 percent quantiles. Those come from
residuals of posts that trained nothing (`engine.calibration.ScoreInterval`). The distributions of two drafts are taken
as independent. `python -m benchmarks.pairs` measures what that is worth on held-out posts: between posts of different
groups the chances are right; between posts of one group they are a little too sure, although residuals hardly go
together there; between posts of one channel (`--posts`), of which few are known, the model does hardly better than a
coin. No dataset has the same video under two titles, so such pairs are not tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.context import cells_of
from engine.errors import PostError
from engine.images import pixel_hash
from engine.posts import Post
from engine.prediction import Prediction

if TYPE_CHECKING:
    from engine.predictor import Predictor

Array = npt.NDArray[np.float64]
Cells = tuple[tuple[str, str | float], ...]
Key = tuple[str, str, tuple[str, ...], Cells]

FEWEST, MOST = 2, 6
# Below this the likelier draft does better in little more than half of the cases. From here on it does in about as many
# as this, also within one group, where chances are too sure (`benchmarks.pairs`).
TOO_CLOSE = 0.6
# Standard deviations from the median to the ends of an 80 % interval.
REACH = NormalDist().inv_cdf(0.9)
_POINTS = 101
_NARROWEST = 1e-9


@dataclass(frozen=True)
class Draft:
    """A draft with its answer, and the answers to its sides alone where it has both and the model answers them.

    Of the picture only its hash is kept ("" for none); `words` and `look` are None where they are not asked for.
    """

    title: str
    picture: str
    more_words: tuple[str, ...]
    whole: Prediction
    words: Prediction | None = None
    look: Prediction | None = None
    # Each draft has its own.
    context: Cells = ()

    @property
    def key(self) -> Key:
        """What two equal drafts have in common."""
        return self.title, self.picture, self.more_words, self.context


@dataclass(frozen=True)
class Comparison:
    """Drafts by the chance to do better than another: `order` (k,) are their places in what was given, best first.

    `beats` (n, n) is the probability that the row's draft does better than the column's, `best` (n,) that it does best
    of all; both are NaN for a draft that is withheld, and that is in `withheld` in the place of `order`.
    """

    order: tuple[int, ...]
    withheld: tuple[int, ...]
    beats: Array
    best: Array

    def too_close(self, first: int, second: int) -> bool:
        """Whether which of two ranked drafts does better is too close to call."""
        chance = float(self.beats[first, second])
        return max(chance, 1 - chance) < TOO_CLOSE


def answer(predictor: "Predictor", posts: Sequence[Post]) -> list[Draft]:
    """The drafts with their answers, all asked for in one call. Raises PostError for a post that has no answer."""
    wholes = [replace(post, title=post.title.strip()) for post in posts]
    sides = {}
    for row, post in enumerate(wholes):
        if predictor.view_of(post) == "both":
            sides[row, "words"] = replace(post, image=None)
            sides[row, "look"] = replace(post, title="", tags=(), description="")
    sides = {place: side for place, side in sides.items() if _is_answered(predictor, side)}
    found = predictor.predict([*wholes, *sides.values()])
    alone = dict(zip(sides, found[len(wholes) :], strict=True))
    return [
        Draft(*key[:3], whole, alone.get((row, "words")), alone.get((row, "look")), key[3])
        for row, (key, whole) in enumerate(zip(map(_key, wholes), found, strict=False))
    ]


def different(posts: Sequence[Post]) -> list[Post]:
    """The posts without those that are the same draft. Raises PostError for more than `MOST` of them."""
    first: dict[Key, Post] = {}
    for post in posts:
        first.setdefault(_key(post), post)
    check_count(len(first))
    return list(first.values())


def merge(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts without those that were there before. Raises PostError for more than `MOST` different ones."""
    first: dict[Key, Draft] = {}
    for draft in drafts:
        first.setdefault(draft.key, draft)
    check_count(len(first))
    return list(first.values())


def compare(drafts: Sequence[Draft]) -> Comparison:
    """Rank n drafts by how they do against one another; those that a guard withholds are not ranked."""
    count = len(drafts)
    ranked = [row for row, draft in enumerate(drafts) if draft.whole.strange is None]
    spans = np.array([span(drafts[row].whole) for row in ranked]).reshape(-1, 3)
    beats, best = np.full((count, count), np.nan), np.full(count, np.nan)
    # How likely the column's draft lies below each point of the row's.
    below = _share_below(spans[None], _points(spans)[:, None])
    chances = below.mean(axis=2)
    # Either direction is an average over one of the two alone; their mean is the same seen from both sides.
    chances = (chances + 1 - chances.T) / 2
    beats[np.ix_(ranked, ranked)] = chances
    others = ~np.eye(len(ranked), dtype=bool)[:, :, None]
    wins = np.prod(below, axis=1, where=others).mean(axis=1)
    best[ranked] = wins / wins.sum()
    strength = dict(zip(ranked, chances.sum(axis=1).tolist(), strict=True))
    order = tuple(sorted(ranked, key=lambda row: (-strength[row], row)))
    return Comparison(order, tuple(row for row in range(count) if row not in strength), beats, best)


def beats(first: npt.ArrayLike, second: npt.ArrayLike) -> Array:
    """Probability that posts do better than their counterparts, (...); spans (..., 3) as `span` gives them."""
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    forth = _share_below(other, _points(one)).mean(axis=-1)
    back = _share_below(one, _points(other)).mean(axis=-1)
    found: Array = (forth + 1 - back) / 2
    return found


def span(prediction: Prediction) -> tuple[float, float, float]:
    """Log score, and the lower and the upper end of its 80 % interval."""
    low, middle, high = np.log([prediction.score_low, prediction.score, prediction.score_high]).tolist()
    return middle, low, high


def _points(spans: Array) -> Array:
    """Equally likely points of distributions (..., 3), shape (..., points)."""
    from scipy.special import ndtri

    normal = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    points: Array = spans[..., :1] + np.where(normal < 0, *_widths(spans)) * normal
    return points


def _share_below(spans: Array, points: Array) -> Array:
    """Probability that distributions (..., 3) lie below points (..., points)."""
    from scipy.special import ndtr

    distance = points - spans[..., :1]
    share: Array = ndtr(distance / np.where(distance < 0, *_widths(spans)))
    return share


def _widths(spans: Array) -> tuple[Array, Array]:
    """Standard deviations of the lower and of the upper half, (..., 1) each."""
    middle, low, high = (spans[..., place : place + 1] for place in range(3))
    return np.maximum(middle - low, _NARROWEST) / REACH, np.maximum(high - middle, _NARROWEST) / REACH


def _key(post: Post) -> Key:
    """Title, hash of the picture, further words and context of a post."""
    picture = pixel_hash(post.image) if post.image is not None else ""
    return post.title.strip(), picture, (*post.tags, post.description.strip()), tuple(cells_of(post).items())


def check_count(count: int) -> None:
    """Raises PostError for more drafts than `MOST`."""
    if count > MOST:
        raise PostError(f"That would be {count} drafts, and at most {MOST} can be compared; take some away.")


def _is_answered(predictor: "Predictor", post: Post) -> bool:
    try:
        predictor.view_of(post)
    except PostError:
        return False
    return True
