"""Fitting CatBoost on a table."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import GroupShuffleSplit

from engine.errors import DataError
from training.recipes import base as specs

HELD_OUT = 0.12


def fit_trees(
    spec: specs.CatBoost,
    table: npt.NDArray[np.float32],
    level: npt.NDArray[np.int64],
    target: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
) -> tuple[Any, Any]:
    """CatBoost for levels and for the score, on n rows: table (n, columns), level, target and groups (n,)."""
    from catboost import CatBoostClassifier, CatBoostError, CatBoostRegressor

    settings: dict[str, Any] = {
        "depth": spec.depth,
        "learning_rate": spec.learning_rate,
        "bootstrap_type": "Bernoulli",
        "subsample": spec.subsample,
        "l2_leaf_reg": spec.l2_leaf_reg,
        "border_count": spec.border_count,
        "rsm": spec.rsm,
        "random_seed": spec.seed,
        # As many as OMP_NUM_THREADS allows: beside other work, threads that wait for one another cost many times more.
        "thread_count": torch.get_num_threads(),
        "allow_writing_files": False,
        "verbose": False,
    }
    models = []
    for kind, labels, extra in (
        (CatBoostClassifier, level, {"loss_function": "MultiClass"}),
        (CatBoostRegressor, target, {"loss_function": "RMSE"}),
    ):
        trees = spec.iterations
        try:
            if spec.early_stopping:
                splitter = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=spec.seed)
                rest, held = next(splitter.split(table, groups=groups))
                probe = kind(iterations=spec.iterations, **settings, **extra)
                probe.fit(
                    table[rest],
                    labels[rest],
                    eval_set=(table[held], labels[held]),
                    early_stopping_rounds=spec.early_stopping,
                )
                trees = max(probe.get_best_iteration() + 1, 10)
            models.append(kind(iterations=trees, **settings, **extra).fit(table, labels))
        except CatBoostError as error:
            if "constant" not in str(error):
                raise
            raise DataError(
                f"What the member {spec.name} reads is the same for every post; leave the member or that side out."
            ) from error
    return models[0], models[1]
