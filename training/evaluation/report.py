"""The `evaluate` step: a recipe's bundle evaluated, once on test, through the very `Predictor` that users get."""

import json
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import structlog
import torch

from engine.bundle import amend_bundle
from engine.files import write_json
from engine.prediction import MemberOutput
from engine.predictor import Predictor
from training.data.splits import stratified_folds
from training.data.workspace import Workspace
from training.evaluation.answers import Key, answers_of, answers_out_of_fold
from training.evaluation.baselines import Baselines
from training.evaluation.candidates import Candidate, calibrated
from training.evaluation.categories import category_tables, leaks, metrics_by_model, networks_of, says_categories
from training.evaluation.contributions import contributions
from training.evaluation.faithfulness import ATTRIBUTION, explained
from training.evaluation.gains import differences_of, earned_notes, gains_of, notes_of
from training.evaluation.guard import guard_notes, guard_table
from training.metrics.bootstrap import calibration_by_chance, with_intervals
from training.metrics.predictions import coverage, prediction_table, reliability, truth_at, truth_of
from training.modeling.blend import FOLDS
from training.modeling.cross_fitting import parts_without
from training.modeling.run import Run
from training.recipes.base import DRIFT, Recipe
from training.tables import now, write_table

log = structlog.get_logger()
_NO_SEED = pd.array([None], dtype="Int64")[0]
# Of report.json and the tables beside it; counted up when a reader of the former one would misread it.
FORMAT = 2
# The dataset on which recipes reach the figures that they state.
EXPECTED_ON = "youtube"
# Figures copied into the bundle, where the page and the model card find them.
TEST_METRICS = (
    "src", "src_likes_per_view", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "classwise_ece",
    "conformal_coverage", "conformal_set_size", "interval_coverage",
)  # fmt: skip


def _baselines(run: Run) -> Iterator[Candidate]:
    """Baselines that learn from the posts that the model learns from, calibrated on validation posts out of fold."""
    vectors = run.recipe.baseline_vectors
    found = Baselines(run.matrix).all(vectors=vectors)
    if not run.recipe.folds:
        yield from found
        return
    for held, whole in zip(found, Baselines(run.elsewhere(parts_without(run, None))).all(vectors=vectors), strict=True):
        log.info("baseline", name=whole.name)
        yield replace(held, test=whole.test)


def _model_tables(predictor: Predictor, run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """(kind, predictions) of the blend on each view, of each member, and of the blend with a side shuffled."""
    outputs: dict[Key, dict[str, MemberOutput]] = {}
    for split in ("validation", "test"):
        truth = truth_of(run.workspace, split)
        learned = split == "validation" and run.recipe.folds
        answers = answers_out_of_fold(predictor, run) if learned else answers_of(predictor, run, split)
        for (shuffle, view), whole in answers.items():
            yield (
                ("control" if shuffle else "model"),
                prediction_table(shuffle or predictor.bundle.name, split, whole, truth),
            )
            for name, output in {} if shuffle else whole.members.items():
                outputs.setdefault((name, view), {})[split] = output
    for (name, view), found_in in outputs.items():
        for table in calibrated(Candidate(name, "member", view, **found_in), run.workspace).values():
            yield "member", table


def evaluate(work: Path, recipe: Recipe, *, resamples: int = 1000, junk: int = 200, leak: bool = False) -> Path:
    """Evaluate a recipe's bundle on validation and test beside baselines and controls, and write its report.

    The guard is tried on `junk` made-up titles or pictures of each kind; with `leak` heads are also fitted on counts
    that nobody knows beforehand, and their figures marked as a leak. Returns the report's folder. That test was
    read goes into the ledger first. Run it once: what is chosen by looking at test is no longer tested by it.
    """
    began = time.monotonic()
    run = Run(work, recipe)
    predictor = run.measured()
    trained = json.loads((run.folder / "seconds.json").read_text()) if (run.folder / "seconds.json").exists() else {}
    workspace, report = run.workspace, run.report
    held = workspace.posts.iloc[workspace.rows("validation")]
    if len(held):
        # What is calibrated takes so many; to find out later would have read test for nothing.
        stratified_folds(held["level"].to_numpy(), held["group_number"].to_numpy(), FOLDS, 0)
    run.read_test("evaluate")
    found = list(_model_tables(predictor, run))
    for candidate in (*_baselines(run), *(leaks(run) if leak else ())):
        found += [(candidate.kind, table) for table in calibrated(candidate, workspace).values()]
    predictions = pd.concat([table for _, table in found], ignore_index=True)
    metrics = pd.concat([_evaluated(kind, table, workspace, resamples) for kind, table in found], ignore_index=True)
    if says_categories(predictions):
        kinds = {str(table["model"].iloc[0]): kind for kind, table in found}
        found_of = metrics_by_model(predictions, kinds, truth_at(workspace, np.arange(len(workspace.posts))), resamples)
        metrics = pd.concat([metrics, found_of.assign(protocol=workspace.protocol, seed=_NO_SEED)], ignore_index=True)
    if workspace.dataset["name"] == EXPECTED_ON:
        _compare(recipe, metrics)
    shipped = predictions[predictions["model"].eq(recipe.name) | predictions["split"].eq("test")]
    own = predictions[predictions["model"] == recipe.name]
    truth = pd.concat([truth_of(workspace, split) for split in ("validation", "test")])
    differences = differences_of(predictions, recipe.name, truth, resamples)
    guard = guard_table(predictor, run, own, junk, resamples)
    tables = {
        "predictions": _narrow(shipped),
        "metrics": metrics,
        "differences": differences,
        "reliability": reliability(own, truth, resamples=resamples),
        "coverage": coverage(own, truth, resamples),
        "guard": guard,
        "posts": posts_of(workspace),
        "cleaning": pd.read_parquet(work / "cleaning.parquet"),
    }
    if recipe.folds:
        tables["contributions"] = contributions(run, resamples)
    if says_categories(own):
        tables |= {**category_tables(own, truth, resamples), "networks": networks_of(run)}
    for name in ("curves", "grid"):
        if (run.folder / f"{name}.parquet").exists():
            tables[name] = pd.read_parquet(run.folder / f"{name}.parquet")
    # Beside other tables the former one would be believed.
    (report / "report.json").unlink(missing_ok=True)
    if not explained(run, predictor.bundle):
        for name in ATTRIBUTION:
            (report / f"{name}.parquet").unlink(missing_ok=True)
    for name, table in tables.items():
        write_table(report / f"{name}.parquet", table)
    notes = notes_of(workspace, differences, metrics[metrics["model"] == recipe.name], run.test_reads())
    notes += (earned_notes(tables["contributions"]) if recipe.folds else []) + guard_notes(guard)
    test_metrics = _test_metrics(metrics, recipe.name) | {"gains": gains_of(differences)}
    seconds = trained | {"evaluate": time.monotonic() - began}
    write_json(report / "report.json", _report(run, predictor, notes, test_metrics, seconds))
    amend_bundle(run.bundle, test_metrics=test_metrics, notes=tuple(notes))
    return report


def _compare(recipe: Recipe, metrics: pd.DataFrame) -> None:
    """Warn where the validation figures have left those that the recipe states."""
    own = metrics[metrics["model"].eq(recipe.name) & metrics["split"].eq("validation") & metrics["view"].eq("both")]
    found = own.set_index("metric")["value"]
    for metric, expected in recipe.expects.items():
        if abs(found[metric] - expected) > DRIFT:
            log.warning("drift", metric=metric, expected=expected, found=round(float(found[metric]), 4))


def _evaluated(kind: str, table: pd.DataFrame, workspace: Workspace, resamples: int) -> pd.DataFrame:
    model, view, split = (table[name].iloc[0] for name in ("model", "view", "split"))
    truth = truth_of(workspace, split)
    found = with_intervals(table, truth, resamples=resamples)
    if kind == "model":
        found = pd.concat([found, calibration_by_chance(table, truth)], ignore_index=True)
    return found.assign(model=model, kind=kind, protocol=workspace.protocol, split=split, view=view, seed=_NO_SEED)


def _narrow(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table in small types: a report is committed."""
    floats = predictions.select_dtypes("float64").columns
    whole = ["level", "predicted_level", "set_low", "set_high"]
    return predictions.astype({**dict.fromkeys(floats, "float32"), **dict.fromkeys(whole, "int8")})


def posts_of(workspace: Workspace) -> pd.DataFrame:
    """posts.parquet of the report: what is derived of every kept post, never its words or picture.

    Those of a part stand together: whoever asks for one part need not read the others.
    """
    posts = workspace.posts.sort_values("split", kind="stable", ignore_index=True)
    metadata = workspace.metadata.set_index("post_id").reindex(posts["post_id"]).reset_index(drop=True)
    random = workspace.splits.set_index("post_id")["random"].reindex(posts["post_id"]).to_numpy()
    address = workspace.dataset.get("image_url")
    columns = ["title_characters", "title_words", "language", "image_width", "image_height", "thumbhash", "pixel_hash"]
    return pd.DataFrame(
        {
            "post_id": posts["post_id"],
            "split": posts["split"],
            "random_split": random,
            "group": posts["group_number"].astype("int32"),
            "source": posts["source"],
            "score": posts["score"].astype("float32"),
            "log_score": posts["log_score"].astype("float32"),
            "level": posts["level"].astype("int8"),
            "likes_per_view": posts["likes_per_view"].astype("Float64").to_numpy(np.float32, na_value=np.nan),
            **{name: metadata[name] for name in columns},
            "image_url": [address.format(post_id=post_id) if address else None for post_id in posts["post_id"]],
        }
    )


def _test_metrics(metrics: pd.DataFrame, model: str) -> dict[str, Any]:
    chosen = metrics[(metrics["model"] == model) & (metrics["split"] == "test") & metrics["metric"].isin(TEST_METRICS)]
    test: dict[str, dict[str, dict[str, float]]] = {}
    for row in chosen.itertuples():
        figures = {"value": float(row.value), "low": float(row.low), "high": float(row.high)}  # type: ignore[arg-type]
        test.setdefault(str(row.view), {})[str(row.metric)] = figures
    return {"test": test, "test_posts": int(chosen["n"].max())}


def _report(
    run: Run, predictor: Predictor, notes: Sequence[str], test_metrics: Mapping[str, Any], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """report.json: the whole configuration, the environment, and the sentences that go with the figures."""
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    return {
        "format": FORMAT,
        "recipe": run.recipe.name,
        "summary": run.recipe.summary,
        "config": run.recipe.config,
        "environment": {
            "python": platform.python_version(),
            "machine": platform.platform(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "packages": dict(sorted(packages.items())),
        },
        "data": {**predictor.bundle.data, "posts_read": run.workspace.dataset["posts"]},
        "split": run.workspace.split_digest,
        "created": now(),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "score_formula": predictor.bundle.score_formula,
        "cuts": list(predictor.bundle.cuts),
        "prior": list(predictor.bundle.prior),
        "notes": list(notes),
        "test_metrics": test_metrics,
        "test_reads": run.test_reads(),
    }
