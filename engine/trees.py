"""Boosted trees on disk."""

from pathlib import Path
from typing import Any

# What CatBoost writes beside the trees of when, and as which fit, they came to be.
OF_THE_FIT = ("train_finish_time", "model_guid")


def save_trees(model: Any, path: Path) -> None:
    """Write a fitted CatBoost model, and nothing of when it was fitted beside it: equal trees are equal files."""
    metadata = model.get_metadata()
    for name in OF_THE_FIT:
        metadata[name] = ""
    model.save_model(str(path))
