"""Fitting all members of a recipe on the training part of some posts."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import structlog

from engine.prediction import VIEWS, View
from training.features.matrix import FeatureMatrix
from training.modeling.grid_search import fit_grid
from training.modeling.heads import fit_heads
from training.modeling.members import Fitted, fit_catboost, fit_ngrams
from training.modeling.networks import fit_network
from training.modeling.processes import own_process
from training.modeling.teaching import soft_targets
from training.recipes.base import CatBoost, Heads, Network, Ngrams, Recipe

log = structlog.get_logger()


def fit_members(
    recipe: Recipe,
    matrix: FeatureMatrix,
    folder: Path,
    splits: Sequence[str] = ("validation",),
    views: Sequence[View] = VIEWS,
) -> tuple[dict[str, Fitted], pd.DataFrame | None]:
    """The members by name, and the figures of the grid that the first was chosen from, if any.

    Processes of `accelerate launch` other than the first get the networks only.
    """
    fitted: dict[str, Fitted] = {}
    grid = None
    for place, spec in enumerate(recipe.members):
        if not (own_process().is_main_process or isinstance(spec, Network)):
            continue
        if recipe.grid and place == 0 and isinstance(spec, CatBoost):
            found, grid = fit_grid((spec, *recipe.grid), matrix, splits, views)
        elif isinstance(spec, Heads):
            found = fit_heads(spec, matrix, folder / spec.name, splits)
        else:
            found = fit_member(spec, matrix, folder / spec.name, splits, views)
        fitted[found.member.name] = found
        log.info("member", name=found.member.name, seconds=round(found.seconds, 1))
    return fitted, grid


def fit_member(
    spec: Ngrams | CatBoost | Network,
    matrix: FeatureMatrix,
    folder: Path,
    splits: Sequence[str] = ("validation",),
    views: Sequence[View] = VIEWS,
) -> Fitted:
    """Fit one member of a recipe; `folder` is where a network keeps what it needs to resume.

    `splits` are those whose outputs are wanted; `views` spares trees for views that nobody asks for.
    """
    if isinstance(spec, Ngrams):
        return fit_ngrams(spec, matrix, splits)
    if isinstance(spec, CatBoost):
        return fit_catboost(spec, matrix, splits, views)
    return fit_network(spec, matrix, folder, splits, soft_targets(spec, matrix, folder / "teachers"))
