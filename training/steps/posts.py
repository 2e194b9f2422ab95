"""From a raw dataset to posts, their parts and their features."""

import os
from pathlib import Path
from typing import Literal

from engine.addresses import here
from engine.errors import DataError
from training.steps import WORK


def prepare(
    dataset: str = "youtube", data: str | None = None, work: Path = WORK, limit: int | None = None, workers: int = 1
) -> None:
    """Read a raw dataset, clean it, and write posts.parquet.

    Args:
        dataset: Name of the adapter, youtube, own, pixelrec, smpd or folders.
        data: Folder of the raw dataset, or its address such as s3://bucket/folder, which is fetched into the work
            folder first; the variable FIRST_IMPRESSIONS_DATA where not given.
        work: Folder that will hold the prepared posts, features and runs.
        limit: Stop after this many posts, for a trial.
        workers: Processes that decode pictures.
    """
    from training.data.prepare import prepare as run

    named = data or os.environ.get("FIRST_IMPRESSIONS_DATA")
    if not named:
        raise DataError("Say where the dataset is: --data FOLDER, or the variable FIRST_IMPRESSIONS_DATA.")
    run(dataset, here(named, work / "fetched"), work, limit=limit, workers=workers)


def split(work: Path = WORK, seed: int = 0) -> None:
    """Part the posts into train, validation and test: grouped, and at random.

    Args:
        work: A prepared work folder.
        seed: Another seed gives another split.
    """
    from training.data.workspace import split as run

    table = run(work, seed=seed)
    groups, sizes = (table[name].value_counts() for name in ("group", "grouped"))
    parts = ", ".join(f"{name} {count:,}" for name, count in sizes.items())
    print(f"{len(table):,} posts in {len(groups):,} groups (largest {groups.iloc[0]}): {parts}")


def extract(
    recipe: str = "youtube_blend",
    work: Path = WORK,
    encoders: str = "recipe",
    device: str = "auto",
    engine: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
) -> None:
    """Compute every feature that a recipe reads, once; stopped at any moment, it goes on where it stood.

    Args:
        recipe: Name of a module in training/recipes.
        work: A prepared and split work folder.
        encoders: recipe, or embedded to use encoders whose weights come with the installation; a way to treat
            encoders may follow, as in embedded:frozen.
        device: auto, cpu, cuda or cuda:N.
        engine: ray to compute on a cluster, see requirements-ray.txt; the work folder must be where every machine finds
            it.
        ray_address: Head of the cluster, host:port, or auto (--ray-address); one on this machine alone by default.
    """
    from engine import threads
    from engine.batch import ray_data
    from training.modeling.run import Run
    from training.recipes import chosen

    threads.configure()
    with ray_data.chosen(engine, ray_address) as where:
        run = Run(work, chosen(recipe, encoders), device=device)
        for extraction in run.matrix.extract(run.feature_names, **where):
            print(extraction)
