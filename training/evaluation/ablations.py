"""The `ablate` step: what each part of a post and of the model earns, on several seeds, tested on the same posts.

    python -m training ablate --recipe youtube_blend --seeds 5

Each variant leaves one thing out of (or puts one thing into) CatBoost on all features of the recipe's frozen encoders;
the fusions are compared on frozen tokens, the heads on the same table. Cheap on purpose: a variant costs seconds, so
that every one is repeated. A variant finished for a seed is kept in `runs/<recipe>/ablations/` and not fitted again.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import structlog

from engine.encoders import load_encoder
from engine.errors import DataError
from engine.fusion import FUSIONS
from engine.prediction import MemberOutput
from training.data.workspace import Workspace
from training.evaluation.candidates import Candidate, calibrated
from training.evaluation.shipped import note_reads
from training.evaluation.variants import COMPONENTS, TREES, Variants
from training.metrics.bootstrap import evaluate_metrics, paired_bootstrap
from training.metrics.predictions import truth_of
from training.modeling.run import Run
from training.recipes.base import CatBoost, Recipe
from training.tables import write_table

log = structlog.get_logger()
REFERENCE = "all features"
FAMILIES = ("modality", "feature", "head", "leak", "control", "fusion")
METRICS = (
    "src", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "class_mae", "ranked_probability_score",
    "log_loss", "top20_src", "pairwise_accuracy",
)  # fmt: skip
# Those whose difference is tested: the bootstrap of all of them would take longer than the fits.
TESTED = ("src", "accuracy", "macro_f1", "quadratic_kappa", "ranked_probability_score", "log_loss")

Fit = Callable[[int, Path], dict[str, MemberOutput]]


@dataclass(frozen=True)
class Variant:
    """One model of the table: `fit` takes a seed and a scratch folder, `reference` names what it is set beside."""

    family: str
    name: str
    reference: str
    fit: Fit


def variants_of(bench: Variants) -> list[Variant]:
    """Every variant, references among them (a reference is its own reference)."""

    def without(names: Sequence[str] = ()) -> Fit:
        return lambda seed, _: bench.trees(bench.table(names), seed)

    def fusion(kind: Any) -> Fit:
        return lambda seed, folder: bench.fusion(kind, seed, folder)

    def shuffled(names: Sequence[str]) -> Fit:
        return lambda seed, _: bench.trees(bench.shuffled(names, seed), seed)

    everything = without()
    pictures, words = bench.reading("image"), bench.reading("text")
    leak = Variant("leak", "counts as inputs", REFERENCE, lambda seed, _: bench.trees(bench.leaked(), seed))
    found = [
        Variant("modality", REFERENCE, REFERENCE, everything),
        Variant("modality", "without picture", REFERENCE, without(pictures)),
        Variant("modality", "without text", REFERENCE, without(words)),
        *(Variant("feature", f"without {bench.label(name)}", REFERENCE, without([name])) for name in bench.names),
        Variant("head", "CatBoost head", "CatBoost head", everything),
        Variant("head", "torch head", "CatBoost head", lambda seed, _: bench.torch_head(bench.table(), seed)),
        # Without counts there is nothing to leak.
        *([] if bench.workspace.is_published else [leak]),
        Variant(
            "control",
            "shuffled labels",
            REFERENCE,
            lambda seed, _: bench.trees(bench.table(), seed, shuffle_labels=True),
        ),
        Variant("control", "shuffled pictures", REFERENCE, shuffled(pictures)),
        Variant("control", "shuffled titles", REFERENCE, shuffled(words)),
    ]
    # The plainest fusion is what the others are set beside.
    return found + [Variant("fusion", kind.replace("_", "-"), FUSIONS[0], fusion(kind)) for kind in FUSIONS]


def ablate(
    work: Path, recipe: Recipe, seeds: int = 5, *, families: Sequence[str] = FAMILIES, resamples: int = 1000
) -> Path:
    """Fit every variant of `families` on every seed under the grouped split, and write the report's two tables.

    Returns the report's folder, with ablations.parquet and comparisons.parquet in it; they cover every variant that is
    finished for all seeds, from this call or an earlier one. Raises DataError for an unknown family, no seed,
    a recipe without an encoder of each side, or a folder that holds ablations of other posts or settings.
    """
    if unknown := sorted(set(families) - set(FAMILIES)):
        raise DataError(f"There is no family {', '.join(unknown)} of ablations; known are {', '.join(FAMILIES)}.")
    if seeds < 1:
        raise DataError(f"{seeds} seeds measure nothing; give at least 1.")
    sides = {load_encoder(spec).modality for spec in recipe.encoders.values()}
    if sides != {"image", "text"}:
        raise DataError(f"The recipe {recipe.name} does not name an encoder for pictures and one for texts.")
    run = Run(work, recipe)
    trees = [spec for spec in (*recipe.members, *recipe.grid) if isinstance(spec, CatBoost)]
    named = [name for spec in trees for name in spec.features or ()]
    bench, workspace = Variants(run.matrix, recipe.frozen_roles, named), run.workspace
    features = {name: run.matrix.feature(name).fingerprint for name in bench.names}
    made_from = {"features": features, "trees": asdict(TREES), "components": COMPONENTS}
    folder = run.part("ablations", made_from, "ablations")
    run.read_test("ablate")
    note_reads(run)
    every = variants_of(bench)
    references = {variant.reference for variant in every if variant.family in families}
    for variant in every:
        if variant.family not in families and variant.name not in references:
            continue
        for seed in range(seeds):
            path = _path(folder, variant, seed)
            if path.exists():
                continue
            outputs = variant.fit(seed, path.with_suffix(""))
            candidate = Candidate(variant.name, "model", "both", outputs["validation"], outputs["test"])
            write_table(path, pd.concat(calibrated(candidate, workspace).values(), ignore_index=True))
            log.info("variant", family=variant.family, name=variant.name, seed=seed)
    finished = [variant for variant in every if all(_path(folder, variant, seed).exists() for seed in range(seeds))]
    for name, table in tables_of(folder, workspace, finished, seeds, resamples).items():
        write_table(run.report / f"{name}.parquet", table)
    return run.report


def _path(folder: Path, variant: Variant, seed: int) -> Path:
    return folder / f"{variant.name.replace(' ', '_')}-{seed}.parquet"


def tables_of(
    folder: Path, workspace: Workspace, variants: Sequence[Variant], seeds: int, resamples: int
) -> dict[str, pd.DataFrame]:
    """`ablations` and `comparisons` of finished variants, in the columns of docs/architecture.md."""
    truth = {split: truth_of(workspace, split) for split in ("validation", "test")}
    tables = {
        variant.name: [pd.read_parquet(_path(folder, variant, seed)) for seed in range(seeds)] for variant in variants
    }

    def part(name: str, split: str) -> list[pd.DataFrame]:
        return [table[table["split"] == split].drop(columns="level") for table in tables[name]]

    values = {
        (name, split): [evaluate_metrics(table, truth[split]) for table in part(name, split)]
        for name in tables
        for split in truth
    }
    rows: list[tuple[Any, ...]] = []
    deltas: list[tuple[Any, ...]] = []
    for variant in variants:
        if variant.name == variant.reference or variant.reference not in tables:
            continue
        for split in truth:
            pairs = zip(values[variant.name, split], values[variant.reference, split], strict=True)
            for seed, (own, other) in enumerate(pairs):
                head = (variant.family, variant.name, variant.reference, seed, split)
                rows += [(*head, metric, own[metric], other[metric]) for metric in METRICS]
        before = variants[: variants.index(variant)]
        # Any two fusions are of interest.
        fusions = [other.name for other in before if other.family == variant.family == "fusion"]
        for rival in dict.fromkeys((variant.reference, *fusions)):
            sides = part(variant.name, "test"), part(rival, "test")
            gains = paired_bootstrap(TESTED, *sides, truth["test"], resamples=resamples)
            deltas += [
                (variant.name, rival, metric, *gain, seeds, len(truth["test"])) for metric, gain in gains.items()
            ]
    columns = ["family", "ablation", "reference", "seed", "split", "metric", "value", "reference_value"]
    names = ["ablation", "reference", "metric", "delta", "low", "high", "seeds", "n"]
    return {"ablations": pd.DataFrame(rows, columns=columns), "comparisons": pd.DataFrame(deltas, columns=names)}
