"""Settings from the environment."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

SHIPPED_BUNDLE = Path(__file__).parent.parent / "models" / "youtube" / "bundle"


class Settings(BaseSettings):
    """`FIRST_IMPRESSIONS_BUNDLE`: the bundle to load in place of the shipped one."""

    model_config = SettingsConfigDict(env_prefix="FIRST_IMPRESSIONS_", extra="ignore")

    bundle: Path = SHIPPED_BUNDLE
