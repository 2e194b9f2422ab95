"""The `crossvalidate` step: nested folds of a recipe over the training and validation posts; test stays unread.

    python -m training crossvalidate --recipe catboost_clip --encoders embedded --folds 5 --protocol grouped

An outer fold chooses nothing. The posts outside of it are parted as train and validation are: candidates of the grid
and epochs are chosen, and blend weights, calibration, level cuts, targets and all else fitted, inside. Stopping early
on the outer fold, as is often done, would let it choose the very model that it evaluates.
A finished fold is kept in `runs/<recipe>/crossvalidation/<protocol>/` and not fitted again; networks resume there.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import structlog

from engine.blending import Calibration
from engine.errors import DataError
from engine.scoring import to_level
from training.data.splits import level_cuts, stratified_folds
from training.data.workspace import Protocol, Workspace
from training.evaluation.shipped import FOLDS, shipped_facts, with_apart, write_facts
from training.features.matrix import FeatureMatrix
from training.metrics.bootstrap import evaluate_metrics
from training.metrics.predictions import prediction_table, truth_of
from training.modeling.blend import FOLDS as BLENDED
from training.modeling.blend import fit_on
from training.modeling.fitting import fit_members
from training.modeling.processes import own_process
from training.modeling.run import Run
from training.recipes.base import Recipe
from training.tables import now, replace_rows, write_table

log = structlog.get_logger()
# One part in five of the posts outside the outer fold makes the choices.
INNER = 5
FEW_GROUPS = (
    "Only {} groups of posts would make the choices of fold {} of {}, which takes {}; give other --folds, or prepare "
    "more posts."
)
TABLE = "crossvalidation.parquet"
PRINTED = ("src", "accuracy", "macro_f1", "log_loss")


def assignments(workspace: Workspace, folds: int, protocol: Protocol, seed: int = 0) -> Iterator[pd.Series]:
    """For every outer fold, post_id → train | validation | test, where test is the fold; see `Workspace.assignment`.

    Both protocols part the same posts, those outside the grouped test part of the (grouped) `workspace`: in `grouped`
    no group is in two parts, in `random` it may be. Raises DataError where posts or groups are too few, or scores too
    equal.
    """
    pool = workspace.posts[workspace.posts["split"] != "test"]
    strata = to_level(pool["score"], level_cuts(pool["score"]))
    groups = pool["group_number"].to_numpy() if protocol == "grouped" else None
    outer = stratified_folds(strata, groups, folds, seed)
    for fold in range(folds):
        rest = np.flatnonzero(outer != fold)
        inner = stratified_folds(strata[rest], None if groups is None else groups[rest], INNER, seed)
        part = np.full(len(pool), "test", dtype=object)
        part[rest] = np.where(inner == 0, "validation", "train")
        choosing = pool["group_number"][part == "validation"].nunique()
        if choosing < BLENDED:
            # Before anything is fitted.
            raise DataError(FEW_GROUPS.format(choosing, fold, folds, BLENDED))
        yield pd.Series(part, index=pool["post_id"].to_numpy())


def evaluate_fold(matrix: FeatureMatrix, recipe: Recipe, folder: Path) -> pd.DataFrame | None:
    """Fit and choose inside, evaluate on the outer fold: chosen, metric, value, n, on picture and title together.

    None in a process of `accelerate launch` that is not the first, which has the networks alone.
    """
    workspace = matrix.workspace
    fitted, _ = fit_members(recipe, matrix, folder, ("validation", "test"), views=("both",))
    if not own_process().is_main_process:
        return None
    inside, outside = (
        {name: found.outputs[split]["both"] for name, found in fitted.items()} for split in ("validation", "test")
    )
    fit = fit_on(inside, workspace, workspace.rows("validation"))
    truth = truth_of(workspace, "test")
    batch = Calibration(fit).apply("both", outside)
    found = evaluate_metrics(prediction_table(recipe.name, "test", batch, truth), truth)
    table = pd.DataFrame({"metric": list(found), "value": list(found.values()), "n": len(truth)})
    return table.assign(chosen=" + ".join(name for name in fitted if name in fit.probability_weights))


def crossvalidate(
    work: Path,
    recipe: Recipe,
    *,
    folds: int = 5,
    protocol: Protocol = "grouped",
    deepest: int | None = None,
    seed: int = 0,
    model: Path | None = None,
) -> pd.DataFrame:
    """Evaluate a recipe on nested folds; returns this protocol's rows of the report's crossvalidation.parquet,
    of several processes the first alone.

    `deepest` leaves candidates with deeper trees out of the grid. The rows go into the report of the shipped `model`
    too. Raises DataError for fewer than two folds, too few posts or groups, a folder that holds folds of other posts or
    settings, or a model of other posts or another split.
    """
    if folds < 2:
        raise DataError(f"{folds} folds cannot be set against one another; give at least 2.")
    run = Run(work, recipe)
    if model is not None:
        shipped_facts(model, run)
    if deepest is not None:
        recipe = replace(recipe, grid=tuple(spec for spec in recipe.grid if spec.depth <= deepest))
    parts = list(assignments(run.workspace, folds, protocol, seed))
    digests = [hashlib.sha256(part.to_csv().encode()).hexdigest() for part in parts]
    made_from = {"grid": [asdict(spec) for spec in recipe.grid], "parts": digests}
    folder = run.part(f"crossvalidation/{protocol}", made_from, "folds")
    for fold, part in enumerate(parts):
        path = folder / f"fold-{fold}.parquet"
        if path.exists():
            continue
        table = evaluate_fold(run.elsewhere(part, protocol), recipe, folder / f"fold-{fold}")
        if table is not None:
            table = table.assign(recipe=recipe.name, protocol=protocol, fold=fold, candidates=1 + len(recipe.grid))
            write_table(path, table)
            log.info("fold", fold=fold, chosen=table["chosen"].iloc[0])
    found = pd.DataFrame()
    if own_process().is_main_process:
        found = _gathered(run.folder, protocol)
        if model is not None:
            replace_rows(model / "report" / TABLE, found)
            # As it stands by now: folds take hours.
            write_facts(model, with_apart(shipped_facts(model, run), {FOLDS: now()}))
    # Whichever ends first would take the others with it.
    own_process().wait_for_everyone()
    return found


def _gathered(run: Path, protocol: Protocol) -> pd.DataFrame:
    """Write the folds of every protocol that is finished into the report; returns those of one."""
    columns = ["recipe", "protocol", "fold", "candidates", "chosen", "metric", "value", "n"]
    folders = [folder for folder in (run / "crossvalidation").iterdir() if folder.name == protocol or _is_whole(folder)]
    paths = sorted(path for folder in folders for path in folder.glob("fold-*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)[columns]
    write_table(run / "report" / TABLE, table)
    return table[table["protocol"] == protocol]


def _is_whole(folder: Path) -> bool:
    """Whether every fold of a protocol is there: a few would be taken for all."""
    parts = json.loads((folder / "settings.json").read_text(encoding="utf-8"))["parts"]
    return len(list(folder.glob("fold-*.parquet"))) == len(parts)


def summary(table: pd.DataFrame) -> str:
    """One line: mean ± standard deviation over the folds of the leading metrics, and what the folds chose."""
    first: Any = table.iloc[0]
    values = table.groupby("metric")["value"]
    figures = ", ".join(f"{name} {values.mean()[name]:.4f} ± {values.std()[name]:.4f}" for name in PRINTED)
    chosen = table.drop_duplicates("fold")["chosen"].value_counts()
    posts = table.drop_duplicates("fold")["n"].sum()
    times = ", ".join(f"{name} ×{count}" for name, count in chosen.items())
    return (
        f"{first['recipe']}, {table['fold'].nunique()} {first['protocol']} folds of {posts:,} posts: {figures}; "
        f"chosen among {first['candidates']}: {times}"
    )
