"""Fitting the members of a recipe that are no networks on the training split, with their outputs on held-out posts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import structlog

from engine.features import default_names
from engine.features.base import Feature, Features
from engine.features.extractor import SIDES
from engine.members import CatBoostMember, Member, ScoreMember
from engine.prediction import VIEWS, MemberOutput, View
from training.features.matrix import FeatureMatrix
from training.modeling.choosing import Rows
from training.modeling.trees import fit_trees
from training.recipes import base as specs

log = structlog.get_logger()
NGRAMS = "ngrams"

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
            feature = matrix.feature(name)
            blank = gone.intersection(feature.modalities)
            emptied[name] = feature.blank().repeat(len(chosen), axis=0) if blank else features[name][chosen]
        tables.append(member.table(view, emptied))
        rows.append(chosen)
    if matrix.junk and "text" in sides:
        chosen = generator.choice(train, max(1, round(matrix.junk * len(train))), replace=False)
        titles = matrix.junk_titles(len(chosen), seed=spec.seed)
        tables.append(member.table(view, matrix.under_titles(names, chosen, titles)))
        rows.append(chosen)
    return np.concatenate(tables), np.concatenate(rows)
