"""Recipes by name: `load_recipe("youtube_blend")`. One module, one experiment; see `base.py` for what it holds."""

from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import get_args

from engine.errors import DataError
from training.recipes.base import Recipe, Tuning, with_encoders


def recipe_names() -> list[str]:
    """Names of all recipes."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "base")


def load_recipe(name: str) -> Recipe:
    """The recipe of a name. Raises DataError listing the known ones."""
    if name not in recipe_names():
        raise DataError(f"There is no recipe “{name}”; known are {', '.join(recipe_names())}.")
    recipe: Recipe = import_module(f"training.recipes.{name}").RECIPE
    return recipe


def chosen(name: str, encoders: str, as_published: bool = False) -> Recipe:
    """The recipe of a name on its own encoders ("recipe") or on the embedded ones.

    A way to treat the encoders may follow: "embedded:frozen" is a run of its own beside "embedded". `as_published`
    takes the published configuration in its place, where the recipe's module reproduces one. Raises DataError for an
    unknown name or word.
    """
    recipe = load_recipe(name)
    if as_published:
        found: Recipe | None = getattr(import_module(f"training.recipes.{name}"), "PUBLISHED", None)
        if found is None or encoders != "recipe":
            where = "" if found is None else " on other encoders"
            raise DataError(
                f"The recipe {recipe.name} reproduces no published configuration{where}; leave --as-published out."
            )
        return found
    choice, _, tuning = encoders.partition(":")
    if tuning and tuning not in get_args(Tuning):
        raise DataError(f"“{tuning}” is no way to treat encoders; use {', '.join(get_args(Tuning))}.")
    recipe = with_encoders(recipe, choice, tuning=tuning or None)  # type: ignore[arg-type]
    if not tuning:
        return recipe
    summary = f"{recipe.summary} Its encoders: {tuning}."
    return replace(recipe, name=f"{recipe.name}_{tuning}", summary=summary, expects={})
