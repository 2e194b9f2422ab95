"""What the adapters of `engine.features.adapted` change: linear probes, CKA, and t-SNE maps before and after.

A part of the `consistency` step. The adapters' share is chosen by the SRC of their own answer on validation posts.
Everything else is measured on posts outside of training; a t-SNE map is a picture of them and no evidence: the linear
probe is.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine.features.adapted import Adapted, unit
from engine.intervals import bounds, cluster_weights
from training.features.matrix import FeatureMatrix
from training.metrics.bootstrap import rank_correlation

log = structlog.get_logger()
RATIOS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
PENALTIES = tuple(10.0**power for power in range(0, 6))
FOLDS = 5
RESAMPLES = 500
# Of the likeness, each of which multiplies whole tables of vectors.
FEW_RESAMPLES = 200
PERPLEXITY = 30
Numbers = npt.NDArray[np.float64]
STAGES = ("before", "after")


def adapter(matrix: FeatureMatrix) -> dict[str, pd.DataFrame]:
    """Tables `adapter` and `embedding` of a report, on the matrix's first encoder of each side."""
    posts = matrix.workspace.posts
    outside = np.flatnonzero(posts["split"].isin(("validation", "test")).to_numpy())
    rows = _search(matrix)
    best = max(rows, key=lambda row: row["value"])["ratio"]
    adapted = _fitted(matrix, best)
    sides = _sides(matrix, adapted, outside)
    target, groups = (posts[name].to_numpy()[outside] for name in ("target", "group_number"))
    known = posts[["post_id", "split", "level"]].iloc[outside].reset_index(drop=True)
    rows += probes(sides, target, groups) + likeness(sides, groups)
    maps = [
        known.assign(stage=stage, dimensions=dimensions).join(
            _map(np.concatenate([sides[stage, "image"], sides[stage, "text"]], axis=1), dimensions)
        )
        for stage in STAGES
        for dimensions in (2, 3)
    ]
    return {"adapter": pd.DataFrame(rows), "embedding": pd.concat(maps, ignore_index=True)}


def _fitted(matrix: FeatureMatrix, ratio: float) -> Adapted:
    roles = [matrix.role(side) for side in ("image", "text")]
    image, text = (matrix.feature(role) for role in roles)
    train = matrix.workspace.rows("train")
    target = matrix.workspace.posts["target"].to_numpy()[train]
    above = {role: matrix[role][train] for role in roles}
    return Adapted("adapted", image, text, ratio).fitted([], above, target)


def _search(matrix: FeatureMatrix) -> list[dict[str, Any]]:
    """SRC of the adapters' own answers on validation posts for every share of the adapter."""
    roles, held = [matrix.role(side) for side in ("image", "text")], matrix.workspace.rows("validation")
    posts = matrix.workspace.posts
    target, groups = (posts[name].to_numpy()[held] for name in ("target", "group_number"))
    rows = []
    for ratio in RATIOS:
        net = _fitted(matrix, ratio).adapter
        assert net is not None
        with torch.inference_mode():
            sides = net(*(unit(matrix[role][held]) for role in roles))
            answer = net.answer(torch.cat(sides, 1))[:, 0].double().numpy()
        value, low, high = rank_correlation(answer, target, groups, RESAMPLES)
        log.info("adapter", ratio=ratio, src=round(value, 4))
        rows.append(_row("search", "both", "src", value, low, high, len(held), ratio))
    return rows


def _row(
    stage: str, side: str, metric: str, value: float, low: float, high: float, n: int, ratio: float | None = None
) -> dict[str, Any]:
    head = {"stage": stage, "side": side, "ratio": ratio, "metric": metric}
    return {**head, "value": value, "low": low, "high": high, "n": n}


def _sides(matrix: FeatureMatrix, adapted: Adapted, rows: npt.NDArray[np.int64]) -> dict[tuple[str, str], Numbers]:
    """Vectors of some posts, (n, d), by stage and side."""
    above = {feature.name: matrix[feature.name][rows] for feature in adapted.upstream}
    before = [unit(above[feature.name]).numpy() for feature in adapted.upstream]
    whole = adapted.compute([], above)
    after = [whole[:, : before[0].shape[1]], whole[:, before[0].shape[1] :]]
    return {
        (stage, side): vectors.astype(np.float64)
        for stage, both in zip(STAGES, (before, after), strict=True)
        for side, vectors in zip(("image", "text"), both, strict=True)
    }


def probes(sides: dict[tuple[str, str], Numbers], target: Numbers, groups: Numbers) -> list[dict[str, Any]]:
    """R² of ridge probes of the vectors for the target, out of fold by group, with intervals, and their paired gain."""
    rows = []
    for side in ("image", "text", "both"):
        errors = {}
        for stage in STAGES:
            vectors = np.concatenate([sides[stage, "image"], sides[stage, "text"]], axis=1)
            vectors = vectors if side == "both" else sides[stage, side]
            probe = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
            folds = GroupKFold(min(FOLDS, len(np.unique(groups))))
            errors[stage] = (cross_val_predict(probe, vectors, target, groups=groups, cv=folds) - target) ** 2

        def r2(stage: str, weights: Numbers, errors: dict[str, Numbers] = errors) -> float:
            spread = np.average((target - np.average(target, weights=weights)) ** 2, weights=weights)
            return float(1 - np.average(errors[stage], weights=weights) / spread)

        drawn = np.array(
            [[r2(stage, row) for stage in STAGES] for weights in cluster_weights(groups, RESAMPLES) for row in weights]
        )
        ones = np.ones(len(target))
        for place, stage in enumerate(STAGES):
            rows.append(_row(stage, side, "linear_probe_r2", r2(stage, ones), *bounds(drawn[:, place]), len(target)))
        gain = r2("after", ones) - r2("before", ones)
        rows.append(_row("difference", side, "linear_probe_r2", gain, *bounds(drawn[:, 1] - drawn[:, 0]), len(target)))
    return rows


def likeness(sides: dict[tuple[str, str], Numbers], groups: Numbers) -> list[dict[str, Any]]:
    """Linear CKA (Kornblith et al. 2019) of the vectors before and after, 0..1: 1 where they differ by a rotation."""
    rows = []
    for side in ("image", "text"):
        one, other = (sides[stage, side] for stage in STAGES)

        def cka(weights: Numbers, one: Numbers = one, other: Numbers = other) -> float:
            root = np.sqrt(weights / weights.sum())[:, None]
            x, y = ((part - np.average(part, axis=0, weights=weights)) * root for part in (one, other))
            below = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
            return float(np.linalg.norm(x.T @ y) ** 2 / below) if below else float("nan")

        drawn = [cka(row) for weights in cluster_weights(groups, FEW_RESAMPLES) for row in weights]
        rows.append(_row("difference", side, "cka", cka(np.ones(len(one))), *bounds(np.array(drawn)), len(one)))
    return rows


def _map(vectors: Numbers, dimensions: int) -> pd.DataFrame:
    """t-SNE (van der Maaten & Hinton 2008) of vectors (n, d) by openTSNE: x, y and, in 3-D, z."""
    from openTSNE import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) // 4)
    method = "auto" if dimensions == 2 else "bh"
    found = TSNE(
        n_components=dimensions,
        perplexity=perplexity,
        metric="cosine",
        negative_gradient_method=method,
        random_state=0,
        n_iter=500,
    ).fit(vectors)
    places = np.asarray(found, dtype=np.float32)
    third = places[:, 2] if dimensions == 3 else np.full(len(places), np.nan, dtype=np.float32)
    return pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "z": third})
