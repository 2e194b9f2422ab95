"""Does an explanation point at what the model uses? Take parts away in its order and watch the answer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.explain.base import Explanation
from engine.explain.game import Game, Keep
from engine.explain.regions import SEGMENTS
from engine.posts import Post

if TYPE_CHECKING:
    from engine.predictor import Predictor

Kind = Literal["deletion", "insertion"]
FRACTIONS = tuple(np.linspace(0.0, 1.0, 11).tolist())


class Point(NamedTuple):
    """One point of a curve: the expected level after a share of the parts was taken away, or given."""

    kind: Kind
    fraction: float
    value: float


def deletion_insertion(
    predictor: "Predictor",
    post: Post,
    explanation: Explanation,
    *,
    random_orders: int = 0,
    seed: int = 0,
) -> list[Point]:
    """Deletion and insertion curves (Petsiuk, Das & Saenko 2018, RISE) over regions, words and fields.

    Parts go in the order of their signed values, those that raise the answer most first: deletion starts from the
    whole post and should fall fast, insertion starts from nothing and should rise fast. `fractions` are shares of the
    parts, rounded to whole parts. With `random_orders` > 0 the explanation's order is left aside and the mean curve of
    that many random orders is given, the control to beat. Raises ValueError when the explanation is of another post.
    """
    game = Game(predictor, post, segments=SEGMENTS if explanation.segments is None else explanation.segments)
    importance = _importance(game, explanation)
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(game.players) for _ in range(random_orders)] or [
        np.argsort(-importance, kind="stable")
    ]
    counts = np.array([round(fraction * game.players) for fraction in FRACTIONS])
    reached = np.stack([np.argsort(order)[None, :] < counts[:, None] for order in orders])
    points = []
    kinds: tuple[tuple[Kind, Keep], ...] = (("deletion", ~reached), ("insertion", reached))
    for kind, keep in kinds:
        curve = game.values(keep.reshape(-1, game.players)).reshape(len(orders), len(counts)).mean(axis=0)
        points += [Point(kind, fraction, value) for fraction, value in zip(FRACTIONS, curve.tolist(), strict=True)]
    return points


def area(points: Sequence[Point], kind: Kind) -> float:
    """Area under one curve, trapezoidal rule, in levels: mean answer along the way. Low is good for deletion."""
    curve = sorted((point.fraction, point.value) for point in points if point.kind == kind)
    fractions, values = zip(*curve, strict=True)
    return float(np.trapezoid(values, fractions))


def _importance(game: Game, explanation: Explanation) -> npt.NDArray[np.float64]:
    """The explanation's values in the order of the game's players; a field it does not tell apart counts as zero."""
    regions = np.empty(0) if explanation.segment_values is None else np.asarray(explanation.segment_values)
    fields = dict(explanation.fields)
    words = [value for _, value in explanation.words] if game.pieces else []
    if len(regions) != game.region_count or len(words) != len(game.pieces):
        raise ValueError("The explanation's regions and words are not those of the post; explain this very post.")
    return np.concatenate([regions, words, [fields.get(name, 0.0) for name in game.fields]]).astype(np.float64)
