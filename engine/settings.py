"""Settings from the environment."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from engine.addresses import Address, located

MODELS = Path(__file__).parent.parent / "models"
SHIPPED_BUNDLE = MODELS / "youtube" / "bundle"


def _cache() -> Path:
    """The project's folder where the user's caches lie."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(folder, "first-impressions")


class Settings(BaseSettings):
    """`FIRST_IMPRESSIONS_BUNDLE`: the bundle to load in place of the shipped one, and the only one then,
    a folder or an address such as hf://owner/name;
    `FIRST_IMPRESSIONS_MODELS`: the folder whose bundles, `<name>/bundle`, the page lets its visitors choose among;
    `FIRST_IMPRESSIONS_CACHE`: where unpacked weights are kept, by default a folder of the user's cache, which may be
    deleted at any time. A variable that is empty is not set."""

    model_config = SettingsConfigDict(env_prefix="FIRST_IMPRESSIONS_", env_ignore_empty=True, extra="ignore")

    bundle: Annotated[Path | Address, NoDecode, BeforeValidator(located)] = SHIPPED_BUNDLE
    models: Path = MODELS
    cache: Path = Field(default_factory=_cache)
