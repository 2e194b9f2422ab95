"""Fitting a network of a recipe: its replicates trained, averaged, and made a member."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.encoders import Encoder, Modality, load_encoder
from engine.encoders.packing import pack, unpack
from engine.features.base import Feature
from engine.features.encoder_tokens import TOKENS, EncoderTokens
from engine.fusion import FusionConfig
from engine.members import NetworkMember
from engine.prediction import MemberOutput, View
from training.data.workspace import Workspace
from training.features.matrix import FeatureMatrix
from training.modeling.batches import finetuning_set, frozen_set
from training.modeling.choosing import Rows, learning_and_choosing
from training.modeling.further import Further
from training.modeling.members import Fitted, Outputs
from training.modeling.model_soup import greedy_soup, mean_weights
from training.modeling.network import (
    JointNetwork,
    NetworkConfig,
    copy_into,
    levels_from_score,
    predict_rows,
    write_weights,
)
from training.modeling.processes import own_process
from training.modeling.trainer import TrainingResult, train_network, validation_src
from training.modeling.training_set import SoftTargets, TrainingSet
from training.recipes.base import Network

LEARNING, CHOOSING = "learning", "choosing"


@dataclass
class Trained:
    """The replicates of a network, averaged in `model`, with the posts of each part as it sees them."""

    model: JointNetwork
    results: list[TrainingResult]
    parts: Mapping[str, TrainingSet]


def network_config(spec: Network, image: Encoder | None, text: Encoder | None, junk: float = 0.0) -> NetworkConfig:
    """The whole training configuration of a recipe's network on its encoders; frozen ones are shown no junk."""
    image_dim, text_dim = (encoder.token_dim if encoder else 0 for encoder in (image, text))
    config = NetworkConfig(fusion=FusionConfig(image_dim, text_dim, kind=spec.fusion, **spec.shape), **spec.settings)
    return config if config.tuning == "frozen" or not text else replace(config, junk=junk)


def train_replicates(
    spec: Network, matrix: FeatureMatrix, folder: Path, splits: Sequence[str], soft: SoftTargets | None = None
) -> Trained:
    """Train the replicates in `folder`, or take them up there, or take over what is finished; average them.

    Epochs and replicates are chosen by training posts that it does not learn from (`training.modeling.choosing`);
    without patience nothing is chosen, and it learns from all of them. `soft` is what its teachers say.
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
        parts = {}
        for part, rows in _parts(matrix.workspace, splits, choosing=config.patience > 0).items():
            others = further if part == LEARNING else None
            found = (
                frozen_set(matrix, rows, *sides)
                if frozen
                else finetuning_set(matrix, rows, image, text, config, others)
            )
            if soft is not None and part == LEARNING:
                found = found.taught(soft.of(rows), ordinal=config.ordinal)
            parts[part] = found
        model = JointNetwork(config) if frozen else JointNetwork(config, image, text)
        place = folder if spec.replicates == 1 else folder / f"replicate-{replicate}"
        held = parts.get(CHOOSING, parts[splits[0]] if splits else None)
        results.append(train_network(model, config, parts[LEARNING], held, place))
    if spec.replicates > 1:
        _average(model, results, parts.get(CHOOSING))
    if config.level_weight == 0:
        known = parts.get(CHOOSING, parts[LEARNING])
        levels_from_score(model, predict_rows(model, known), known.level)
    return Trained(model, results, parts)


def fit_network(
    spec: Network, matrix: FeatureMatrix, folder: Path, splits: Sequence[str], soft: SoftTargets | None = None
) -> Fitted:
    """`train_replicates`, and what comes out as a member with the features it reads."""
    trained = train_replicates(spec, matrix, folder, splits, soft)
    model = trained.model
    names = {side: role + TOKENS for side, role in spec.encoders.items()}
    for encoder in (model.image_encoder, model.text_encoder):
        if encoder and encoder.keeps_all:  # as it will be when it answers
            encoder.module.load_state_dict(unpack(pack(encoder.module.state_dict())))
    outputs = {split: outputs_by_view(predict_rows(model, trained.parts[split])) for split in splits}
    member = NetworkMember(spec.name, model.fusion.cpu(), names.get("image"), names.get("text"))
    frozen = spec.settings.get("tuning") == "frozen"
    read = matrix.behind(names.values()) if frozen else _tuned(spec, model, trained.results[0], matrix, folder)
    seconds = sum(result.seconds for result in trained.results) + (soft.seconds if soft else 0.0)
    return Fitted(member, read, outputs, seconds, _curves(spec, trained.results))


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
    spec: Network, model: JointNetwork, result: TrainingResult, matrix: FeatureMatrix, folder: Path
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
        stored = {name.removeprefix(prefix): tensors[name].half() for name in changed if name.startswith(prefix)}
        if encoder.keeps_all:
            stored = pack(encoder.module.state_dict())
        path = folder / f"{role}.safetensors"
        if own_process().is_main_process:
            write_weights(path, stored)
            name, known = role + TOKENS, matrix.settings
            features[name] = EncoderTokens(
                name, known.encoders[role], known.text_fields, tuned=path, device=known.device
            )
    return features


def _curves(spec: Network, results: Sequence[TrainingResult]) -> pd.DataFrame:
    one = len(results) == 1
    names = [spec.name if one else f"{spec.name}, replicate {number}" for number in range(1, len(results) + 1)]
    return pd.concat([result.curves.assign(model=name) for result, name in zip(results, names, strict=True)])


def outputs_by_view(found: Mapping[View, Mapping[str, npt.NDArray[np.float32]]]) -> Outputs:
    """Outputs by view; what a network of one side says of that is what it says of a post with both."""
    outputs: Outputs = {
        view: MemberOutput(part["probabilities"].astype(np.float64), part["score"].astype(np.float64))
        for view, part in found.items()
    }
    return outputs if "both" in outputs else {**outputs, "both": next(iter(outputs.values()))}
