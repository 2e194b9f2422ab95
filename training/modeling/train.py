"""The `train` step: a recipe on a work folder → members, blend, bundle."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import structlog

from engine.bundle import (
    CARD,
    FEATURES,
    GUARDS,
    MEMBERS,
    Bundle,
    FeatureEntry,
    MemberEntry,
    Side,
    ViewFit,
    save_bundle,
)
from engine.errors import DataError
from engine.features.base import Feature
from engine.files import write_json
from engine.guard import Guard
from engine.prediction import VIEWS, View
from training.features.matrix import FeatureMatrix
from training.modeling.blend import fit_on_validation, prior_of
from training.modeling.grid_search import fit_grid
from training.modeling.guard import fit_guards
from training.modeling.members import Fitted, fit_member, own_process
from training.modeling.run import Run
from training.recipes.base import CatBoost, Network, Recipe
from training.tables import write_table

log = structlog.get_logger()
STEPS = np.linspace(0, 1, 201)


def fit_members(
    recipe: Recipe,
    matrix: FeatureMatrix,
    folder: Path,
    splits: Sequence[str] = ("validation",),
    views: Sequence[View] = VIEWS,
) -> tuple[dict[str, Fitted], pd.DataFrame | None]:
    """The members by name, and the figures of the grid that the first was chosen from, if any.

    Processes of `accelerate launch` other than the first get the networks only.
    """
    fitted: dict[str, Fitted] = {}
    grid = None
    for place, spec in enumerate(recipe.members):
        if not (own_process().is_main_process or isinstance(spec, Network)):
            continue
        if recipe.grid and place == 0 and isinstance(spec, CatBoost):
            found, grid = fit_grid((spec, *recipe.grid), matrix, splits, views)
        else:
            found = fit_member(spec, matrix, folder / spec.name, splits, views)
        fitted[found.member.name] = found
        log.info("member", name=found.member.name, seconds=round(found.seconds, 1))
    return fitted, grid


def train(work: Path, recipe: Recipe) -> Path:
    """Fit every member on the training split, choose, blend and calibrate on validation, and write the bundle.

    A network that was killed goes on from its checkpoint. Returns the bundle's folder. The test split is not touched.
    Under `accelerate launch` all processes train the networks together; the first does everything else.
    """
    began = time.monotonic()
    run = Run(work, recipe)
    fitted, grid = fit_members(recipe, run.matrix, run.folder)
    if not own_process().is_main_process:
        return run.bundle
    views: dict[View, ViewFit] = {}
    for view in VIEWS:
        outputs = {name: found.outputs["validation"] for name, found in fitted.items()}
        if answering := {name: found[view] for name, found in outputs.items() if view in found}:
            views[view] = fit_on_validation(answering, run.workspace)
    if grid is not None:
        write_table(run.folder / "grid.parquet", grid)
    curves = [found.curves for found in fitted.values() if found.curves is not None]
    if curves:
        write_table(run.folder / "curves.parquet", pd.concat(curves, ignore_index=True))
    seconds = {name: round(found.seconds, 1) for name, found in fitted.items()}
    write_json(run.folder / "seconds.json", {**seconds, "train": sum(seconds.values())})
    guards = fit_guards(run.matrix)
    save_bundle(run.bundle, lambda place: _write(place, run, fitted, views, guards))
    size = sum(path.stat().st_size for path in run.bundle.rglob("*"))
    log.info("bundle", folder=str(run.bundle), megabytes=round(size / 1e6, 1), seconds=round(time.monotonic() - began))
    return run.bundle


def features_of(fitted: Mapping[str, Fitted]) -> dict[str, Feature]:
    """The features that the members read, each behind those it is computed from.

    Raises DataError when two members mean different things by one name.
    """
    features: dict[str, Feature] = {}
    for found in fitted.values():
        for name, feature in found.features.items():
            if name in features and features[name].fingerprint != feature.fingerprint:
                raise DataError(f"Two members of the recipe read another {name} each; give their encoders other roles.")
            features.setdefault(name, feature)
    return features


def _write(
    place: Path, run: Run, fitted: Mapping[str, Fitted], views: dict[View, ViewFit], guards: Mapping[Side, Guard]
) -> Bundle:
    """Fill the folder of a bundle and return its manifest."""
    for name in (FEATURES, MEMBERS, GUARDS):
        (place / name).mkdir()
    features = {**features_of(fitted), **run.matrix.behind(guard.fit.feature for guard in guards.values())}
    for feature in features.values():
        feature.save(place / FEATURES)
    members = [
        MemberEntry(kind=found.member.kind, name=name, config=found.member.save(place / MEMBERS))
        for name, found in fitted.items()
    ]
    for guard in guards.values():
        guard.save(place / GUARDS)
    for name in (FEATURES, MEMBERS):
        if not any((place / name).iterdir()):
            # Git and many copying tools drop an empty folder.
            (place / name).rmdir()
    (place / CARD).write_text(model_card(run, features.values()), encoding="utf-8")
    workspace = run.workspace
    return Bundle(
        name=run.recipe.name,
        recipe=run.recipe.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        score_formula=workspace.score_formula,
        cuts=tuple(workspace.cuts.tolist()),
        prior=tuple(prior_of(workspace).tolist()),
        score_quantiles=tuple(np.quantile(workspace.posts["log_score"].to_numpy()[workspace.rows("train")], STEPS)),
        text_fields=run.recipe.text_fields,
        features=tuple(_entry(feature) for feature in features.values()),
        members=tuple(members),
        views=views,
        guards={side: guard.fit for side, guard in guards.items()},
        data={
            **{name: workspace.dataset[name] for name in ("name", "description", "fingerprint", "absent_counts")},
            "posts": len(workspace.posts),
            "training_posts": len(workspace.rows("train")),
        },
    )


def _entry(feature: Feature) -> FeatureEntry:
    return FeatureEntry(
        kind=feature.kind,
        name=feature.name,
        upstream=tuple(above.name for above in feature.upstream),
        config=feature.config,
        fitted_on=feature.fitted_on,
        fingerprint=feature.fingerprint,
    )


def model_card(run: Run, features: Iterable[Feature]) -> str:
    """The bundle's README.md: what it is, what it was made from and reads, what it must not be used for."""
    recipe, workspace, dataset = run.recipe, run.workspace, run.workspace.dataset
    counts = ", ".join(dataset["absent_counts"]) or "none"
    what = "engagement" if recipe.target == "score" and not workspace.is_published else "popularity"
    context = [feature.name.replace("_", " ") for feature in features if not feature.modalities]
    knows = f"pictures, words and {', '.join(context)}" if context else "pictures and words"
    encoders = ", ".join(f"{role} = `{spec}`" for role, spec in recipe.encoders.items()) or "none"
    return f"""# {recipe.name}

{recipe.summary}

- Trained on {len(workspace.rows("train")):,} of {len(workspace.posts):,} posts of {dataset["description"]} (fingerprint `{dataset["fingerprint"][:16]}`); counts absent there: {counts}.
- Reads: {", ".join(["picture", *recipe.text_fields, *context])}. Predicts five levels of the {what} score and the score itself.
- Encoders: {encoders}.
- Its figures on posts it never saw are in the report beside it, and under `test_metrics` in `bundle.json`.
- It knows only {knows}. Who publishes, when, and to whom decides most of a post's engagement; use it to
  compare drafts of one post, not to judge people or to predict income.
"""  # noqa: E501
