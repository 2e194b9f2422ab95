"""Shapley values of regions, words and fields, through the whole model, trees included."""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import ShapleyValueSampling

from engine.explain.base import Explanation, Floats
from engine.explain.game import Game, Keep
from engine.posts import Post

if TYPE_CHECKING:
    from engine.predictor import Predictor

METHOD = "Shapley values"
# Coalitions of a pair of orders bring at most two new pictures a region: this many pairs fill the encoders' batches.
PAIRS_PER_ROUND = 2

Order = Sequence[int]
Block = Sequence[Order]


def draw_blocks(players: int, permutations: int, seed: int = 0) -> list[Block]:
    """Orders in which players join, in independent blocks whose means are unbiased.

    A block is a random order and its reverse (antithetic sampling, Mitchell et al. 2022), which cancels most of what
    depends on coming early or late. Where there are no more than `permutations` orders at all, one block holds them
    all and the values are exact. Raises ValueError below 4 permutations: one pair has no standard error.
    """
    if permutations < 4:
        raise ValueError(f"{permutations} permutations cannot give a standard error; ask for at least 4.")
    if math.factorial(players) <= permutations:
        return [list(itertools.permutations(range(players)))]
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(players).tolist() for _ in range((permutations + 1) // 2)]
    return [[order, order[::-1]] for order in orders]


def _coalitions(block: Block) -> Keep:
    """Every coalition met while players join in these orders, the empty one first: bool (rows, players)."""
    ranks = np.argsort(np.asarray(block), axis=1)
    steps = np.arange(ranks.shape[1] + 1)
    keep: Keep = ranks[:, None, :] < steps[None, :, None]
    return keep.reshape(-1, ranks.shape[1])


def _attribute(sampler: ShapleyValueSampling, block: Block, players: int) -> npt.NDArray[np.float64]:
    sampler.permutation_generator = lambda *_: block
    everything = torch.ones(1, players)
    values = sampler.attribute(
        everything, torch.zeros_like(everything), n_samples=len(block), perturbations_per_eval=players
    )
    found: npt.NDArray[np.float64] = values[0].double().numpy()
    return found


def explain(
    predictor: "Predictor",
    post: Post,
    *,
    permutations: int = 16,
    segments: int = 16,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Explanation:
    """Shapley values (Shapley 1953; sampled as in Castro et al. 2009) of the parts of a post, in levels.

    A part's value is the mean rise of the expected level when it joins the parts before it, over `permutations`
    orders, so the values of every single order, and of all, add up to f(post) − f(∅). Each order shows one picture
    variant a region and one text variant a word. `progress` is called with the share done, 0..1. Raises PostError for
    an empty post and ValueError for fewer than 4 permutations.
    """
    started = time.perf_counter()
    game = Game(predictor, post, segments=segments)
    blocks = draw_blocks(game.players, permutations, seed)
    sampler = ShapleyValueSampling(lambda kept: torch.from_numpy(game.values(kept.numpy() > 0.5)))
    estimates = []
    for start in range(0, len(blocks), PAIRS_PER_ROUND):
        current = blocks[start : start + PAIRS_PER_ROUND]
        # Captum asks order by order; a whole round computed beforehand lets the encoders work on full batches.
        game.values(np.concatenate([_coalitions(block) for block in current]))
        estimates += [_attribute(sampler, block, game.players) for block in current]
        if progress is not None:
            progress((start + len(current)) / len(blocks))
    values = np.mean(estimates, axis=0)
    errors: Floats = np.zeros(game.players)
    if len(estimates) > 1:
        errors = np.std(estimates, axis=0, ddof=1) / math.sqrt(len(estimates))
    nothing, everything = game.values(np.array([[False], [True]]).repeat(game.players, axis=1))
    regions, pieces = game.region_count, len(game.pieces)
    return Explanation(
        method=METHOD,
        base_value=float(nothing),
        value=float(everything),
        words=game.title_values(values[regions : regions + pieces]),
        notes=game.notes,
        fields=tuple(zip(game.fields, values[regions + pieces :].tolist(), strict=True)),
        segments=game.segments,
        segment_values=values[:regions] if regions else None,
        standard_errors=errors,
        image_passes=game.image_passes,
        text_passes=game.text_passes,
        evaluations=game.evaluations,
        seconds=time.perf_counter() - started,
    )
