"""Recipes by name: `load_recipe("youtube_blend")`. One module, one experiment; see `base.py` for what it holds."""

from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import get_args

from engine.errors import DataError
from training.recipes.base import Recipe, Towers, with_encoders


def recipe_names() -> list[str]:
    """Names of all recipes."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "base")


def load_recipe(name: str) -> Recipe:
    """The recipe of a name. Raises DataError listing the known ones."""
    if name not in recipe_names():
        raise DataError(f"There is no recipe “{name}”; known are {', '.join(recipe_names())}.")
    recipe: Recipe = import_module(f"training.recipes.{name}").RECIPE
    return recipe


def chosen(name: str, encoders: str) -> Recipe:
    """The recipe of a name on its own encoders ("recipe") or on the embedded ones.

    A way to treat the towers may follow: "embedded:frozen" is a run of its own beside "embedded". Raises DataError for
    an unknown name or word.
    """
    choice, _, towers = encoders.partition(":")
    if towers and towers not in get_args(Towers):
        raise DataError(f"“{towers}” is no way to treat towers; use {', '.join(get_args(Towers))}.")
    recipe = with_encoders(load_recipe(name), choice, towers=towers or None)  # type: ignore[arg-type]
    if not towers:
        return recipe
    summary = f"{recipe.summary} Its towers: {towers}."
    return replace(recipe, name=f"{recipe.name}_{towers}", summary=summary, expects={})
