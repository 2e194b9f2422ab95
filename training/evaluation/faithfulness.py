"""The `explain` step: do explanations point at what the model uses? Measured on a sample of test posts.

    python -m training explain --recipe youtube_blend --posts 150

Each method explains a post as the page does, then parts of the post are taken away and given in its order while the
whole model answers (`engine.explain.faithfulness`), beside random orders of the same parts. Owen values are made of
such removals, so they have the advantage of it. A post's figures are kept in `runs/<recipe>/attribution/` and not
computed again; a post costs about ten seconds of one core.
"""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
from tqdm import tqdm

from engine.bundle import Bundle, fingerprint
from engine.encoders.runtime import short_hash
from engine.errors import DataError
from engine.explain import gradients, owen
from engine.explain.faithfulness import area, deletion_insertion
from engine.files import write_json
from engine.intervals import mean_interval
from engine.posts import Post
from engine.predictor import Predictor
from training.evaluation.shipped import note_reads
from training.features.extract import with_pictures
from training.modeling.run import Run
from training.recipes.base import Recipe
from training.tables import write_table

log = structlog.get_logger()
POSTS = 150
RANDOM = "random order"
RANDOM_ORDERS = 4
RESAMPLES = 2000
ATTRIBUTION = ("attribution", "attribution_summary")
AREA = "area_difference"
METRICS = (AREA, "completeness_error", "seconds")

Record = dict[str, Any]
Values = npt.NDArray[np.float64]


def explained(run: Run, bundle: Bundle) -> bool:
    """Whether the explanations that a run has are of this bundle."""
    path = run.folder / ATTRIBUTION[0] / "settings.json"
    return path.exists() and json.loads(path.read_text(encoding="utf-8"))["bundle"] == fingerprint(bundle)


def explain(work: Path, recipe: Recipe, posts: int = POSTS, *, seed: int = 0) -> Path:
    """Explain a random sample of the test posts and write attribution.parquet and attribution_summary.parquet.

    A larger sample of the same seed holds the smaller one. A post that fails is logged and left out. Returns the
    report's folder. Raises DataError for no posts, when none could be explained, and when the folder of kept figures
    belongs to another bundle; BundleError when the run has no sound bundle.
    """
    if posts < 1:
        raise DataError(f"{posts} posts show nothing; give at least 1.")
    run = Run(work, recipe)
    predictor = run.measured()
    made_from = {
        "bundle": fingerprint(predictor.bundle),
        "code": short_hash({}, Path(owen.__file__).parent.glob("*.py")),
        "random_orders": RANDOM_ORDERS,
    }
    folder = run.part("attribution", made_from, "explanations")
    run.read_test("explain")
    note_reads(run)
    chosen = np.random.default_rng(seed).permutation(run.workspace.rows("test"))[:posts]
    # An id may hold any character, its hash is a file's name everywhere.
    hashes = {row: hashlib.sha256(run.matrix.posts[row].post_id.encode()).hexdigest() for row in chosen.tolist()}
    paths = {row: folder / f"{name[:20]}.json" for row, name in hashes.items()}
    missing = [row for row, path in paths.items() if not path.exists()]
    found = with_pictures(work, run.matrix.posts, missing)
    for row, post in tqdm(found, total=len(missing), desc="explained posts", mininterval=5, disable=not missing):
        try:
            if isinstance(post, str):
                raise DataError(post)
            write_json(paths[row], record_of(predictor, post, seed=row))
        except Exception as error:
            # Whatever is odd about one post must not cost the figures of the others.
            post_id = run.matrix.posts[row].post_id
            log.warning("post left out", post_id=post_id, reason=f"{type(error).__name__}: {error}")
    done = [row for row, path in paths.items() if path.exists()]
    if not done:
        raise DataError(f"None of the {len(paths)} test posts could be explained; the reasons are logged above.")
    records = [json.loads(paths[row].read_text(encoding="utf-8")) for row in done]
    groups = run.workspace.posts["group_number"].to_numpy()[done]
    for name, table in zip(ATTRIBUTION, (curves_of(records), summary_of(records, groups)), strict=True):
        write_table(run.report / f"{name}.parquet", table)
    return run.report


def record_of(predictor: Predictor, post: Post, seed: int = 0) -> Record:
    """Curves and figures of each method for one post: {"curves": {method: [[kind, fraction, level], …]},
    "figures": {method: {metric: value}}}, with random orders as a further method."""
    explanations = [owen.explain(predictor, post, seed=seed, seconds=None)]
    if predictor.has_gradients:
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


def summary_of(records: list[Record], groups: npt.ArrayLike) -> pd.DataFrame:
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
    rows = [
        (method, metric, float(values.mean()), *mean_interval(values, groups, RESAMPLES), len(values))
        for (method, metric), values in columns.items()
    ]
    return pd.DataFrame(rows, columns=["method", "metric", "value", "low", "high", "n"])
