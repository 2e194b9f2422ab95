"""The `ablate` step: what each part of a post and of the model earns, on several seeds, tested on the same posts.

    python -m training ablate --recipe youtube_blend --seeds 5

Each variant leaves one thing out of (or puts one thing into) CatBoost on all features of the recipe's frozen encoders;
the fusions are compared on frozen tokens, the heads on the same table. Cheap on purpose: a variant costs seconds, so
that every one is repeated. A variant finished for a seed is kept in `runs/<recipe>/ablations/` and not fitted again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import structlog

from engine.encoders import load_encoder
from engine.errors import DataError
from engine.features.extractor import NGRAMS, PICTURE_STATISTICS, SIMILARITY, TEXT_STATISTICS
from engine.fusion import FUSIONS
from engine.members import MemberOutput
from training.data.workspace import Workspace
from training.evaluation.candidates import Candidate, calibrated, truth_of
from training.evaluation.variants import COMPONENTS, GROUPS, IMAGE_GROUPS, PICTURE, TEXT_GROUPS, TITLE, TREES, Variants
from training.features.matrix import FeatureMatrix
from training.metrics.bootstrap import evaluate_metrics, paired_bootstrap
from training.modeling.train import run_folder
from training.recipes.base import Recipe
from training.tables import claim, write_table

log = structlog.get_logger()
REFERENCE = "all features"
FAMILIES = ("modality", "statistic", "signal", "head", "leak", "control", "fusion")
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

    def without(*groups: str) -> Fit:
        kept = [name for name in GROUPS if name not in groups]
        return lambda seed, _: bench.trees(bench.table(kept), seed)

    def fusion(kind: Any) -> Fit:
        return lambda seed, folder: bench.fusion(kind, seed, folder)

    everything = without()
    found = [
        Variant("modality", REFERENCE, REFERENCE, everything),
        Variant("modality", "without picture", REFERENCE, without(*IMAGE_GROUPS, SIMILARITY)),
        Variant("modality", "without text", REFERENCE, without(*TEXT_GROUPS, SIMILARITY)),
        Variant("statistic", "without text statistics", REFERENCE, without(TEXT_STATISTICS)),
        Variant("statistic", "without picture statistics", REFERENCE, without(PICTURE_STATISTICS)),
        Variant("signal", "without n-grams", REFERENCE, without(NGRAMS)),
        Variant("signal", "without similarity", REFERENCE, without(SIMILARITY)),
        Variant("signal", "without title vectors", REFERENCE, without(TITLE)),
        Variant("signal", "without picture vectors", REFERENCE, without(PICTURE)),
        Variant("head", "CatBoost head", "CatBoost head", everything),
        Variant("head", "torch head", "CatBoost head", lambda seed, _: bench.torch_head(bench.table(GROUPS), seed)),
        Variant("leak", "counts as inputs", REFERENCE, lambda seed, _: bench.trees(bench.leaked(), seed)),
        Variant(
            "control",
            "shuffled labels",
            REFERENCE,
            lambda seed, _: bench.trees(bench.table(GROUPS), seed, shuffle_labels=True),
        ),
        Variant(
            "control",
            "shuffled pictures",
            REFERENCE,
            lambda seed, _: bench.trees(bench.shuffled((*IMAGE_GROUPS, SIMILARITY), seed), seed),
        ),
        Variant(
            "control",
            "shuffled titles",
            REFERENCE,
            lambda seed, _: bench.trees(bench.shuffled((*TEXT_GROUPS, SIMILARITY), seed), seed),
        ),
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
    folder = run_folder(work, recipe) / "ablations"
    workspace = Workspace(work, target=recipe.target)
    _claim(folder, workspace, recipe)
    bench = Variants(FeatureMatrix(workspace, dict(recipe.encoders), recipe.text_fields))
    every = variants_of(bench)
    references = {variant.reference for variant in every if variant.family in families}
    for variant in every:
        if variant.family not in families and variant.name not in references:
            continue
        for seed in range(seeds):
            path = _path(folder, variant, seed)
            if path.exists():
                continue
            answers = variant.fit(seed, path.with_suffix(""))
            candidate = Candidate(variant.name, "model", "both", answers["validation"], answers["test"])
            write_table(path, pd.concat(calibrated(candidate, workspace).values(), ignore_index=True))
            log.info("variant", family=variant.family, name=variant.name, seed=seed)
    finished = [variant for variant in every if all(_path(folder, variant, seed).exists() for seed in range(seeds))]
    report = run_folder(work, recipe) / "report"
    report.mkdir(parents=True, exist_ok=True)
    for name, table in tables_of(folder, workspace, finished, seeds, resamples).items():
        write_table(report / f"{name}.parquet", table)
    return report


def _path(folder: Path, variant: Variant, seed: int) -> Path:
    return folder / f"{variant.name.replace(' ', '_')}-{seed}.parquet"


def _claim(folder: Path, workspace: Workspace, recipe: Recipe) -> None:
    """Say in the folder what its variants were fitted on. Raises DataError when it holds those of something else."""
    posts = workspace.posts[["post_id", "split", "target"]]
    facts = {
        "posts": hashlib.sha256(posts.to_csv(index=False).encode()).hexdigest(),
        "encoders": recipe.encoders,
        "text_fields": list(recipe.text_fields),
        "trees": asdict(TREES),
        "components": COMPONENTS,
    }
    claim(folder, facts, "ablations")


def _rivals(variant: Variant, variants: Sequence[Variant]) -> list[str]:
    """Variants before this one that it is tested against beside its reference: any two fusions are of interest."""
    if variant.family != "fusion":
        return []
    before = variants[: variants.index(variant)]
    return [other.name for other in before if other.family == "fusion" and other.name != variant.reference]


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
        for rival in (variant.reference, *_rivals(variant, variants)):
            for metric in TESTED:
                sides = part(variant.name, "test"), part(rival, "test")
                found = paired_bootstrap(metric, *sides, truth["test"], groups="group", resamples=resamples)
                deltas.append((variant.name, rival, metric, *found, seeds, len(truth["test"])))
    columns = ["family", "ablation", "reference", "seed", "split", "metric", "value", "reference_value"]
    names = ["ablation", "reference", "metric", "delta", "low", "high", "seeds", "n"]
    return {"ablations": pd.DataFrame(rows, columns=columns), "comparisons": pd.DataFrame(deltas, columns=names)}
