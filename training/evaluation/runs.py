"""The `compare` step: what every finished run of a work folder reached, put beside one run's report.

    python -m training compare --recipe youtube_blend
    python -m training compare --recipe youtube_blend --model models/youtube

Runs share the work folder's posts and split, so their figures may stand in one table, those of one target at least. On
the same encoders two recipes may be one and the same experiment: those stand in one row. What one ranks better than the
run that they are put beside is paired on the same test posts; levels may be cut elsewhere, so of these nothing is said.
A shipped model's report may stand in for that run.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import structlog

from training.evaluation.shipped import OTHERS, note_reads, shipped_facts, with_apart, with_reads, write_facts
from training.metrics.bootstrap import paired_bootstrap
from training.metrics.predictions import truth_of
from training.modeling.run import Run
from training.recipes.base import Recipe, experiment
from training.tables import now, replace_rows, write_table

log = structlog.get_logger()
TABLE = "recipes.parquet"
FIGURES = ["protocol", "split", "view", "metric", "value", "low", "high", "n"]
GAIN, PREDICTIONS = ["gain", "gain_low", "gain_high"], "predictions.parquet"
# Tables that one run has and all reports may show.
SHARED = ("crossvalidation.parquet", "grid.parquet", "networks.parquet", "classification.parquet", "confusion.parquet")
# Learning curves of networks with heads, beside one another; those of others stay with their own report.
CURVES, OF_HEADS, SHARED_CURVES = "curves.parquet", "networks.parquet", "recipe_curves.parquet"

Found = tuple[Path, dict[str, Any]]


def _reports(run: Run) -> Iterator[Found]:
    """Folder and report.json of every finished report on the posts and the split of a run, by name."""
    for path in sorted((run.work / "runs").glob("*/report/report.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        same = report["data"]["fingerprint"] == run.workspace.dataset["fingerprint"]
        if same and report.get("split") == run.workspace.split_digest and (path.parent / "metrics.parquet").exists():
            yield path.parent, report
        else:
            log.warning("left out", report=str(path.parent), reason="other posts, another split, or not evaluated")


def _merged(runs: Iterable[Found], own: str) -> Iterator[tuple[Path, dict[str, Any], list[str]]]:
    """One run of each experiment, the recipe `own` before others, with the names of the other recipes that it is."""
    found: dict[str, list[Found]] = {}
    for folder, report in sorted(runs, key=lambda run: run[1]["recipe"] != own):
        found.setdefault(json.dumps(experiment(report["config"]), sort_keys=True), []).append((folder, report))
    for (folder, report), *others in sorted(found.values(), key=lambda same: str(same[0][1]["recipe"])):
        yield folder, report, [other["recipe"] for _, other in others]


def answers_on_test(folder: Path, model: str) -> pd.DataFrame:
    """What a run's model says of the test posts, seeing both sides."""
    table = pd.read_parquet(folder / PREDICTIONS)
    return table[(table["model"] == model) & (table["view"] == "both") & (table["split"] == "test")]


def compare(work: Path, recipe: Recipe, model: Path | None = None) -> Path:
    """Gather the test figures, nested folds and grids of all runs into a recipe's report; returns its folder.

    With the folder `model` of a shipped model of the recipe that is its report, where recipes without a run stay. Runs
    whose recipes differ in words alone are one experiment and stand there once, `same_as` the others. Writes
    recipes.parquet, and crossvalidation.parquet and grid.parquet where a run has them. In the first, `gain` is the SRC
    of another run of the same target less that of the recipe's own, both sides seen, with its paired 95 % interval.
    Raises DataError when the recipe has no report, or the shipped one is of other posts or another split.
    """
    run = Run(work, recipe)
    found_here = list(_reports(run))
    if model is None:
        target = run.need_report()
    else:
        target, facts = model / "report", shipped_facts(model, run, recipe.name)
        found_here = [(target, facts), *(found for found in found_here if found[1]["recipe"] != recipe.name)]
    run.read_test("compare", model and model / "bundle")
    note_reads(run)
    truth, own_answers = truth_of(run.workspace, "test"), answers_on_test(target, recipe.name)
    figures: list[pd.DataFrame] = []
    shared: dict[str, list[pd.DataFrame]] = {}
    for folder, report, others in _merged(found_here, recipe.name):
        metrics = pd.read_parquet(folder / "metrics.parquet")
        own = metrics.loc[metrics["kind"].eq("model") & metrics["split"].eq("test"), FIGURES]
        same = ", ".join(others)
        summary = f"{report['summary']} On these encoders {same} is the same run." if same else report["summary"]
        predicts = "published" if run.workspace.is_published else report["config"]["target"]
        named = {"recipe": report["recipe"], "summary": summary, "target": predicts, "same_as": same}
        own = own.assign(**named, **dict.fromkeys(GAIN, np.nan))
        answers = answers_on_test(folder, report["recipe"])
        if folder != target and report["config"]["target"] == recipe.target and len(answers) == len(own_answers) > 0:
            found = paired_bootstrap(["src"], answers, own_answers, truth)
            own.loc[own["metric"].eq("src") & own["view"].eq("both"), GAIN] = found["src"]
        figures.append(own[[*named, *FIGURES, *GAIN]])
        for name in SHARED:
            if (folder / name).exists():
                table = pd.read_parquet(folder / name)
                table["recipe"] = table.get("recipe", report["recipe"])
                # A report may still hold what an earlier comparison put there of others.
                shared.setdefault(name, []).append(table[table["recipe"] == report["recipe"]])
        if (folder / OF_HEADS).exists() and (folder / CURVES).exists():
            curves = pd.read_parquet(folder / CURVES).assign(recipe=report["recipe"])
            shared.setdefault(SHARED_CURVES, []).append(curves)
    for name, tables in {TABLE: figures, **shared}.items():
        (write_table if model is None else replace_rows)(target / name, pd.concat(tables, ignore_index=True))
    if model is not None:
        facts = with_apart(facts, {OTHERS: now()} if len(found_here) > 1 else {})
        write_facts(model, with_reads(facts, {}, run.test_reads()))
    return target
