"""Choosing among the candidates of a recipe's first member: CatBoost of several sizes, judged on validation posts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import structlog

from engine.members import CatBoostMember, MemberOutput
from engine.prediction import VIEWS, View
from engine.predictor import Calibration
from training.evaluation.candidates import fit_on_validation, prediction_table, truth_of
from training.features.matrix import FeatureMatrix
from training.metrics.bootstrap import evaluate_metrics
from training.modeling.members import Fitted, answers_of, feature_names, fit_catboost
from training.recipes.base import CatBoost

log = structlog.get_logger()
# Lower is better. Temperature is fitted before, so a short model is not marked down for being unsure.
CRITERION = "log_loss"


def first_trees(head: CatBoostMember, name: str, trees: int) -> CatBoostMember:
    """The head with the first `trees` of each of its models: with a fixed learning rate, what as many grow to."""
    models = {}
    for view, pair in head.models.items():
        copies = tuple(model.copy() for model in pair)
        for copy in copies:
            copy.shrink(ntree_end=trees)
        models[view] = copies
    return CatBoostMember(name, head.columns, models)  # type: ignore[arg-type]


def _shared(candidates: Sequence[CatBoost]) -> Iterator[tuple[CatBoost, list[CatBoost]]]:
    """Candidates that differ in the number of trees alone, behind the largest of them, which holds all others."""
    families: dict[CatBoost, list[CatBoost]] = {}
    for spec in candidates:
        key = spec if spec.early_stopping else replace(spec, name="", iterations=0)
        families.setdefault(key, []).append(spec)
    for family in families.values():
        yield max(family, key=lambda spec: spec.iterations), family


def fit_grid(
    candidates: Sequence[CatBoost], matrix: FeatureMatrix, *, views: Sequence[View] = VIEWS, test: bool = False
) -> tuple[Fitted, pd.DataFrame]:
    """The candidate with the least log-loss on validation, and the figures of all of them there.

    They compete on the view `both`, each calibrated by itself; only the chosen one is fitted on the other `views`.
    Columns: candidate, iterations (trees really grown), depth, chosen, metric, value, n.
    """
    workspace = matrix.workspace
    truth = truth_of(workspace, "validation")
    rows: list[dict[str, Any]] = []
    best: tuple[float, CatBoost, CatBoostMember, MemberOutput] | None = None
    for largest, family in _shared(candidates):
        grown: Any = fit_catboost(largest, matrix, views=("both",))
        for spec in family:
            head: Any = grown.member if spec is largest else first_trees(grown.member, spec.name, spec.iterations)
            answer = answers_of(head, feature_names(head.columns), matrix, "validation")["both"]
            answers = {spec.name: answer}
            outcome = Calibration(fit_on_validation(answers, workspace)).outcome("both", answers)
            found = evaluate_metrics(prediction_table(spec.name, "validation", outcome, truth), truth)
            trees = head.models["both"][0].tree_count_
            facts = {"candidate": spec.name, "iterations": trees, "depth": spec.depth}
            rows += [{**facts, "metric": name, "value": value, "n": len(truth)} for name, value in found.items()]
            log.info("candidate", name=spec.name, trees=trees, log_loss=round(found[CRITERION], 4), src=found["src"])
            if best is None or found[CRITERION] < best[0]:
                best = found[CRITERION], spec, head, answer
    assert best is not None
    _, spec, head, answer = best
    table = pd.DataFrame(rows)
    table.insert(3, "chosen", table["candidate"] == spec.name)
    judged = answers_of(head, feature_names(head.columns), matrix, "test") if test else {}
    rest = fit_catboost(spec, matrix, views=[view for view in views if view != "both"], test=test)
    whole = CatBoostMember(spec.name, spec.columns(), {**head.models, **rest.member.models})  # type: ignore[attr-defined]
    return Fitted(whole, {"both": answer, **rest.answers}, judged={**judged, **rest.judged}), table
