"""A run: one recipe on one dataset, split and set of features, claimed once; every step goes through it.

    work/runs/<recipe>/   settings.json (what it was made from), members, bundle/, report/, parts of ablations and folds
    work/test_reads.jsonl   append-only: which step of which run read the test posts, and when

A step resumes where it was stopped, takes over what is finished, and is refused where the claim differs.
"""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from engine.bundle import MANIFEST, identity, read_bundle
from engine.encoders import load_encoder
from engine.errors import DataError
from engine.features import default_names, make_features
from engine.features.base import digest
from engine.features.encoder_tokens import TOKENS
from engine.features.encoder_vector import EncoderVector
from engine.predictor import Predictor
from training.data.workspace import Protocol, Workspace
from training.features.matrix import FeatureMatrix
from training.modeling.further import Further
from training.recipes.base import CatBoost, Heads, Network, Recipe, experiment
from training.tables import claim, now

LEDGER = "test_reads.jsonl"
# What every report has.
REPORT_FILES = ("report.json", "metrics.parquet", "predictions.parquet")
OUTSIDE_OF_TEST = ("train", "validation")
SAW_POSTS = (
    "The encoder {} has learned from posts' own pairs of picture and title, and says of these what it will not say of "
    "new ones; take encoders that have not, such as lite2 and minilm."
)


class Run:
    """The run of a recipe in a work folder. Raises DataError when its folder was made from something else."""

    def __init__(self, work: Path, recipe: Recipe, *, device: str = "auto") -> None:
        self.work, self.recipe = work, recipe
        self.folder = work / "runs" / recipe.name
        self.bundle, self.report = self.folder / "bundle", self.folder / "report"
        # The same, refitted on all posts: what ships.
        self.refitted = self.folder / "refitted" / "bundle"
        # Where the members of the bundle are fitted, beside those of folds.
        self.members = self.folder / "whole" if recipe.folds else self.folder
        learned = OUTSIDE_OF_TEST if recipe.folds else OUTSIDE_OF_TEST[:1]
        self.workspace = Workspace(work, target=recipe.target, learned=learned)
        self.matrix = FeatureMatrix(self.workspace, replace(recipe.features, device=device), recipe.junk)
        claim(self.folder, self.made_from, "a run")

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """All that decides what the run comes to, hashed or whole."""
        # Before the encoders, so that a folder that is no work folder is what is told of.
        dataset = self.workspace.dataset["fingerprint"]
        further = Further.of(self.workspace) if self.recipe.pictures else None
        features = make_features([*self.feature_names, *self.recipe.encoders], self.recipe.features)
        encoders = {found.spec: found.encoder for found in features.values() if isinstance(found, EncoderVector)}
        taught = [teacher.encoder for spec in self.recipe.members for teacher in getattr(spec, "teachers", ())]
        teachers = {spec: load_encoder(spec) for spec in dict.fromkeys(taught)}
        for spec, encoder in (encoders | teachers).items():
            if encoder.saw_posts:
                raise DataError(SAW_POSTS.format(spec))
        sides = {side for feature in features.values() for side in feature.modalities}
        apart = self.workspace.dataset["image"] == "path" and "image" in sides
        return {
            "dataset": dataset,
            "split": self.workspace.split_digest,
            "target": self.workspace.target_digest,
            "recipe": experiment(self.recipe.config),
            # What is fitted here has no fingerprint yet: it follows from all of this.
            "features": {name: feature.fingerprint for name, feature in features.items()},
            **({"teachers": {spec: encoder.identity for spec, encoder in teachers.items()}} if teachers else {}),
            # Those in the table are part of the dataset; files of their own may have been exchanged since.
            **({"set of picture files": digest(self.matrix.files)} if apart else {}),
            **({"pictures": further.fingerprint if further else ""} if self.recipe.pictures else {}),
        }

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Every feature that members and baselines read and that needs no training of a network."""
        names = [*self.recipe.baseline_vectors]
        for spec in (*self.recipe.members, *self.recipe.grid):
            if isinstance(spec, CatBoost):
                names += default_names() if spec.features is None else spec.features
            elif isinstance(spec, Network) and spec.settings.get("tuning") == "frozen":
                names += [role + TOKENS for role in spec.encoders.values()]
            elif isinstance(spec, Heads):
                names += [spec.encoder] if spec.settings.get("tuning") == "frozen" else []
                names += [spec.numbers] if spec.numbers else []
        return tuple(dict.fromkeys(names))

    def part(self, name: str, made_from: Mapping[str, Any], what: str) -> Path:
        """A folder of the run for parts of one step, claimed for this run and what else they were made from."""
        folder = self.folder / name
        claim(folder, {**self.made_from, **made_from}, what)
        return folder

    def elsewhere(self, assignment: pd.Series, protocol: Protocol = "grouped") -> FeatureMatrix:
        """The features under another split, post_id → part."""
        workspace = replace(self.workspace, protocol=protocol).parted(assignment)
        return FeatureMatrix(workspace, self.matrix.settings, self.recipe.junk)

    def measured(self) -> Predictor:
        """The bundle whose figures on the test posts are to be found.

        Raises BundleError where there is no sound one, DataError for one that was fitted on these posts too.
        """
        predictor = Predictor.load(self.bundle)
        if predictor.bundle.data.get("saw_test"):
            raise DataError(f"{self.bundle} was fitted on the test posts too; run `python -m training train` again.")
        return predictor

    def read_test(self, step: str, bundle: Path | None = None) -> None:
        """Write into the ledger that a step reads the test posts, of the run's own bundle where no other is given.

        Call it before the first of them is read.
        """
        folder = bundle or self.bundle
        entry = {
            "step": step,
            "recipe": self.recipe.name,
            "at": now(),
            "bundle": identity(read_bundle(folder)) if (folder / MANIFEST).exists() else "",
            "split": self.workspace.split_digest,
        }
        # A former line may have been cut off.
        line = f"\n{json.dumps(entry, sort_keys=True, ensure_ascii=True)}\n".encode("ascii")
        handle = os.open(self.work / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            # One write of one line: appends of several processes do not mix.
            if os.write(handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), LEDGER)
            os.fsync(handle)
        finally:
            os.close(handle)

    def test_reads(self) -> list[dict[str, str]]:
        """Every entry of the ledger on this split, oldest first; a line cut off by a crash is left out."""
        path = self.work / LEDGER
        entries = []
        for line in path.read_text(encoding="ascii").splitlines() if path.exists() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("split") == self.workspace.split_digest:
                entries.append({name: entry[name] for name in ("step", "recipe", "at", "bundle")})
        return entries

    def need_report(self) -> Path:
        """The folder of the report. Raises DataError when `evaluate` has not written it, or a part of it is gone."""
        lacking = [name for name in REPORT_FILES if not (self.report / name).exists()]
        if lacking:
            raise DataError(f"{self.report} holds no {lacking[0]}; run `python -m training evaluate` for it first.")
        return self.report
