"""The `train` step: a recipe on a work folder → members, blend, bundle."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import structlog
import torch
from safetensors.torch import save_file

from engine.bundle import CARD, Bundle, EncoderEntry, MemberEntry, save_bundle
from engine.prediction import VIEWS, View
from training.data.workspace import Workspace
from training.evaluation.candidates import fit_on_validation, prior_of
from training.features.matrix import FeatureMatrix
from training.modeling.grid_search import fit_grid
from training.modeling.members import Fitted, fit_member, own_process
from training.recipes.base import CatBoost, Network, Recipe
from training.tables import write_table

log = structlog.get_logger()


def run_folder(work: Path, recipe: Recipe) -> Path:
    """Where a recipe's run keeps its members, bundle and report."""
    return work / "runs" / recipe.name


def matrix_of(workspace: Workspace, recipe: Recipe) -> FeatureMatrix:
    """Features for a recipe's members."""
    return FeatureMatrix(workspace, dict(recipe.encoders), recipe.text_fields)


def fit_members(
    recipe: Recipe, matrix: FeatureMatrix, folder: Path, *, views: Sequence[View] = VIEWS, test: bool = False
) -> tuple[dict[str, Fitted], dict[str, float], pd.DataFrame | None]:
    """The members by name, the seconds each took, and the figures of the grid that the first was chosen from, if any.

    Processes of `accelerate launch` other than the first get the networks only.
    """
    fitted: dict[str, Fitted] = {}
    seconds: dict[str, float] = {}
    grid = None
    for place, spec in enumerate(recipe.members):
        if not (own_process().is_main_process or isinstance(spec, Network)):
            continue
        started = time.monotonic()
        if recipe.grid and place == 0 and isinstance(spec, CatBoost):
            found, grid = fit_grid((spec, *recipe.grid), matrix, views=views, test=test)
        else:
            found = fit_member(spec, matrix, folder / spec.name, views=views, test=test)
        name = found.member.name
        fitted[name], seconds[name] = found, time.monotonic() - started
        log.info("member", name=name, seconds=round(seconds[name], 1))
    return fitted, seconds, grid


def train(work: Path, recipe: Recipe) -> Path:
    """Fit every member on the training split, choose, blend and calibrate on validation, and write the bundle.

    A network that was killed goes on from its checkpoint. Returns the bundle's folder. The test split is not touched.
    Under `accelerate launch` all processes train the networks together; the first does everything else.
    """
    began = time.monotonic()
    folder = run_folder(work, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(work, target=recipe.target)
    matrix = matrix_of(workspace, recipe)
    fitted, seconds, grid = fit_members(recipe, matrix, folder)
    if not own_process().is_main_process:
        return folder / "bundle"
    views: dict[View, Any] = {}
    for view in VIEWS:
        answers = {name: member.answers[view] for name, member in fitted.items() if view in member.answers}
        if answers:
            views[view] = fit_on_validation(answers, workspace)
    if grid is not None:
        write_table(folder / "grid.parquet", grid)
    curves = [member.curves for member in fitted.values() if member.curves is not None]
    if curves:
        pd.concat(curves).to_parquet(folder / "curves.parquet")
    (folder / "seconds.json").write_text(json.dumps({**seconds, "train": time.monotonic() - began}))
    bundle = folder / "bundle"
    manifest = Bundle(
        name=recipe.name,
        recipe=recipe.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        score_formula=workspace.score_formula,
        cuts=tuple(workspace.cuts.tolist()),
        prior=tuple(prior_of(workspace).tolist()),
        text_fields=recipe.text_fields,
        encoders={
            role: EncoderEntry(spec=spec, weights=f"encoders/{role}.safetensors" if _tensors(fitted, role) else None)
            for role, spec in recipe.encoders.items()
        },
        ngrams="ngrams.safetensors" if matrix.ngrams else None,
        alignment="alignment.safetensors" if matrix.alignment else None,
        members=(),
        views=views,
        data={
            "name": workspace.dataset["name"],
            "description": workspace.dataset["description"],
            "fingerprint": workspace.dataset["fingerprint"],
            "absent_counts": workspace.dataset["absent_counts"],
            "posts": len(workspace.posts),
            "training_posts": len(workspace.rows("train")),
        },
    )
    complete = save_bundle(bundle, _with_members(manifest, fitted), lambda place: _write(place, matrix, fitted, recipe))
    log.info("bundle", folder=str(bundle), files=len(complete.files), megabytes=round(_size(bundle) / 1e6, 1))
    return bundle


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _tensors(fitted: dict[str, Fitted], role: str) -> dict[str, torch.Tensor]:
    """Tensors that fine-tuning changed in the tower of a role."""
    return {name: value for member in fitted.values() for name, value in member.towers.get(role, {}).items()}


def _with_members(manifest: Bundle, fitted: dict[str, Fitted]) -> Bundle:
    """The manifest with the facts of its members, which are known once they have been written to a scratch folder."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        entries = tuple(
            MemberEntry(
                kind=found.member.kind, name=name, facts=json.loads(json.dumps(found.member.save(Path(scratch))))
            )
            for name, found in fitted.items()
        )
    return manifest.model_copy(update={"members": entries})


def _write(place: Path, matrix: FeatureMatrix, fitted: dict[str, Fitted], recipe: Recipe) -> None:
    (place / "members").mkdir()
    for member in fitted.values():
        member.member.save(place / "members")
    for role in recipe.encoders:
        if tensors := _tensors(fitted, role):
            (place / "encoders").mkdir(exist_ok=True)
            halves = {name: value.half().contiguous() for name, value in tensors.items()}
            save_file(halves, place / "encoders" / f"{role}.safetensors")
    if matrix.ngrams:
        matrix.ngrams.save(place / "ngrams.safetensors")
    if matrix.alignment:
        matrix.alignment.save(place / "alignment.safetensors")
    (place / CARD).write_text(model_card(matrix, recipe))


def model_card(matrix: FeatureMatrix, recipe: Recipe) -> str:
    """The bundle's README.md: what it is, what it was made from, what it must not be used for."""
    dataset = matrix.workspace.dataset
    counts = ", ".join(dataset["absent_counts"]) or "none"
    what = "engagement" if recipe.target == "score" else "popularity"
    return f"""# {recipe.name}

{recipe.summary}

- Trained on {len(matrix.workspace.rows("train")):,} of {len(matrix.workspace.posts):,} posts of {dataset["description"]} (fingerprint `{dataset["fingerprint"][:16]}`); counts absent there: {counts}.
- Reads: picture, {", ".join(recipe.text_fields)}. Predicts five levels of the {what} score and the score itself.
- Encoders: {", ".join(f"{role} = `{spec}`" for role, spec in recipe.encoders.items()) or "none"}.
- Its figures on posts it never saw are in the report beside it, and under `facts` in `bundle.json`.
- It knows only pictures and words. Who publishes, when, and to whom decides most of a post's engagement; use it to
  compare drafts of one post, not to judge people or to predict income.
"""  # noqa: E501


def recipe_config(recipe: Recipe) -> dict[str, Any]:
    """The whole recipe as JSON-serialisable values."""
    return {**asdict(recipe), "members": [{"kind": type(spec).__name__, **asdict(spec)} for spec in recipe.members]}


def copy_report(run: Path, target: Path) -> None:
    """Put a run's bundle and report where the apps look for shipped ones, replacing what was there."""
    for name in ("bundle", "report"):
        staging = target / f".{name}.tmp"
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(run / name, staging)
        shutil.rmtree(target / name, ignore_errors=True)
        staging.rename(target / name)
