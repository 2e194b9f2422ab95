"""The `explain` step: do explanations point at what the model uses? Judged on a sample of test posts.

    python -m training explain --recipe youtube_blend --posts 150

Each method explains a post as the page does, then parts of the post are taken away and given in its order while the
whole model answers (`engine.explain.faithfulness`), beside random orders of the same parts. What Shapley values are
made of is the same removals, so they have the advantage of it. A post's figures are kept in
`runs/<recipe>/attribution/` and not computed again; a post costs 3 to 5 seconds of one core.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
from tqdm import tqdm

from engine.bundle import Bundle
from engine.errors import DataError, FirstImpressionsError
from engine.explain import gradients, shapley
from engine.explain.faithfulness import area, deletion_insertion
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from training.data.workspace import Workspace
from training.features.extract import stored_pictures
from training.features.matrix import post_of
from training.modeling.train import run_folder
from training.recipes.base import Recipe
from training.tables import write_table

log = structlog.get_logger()
POSTS = 150
RANDOM = "random order"
RANDOM_ORDERS = 4
AREA = "area_difference"
METRICS = (AREA, "completeness_error", "seconds")
SETTINGS = "settings.json"

Record = dict[str, Any]
Values = npt.NDArray[np.float64]


def explain(work: Path, recipe: Recipe, posts: int = POSTS, *, seed: int = 0, resamples: int = 2000) -> Path:
    """Explain a random sample of the test posts and write attribution.parquet and attribution_summary.parquet.

    A larger sample of the same seed holds the smaller one. A post that fails is logged and left out. Returns the
    report's folder. Raises DataError for no posts, when none could be explained, and when the folder of kept figures
    belongs to another bundle; BundleError when the run has no sound bundle.
    """
    if posts < 1:
        raise DataError(f"{posts} posts show nothing; give at least 1.")
    run = run_folder(work, recipe)
    predictor = Predictor.load(run / "bundle")
    folder = _claimed(run / "attribution", predictor.bundle)
    workspace = Workspace(work, target=recipe.target)
    rows = np.random.default_rng(seed).permutation(workspace.rows("test"))[:posts]
    missing = [row for row in rows.tolist() if not _path(folder, workspace, row).exists()]
    for row, post in _posts(workspace, missing):
        try:
            record = judged(predictor, post, seed=row)
        except Exception as error:
            # Whatever is odd about one post must not cost the figures of the others.
            log.warning("post left out", post_id=post.post_id, reason=f"{type(error).__name__}: {error}")
            continue
        _write(_path(folder, workspace, row), record)
    found = [(row, path) for row in rows.tolist() if (path := _path(folder, workspace, row)).exists()]
    if not found:
        raise DataError(f"None of the {len(rows)} test posts could be explained; the reasons are logged above.")
    records = [json.loads(path.read_text()) for _, path in found]
    groups = workspace.posts["group_number"].to_numpy()[[row for row, _ in found]]
    report = run / "report"
    report.mkdir(exist_ok=True)
    write_table(report / "attribution.parquet", curves_of(records))
    write_table(report / "attribution_summary.parquet", summary_of(records, groups, resamples))
    return report


def fingerprint(bundle: Bundle) -> str:
    """Hash of what a bundle answers with: its manifest without facts and notes, which `evaluate` puts in later."""
    fields = bundle.model_dump(mode="json", exclude={"facts", "notes"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def judged(predictor: Predictor, post: Post, seed: int = 0) -> Record:
    """Curves and figures of each method for one post: {"curves": {method: [[kind, fraction, level], …]},
    "figures": {method: {metric: value}}}, with random orders as a further method."""
    explanations = [shapley.explain(predictor, post, seed=seed)]
    if predictor.differentiable() is not None:
        explanations.append(gradients.explain(predictor, post))
    curves = {found.method: deletion_insertion(predictor, post, found) for found in explanations}
    curves[RANDOM] = deletion_insertion(predictor, post, explanations[0], random_orders=RANDOM_ORDERS, seed=seed)
    figures = {method: {AREA: area(curve, "insertion") - area(curve, "deletion")} for method, curve in curves.items()}
    for found in explanations:
        figures[found.method] |= {"completeness_error": found.completeness_error, "seconds": found.seconds}
    return {"post_id": post.post_id, "curves": curves, "figures": figures}


def curves_of(records: list[Record]) -> pd.DataFrame:
    """attribution.parquet: mean expected level by method, kind (deletion, insertion) and share of the parts."""
    rows = [(method, *point) for record in records for method, curve in record["curves"].items() for point in curve]
    table = pd.DataFrame(rows, columns=["method", "kind", "fraction", "value"])
    grouped = table.groupby(["method", "kind", "fraction"], sort=False)["value"]
    return grouped.agg(value="mean", n="size").reset_index()


def summary_of(records: list[Record], groups: npt.ArrayLike, resamples: int = 2000) -> pd.DataFrame:
    """attribution_summary.parquet: means over posts with 95 % intervals, and differences between methods.

    `groups` (n,) are the groups of the records' posts; whole groups are drawn, as for every interval of the report.
    A difference is named "first − second" and paired by post.
    """
    methods = list(records[0]["figures"])
    columns: dict[tuple[str, str], Values] = {
        (method, metric): np.array([record["figures"][method][metric] for record in records])
        for metric in METRICS
        for method in methods
        if metric in records[0]["figures"][method]
    }
    for first, second in itertools.combinations(methods, 2):
        columns[f"{first} − {second}", AREA] = columns[first, AREA] - columns[second, AREA]
    weights = _resampled(groups, resamples)
    rows = []
    for (method, metric), values in columns.items():
        means = weights @ values / weights.sum(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        rows.append((method, metric, float(values.mean()), float(low), float(high), len(values)))
    return pd.DataFrame(rows, columns=["method", "metric", "value", "low", "high", "n"])


def _resampled(groups: npt.ArrayLike, resamples: int) -> Values:
    """Bootstrap weights (resamples, n): how often each post's group was drawn."""
    names, units = np.unique(np.asarray(groups), return_inverse=True)
    share = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(0).multinomial(len(names), share, size=resamples)
    return drawn[:, units].astype(np.float64)


def _posts(workspace: Workspace, rows: list[int]) -> Iterator[tuple[int, Post]]:
    """Row and post of each of `rows`, in that order; posts whose picture cannot be read are logged and left out."""
    wanted = set(rows)
    pictures = {row: data for row, (_, data) in enumerate(stored_pictures(workspace.folder)) if row in wanted}
    for row in tqdm(rows, desc="explained posts", mininterval=5, disable=not rows):
        found = workspace.posts.iloc[row]
        try:
            if (data := pictures[row]) is None:
                raise DataError("The picture is missing.")
            yield row, post_of(found, load_image(data))
        except FirstImpressionsError as error:
            log.warning("post left out", post_id=found["post_id"], reason=str(error))


def _path(folder: Path, workspace: Workspace, row: int) -> Path:
    # An id may hold any character, its hash is a file's name everywhere.
    post_id = str(workspace.posts["post_id"].iloc[row])
    return folder / f"{hashlib.sha256(post_id.encode()).hexdigest()[:20]}.json"


def _write(path: Path, content: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, ensure_ascii=False))
    temporary.replace(path)


def _claimed(folder: Path, bundle: Bundle) -> Path:
    """The folder of kept figures, said to be of this bundle. Raises DataError when it is another's."""
    own = fingerprint(bundle)
    settings = {"bundle": own, "random_orders": RANDOM_ORDERS}
    path = folder / SETTINGS
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write(path, settings)
    elif (kept := _read(path)) != settings:
        other = str(kept.get("bundle", "unknown"))[:16]
        raise DataError(
            f"{folder} holds explanations of the bundle {other}, made with {kept.get('random_orders')} random orders; "
            f"the run's bundle is {own[:16]}, with {RANDOM_ORDERS}. Remove the folder."
        )
    return folder


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text())
    except ValueError:
        return {}
    return kept if isinstance(kept, dict) else {}
