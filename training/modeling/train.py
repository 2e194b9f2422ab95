"""The `train` and `refit` steps: a recipe on a work folder → members, blend, bundle."""

import time
from collections.abc import Collection, Iterable, Mapping
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
    read_bundle,
    save_bundle,
)
from engine.errors import DataError
from engine.features.base import Feature
from engine.files import write_json
from engine.guard import Guard
from engine.prediction import VIEWS, View
from training.data.metadata import languages_of
from training.modeling.blend import fit_on, prior_of
from training.modeling.cross_fitting import fit_fold, out_of_fold, outside_of_test, parts_without, seconds_of
from training.modeling.fitting import fit_members
from training.modeling.guard import fit_guards
from training.modeling.members import Fitted
from training.modeling.processes import own_process
from training.modeling.run import Run
from training.recipes.base import Heads, Recipe
from training.tables import now, write_table

log = structlog.get_logger()
STEPS = np.linspace(0, 1, 201)


def train(work: Path, recipe: Recipe, fold: int | None = None) -> Path:
    """Fit every member, blend and calibrate them, and write the bundle; the test split is not touched.

    Members learn from the training posts and are calibrated on validation; those of a recipe with `folds` are
    calibrated on their answers out of fold to the posts of both, and then fitted on all of these. `fold` names one that
    is to be fitted and nothing else, so that several processes may share the work. A network that was killed goes on
    from its checkpoint. Returns the bundle's folder, or that fold's file. Under `accelerate launch` all processes train
    the networks together; the first does everything else. Raises DataError for a fold that the recipe lacks.
    """
    began = time.monotonic()
    run = Run(work, recipe)
    if fold is not None:
        if not 0 <= fold < recipe.folds:
            raise DataError(f"The recipe {recipe.name} has {recipe.folds or 'no'} folds; there is no fold {fold}.")
        return fit_fold(run, fold)
    answers = out_of_fold(run) if recipe.folds else None
    matrix = run.elsewhere(parts_without(run, None)) if recipe.folds else run.matrix
    splits = () if recipe.folds else ("validation",)
    fitted, grid = fit_members(recipe, matrix, run.members, splits)
    if not own_process().is_main_process:
        return run.bundle
    if answers is None:
        outputs = {name: found.outputs["validation"] for name, found in fitted.items()}
        answers = {view: {name: found[view] for name, found in outputs.items() if view in found} for view in VIEWS}
    rows = outside_of_test(run) if recipe.folds else run.workspace.rows("validation")
    views = {view: fit_on(answering, run.workspace, rows) for view, answering in answers.items() if answering}
    if grid is not None:
        write_table(run.folder / "grid.parquet", grid)
    curves = [found.curves for found in fitted.values() if found.curves is not None]
    if curves:
        write_table(run.folder / "curves.parquet", pd.concat(curves, ignore_index=True))
    seconds = {name: found.seconds for name, found in fitted.items()}
    if recipe.folds:
        seconds = {name: value + seconds_of(run)[name] for name, value in seconds.items()}
    seconds["train"] = sum(seconds.values())
    write_json(run.folder / "seconds.json", {name: round(value, 1) for name, value in seconds.items()})
    _save(run, run.bundle, fitted, views, len(matrix.workspace.rows("train")))
    log.info("trained", seconds=round(time.monotonic() - began))
    return run.bundle


def refit(work: Path, recipe: Recipe) -> Path:
    """Fit the members of an evaluated bundle on all posts, test among them; its blend and calibration stay.

    The figures remain those of the bundle without test, and the card of the new one says so. Returns its folder. Raises
    DataError for a recipe without folds, BundleError when there is no bundle of it yet.
    """
    run = Run(work, recipe)
    if not recipe.folds:
        raise DataError(f"The recipe {recipe.name} has no folds, so nothing out of fold calibrates a refit of it.")
    evaluated = read_bundle(run.bundle)
    everything = run.elsewhere(pd.Series("train", index=run.workspace.posts["post_id"].to_numpy()))
    fitted, _ = fit_members(recipe, everything, run.folder / "refitted", ())
    if own_process().is_main_process:
        _save(run, run.refitted, fitted, dict(evaluated.views), len(run.workspace.posts))
    return run.refitted


def _save(run: Run, target: Path, fitted: Mapping[str, Fitted], views: dict[View, ViewFit], learned: int) -> None:
    # A title that no member reads is no reason to answer nothing to a picture.
    guards = fit_guards(run.matrix, {side for feature in features_of(fitted).values() for side in feature.modalities})
    save_bundle(target, lambda place: _write(place, run, fitted, views, guards, learned))
    size = sum(path.stat().st_size for path in target.rglob("*"))
    log.info("bundle", folder=str(target), megabytes=round(size / 1e6, 1))


def features_of(fitted: Mapping[str, Fitted]) -> dict[str, Feature]:
    """The features that the members read, each behind those it is computed from. Raises as `merged`."""
    return merged(found.features for found in fitted.values())


def merged(parts: Iterable[Mapping[str, Feature]]) -> dict[str, Feature]:
    """The features that several parts of a model read. Raises DataError when two mean different things by one name."""
    features: dict[str, Feature] = {}
    for part in parts:
        for name, feature in part.items():
            if features.setdefault(name, feature).fingerprint != feature.fingerprint:
                raise DataError(
                    f"Two parts of the recipe read another {name}; give their encoders other roles, or drop it."
                )
    return features


def _write(
    place: Path,
    run: Run,
    fitted: Mapping[str, Fitted],
    views: dict[View, ViewFit],
    guards: Mapping[Side, Guard],
    learned: int,
) -> Bundle:
    """Fill the folder of a bundle and return its manifest; `learned` is how many posts its members saw."""
    for name in (FEATURES, MEMBERS, GUARDS):
        (place / name).mkdir()
    features = merged([features_of(fitted), run.matrix.behind(guard.fit.feature for guard in guards.values())])
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
    (place / CARD).write_text(model_card(run, features.values(), learned), encoding="utf-8")
    workspace = run.workspace
    saw_test = learned > len(workspace.learned_rows)
    rows = np.arange(len(workspace.posts)) if saw_test else workspace.learned_rows
    return Bundle(
        name=run.recipe.name,
        recipe=run.recipe.name,
        created=now(),
        score_formula=workspace.score_formula,
        cuts=tuple(workspace.cuts.tolist()),
        prior=tuple(prior_of(workspace).tolist()),
        score_quantiles=tuple(np.quantile(workspace.posts["log_score"].to_numpy()[workspace.learned_rows], STEPS)),
        text_fields=run.recipe.text_fields,
        features=tuple(entry_of(feature) for feature in features.values()),
        members=tuple(members),
        views=views,
        guards={side: guard.fit for side, guard in guards.items()},
        languages=languages_of(workspace.metadata["language"].iloc[rows]),
        data={
            **{name: workspace.dataset[name] for name in ("name", "description", "fingerprint", "absent_counts")},
            "posts": len(workspace.posts),
            "training_posts": learned,
            "saw_test": saw_test,
        },
    )


def entry_of(feature: Feature) -> FeatureEntry:
    """What a manifest says of a feature."""
    return FeatureEntry(
        kind=feature.kind,
        name=feature.name,
        upstream=tuple(above.name for above in feature.upstream),
        config=feature.config,
        fitted_on=feature.fitted_on,
        fingerprint=feature.fingerprint,
    )


def model_card(run: Run, features: Collection[Feature], learned: int) -> str:
    """The bundle's README.md: what it is, what it was made from and reads, what it must not be used for."""
    recipe, workspace, dataset = run.recipe, run.workspace, run.workspace.dataset
    counts = ", ".join(dataset["absent_counts"]) or "none"
    what = "engagement" if recipe.target == "score" and not workspace.is_published else "popularity"
    says = ", and the category" if any(isinstance(spec, Heads) for spec in recipe.members) else ""
    context = [feature.name.replace("_", " ") for feature in features if not feature.modalities]
    read = {side for feature in features for side in feature.modalities}
    pictures, words = (["picture"] if "image" in read else []), ([*recipe.text_fields] if "text" in read else [])
    *most, last = [*("pictures" for _ in pictures), *("words" for _ in words[:1]), *context]
    knows = f"{', '.join(most)} and {last}" if most else last
    encoders = ", ".join(f"{role} = `{spec}`" for role, spec in recipe.encoders.items()) or "none"
    figures = "Its figures on posts it never saw are"
    if learned > len(workspace.learned_rows):
        figures = (
            "These weights have seen every post, those of the test part too. The figures are of the same procedure "
            f"without the {len(workspace.rows('test')):,} test posts; they are"
        )
    return f"""# {recipe.name}

{recipe.summary}

- Trained on {learned:,} of {len(workspace.posts):,} posts of {dataset["description"]} (fingerprint `{dataset["fingerprint"][:16]}`); counts absent there: {counts}.
- Reads: {", ".join([*pictures, *words, *context])}. Predicts five levels of the {what} score and the score itself{says}.
- Encoders: {encoders}.
- {figures} in the report beside it, and under `test_metrics` in `bundle.json`.
- It knows only {knows}. Who publishes, when, and to whom decides most of a post's engagement; use it to
  compare drafts of one post, not to judge people or to predict income.
"""  # noqa: E501
