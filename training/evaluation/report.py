"""The `evaluate` step: a recipe's bundle evaluated, once on test, through the very `Predictor` that users get."""

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib.metadata import distributions
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from tqdm import tqdm

from engine.bundle import amend_bundle
from engine.errors import DataError
from engine.features.base import Features
from engine.files import write_json
from engine.posts import Post
from engine.prediction import VIEWS, BatchPrediction, MemberOutput, View
from engine.predictor import Predictor
from training.data.workspace import Workspace
from training.evaluation.baselines import Baselines
from training.evaluation.candidates import Candidate, calibrated
from training.evaluation.gains import differences_of, gains_of, notes_of
from training.evaluation.guard import guard_notes, guard_table
from training.features.extract import with_pictures
from training.metrics.bootstrap import with_intervals
from training.metrics.predictions import coverage, prediction_table, reliability, truth_of
from training.modeling.run import Run
from training.recipes.base import DRIFT, Recipe
from training.tables import write_table

log = structlog.get_logger()
# Also how many posts exchange their sides in a shuffled control.
BATCH = 256
PASSES = 8
# Of report.json and the tables beside it; counted up when a reader of the former one would misread it.
FORMAT = 2
SHUFFLES = ("shuffled picture", "shuffled text")
# Figures copied into the bundle, where the page and the model card find them.
TEST_METRICS = (
    "src", "src_likes_per_view", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "classwise_ece",
    "conformal_coverage", "conformal_set_size", "interval_coverage",
)  # fmt: skip


Key = tuple[str, View]


def _order(count: int) -> npt.NDArray[np.int64]:
    """The posts 0..count − 1 as they are read: every `PASSES`-th, then those behind them, and so on.

    Related posts stand side by side in a file; those that exchange their sides must not be related.
    """
    return np.concatenate([np.arange(first, count, PASSES) for first in range(PASSES)])


def _batches(run: Run, split: str) -> Iterator[list[Post]]:
    """The posts of a split with their pictures, in `_order`. Raises DataError when a picture is gone."""
    rows = run.workspace.rows(split)
    batch: list[Post] = []
    passes = (rows[first::PASSES].tolist() for first in range(PASSES))
    found = chain.from_iterable(with_pictures(run.work, run.matrix.posts, some) for some in passes)
    for row, post in tqdm(found, total=len(rows), desc=f"{split} posts", mininterval=5):
        if isinstance(post, str):
            post_id = run.matrix.posts[row].post_id
            raise DataError(f"The picture of {post_id} cannot be read any more ({post}); run prepare and split again.")
        batch.append(post)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _predicted(predictor: Predictor, posts: list[Post], seed: int) -> Iterator[tuple[Key, BatchPrediction]]:
    """Predictions of some posts on every view, and with the pictures, or the words, of others among them."""
    views = [view for view in VIEWS if view in predictor.bundle.views]
    text, image = (predictor.extractor.compute(posts, side) for side in ("text", "image"))

    def both(pictures: npt.NDArray[np.int64], words: npt.NDArray[np.int64]) -> Features:
        paired = [
            replace(posts[word], image=posts[picture].image) for picture, word in zip(pictures, words, strict=True)
        ]
        known = {name: values[words] for name, values in text.items()}
        known |= {name: values[pictures] for name, values in image.items()}
        # What both have is of neither side: it stays with the post.
        known |= {name: values for name, values in text.items() if name in image}
        return predictor.extractor.compute(paired, "both", known)

    own = np.arange(len(posts))
    other = np.random.default_rng(seed).permutation(own)
    features: Mapping[View, Callable[[], Features]] = {
        "both": lambda: both(own, own),
        "text": lambda: text,
        "image": lambda: image,
    }
    for view in views:
        yield ("", view), predictor.predict_features(view, features[view]())
    if "both" in views:
        for name, orders in zip(SHUFFLES, ((other, own), (own, other)), strict=True):
            yield (name, "both"), predictor.predict_features("both", both(*orders))


def _joined(parts: Sequence[BatchPrediction]) -> BatchPrediction:
    """Predictions of batches as those of all posts, in the order of the split."""
    back = _order(sum(len(part.log_score) for part in parts)).argsort()
    arrays = [field.name for field in fields(BatchPrediction) if field.name not in ("view", "members")]
    whole = {name: np.concatenate([getattr(part, name) for part in parts])[back] for name in arrays}
    members = {
        name: MemberOutput(
            np.concatenate([part.members[name].probabilities for part in parts])[back],
            np.concatenate([part.members[name].score for part in parts])[back],
        )
        for name in parts[0].members
    }
    return BatchPrediction(view=parts[0].view, members=members, **whole)


def _model_tables(predictor: Predictor, run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    """(kind, predictions) of the blend on each view, of each member, and of the blend with a side shuffled."""
    outputs: dict[Key, dict[str, MemberOutput]] = {}
    for split in ("validation", "test"):
        truth = truth_of(run.workspace, split)
        parts: dict[Key, list[BatchPrediction]] = {}
        for seed, posts in enumerate(_batches(run, split)):
            for key, batch in _predicted(predictor, posts, seed):
                parts.setdefault(key, []).append(batch)
        for (shuffle, view), found in parts.items():
            whole = _joined(found)
            yield (
                ("control" if shuffle else "model"),
                prediction_table(shuffle or predictor.bundle.name, split, whole, truth),
            )
            for name, output in {} if shuffle else whole.members.items():
                outputs.setdefault((name, view), {})[split] = output
    for (name, view), found_in in outputs.items():
        for table in calibrated(Candidate(name, "member", view, **found_in), run.workspace).values():
            yield "member", table


def evaluate(work: Path, recipe: Recipe, *, resamples: int = 1000, junk: int = 200) -> Path:
    """Evaluate a recipe's bundle on validation and test beside baselines and controls, and write its report.

    The guard is tried on `junk` made-up titles or pictures of each kind. Returns the report's folder. That test was
    read goes into the ledger first. Run it once: what is chosen by looking at test is no longer tested by it.
    """
    began = time.monotonic()
    run = Run(work, recipe)
    predictor = Predictor.load(run.bundle)
    run.read_test("evaluate")
    workspace, report = run.workspace, run.report
    found = list(_model_tables(predictor, run))
    for candidate in Baselines(run.matrix).all(vectors=tuple(recipe.baseline_vectors)):
        log.info("baseline", name=candidate.name)
        found += [(candidate.kind, table) for table in calibrated(candidate, workspace).values()]
    predictions = pd.concat([table for _, table in found], ignore_index=True)
    metrics = pd.concat([_evaluated(kind, table, workspace, resamples) for kind, table in found], ignore_index=True)
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
    for name in ("curves", "grid"):
        if (run.folder / f"{name}.parquet").exists():
            tables[name] = pd.read_parquet(run.folder / f"{name}.parquet")
    for name, table in tables.items():
        write_table(report / f"{name}.parquet", table)
    notes = notes_of(workspace, differences, metrics[metrics["model"] == recipe.name], run.test_reads())
    notes += guard_notes(guard)
    test_metrics = _test_metrics(metrics, recipe.name) | {"gains": gains_of(differences)}
    seconds = json.loads((run.folder / "seconds.json").read_text()) | {"evaluate": time.monotonic() - began}
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
    found = with_intervals(table, truth_of(workspace, split), resamples=resamples)
    return found.assign(
        model=model,
        kind=kind,
        protocol=workspace.protocol,
        split=split,
        view=view,
        seed=pd.array([None], dtype="Int64")[0],
    )


def _narrow(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table in small types: a report is committed."""
    floats = predictions.select_dtypes("float64").columns
    whole = ["level", "predicted_level", "set_low", "set_high"]
    return predictions.astype({**dict.fromkeys(floats, "float32"), **dict.fromkeys(whole, "int8")})


def posts_of(workspace: Workspace) -> pd.DataFrame:
    """posts.parquet of the report: what is derived of every kept post, never its words or picture."""
    posts = workspace.posts
    metadata = workspace.metadata.set_index("post_id").reindex(posts["post_id"]).reset_index(drop=True)
    random = workspace.splits.set_index("post_id")["random"].reindex(posts["post_id"]).to_numpy()
    address = workspace.dataset.get("image_url")
    columns = [
        "title_characters",
        "title_words",
        "language",
        "image_width",
        "image_height",
        "thumbhash",
        "pixel_hash",
    ]
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
    run: Run,
    predictor: Predictor,
    notes: Sequence[str],
    test_metrics: Mapping[str, Any],
    seconds: Mapping[str, float],
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
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "score_formula": predictor.bundle.score_formula,
        "cuts": list(predictor.bundle.cuts),
        "prior": list(predictor.bundle.prior),
        "notes": list(notes),
        "test_metrics": test_metrics,
        "test_reads": run.test_reads(),
    }
