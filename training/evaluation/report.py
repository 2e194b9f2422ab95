"""The `evaluate` step: the bundle of a recipe, judged once on test through the very `Predictor` that users get."""

import json
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distributions
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
from engine.features.extractor import Features
from engine.images import load_image
from engine.outcome import BatchPrediction
from engine.prediction import VIEWS, View
from engine.predictor import Predictor
from training.data.workspace import Workspace
from training.evaluation.baselines import Baselines
from training.evaluation.candidates import Candidate, calibrated, prediction_table, truth_of
from training.evaluation.gains import gains_of, notes_of
from training.features.extract import stored_pictures
from training.features.matrix import post_of
from training.metrics.bootstrap import reliability, with_intervals
from training.modeling.train import matrix_of, recipe_config, run_folder
from training.recipes.base import DRIFT, Recipe
from training.tables import write_table

log = structlog.get_logger()
BATCH = 64
SHUFFLES = ("shuffled picture", "shuffled text")
# Figures copied into the bundle, where the page and the model card find them.
FACTS = ("src", "src_likes_per_view", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "classwise_ece",
         "conformal_coverage", "conformal_set_size", "interval_coverage")  # fmt: skip


class _Held:
    """Features of the validation or test posts, made by the predictor from stored pictures and titles."""

    def __init__(self, predictor: Predictor, workspace: Workspace, split: str) -> None:
        rows = workspace.rows(split)
        wanted = set(rows.tolist())
        posts = workspace.posts
        texts: list[Features] = []
        images: list[Features] = []
        found: list[int] = []
        batch: list[tuple[int, Any]] = []

        def flush() -> None:
            drafts = [post_of(posts.iloc[row]) for row, _ in batch]
            texts.append(predictor.text_features(drafts))
            images.append(predictor.image_features([image for _, image in batch]))
            found.extend(row for row, _ in batch)
            batch.clear()

        pictures = enumerate(data for _, data in stored_pictures(workspace.folder))
        for row, data in tqdm(pictures, total=len(posts), desc=f"{split} posts", mininterval=5):
            if row in wanted and data is not None:
                batch.append((row, load_image(data)))
                if len(batch) == BATCH:
                    flush()
        if batch:
            flush()
        if found != rows.tolist():
            raise DataError(f"The pictures of the {split} posts do not match the posts; run prepare and split again.")
        self.text, self.image = _stacked(texts), _stacked(images)

    def outcome(
        self, predictor: Predictor, view: View, *, image_order: Any = None, text_order: Any = None
    ) -> BatchPrediction:
        """The predictor's outcome on a view; an order gives each post another's picture or words."""
        text = _ordered(self.text, text_order) if view != "image" else None
        image = _ordered(self.image, image_order) if view != "text" else None
        return predictor.outcome(text, image)


def _stacked(parts: list[Features]) -> Features:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _ordered(features: Features, order: npt.NDArray[np.int64] | None) -> Features:
    return features if order is None else {name: values[order] for name, values in features.items()}


def _model_tables(predictor: Predictor, workspace: Workspace) -> Iterator[tuple[str, pd.DataFrame]]:
    """(kind, predictions) of the blend on each view, of each member, and of the blend with a side shuffled."""
    held = {split: _Held(predictor, workspace, split) for split in ("validation", "test")}
    members: dict[tuple[str, View], dict[str, Any]] = {}
    for split, features in held.items():
        truth = truth_of(workspace, split)
        for view in VIEWS:
            if view not in predictor.bundle.views:
                continue
            outcome = features.outcome(predictor, view)
            yield "model", prediction_table(predictor.bundle.name, split, outcome, truth)
            for name, answer in outcome.answers.items():
                members.setdefault((name, view), {})[split] = answer
        order = np.random.default_rng(0).permutation(len(truth))
        for name, orders in zip(SHUFFLES, ({"image_order": order}, {"text_order": order}), strict=True):
            yield "control", prediction_table(name, split, features.outcome(predictor, "both", **orders), truth)
    for (name, view), answers in members.items():
        for table in calibrated(Candidate(name, "member", view, **answers), workspace).values():
            yield "member", table


def evaluate(work: Path, recipe: Recipe, *, resamples: int = 1000) -> Path:
    """Judge a recipe's bundle on validation and test against baselines and controls, and write its report.

    Returns the report's folder. Run it once: what is chosen by looking at test is no longer tested by it.
    """
    began = time.monotonic()
    run = run_folder(work, recipe)
    workspace = Workspace(work, target=recipe.target)
    predictor = Predictor.load(run / "bundle")
    matrix = matrix_of(workspace, recipe)
    found = list(_model_tables(predictor, workspace))
    for candidate in Baselines(matrix).all(vectors=tuple(recipe.baseline_vectors)):
        log.info("baseline", name=candidate.name)
        found += [(candidate.kind, table) for table in calibrated(candidate, workspace).values()]
    predictions = pd.concat([table for _, table in found], ignore_index=True)
    metrics = pd.concat([_judged(kind, table, workspace, resamples) for kind, table in found], ignore_index=True)
    _compare(recipe, metrics)
    report = run / "report"
    report.mkdir(exist_ok=True)
    shipped = predictions[predictions["model"].eq(recipe.name) | predictions["split"].eq("test")]
    write_table(report / "predictions.parquet", _narrow(shipped))
    write_table(report / "metrics.parquet", metrics)
    write_table(report / "reliability.parquet", _reliability(predictions[predictions["model"] == recipe.name]))
    write_table(report / "posts.parquet", facts_of(workspace))
    write_table(report / "cleaning.parquet", pd.read_parquet(work / "cleaning.parquet"))
    for name in ("curves.parquet", "grid.parquet"):
        if (run / name).exists():
            write_table(report / name, pd.read_parquet(run / name))
    gains = gains_of(predictions, recipe.name, truth_of(workspace, "test"), resamples)
    notes = notes_of(workspace, gains)
    facts = _facts(metrics, recipe.name) | {"gains": gains}
    seconds = json.loads((run / "seconds.json").read_text()) | {"evaluate": time.monotonic() - began}
    write_report(report, recipe, workspace, predictor, notes, facts, seconds)
    amend_bundle(run / "bundle", facts=facts, notes=tuple(notes))
    return report


def _compare(recipe: Recipe, metrics: pd.DataFrame) -> None:
    """Warn where the validation figures have left those that the recipe states."""
    own = metrics[metrics["model"].eq(recipe.name) & metrics["split"].eq("validation") & metrics["view"].eq("both")]
    found = own.set_index("metric")["value"]
    for metric, expected in recipe.expects.items():
        if abs(found[metric] - expected) > DRIFT:
            log.warning("drift", metric=metric, expected=expected, found=round(float(found[metric]), 4))


def _judged(kind: str, table: pd.DataFrame, workspace: Workspace, resamples: int) -> pd.DataFrame:
    model, view, split = (table[name].iloc[0] for name in ("model", "view", "split"))
    found = with_intervals(table, truth_of(workspace, split), resamples=resamples, groups="group")
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


def _reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    tables = [
        reliability(table).assign(model=str(model), view=str(view), split=str(split))
        for (model, view, split), table in predictions.groupby(["model", "view", "split"])
    ]
    return pd.concat(tables, ignore_index=True)


def facts_of(workspace: Workspace) -> pd.DataFrame:
    """posts.parquet of the report: derived facts of every kept post, never its words or picture."""
    posts = workspace.posts
    facts = workspace.facts.set_index("post_id").reindex(posts["post_id"]).reset_index(drop=True)
    random = workspace.splits.set_index("post_id")["random"].reindex(posts["post_id"]).to_numpy()
    address = workspace.dataset.get("image_url")
    columns = [
        "title_characters",
        "title_words",
        "language",
        "image_width",
        "image_height",
        "thumbhash",
        "content_hash",
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
            "likes_per_view": posts["likes_per_view"].astype("float32"),
            **{name: facts[name] for name in columns},
            "image_url": [address.format(post_id=post_id) if address else None for post_id in posts["post_id"]],
        }
    )


def _facts(metrics: pd.DataFrame, model: str) -> dict[str, Any]:
    chosen = metrics[(metrics["model"] == model) & (metrics["split"] == "test") & metrics["metric"].isin(FACTS)]
    test: dict[str, dict[str, dict[str, float]]] = {}
    for row in chosen.itertuples():
        figures = {"value": float(row.value), "low": float(row.low), "high": float(row.high)}  # type: ignore[arg-type]
        test.setdefault(str(row.view), {})[str(row.metric)] = figures
    return {"test": test, "test_posts": int(chosen["n"].max())}


def write_report(
    report: Path,
    recipe: Recipe,
    workspace: Workspace,
    predictor: Predictor,
    notes: list[str],
    facts: dict[str, Any],
    seconds: dict[str, float],
) -> None:
    """report.json: the whole configuration, the environment, and the sentences that go with the figures."""
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    content = {
        "recipe": recipe.name,
        "summary": recipe.summary,
        "config": recipe_config(recipe),
        "environment": {
            "python": platform.python_version(),
            "machine": platform.platform(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "packages": dict(sorted(packages.items())),
        },
        "data": {**predictor.bundle.data, "posts_read": workspace.dataset["posts"]},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "score_formula": predictor.bundle.score_formula,
        "cuts": list(predictor.bundle.cuts),
        "prior": list(predictor.bundle.prior),
        "notes": notes,
        "facts": facts,
    }
    temporary = report / "report.json.tmp"
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    temporary.replace(report / "report.json")
