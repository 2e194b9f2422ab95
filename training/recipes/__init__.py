"""Recipes by name: `load_recipe("youtube_blend")`. One module, one experiment; see `base.py` for what it holds."""

from importlib import import_module
from pkgutil import iter_modules

from engine.errors import DataError
from training.recipes.base import Recipe, with_encoders


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
    """The recipe of a name on its own encoders ("recipe") or on the embedded ones."""
    return with_encoders(load_recipe(name), encoders)  # type: ignore[arg-type]
