"""Datasets by name: `load_dataset("youtube")`. Every module of this folder that defines `DATASET` is one."""

from importlib import import_module
from pkgutil import iter_modules

from engine.errors import DataError
from training.data.sources.base import Dataset


def dataset_names() -> list[str]:
    """Names of all datasets."""
    return sorted(module.name for module in iter_modules(__path__) if module.name != "base")


def load_dataset(name: str) -> Dataset:
    """The dataset of that name. Raises DataError for an unknown one."""
    if name not in dataset_names():
        raise DataError(f"There is no dataset {name!r}; choose one of {', '.join(dataset_names())}.")
    dataset: Dataset = import_module(f"{__name__}.{name}").DATASET()
    return dataset
