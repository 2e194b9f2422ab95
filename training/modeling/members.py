"""Fitting the members of a recipe on the training split, each with its answers on validation posts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from accelerate import PartialState
from sklearn.model_selection import GroupShuffleSplit

from engine.encoders import Tower, load_encoder
from engine.features.extractor import NGRAMS
from engine.fusion import FusionConfig
from engine.members import CatBoostMember, Features, Member, MemberOutput, NetworkMember, ScoreMember
from engine.prediction import VIEWS, View
from training.features.matrix import FeatureMatrix
from training.modeling.batches import finetuning_examples, frozen_examples
from training.modeling.model_soup import greedy_soup
from training.modeling.network import JointNetwork, NetworkConfig, TrainingSet, levels_from_score, predict_rows
from training.modeling.trainer import TrainingResult, train_network, validation_src
from training.recipes import base as specs

log = structlog.get_logger()
HELD_OUT = 0.12


@dataclass
class Fitted:
    """A member with its answers on the validation posts by view, and the tensors its fine-tuned towers changed.

    `judged` are its answers on the test part where they were asked for, which only cross-validation does.
    """

    member: Member
    answers: dict[View, MemberOutput]
    towers: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    curves: Any = None
    judged: dict[View, MemberOutput] = field(default_factory=dict)


def rows_of(features: Mapping[str, npt.NDArray], rows: npt.NDArray[np.int64]) -> Features:
    """The given rows of every feature."""
    return {name: values[rows] for name, values in features.items()}


def answers_of(member: Member, names: Sequence[str], matrix: FeatureMatrix, split: str) -> dict[View, MemberOutput]:
    """A member's answers on the posts of a split, in every view it has, from the named features."""
    features = rows_of(matrix.features(names), matrix.workspace.rows(split))
    return {view: member.answer(view, features) for view in member.views}


def fit_ngrams(spec: specs.Ngrams, matrix: FeatureMatrix, *, test: bool = False) -> Fitted:
    """The n-gram ridge; its slope and spread come from its out-of-fold scores on the training posts."""
    workspace = matrix.workspace
    matrix.fit_ngrams(spec.alpha)
    train = workspace.rows("train")
    target = workspace.posts["target"].to_numpy()
    score = matrix[NGRAMS]
    member = ScoreMember.fit(spec.name, NGRAMS, ("both", "text"), score[train], target[train])
    judged = answers_of(member, [NGRAMS], matrix, "test") if test else {}
    return Fitted(member, answers_of(member, [NGRAMS], matrix, "validation"), judged=judged)


def fit_trees(
    spec: specs.CatBoost,
    table: npt.NDArray[np.float32],
    level: npt.NDArray[np.int64],
    target: npt.NDArray[np.float64],
    groups: npt.NDArray[np.int64],
) -> tuple[Any, Any]:
    """CatBoost for levels and for the score, on n rows: table (n, columns), level, target and groups (n,)."""
    from catboost import CatBoostClassifier, CatBoostRegressor

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
    return models[0], models[1]


def feature_names(columns: Mapping[View, Sequence[str]]) -> list[str]:
    """Every feature that some view of a CatBoost member reads."""
    return sorted({name for names in columns.values() for name in names})


def fit_catboost(
    spec: specs.CatBoost, matrix: FeatureMatrix, *, views: Sequence[View] = VIEWS, test: bool = False
) -> Fitted:
    """One pair of CatBoost models for each of `views` that has features."""
    posts = matrix.workspace.posts
    train = matrix.workspace.rows("train")
    columns = {view: names for view, names in spec.columns().items() if view in views}
    names = feature_names(columns)
    features = matrix.features(names)
    member = CatBoostMember(spec.name, columns, {})
    models = {}
    for view in columns:
        table, rows = _with_blanks(member, view, features, train, matrix, spec)
        labels = (posts[name].to_numpy()[rows] for name in ("level", "target", "group_number"))
        models[view] = fit_trees(spec, table, *labels)
        log.info("trees", member=spec.name, view=view, trees=[model.tree_count_ for model in models[view]])
    member = CatBoostMember(spec.name, columns, models)
    judged = answers_of(member, names, matrix, "test") if test else {}
    return Fitted(member, answers_of(member, names, matrix, "validation"), judged=judged)


def own_process() -> PartialState:
    """This process among those of `accelerate launch`; it has a GPU of its own where there are any."""
    return PartialState(cpu=not torch.cuda.is_available())


def _with_blanks(
    member: CatBoostMember,
    view: View,
    features: Features,
    train: npt.NDArray[np.int64],
    matrix: FeatureMatrix,
    spec: specs.CatBoost,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The training table of a view and the post of each of its rows.

    A share `spec.blank` of the posts is there again without words, as many without a picture, as many with neither:
    trees extrapolate wildly to an empty title, and that is where every explanation starts.
    """
    generator = np.random.default_rng(spec.seed)
    tables, rows = [member.table(view, rows_of(features, train))], [train]
    sides = [names for names in (spec.text, spec.image) if set(names) & set(member.columns[view])]
    empty = [*sides, tuple(name for names in sides for name in names)] if len(sides) > 1 else sides
    for names in empty if spec.blank > 0 else []:
        chosen = generator.choice(train, max(1, round(spec.blank * len(train))), replace=False)
        emptied = rows_of(features, chosen)
        for name in {*names, *spec.both}:
            blank = matrix.blank(name)
            emptied[name] = np.broadcast_to(blank, (len(chosen), *blank.shape[1:]))
        tables.append(member.table(view, emptied))
        rows.append(chosen)
    return np.concatenate(tables), np.concatenate(rows)


def network_config(spec: specs.Network, image: Tower, text: Tower) -> NetworkConfig:
    """The whole training configuration of a recipe's network on two towers."""
    shape = FusionConfig(image.token_dim, text.token_dim, kind=spec.fusion, **spec.shape)
    return NetworkConfig(fusion=shape, **spec.settings)


def _start(
    spec: specs.Network, matrix: FeatureMatrix, run: int, test: bool
) -> tuple[JointNetwork, NetworkConfig, list[TrainingSet]]:
    """An untrained network, its configuration, and its training, validation and, where asked for, test posts."""
    workspace = matrix.workspace
    # Only the run that fine-tunes may change a tower, so it gets towers of its own.
    image = load_encoder(matrix.encoders[spec.image_encoder], shared=False)
    text = load_encoder(matrix.encoders[spec.text_encoder], shared=False)
    config = replace(network_config(spec, image, text), run=run)
    parts = [workspace.rows(split) for split in ("train", "validation", *(["test"] if test else []))]
    if config.towers == "frozen":
        with own_process().main_process_first():
            sides = matrix.tokens(spec.image_encoder), matrix.tokens(spec.text_encoder)
        examples = [frozen_examples(workspace.posts, rows, *sides) for rows in parts]
        return JointNetwork(config), config, examples
    pictures = matrix.pictures(image.size)  # type: ignore[attr-defined]
    examples = [
        finetuning_examples(workspace.posts, rows, pictures, image, text, texts=matrix.texts, config=config)
        for rows in parts
    ]
    return JointNetwork(config, image, text), config, examples


def fit_network(spec: specs.Network, matrix: FeatureMatrix, folder: Path, *, test: bool = False) -> Fitted:
    """Train (or take up, or reuse when it is finished under the same configuration) the runs in `folder`; mix them."""
    results: list[TrainingResult] = []
    for run in range(spec.runs):
        model, config, (train, held, *outer) = _start(spec, matrix, run, test)
        place = folder if spec.runs == 1 else folder / f"run-{run}"
        results.append(train_network(model, config, train, held, place))
    outputs = results[-1].outputs
    if spec.runs > 1:

        def quality(outputs: Mapping[View, Any]) -> float:
            # Of every view, for each has its own users.
            return float(np.mean([validation_src(outputs, held, view) for view in VIEWS]))

        scores = [quality(result.outputs) for result in results]
        greedy_soup(model, [result.weights for result in results], scores, lambda: quality(predict_rows(model, held)))
        outputs = predict_rows(model, held)
    if config.level_weight == 0:
        outputs = levels_from_score(model, outputs, held.level)
    judged = predict_rows(model, outer[0]) if outer else {}
    shipped = [name for name in results[0].weights if ".lora_" not in name] + model.merge_adapters()
    tensors = {name: value.detach().clone() for name, value in model.named_parameters()}
    towers = {
        role: {name.removeprefix(prefix): tensors[name] for name in shipped if name.startswith(prefix)}
        for role, prefix in ((spec.image_encoder, "towers.image."), (spec.text_encoder, "towers.text."))
        if config.towers != "frozen"
    }
    member = NetworkMember(spec.name, model.fusion, spec.image_encoder, spec.text_encoder)
    names = [spec.name] if spec.runs == 1 else [f"{spec.name}, run {run + 1}" for run in range(spec.runs)]
    curves = pd.concat([result.curves.assign(model=name) for result, name in zip(results, names, strict=True)])
    return Fitted(member, _answers(outputs), towers, curves, _answers(judged))


def _answers(outputs: Mapping[View, Mapping[str, npt.NDArray[np.float32]]]) -> dict[View, MemberOutput]:
    return {
        view: MemberOutput(found["probabilities"].astype(np.float64), found["score"].astype(np.float64))
        for view, found in outputs.items()
    }


def fit_member(
    spec: specs.Member, matrix: FeatureMatrix, folder: Path, *, views: Sequence[View] = VIEWS, test: bool = False
) -> Fitted:
    """Fit one member of a recipe; `folder` is where a network keeps what it needs to resume.

    `views` spares trees for views that nobody asks for; `test` adds the answers on the test part.
    """
    if isinstance(spec, specs.Ngrams):
        return fit_ngrams(spec, matrix, test=test)
    if isinstance(spec, specs.CatBoost):
        return fit_catboost(spec, matrix, views=views, test=test)
    return fit_network(spec, matrix, folder, test=test)
