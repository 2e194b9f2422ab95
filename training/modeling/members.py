"""Fitting the members of a recipe on the training split, each with its outputs on the posts held out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog
import torch
from accelerate import PartialState
from safetensors.torch import save_file

from engine.encoders import Encoder, Modality, load_encoder
from engine.encoders.packing import pack, unpack
from engine.features import default_names
from engine.features.base import Feature, Features
from engine.features.encoder_tokens import TOKENS, EncoderTokens
from engine.features.extractor import SIDES
from engine.files import replacing
from engine.fusion import FusionConfig
from engine.members import CatBoostMember, Member, NetworkMember, ScoreMember
from engine.prediction import VIEWS, MemberOutput, View
from training.data.workspace import Workspace
from training.features.matrix import FeatureMatrix
from training.modeling.batches import finetuning_set, frozen_set
from training.modeling.choosing import Rows, learning_and_choosing
from training.modeling.further import Further
from training.modeling.model_soup import greedy_soup, mean_weights
from training.modeling.network import JointNetwork, NetworkConfig, TrainingSet, levels_from_score, predict_rows
from training.modeling.trainer import TrainingResult, copy_into, train_network, validation_src
from training.modeling.trees import fit_trees
from training.recipes import base as specs

log = structlog.get_logger()
NGRAMS, LEARNING, CHOOSING = "ngrams", "learning", "choosing"

Outputs = dict[View, MemberOutput]


@dataclass
class Fitted:
    """A member, the features it reads, and its outputs by split and view.

    `outputs` has the validation posts, and the test posts where they were asked for, which only cross-validation does.
    `seconds` is the time its fitting took, on whatever day that was.
    """

    member: Member
    features: Mapping[str, Feature]
    outputs: Mapping[str, Outputs]
    seconds: float
    curves: pd.DataFrame | None = field(default=None, repr=False)


def outputs_of(member: Member, matrix: FeatureMatrix, splits: Sequence[str]) -> dict[str, Outputs]:
    """A member's outputs on the posts of some splits, in every view it answers."""
    return {
        split: {
            view: member.predict(view, matrix.rows(names, matrix.workspace.rows(split)))
            for view, names in member.reads.items()
        }
        for split in splits
    }


def _read_by(member: Member, matrix: FeatureMatrix) -> dict[str, Feature]:
    return matrix.behind(dict.fromkeys(name for names in member.reads.values() for name in names))


def fit_ngrams(spec: specs.Ngrams, matrix: FeatureMatrix, splits: Sequence[str]) -> Fitted:
    """The n-gram ridge; its slope and spread come from its out-of-fold scores on the training posts."""
    began = time.monotonic()
    train = matrix.workspace.rows("train")
    target = matrix.workspace.posts["target"].to_numpy()
    member = ScoreMember.fit(spec.name, NGRAMS, ("both", "text"), matrix[NGRAMS][train, 0], target[train])
    outputs = outputs_of(member, matrix, splits)
    return Fitted(member, _read_by(member, matrix), outputs, time.monotonic() - began)


def reads_of(names: Sequence[str], matrix: FeatureMatrix) -> dict[View, tuple[str, ...]]:
    """Names of features by view: those of the words first, then of the picture, of both, and of neither, the context.

    A view is left out of which nothing is read; where the context is all that there is to read, it is read in each.
    """
    sides = {name: matrix.feature(name).modalities for name in names}
    order: tuple[tuple[str, ...], ...] = (("text",), ("image",), ("image", "text"), ())
    ordered = sorted(names, key=lambda name: order.index(sides[name]))
    found = {view: tuple(name for name in ordered if set(SIDES[view]).issuperset(sides[name])) for view in VIEWS}
    sided = any(sides.values())
    return {view: kept for view, kept in found.items() if any(sides[name] for name in kept) or (kept and not sided)}


def fit_catboost(
    spec: specs.CatBoost,
    matrix: FeatureMatrix,
    splits: Sequence[str],
    views: Sequence[View] = VIEWS,
    rows: Rows | None = None,
) -> Fitted:
    """One pair of CatBoost models for each of `views` that has features, from the training posts, or `rows` alone."""
    began = time.monotonic()
    posts = matrix.workspace.posts
    reads = reads_of(default_names() if spec.features is None else spec.features, matrix)
    member = CatBoostMember(spec.name, {view: names for view, names in reads.items() if view in views}, {})
    train = matrix.workspace.rows("train") if rows is None else rows
    for view in member.reads:
        table, taken = _with_made_up(member, view, matrix, train, spec)
        labels = (posts[name].to_numpy()[taken] for name in ("level", "target", "group_number"))
        member.models[view] = fit_trees(spec, table, *labels)
        log.info("trees", member=spec.name, view=view, trees=[model.tree_count_ for model in member.models[view]])
    outputs = outputs_of(member, matrix, splits)
    return Fitted(member, _read_by(member, matrix), outputs, time.monotonic() - began)


def own_process() -> PartialState:
    """This process among those of `accelerate launch`; it has a GPU of its own where there are any.

    Others wait up to a day while the first fits what is no network.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=1))


def _with_made_up(
    member: CatBoostMember, view: View, matrix: FeatureMatrix, train: Rows, spec: specs.CatBoost
) -> tuple[npt.NDArray[np.float32], Rows]:
    """The training table of a view and the post of each of its rows.

    A share `spec.blank` of the posts is there again without words, as many without a picture, as many with neither:
    trees extrapolate wildly to an empty title, and that is where every explanation starts. A share `matrix.junk` is
    there again under titles that nobody publishes, of which nothing follows.
    """
    generator = np.random.default_rng(spec.seed)
    names = member.reads[view]
    features = matrix.features(names)
    tables, rows = [member.table(view, {name: features[name][train] for name in names})], [train]
    sides = [side for side in ("text", "image") if any(side in matrix.feature(name).modalities for name in names)]
    empty = [{side} for side in sides] + ([set(sides)] if len(sides) > 1 else [])
    for gone in empty if spec.blank > 0 else []:
        chosen = generator.choice(train, max(1, round(spec.blank * len(train))), replace=False)
        emptied: Features = {}
        for name in names:
            blank = gone.intersection(matrix.feature(name).modalities)
            emptied[name] = matrix.blank(name).repeat(len(chosen), axis=0) if blank else features[name][chosen]
        tables.append(member.table(view, emptied))
        rows.append(chosen)
    if matrix.junk and "text" in sides:
        chosen = generator.choice(train, max(1, round(matrix.junk * len(train))), replace=False)
        titles = matrix.junk_titles(len(chosen), seed=spec.seed)
        tables.append(member.table(view, matrix.under_titles(names, chosen, titles)))
        rows.append(chosen)
    return np.concatenate(tables), np.concatenate(rows)


def network_config(
    spec: specs.Network, image: Encoder | None, text: Encoder | None, junk: float = 0.0
) -> NetworkConfig:
    """The whole training configuration of a recipe's network on its encoders; frozen ones are shown no junk."""
    image_dim, text_dim = (encoder.token_dim if encoder else 0 for encoder in (image, text))
    config = NetworkConfig(fusion=FusionConfig(image_dim, text_dim, kind=spec.fusion, **spec.shape), **spec.settings)
    return config if config.tuning == "frozen" or not text else replace(config, junk=junk)


def fit_network(spec: specs.Network, matrix: FeatureMatrix, folder: Path, splits: Sequence[str]) -> Fitted:
    """Train the replicates in `folder`, or take them up there, or take over what is finished; average them.

    Epochs and replicates are chosen by training posts that it does not learn from (`training.modeling.choosing`);
    without patience nothing is chosen, and it learns from all of them.
    """
    names: dict[Modality, str] = {side: role + TOKENS for side, role in spec.encoders.items()}
    sides = names.get("image"), names.get("text")
    results: list[TrainingResult] = []
    for replicate in range(spec.replicates):
        # Only the one that fine-tunes may change an encoder, so it gets encoders of its own.
        encoders: dict[Modality, Encoder] = {
            side: load_encoder(matrix.settings.encoders[role], device=matrix.settings.device, shared=False)
            for side, role in spec.encoders.items()
        }
        image, text = encoders.get("image"), encoders.get("text")
        config = replace(network_config(spec, image, text, matrix.junk), replicate=replicate)
        frozen = config.tuning == "frozen"
        if frozen:
            # One process extracts, the others find the tokens there.
            with own_process().main_process_first():
                matrix.features(names.values())
        further = Further.of(matrix.workspace) if spec.pictures and text is None and not frozen else None
        parts = {
            part: frozen_set(matrix, rows, *sides)
            if frozen
            else finetuning_set(matrix, rows, image, text, config, further if part == LEARNING else None)
            for part, rows in _parts(matrix.workspace, splits, choosing=config.patience > 0).items()
        }
        model = JointNetwork(config) if frozen else JointNetwork(config, image, text)
        place = folder if spec.replicates == 1 else folder / f"replicate-{replicate}"
        held = parts.get(CHOOSING, parts[splits[0]] if splits else None)
        results.append(train_network(model, config, parts[LEARNING], held, place))
    if spec.replicates > 1:
        _average(model, results, parts.get(CHOOSING))
    if config.level_weight == 0:
        known = parts.get(CHOOSING, parts[LEARNING])
        levels_from_score(model, predict_rows(model, known), known.level)
    for encoder in (image, text):
        if encoder and encoder.keeps_all and not frozen:  # as it will be when it answers
            encoder.module.load_state_dict(unpack(pack(encoder.module.state_dict())))
    outputs = {split: _outputs(predict_rows(model, parts[split])) for split in splits}
    member = NetworkMember(spec.name, model.fusion.cpu(), *sides)
    read = matrix.behind(names.values()) if frozen else _tuned(spec, model, results[0], matrix, folder)
    return Fitted(member, read, outputs, sum(result.seconds for result in results), _curves(spec, results))


def _parts(workspace: Workspace, splits: Sequence[str], *, choosing: bool) -> dict[str, Rows]:
    """Row numbers of the posts to learn from, of those that choose, and of the splits whose outputs are wanted."""
    wanted = {split: workspace.rows(split) for split in splits}
    if not choosing:
        return {LEARNING: workspace.rows("train"), **wanted}
    learning, held = learning_and_choosing(workspace)
    return {LEARNING: learning, CHOOSING: held, **wanted}


def _average(model: JointNetwork, results: Sequence[TrainingResult], held: TrainingSet | None) -> None:
    """Leave the greedy soup of the replicates in `model`; the mean of all where no posts choose."""
    weights = [result.weights for result in results]
    if held is None:
        copy_into(model, mean_weights(weights))
        return

    def quality(outputs: Mapping[View, Any]) -> float:
        # Of every view, for each has its own users.
        return float(np.mean([validation_src(outputs, held, view) for view in outputs]))

    scores = [quality(result.outputs) for result in results]
    greedy_soup(model, weights, scores, lambda: quality(predict_rows(model, held)))


def _tuned(
    spec: specs.Network, model: JointNetwork, result: TrainingResult, matrix: FeatureMatrix, folder: Path
) -> dict[str, Feature]:
    """The features of the fine-tuned encoders: what training changed of each is put into a file, in half precision.

    Of an encoder that keeps all of its weights there, all are, in eight bits.
    """
    changed = [name for name in result.weights if ".lora_" not in name] + model.merge_adapters()
    tensors = dict(model.named_parameters())
    features: dict[str, Feature] = {}
    for side, role in spec.encoders.items():
        prefix = f"encoders.{side}."
        encoder = model.image_encoder if side == "image" else model.text_encoder
        stored = {
            name.removeprefix(prefix): tensors[name].detach().half().contiguous().cpu()
            for name in changed
            if name.startswith(prefix)
        }
        if encoder.keeps_all:
            stored = pack(encoder.module.state_dict())
        path = folder / f"{role}.safetensors"
        if own_process().is_main_process:
            with replacing(path) as temporary:
                save_file(stored, temporary)
            name, known = role + TOKENS, matrix.settings
            features[name] = EncoderTokens(
                name, known.encoders[role], known.text_fields, tuned=path, device=known.device
            )
    return features


def _curves(spec: specs.Network, results: Sequence[TrainingResult]) -> pd.DataFrame:
    one = len(results) == 1
    names = [spec.name if one else f"{spec.name}, replicate {number}" for number in range(1, len(results) + 1)]
    return pd.concat([result.curves.assign(model=name) for result, name in zip(results, names, strict=True)])


def _outputs(found: Mapping[View, Mapping[str, npt.NDArray[np.float32]]]) -> Outputs:
    """Outputs by view; what a network of one side says of that is what it says of a post with both."""
    outputs: Outputs = {
        view: MemberOutput(part["probabilities"].astype(np.float64), part["score"].astype(np.float64))
        for view, part in found.items()
    }
    return outputs if "both" in outputs else {**outputs, "both": next(iter(outputs.values()))}


def fit_member(
    spec: specs.Ngrams | specs.CatBoost | specs.Network,
    matrix: FeatureMatrix,
    folder: Path,
    splits: Sequence[str] = ("validation",),
    views: Sequence[View] = VIEWS,
) -> Fitted:
    """Fit one member of a recipe; `folder` is where a network keeps what it needs to resume.

    `splits` are those whose outputs are wanted; `views` spares trees for views that nobody asks for.
    """
    if isinstance(spec, specs.Ngrams):
        return fit_ngrams(spec, matrix, splits)
    if isinstance(spec, specs.CatBoost):
        return fit_catboost(spec, matrix, splits, views)
    return fit_network(spec, matrix, folder, splits)
