"""Features by name. Every file of this folder that defines `FEATURE` is one; nothing else lists them."""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from engine.errors import DataError
from engine.features.base import Feature, FeatureSettings
from engine.features.encoder_tokens import TOKENS

__all__ = ["Feature", "FeatureSettings", "default_names", "find_kind", "kinds", "make_features"]


def kinds() -> dict[str, type[Feature]]:
    """Every kind of feature by name."""
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    found = [module.FEATURE for module in modules if hasattr(module, "FEATURE")]
    return {feature.kind: feature for feature in sorted(found, key=lambda feature: feature.kind)}


def default_names() -> tuple[str, ...]:
    """Names of the features that a member takes which names none."""
    return tuple(kind for kind, feature in kinds().items() if feature.by_default)


def find_kind(kind: str) -> type[Feature]:
    """The class of a kind, which is the name of its file. Raises DataError for one that this version lacks."""
    known = {found.name for found in iter_modules(__path__)}
    feature: type[Feature] | None = (
        getattr(import_module(f"{__name__}.{kind}"), "FEATURE", None) if kind in known else None
    )
    if feature is None:
        raise DataError(f"There is no feature “{kind}” in this version; known are {', '.join(kinds())}.")
    return feature


def make_features(names: Iterable[str], settings: FeatureSettings) -> dict[str, Feature]:
    """The features of `names` and all they are computed from, by name, those first that others are computed from.

    A name is a kind, a role of `settings.encoders` (its vectors), or a role followed by “.tokens”. Raises DataError
    for an unknown one.
    """
    made: dict[str, Feature] = {}

    def need(name: str) -> Feature:
        if name not in made:
            made[name] = _kind_of(name, settings).make(name, settings, need)
            # What it is computed from was made meanwhile and stands before it.
            made[name] = made.pop(name)
        return made[name]

    for name in names:
        need(name)
    return made


def _kind_of(name: str, settings: FeatureSettings) -> type[Feature]:
    role = name.removesuffix(TOKENS)
    if role in settings.encoders:
        return find_kind("encoder_vector" if name == role else "encoder_tokens")
    return find_kind(name)
