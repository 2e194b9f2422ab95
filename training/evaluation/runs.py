"""The `compare` step: what every finished run of a work folder reached, put beside one run's report.

    python -m training compare --recipe youtube_blend

Runs share the work folder's posts and split, so their figures may stand in one table, those of one target at least.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import structlog

from engine.errors import DataError
from training.modeling.train import run_folder
from training.recipes.base import Recipe
from training.tables import write_table

log = structlog.get_logger()
TABLE = "recipes.parquet"
FIGURES = ["protocol", "split", "view", "metric", "value", "low", "high", "n"]
# Tables that one run has and all reports may show.
SHARED = ("crossvalidation.parquet", "grid.parquet")


def _reports(work: Path, fingerprint: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and facts of every finished report on the posts of a fingerprint, by name."""
    for path in sorted((work / "runs").glob("*/report/report.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["data"]["fingerprint"] == fingerprint and (path.parent / "metrics.parquet").exists():
            yield path.parent, facts
        else:
            log.warning("left out", report=str(path.parent), reason="other posts, or not evaluated")


def compare(work: Path, recipe: Recipe) -> Path:
    """Gather the test figures, nested folds and grids of all runs into a recipe's report; returns its folder.

    Writes recipes.parquet, and crossvalidation.parquet and grid.parquet where a run has them. Raises DataError when
    the recipe has no report.
    """
    report = run_folder(work, recipe) / "report"
    if not (report / "report.json").exists():
        raise DataError(f"{report} holds no report; run `python -m training evaluate --recipe {recipe.name}` first.")
    fingerprint = json.loads((report / "report.json").read_text(encoding="utf-8"))["data"]["fingerprint"]
    figures: list[pd.DataFrame] = []
    shared: dict[str, list[pd.DataFrame]] = {}
    for folder, facts in _reports(work, fingerprint):
        metrics = pd.read_parquet(folder / "metrics.parquet")
        own = metrics.loc[metrics["kind"].eq("model") & metrics["split"].eq("test"), FIGURES]
        named = {"recipe": facts["recipe"], "summary": facts["summary"], "target": facts["config"]["target"]}
        figures.append(own.assign(**named)[[*named, *FIGURES]])
        for name in SHARED:
            if (folder / name).exists():
                table = pd.read_parquet(folder / name)
                table["recipe"] = table.get("recipe", facts["recipe"])
                # A report may still hold what an earlier comparison put there of others.
                shared.setdefault(name, []).append(table[table["recipe"] == facts["recipe"]])
    write_table(report / TABLE, pd.concat(figures, ignore_index=True))
    for name, tables in shared.items():
        write_table(report / name, pd.concat(tables, ignore_index=True))
    return report
