"""Choosing among the candidates of a recipe's first member, CatBoost of several sizes, by posts set apart for it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import structlog

from engine.calibration import Temperature
from engine.members import CatBoostMember
from engine.prediction import VIEWS, MemberOutput, View
from training.features.matrix import FeatureMatrix
from training.metrics.bootstrap import evaluate_metrics
from training.metrics.predictions import PROBABILITIES, truth_at
from training.modeling.choosing import learning_and_choosing
from training.modeling.members import Fitted, fit_catboost, outputs_of
from training.recipes.base import CatBoost

log = structlog.get_logger()
# Lower is better. Temperature is fitted before, so a short model is not marked down for being unsure.
CRITERION = "log_loss"


def first_trees(member: CatBoostMember, name: str, trees: int) -> CatBoostMember:
    """The member with the first `trees` of each of its models: with a fixed learning rate, what as many grow to."""
    models = {}
    for view, (levels, score) in member.models.items():
        models[view] = levels.copy(), score.copy()
        for copy in models[view]:
            copy.shrink(ntree_end=trees)
    return CatBoostMember(name, member.reads, models)


def _shared(candidates: Sequence[CatBoost]) -> Iterator[tuple[CatBoost, list[CatBoost]]]:
    """Candidates that differ in the number of trees alone, behind the largest of them, which holds all others."""
    families: dict[CatBoost, list[CatBoost]] = {}
    for spec in candidates:
        key = spec if spec.early_stopping else replace(spec, name="", iterations=0)
        families.setdefault(key, []).append(spec)
    for family in families.values():
        yield max(family, key=lambda spec: spec.iterations), family


def _figures(output: MemberOutput, truth: pd.DataFrame) -> dict[str, float]:
    """What a candidate reaches on the posts that choose, its probabilities tempered on them."""
    tempered = Temperature.fit(output.probabilities, truth["level"]).apply(output.probabilities)
    return evaluate_metrics(pd.DataFrame(tempered, columns=PROBABILITIES).assign(post_id=truth["post_id"].array), truth)


def fit_grid(
    candidates: Sequence[CatBoost], matrix: FeatureMatrix, splits: Sequence[str], views: Sequence[View] = VIEWS
) -> tuple[Fitted, pd.DataFrame]:
    """The candidate with the least log-loss on the training posts that choose, and the figures of all of them there.

    They compete on the view `both`, learning from the other training posts; only the chosen one is fitted on the other
    `views`. Posts are ranked by the expected level.
    Columns: candidate, iterations (trees really grown), depth, chosen, metric, value, n.
    """
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    best: tuple[float, CatBoost, CatBoostMember, Fitted] | None = None
    learning, choosing = learning_and_choosing(matrix.workspace)
    truth = truth_at(matrix.workspace, choosing)
    for largest, family in _shared(candidates):
        grown = fit_catboost(largest, matrix, (), views=("both",), rows=learning)
        for spec in family:
            member: Any = grown.member
            if spec is not largest:
                member = first_trees(member, spec.name, spec.iterations)
            output = member.predict("both", matrix.rows(member.reads["both"], choosing))
            found = _figures(output, truth)
            trees = member.models["both"][0].tree_count_
            size = {"candidate": spec.name, "iterations": trees, "depth": spec.depth}
            rows += [{**size, "metric": name, "value": value, "n": len(truth)} for name, value in found.items()]
            log.info("candidate", name=spec.name, trees=trees, log_loss=round(found[CRITERION], 4), src=found["src"])
            if best is None or found[CRITERION] < best[0]:
                best = found[CRITERION], spec, member, grown
    assert best is not None
    _, spec, member, grown = best
    table = pd.DataFrame(rows)
    table.insert(3, "chosen", table["candidate"] == spec.name)
    rest: Any = fit_catboost(spec, matrix, (), views=[view for view in views if view != "both"], rows=learning)
    whole = CatBoostMember(spec.name, {**member.reads, **rest.member.reads}, {**member.models, **rest.member.models})
    features = {**grown.features, **rest.features}
    return Fitted(whole, features, outputs_of(whole, matrix, splits), time.monotonic() - began), table
