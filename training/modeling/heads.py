"""Fitting a `Heads` member: a category head and a score head, on a picture encoder that is frozen or trained with them.

The epoch is chosen by whole groups of the training split that nothing is learnt from (`training.modeling.choosing`);
they also say how far the score head is off, which the five levels follow from, and how sure the category may be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from engine.calibration import Temperature
from engine.encoders import load_encoder
from engine.encoders.base import Encoder
from engine.errors import DataError
from engine.features.base import Feature, digest
from engine.features.encoder_vector import EncoderVector
from engine.heads import HeadsConfig, HeadsMember, HeadsNetwork, ScoreScale
from engine.scoring import log_score
from training.features.matrix import FeatureMatrix
from training.modeling.batches import augment
from training.modeling.choosing import learning_and_choosing
from training.modeling.heads_network import HeadsData, HeadsModel, HeadsTraining, PictureOf, predict_heads
from training.modeling.heads_trainer import figures_of, train_heads
from training.modeling.members import Fitted
from training.modeling.network import write_weights
from training.recipes.base import Heads
from training.tables import write_table

Rows = npt.NDArray[np.int64]
# One training group in so many chooses: a category that few posts have needs more of them than a rank does.
SHARE = 6
NETWORKS = "networks.parquet"


def fit_heads(spec: Heads, matrix: FeatureMatrix, folder: Path, splits: Sequence[str], *, leak: bool = False) -> Fitted:
    """Train the heads in `folder`, or take over what is finished there.

    Also writes networks.parquet: how large the network is and what training took. Raises DataError for a dataset of
    fewer than two categories, and, but for a `leak` that is to be shown, for counts among the inputs.
    """
    if spec.counts and not leak:
        raise DataError(
            f"The inputs of {spec.name} name {' and '.join(spec.counts)}, known only after publication; take them out, "
            "or see with `evaluate --demonstrate-leak` what they feign."
        )
    config = HeadsTraining(**spec.settings)
    frozen = config.tuning == "frozen"
    names = _categories(matrix)
    numbers = _numbers(spec, matrix)
    learning, choosing = learning_and_choosing(matrix.workspace, SHARE)
    scale = _scale(matrix, learning, raw=config.published)
    encoder = load_encoder(matrix.settings.encoders[spec.encoder], device=matrix.settings.device, shared=False)
    columns = 0 if numbers is None else numbers.shape[1]
    model = untrained(spec, config, encoder, names, columns)

    def part(rows: Rows, *, shuffled: bool = False) -> HeadsData:
        return _data(matrix, rows, None if frozen else encoder, spec, numbers, names, scale, shuffled=shuffled)

    held = part(choosing)
    result = train_heads(model, config, part(learning, shuffled=config.published), held, folder)
    write_table(folder / NETWORKS, pd.DataFrame([{"network": spec.name, **figures_of(model, result)}]))
    member = HeadsMember(spec.name, model.heads.cpu(), spec.encoder, spec.numbers if columns else None, scale)
    model.heads.to(encoder.device)
    if not config.published:
        member.scale = _calibrated(model, held, scale)
    outputs: dict[str, Any] = {}
    for split in splits:
        data = part(matrix.workspace.rows(split))
        values = {spec.encoder: predict_heads(model, data)[0].numpy()}
        if spec.numbers and data.numbers is not None:
            values[spec.numbers] = data.numbers
        found = member.predict("both", values)
        outputs[split] = {"both": found, "image": found}
    features = matrix.behind([spec.numbers]) if spec.numbers and columns else {}
    features |= matrix.behind([spec.encoder]) if frozen else _tuned(spec, encoder, matrix, folder)
    curves = result.curves.assign(model=spec.name)
    return Fitted(member, features, outputs, result.seconds, curves)


def untrained(
    spec: Heads, config: HeadsTraining, encoder: Encoder, names: tuple[str, ...], columns: int = 0
) -> HeadsModel:
    """Heads for some categories, reading so many columns of numbers, with first weights, where the encoder is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        heads = HeadsNetwork(HeadsConfig(encoder.dim, columns, names, **spec.shape))
    return HeadsModel(heads, None if config.tuning == "frozen" else encoder).to(encoder.device)


def _categories(matrix: FeatureMatrix) -> tuple[str, ...]:
    """The categories of the training posts, in alphabetical order."""
    posts = matrix.workspace.posts.iloc[matrix.workspace.rows("train")]
    names = tuple(sorted(posts["category"].dropna().astype(str).unique()))
    if len(names) < 2:
        raise DataError(
            f"The training posts have {len(names) or 'no'} categor{'y' if len(names) == 1 else 'ies'}, and two are the "
            "least to tell apart; prepare a dataset with classes, such as `--dataset folders`."
        )
    return names


def _numbers(spec: Heads, matrix: FeatureMatrix) -> npt.NDArray[np.float32] | None:
    """What the numeric branch reads of all posts, (n, columns); None where there is nothing."""
    parts = [] if spec.numbers is None else [matrix[spec.numbers]]
    if spec.counts:
        counts = matrix.workspace.posts[list(spec.counts)].to_numpy(dtype=np.float64, na_value=np.nan)
        logs = np.log1p(counts)
        train = logs[matrix.workspace.rows("train")]
        standard = (logs - np.nanmean(train, axis=0)) / np.maximum(np.nanstd(train, axis=0), 1e-9)
        parts.append(np.nan_to_num(standard).astype(np.float32))
    found = np.concatenate(parts, axis=1) if parts else np.zeros((0, 0), dtype=np.float32)
    return found if found.shape[1] else None


def _scale(matrix: FeatureMatrix, learning: Rows, *, raw: bool) -> ScoreScale:
    """Mean and deviation of the log scores that are learned from, and the cuts on that scale."""
    logs = matrix.workspace.posts["log_score"].to_numpy()[learning]
    mean, deviation = float(logs.mean()), float(logs.std()) or 1.0
    first, second, third, fourth = ((log_score(matrix.workspace.cuts) - mean) / deviation).tolist()
    return ScoreScale(mean, deviation, (first, second, third, fourth), raw=raw)


def _data(
    matrix: FeatureMatrix,
    rows: Rows,
    encoder: Any,
    spec: Heads,
    numbers: npt.NDArray[np.float32] | None,
    names: tuple[str, ...],
    scale: ScoreScale,
    *,
    shuffled: bool,
) -> HeadsData:
    """Some posts with what is read of them; `shuffled` numbers are those of other posts among them."""
    posts = matrix.workspace.posts.iloc[rows]
    place = {name: number for number, name in enumerate(names)}
    category = np.array([place.get(name, -1) for name in posts["category"]], dtype=np.int64)
    if encoder is None:
        picture = reading(matrix[spec.encoder], rows)
    else:
        picture = seeing(encoder, matrix.pictures(encoder.size), rows)
    own = None if numbers is None else numbers[rows]
    if own is not None and shuffled:
        own = own[np.random.default_rng(0).permutation(len(own))]
    score = posts["score"].to_numpy(dtype=np.float64)
    read = matrix.feature(spec.encoder).fingerprint if encoder is None else [encoder.identity, list(encoder.size)]
    given = "" if own is None else digest(np.round(own.astype(float), 4).tolist())
    facts = [posts["post_id"].tolist(), [matrix.files[row] for row in rows], score.tolist(), category.tolist(), names]
    standard = (posts["log_score"].to_numpy() - scale.mean) / scale.deviation
    return HeadsData(picture, own, category, standard, score, digest([facts, read, given]))


def reading(vectors: npt.NDArray[np.float32], rows: Rows) -> PictureOf:
    """What a frozen encoder made of some pictures, out of those of all (n, dim)."""
    return lambda index, generator: torch.as_tensor(vectors[rows[index]], dtype=torch.float32)


def seeing(encoder: Any, pixels: npt.NDArray[np.uint8], rows: Rows) -> PictureOf:
    """What an encoder in training looks at of some pictures, out of those of all (n, height, width, 3)."""

    def picture(index: Rows, generator: torch.Generator | None) -> torch.Tensor:
        found = torch.from_numpy(pixels[rows[index]]).permute(0, 3, 1, 2).float()
        seen: torch.Tensor = encoder.normalise_pixels(found if generator is None else augment(found, generator))
        return seen

    return picture


def _calibrated(model: HeadsModel, held: HeadsData, scale: ScoreScale) -> ScoreScale:
    """The scale with slope and spread of the score by least squares, and the temperature of the category, on posts
    that were not learned from."""
    _, logits, said = predict_heads(model, held)
    standard = said.double().numpy()
    slope = float(standard @ held.standard) / max(float(standard @ standard), 1e-12)
    spread = float(np.std(held.standard - slope * standard)) or 1.0
    known = held.category >= 0
    shares = logits.double().softmax(-1).numpy()[known]
    temperature = Temperature.fit(shares, held.category[known]).value if known.any() else 1.0
    return replace(scale, slope=slope, spread=spread, temperature=temperature)


def _tuned(spec: Heads, encoder: Any, matrix: FeatureMatrix, folder: Path) -> Mapping[str, Feature]:
    """The feature of the trained encoder; its weights go into a file in half precision."""
    path = folder / f"{spec.encoder}.safetensors"
    write_weights(path, encoder.module.state_dict(), half=True)
    encoder.module.to("cpu")
    feature = EncoderVector(
        spec.encoder, matrix.settings.encoders[spec.encoder], tuned=path, device=matrix.settings.device
    )
    return {spec.encoder: feature}
