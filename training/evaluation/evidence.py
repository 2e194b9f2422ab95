"""The `evidence` step: an index of the real posts, for the page to show those nearest to a draft.

    python -m training evidence --work work/youtube --model models/youtube

Every pictured post stands in it, test posts too: they are shown, and nothing learns from them. How well neighbours
foretell a level is measured among the posts outside of the grouped test part, each asked among those of other groups.
"""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.bundle import Side, read_bundle
from engine.errors import DataError
from engine.evidence.index import ENCODERS, FOLDER, POSTS, Encoded, Index, Manifest, save_index
from engine.evidence.nearest import SAME, Numbers, likeness_of
from engine.evidence.space import Space
from engine.features.base import FeatureSettings
from engine.features.extractor import SIDES
from engine.intervals import mean_interval
from engine.prediction import View
from engine.scoring import LEVELS
from training.data.sources import load_dataset
from training.data.workspace import Workspace
from training.evaluation.baselines import NEIGHBOURS
from training.features.matrix import FeatureMatrix
from training.metrics.bootstrap import with_intervals
from training.metrics.predictions import PROBABILITIES, truth_at
from training.modeling.run import OUTSIDE_OF_TEST
from training.tables import now

WIDTH = 96
METRICS = ("pairwise_accuracy", "src", "within_one_accuracy")
RESAMPLES = 200
SHARES = np.linspace(0, 1, 21)
BLOCK = 1024
PAIRS = 1_000_000
Rows = npt.NDArray[np.int64]


def evidence(work: Path, target: Path, *, neighbours: int = NEIGHBOURS, resamples: int = RESAMPLES) -> Path:
    """Write the index of a work folder's posts into `evidence` in the folder `target`; returns where it lies.

    Raises DataError when `target` holds no bundle, or one of other posts or another score, when a step before has not
    run, or a picture cannot be read any more.
    """
    if not (target / "bundle").is_dir():
        raise DataError(f"{target} holds no bundle that the index could stand beside; name the folder of a model.")
    workspace = Workspace(work, learned=OUTSIDE_OF_TEST)
    dataset, beside = workspace.dataset, read_bundle(target / "bundle")
    if (beside.data["fingerprint"], beside.score_formula) != (dataset["fingerprint"], workspace.score_formula):
        raise DataError(f"{target} holds a model of other posts, or of another score; name another with --model.")
    matrix = FeatureMatrix(workspace, FeatureSettings(encoders={str(side): spec for side, spec in ENCODERS.items()}))
    spaces = {side: Space.fit(matrix[side], WIDTH) for side in ENCODERS}
    kept = np.flatnonzero(~twins(spaces))
    removed = len(workspace.posts) - len(kept)
    spaces = {side: Space(space.rows[kept], space.mean, space.axes) for side, space in spaces.items()}
    known = load_dataset(dataset["name"])
    manifest = Manifest(
        name=dataset["name"],
        data=dataset["fingerprint"],
        score_formula=workspace.score_formula,
        created=now(),
        encoders={
            side: Encoded(spec=spec, fingerprint=matrix.feature(side).fingerprint) for side, spec in ENCODERS.items()
        },
        post_address=known.post_url_template or "",
        picture_address=known.image_url_template or "",
        posts=len(kept),
        removed=removed,
        neighbours=neighbours,
        spread=spread_of(spaces),
        # Measured below, by likeness as it will be.
        nearest={},
        asked=0,
        figures={},
    )
    measured = measure(manifest, spaces, workspace, kept, resamples)
    folder = target / FOLDER
    save_index(folder, Index(manifest.model_copy(update=measured), spaces, posts_of(workspace, kept)))
    return folder


def twins(spaces: Mapping[Side, Space]) -> npt.NDArray[np.bool_]:
    """Which of n posts are nearly identical, on every side, to one before them, (n,)."""
    rows = [space.rows for space in spaces.values()]
    found = np.zeros(len(rows[0]), dtype=bool)
    for start in range(0, len(found), BLOCK):
        same = np.logical_and.reduce([part[start : start + BLOCK] @ part.T >= SAME for part in rows])
        found[start : start + BLOCK] = np.tril(same, start - 1).any(axis=1)
    return found


def spread_of(spaces: Mapping[Side, Space]) -> dict[Side, float]:
    """Standard deviation of the likeness of posts taken at random, by side."""
    count = len(next(iter(spaces.values())).rows)
    first, second = np.random.default_rng(0).integers(0, count, (2, PAIRS))
    apart = first != second
    first, second = first[apart], second[apart]
    return {
        side: float(np.einsum("ij,ij->i", space.rows[first], space.rows[second]).std())
        for side, space in spaces.items()
    }


def posts_of(workspace: Workspace, kept: Rows) -> pa.Table:
    """The table of the posts with these row numbers."""
    posts = workspace.posts.iloc[kept]
    metadata = workspace.metadata.set_index("post_id").reindex(posts["post_id"])
    views = posts["views"].clip(lower=1)
    columns = {
        "post_id": posts["post_id"],
        "score": posts["score"],
        "likes_per_view": posts["likes"] / views,
        "comments_per_view": posts["comments"] / views,
        "thumbhash": [base64.b64decode(encoded) for encoded in metadata["thumbhash"]],
    }
    return pa.table(columns, schema=POSTS)


def measure(
    manifest: Manifest, spaces: Mapping[Side, Space], workspace: Workspace, kept: Rows, resamples: int
) -> dict[str, Any]:
    """What the manifest says of nearness, and of how well neighbours foretell the level of a post.

    Posts are those of `kept` outside of the test part; neighbours of a post's own group do not count, for a visitor's
    channel is not among the posts either.
    """
    posts = workspace.posts.iloc[kept]
    outside = np.flatnonzero(posts["split"].isin(OUTSIDE_OF_TEST).to_numpy())
    level, group = (posts[name].to_numpy()[outside] for name in ("level", "group_number"))
    rows = {side: space.rows[outside] for side, space in spaces.items()}
    truth = truth_at(workspace, kept[outside])
    nearest: dict[View, tuple[float, ...]] = {}
    figures: dict[View, dict[str, Any]] = {}
    for view in SIDES:
        best, places = (np.concatenate(parts) for parts in zip(*_neighbours(manifest, rows, group, view), strict=True))
        nearest[view] = tuple(np.quantile(best, SHARES).tolist())
        counts = np.stack([(level[places] == k).sum(axis=1) for k in range(len(LEVELS))], axis=1)
        shares = counts / counts.sum(axis=1, keepdims=True)
        table = truth[["post_id"]].assign(**dict(zip(PROBABILITIES, shares.T, strict=True)))
        found = with_intervals(table, truth, resamples=resamples).set_index("metric")[["value", "low", "high"]]
        same = shares[np.arange(len(level)), level]
        low, high = mean_interval(same, group, resamples)
        figures[view] = {metric: found.loc[metric].to_dict() for metric in METRICS}
        figures[view]["same_level"] = {"value": float(same.mean()), "low": low, "high": high}
    # Checked as what is read will be.
    return dict(
        Manifest.model_validate(
            {**manifest.model_dump(), "nearest": nearest, "asked": len(outside), "figures": figures}
        )
    )


def _neighbours(
    manifest: Manifest, rows: Mapping[Side, Numbers], group: Rows, view: View
) -> Iterator[tuple[Numbers, Rows]]:
    """Of blocks of posts, the likeness of the nearest post of another group, and the places of the nearest ones."""
    for start in range(0, len(group), BLOCK):
        part = slice(start, start + BLOCK)
        cosines: dict[Side, Numbers] = {side: table[part] @ table.T for side, table in rows.items()}
        likeness = likeness_of(manifest, cosines, view)
        likeness[group[part, None] == group[None, :]] = -np.inf
        yield likeness.max(axis=1), np.argpartition(-likeness, manifest.neighbours, axis=1)[:, : manifest.neighbours]
