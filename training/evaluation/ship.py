"""The `ship` step: a run's bundle and report to where the apps look, both at once."""

import json
import shutil
from pathlib import Path
from typing import Any

from engine.bundle import read_bundle
from engine.files import replacing_folder, write_json
from training.modeling.alignment import SIGNALS
from training.modeling.run import Run
from training.recipes.base import Recipe

# Of a report: what benchmarks wrote, on whatever machine is shown.
HARDWARE = "hardware.json"


def ship(work: Path, recipe: Recipe, target: Path, signals: Path | None = None) -> Path:
    """Put a run's bundle and report into the folder `target`, in place of what was there.

    What benchmarks measured stays. Reads of the same test posts since the report, and earlier ones that the former
    report knows, are kept in the new one. Into the folder `signals` goes what `align` and `caption` trained. Raises
    BundleError or DataError when the run has no sound bundle or no report.
    """
    run = Run(work, recipe)
    read_bundle(run.bundle)
    report = run.need_report()
    with replacing_folder(target) as staging:
        shutil.copytree(run.bundle, staging / "bundle")
        shutil.copytree(report, staging / "report")
        former = target / "report"
        if (former / HARDWARE).exists() and not (report / HARDWARE).exists():
            shutil.copy(former / HARDWARE, staging / "report")
        path = staging / "report" / "report.json"
        known = former / "report.json"
        before = json.loads(known.read_text()) if known.exists() else {}
        write_json(path, _with_reads(json.loads(path.read_text()), before, run.test_reads()))
    if signals is not None:
        for trained in sorted((work / SIGNALS).iterdir()):
            with replacing_folder(signals / trained.name) as staging:
                shutil.copytree(trained, staging, dirs_exist_ok=True)
    return target


def _with_reads(new: dict[str, Any], former: dict[str, Any], since: list[dict[str, str]]) -> dict[str, Any]:
    """The new report.json with the test reads of the former one, if both are of one split, and with those since."""
    earlier = former["test_reads"] if new["split"] == former.get("split") else []
    reads: list[dict[str, str]] = []
    for read in (*earlier, *new["test_reads"], *since):
        if read not in reads:
            reads.append(read)
    return {**new, "test_reads": sorted(reads, key=lambda read: read["at"])}
