"""A Ray cluster of several machines: the same tables and features as here, and a GPU for each worker that has one."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import training.__main__
import training.recipes
from engine import threads
from engine.__main__ import main
from engine.batch import ray_data
from tests.made_up import make_work, picture
from training.features import extract

pytest.importorskip("ray", reason="an extra")
pytestmark = pytest.mark.slow
# Of a feature of either side: for each a cluster's workers begin anew.
BOTH_SIDES = """
from training.recipes.base import CatBoost, Recipe
encoders, trees = {"picture": "lite0:64x64"}, CatBoost(name="trees", features=("picture", "text_statistics"))
RECIPE = Recipe(name="both_sides", summary="Little of both.", encoders=encoders, members=(trees,))
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """Two, each with room for a worker of as many threads as one has here."""
    from ray.cluster_utils import Cluster

    cores = threads.cores() // threads.workers()
    several = Cluster(initialize_head=True, head_node_args={"num_cpus": cores, "include_dashboard": False})
    try:
        several.add_node(num_cpus=cores)
        yield several
    finally:
        several.shutdown()


def test_files_of_posts_are_answered_as_here(machines: Any, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    posts: list[tuple[str | None, str | None, bytes | None]] = [
        (f"p{row}", f"Why my cat never sleeps {'very ' * (row % 5)}long", picture(row / 20, generator))
        for row in range(20)
    ]
    posts += [("words", "Only 3 words!", None), ("broken", "A title", b"no picture"), (None, None, None)]
    source = tmp_path / "in.parquet"
    pd.DataFrame(posts, columns=["post_id", "title", "image"]).to_parquet(source)
    here, there = tmp_path / "local.parquet", tmp_path / "ray.parquet"
    arguments = ["score", str(source), "--batch-size", "4", "-o"]
    assert main([*arguments, str(here)]) == 0
    assert main([*arguments, str(there), "--engine", "ray", "--ray-address", machines.address]) == 0
    assert there.read_bytes() == here.read_bytes()


def stored(work: Path) -> dict[str, bytes]:
    folder = work / "features"
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.*") if file.name != ".lock"}


def test_features_are_extracted_as_here(machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine parts would be cut where either was when so long had passed.
    monkeypatch.setattr(extract, "FLUSH_SECONDS", np.inf)
    (tmp_path / "both_sides.py").write_text(BOTH_SIDES)
    monkeypatch.setattr(training.recipes, "__path__", [*training.recipes.__path__, str(tmp_path)])
    here = make_work(tmp_path, 100)
    there = shutil.copytree(here, tmp_path / "there")
    command = ["extract", "--recipe", "both_sides", "--work"]
    ray = ["--engine", "ray", "--ray-address", machines.address]
    assert training.__main__.main([*command, str(there), *ray]) == 0
    assert training.__main__.main([*command, str(here)]) == 0
    assert stored(there) == stored(here) and len(stored(here)) == 2 * 2


def test_where_machines_have_gpus_each_worker_has_one(machines: Any) -> None:
    with_gpus = machines.add_node(num_cpus=2, num_gpus=2)
    try:
        with ray_data.cluster(machines.address) as engine:
            # Of the standard library: other machines are not sent the tests.
            seen = set(engine(os.getenv, partial(repeat, "CUDA_VISIBLE_DEVICES", 8), abs))
    finally:
        machines.remove_node(with_gpus)
    assert seen and seen <= {"0", "1"}
