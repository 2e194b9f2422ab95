"""Owen values of regions, words and fields, through the whole model, trees included."""

import time
from collections.abc import Callable, Iterator, Sequence
from math import factorial, inf
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import ShapleyValueSampling

from engine.explain.base import Explanation
from engine.explain.game import Game, Keep
from engine.explain.regions import SEGMENTS
from engine.posts import Post

if TYPE_CHECKING:
    from engine.predictor import Predictor

METHOD = "Owen values"
# Sampling goes on until no region's standard error, in levels, is above this.
ERROR = 0.02
# Of the whole explanation: no round is begun that, as long as the one before it, would end later.
SECONDS = 3.0
PAIRS_PER_ROUND = 2
# With fewer, a standard error says little of itself; with more, the eye sees no difference.
FEWEST_PAIRS, MOST_PAIRS = 6, 48
# Where time is over, as on a slow machine: intervals are then the wider.
LEAST_PAIRS = 4
# Degrees of freedom that the mean variance of a post's regions counts beside a region's own.
SHARED = 4

Values = npt.NDArray[np.float64]
Order = Sequence[int]


def draw_pair(players: int, generator: np.random.Generator) -> tuple[Order, Order]:
    """A random order in which players join, and its reverse, which cancels most of what depends on coming early.

    Antithetic sampling (Mitchell et al. 2022).
    """
    order = generator.permutation(players).tolist()
    return order, order[::-1]


def exact(players: int, values: Callable[[Keep], Values]) -> Values:
    """Shapley values (players,) by their definition, from all 2^players coalitions (Shapley 1953)."""
    numbers = np.arange(2**players)
    keep = (numbers[:, None] >> np.arange(players)) & 1 == 1
    found, sizes = values(keep), keep.sum(axis=1)
    weights = np.array(
        [factorial(size) * factorial(players - size - 1) / factorial(players) for size in range(players)]
    )
    without = [numbers[~keep[:, player]] for player in range(players)]
    return np.array(
        [weights[sizes[rest]] @ (found[rest + 2**player] - found[rest]) for player, rest in enumerate(without)]
    )


def _coalitions(orders: Sequence[Order]) -> Keep:
    """Every coalition met while players join in these orders, the empty one first: bool (rows, players)."""
    ranks = np.argsort(np.asarray(orders), axis=1)
    steps = np.arange(ranks.shape[1] + 1)
    keep: Keep = ranks[:, None, :] < steps[None, :, None]
    return keep.reshape(-1, ranks.shape[1])


class Sides:
    """The two games that the sides of a post play, each beside the other side's absence and presence, halved."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.regions, self.texts = game.region_count, game.players - game.region_count

    def _values(self, regions: Keep, texts: Keep) -> Values:
        return self.game.values(np.concatenate([regions, texts], axis=1))

    def of_regions(self, keep: Keep) -> Values:
        """Of n coalitions of regions (n, regions): the mean answer without and with all words, (n,)."""
        others = [np.full((len(keep), self.texts), there) for there in ([False, True] if self.texts else [True])]
        found: Values = np.mean([self._values(keep, other) for other in others], axis=0)
        return found

    def of_texts(self, keep: Keep) -> Values:
        """Of n coalitions of words and fields (n, texts): the mean answer without and with the picture, (n,)."""
        others = [np.full((len(keep), self.regions), there) for there in ([False, True] if self.regions else [True])]
        found: Values = np.mean([self._values(other, keep) for other in others], axis=0)
        return found


def explain(predictor: "Predictor", post: Post, **settings: Any) -> Explanation:
    """The last explanation of `stream`, which takes the settings."""
    *_, (_, last) = stream(predictor, post, **settings)
    return last


def stream(
    predictor: "Predictor", post: Post, *, segments: int = SEGMENTS, **settings: Any
) -> Iterator[tuple[float, Explanation]]:
    """What `play` yields of a game of this post's own, cut into about `segments` regions.

    Takes the settings of `play`. Raises PostError for an empty post.
    """
    began = time.perf_counter()
    yield from play(Game(predictor, post, segments=segments), began=began, **settings)


def play(
    game: Game, *, seed: int = 0, error: float = ERROR, seconds: float | None = SECONDS, began: float | None = None
) -> Iterator[tuple[float, Explanation]]:
    """Owen values (Owen 1977) of the parts of a post, in levels, ever sharper, each with the share of the work done.

    The parts of a side join together: a part's value is its Shapley value among those of its side, the mean of that
    without the other side and with all of it. So all values add up to f(post) − f(∅), and an encoder sees variants of
    its own side only. Those of words and fields are exact, from all their subsets, and come first. Those of regions are
    sampled in pairs of orders until every standard error is at most `error`, but `FEWEST_PAIRS` at the fewest, or until
    more would take longer than `seconds` since `began` (None: however long `MOST_PAIRS` take), but never fewer than
    `LEAST_PAIRS`. A game may be played again with another seed: what it has answered it does not compute anew.
    """
    began = time.perf_counter() if began is None else began
    sides = Sides(game)
    texts = exact(sides.texts, sides.of_texts) if sides.texts else np.empty(0)
    if not sides.regions:
        yield 1.0, _explanation(game, np.empty((1, 0)), texts, began)
        return
    if sides.texts:
        yield 0.3, _explanation(game, None, texts, began)
    budget = inf if seconds is None else seconds
    sampler = ShapleyValueSampling(lambda kept: torch.from_numpy(sides.of_regions(kept.numpy() > 0.5)))
    generator = np.random.default_rng(seed)
    estimates: list[Values] = []
    spent = time.perf_counter() - began
    while True:
        pairs = [draw_pair(sides.regions, generator) for _ in range(PAIRS_PER_ROUND)]
        # Captum asks order by order; a whole round computed beforehand lets the encoders work on full batches.
        sides.of_regions(_coalitions([order for pair in pairs for order in pair]))
        estimates += [_attribute(sampler, pair, sides.regions) for pair in pairs]
        before, spent = spent, time.perf_counter() - began
        enough = len(estimates) >= FEWEST_PAIRS and _errors(estimates).max() <= error
        over = len(estimates) >= LEAST_PAIRS and 2 * spent - before > budget
        if enough or over or len(estimates) >= MOST_PAIRS:
            yield 1.0, _explanation(game, np.array(estimates), texts, began)
            return
        share = max(len(estimates) / MOST_PAIRS, spent / max(budget, 1e-9))
        yield min(0.3 + 0.7 * share, 0.99), _explanation(game, np.array(estimates), texts, began)


def _attribute(sampler: ShapleyValueSampling, pair: tuple[Order, Order], players: int) -> Values:
    sampler.permutation_generator = lambda *_: pair
    everything = torch.ones(1, players)
    values = sampler.attribute(
        everything, torch.zeros_like(everything), n_samples=len(pair), perturbations_per_eval=players
    )
    found: Values = values[0].double().numpy()
    return found


def _errors(estimates: Sequence[Values] | Values) -> Values:
    """Standard errors of the means of independent estimates (n, players).

    Some few estimates tell little of a region's variance, and sampling would end where they happen to lie close: so it
    is drawn towards the mean variance of all regions (moderated, Smyth 2004).
    """
    own, freedom = np.var(estimates, axis=0, ddof=1), len(estimates) - 1
    found: Values = np.sqrt((SHARED * own.mean() + freedom * own) / (SHARED + freedom) / len(estimates))
    return found


def _half_widths(estimates: Values) -> Values:
    """Half of the 95 % interval of each mean, by Student's t."""
    from scipy.special import stdtrit

    if len(estimates) < 2:
        return np.zeros(estimates.shape[1])
    found: Values = float(stdtrit(SHARED + len(estimates) - 1, 0.975)) * _errors(estimates)
    return found


def _explanation(game: Game, estimates: Values | None, texts: Values, began: float) -> Explanation:
    """What is known so far; regions are left out while there are no `estimates` (n, regions) of them."""
    nothing, everything = game.values(np.array([[False], [True]]).repeat(game.players, axis=1))
    pieces, has_regions = len(game.pieces), estimates is not None and estimates.shape[1] > 0
    regions = estimates.mean(axis=0) if estimates is not None else np.empty(0)
    noise = _half_widths(estimates) if estimates is not None else np.empty(0)
    return Explanation(
        method=METHOD,
        base_value=float(nothing),
        value=float(everything),
        words=tuple(zip(game.pieces, texts[:pieces].tolist(), strict=True)),
        notes=game.notes,
        fields=tuple(zip(game.fields, texts[pieces:].tolist(), strict=True)),
        segments=game.segments if has_regions else None,
        segment_values=regions if has_regions else None,
        half_widths=np.concatenate([noise, np.zeros(len(texts))]),
        image_passes=game.image_passes,
        text_passes=game.text_passes,
        evaluations=game.evaluations,
        seconds=time.perf_counter() - began,
    )
