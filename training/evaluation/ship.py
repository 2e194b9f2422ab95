"""The `ship` step: a run's bundle and report to where the apps look, both at once."""

import json
import shutil
from pathlib import Path
from typing import Any

from engine.bundle import read_bundle
from engine.files import replacing_folder, write_json
from training.modeling.run import Run
from training.recipes.base import Recipe

# Of a report: what benchmarks wrote, on whatever machine is shown.
HARDWARE = "hardware.json"


def ship(work: Path, recipe: Recipe, target: Path) -> Path:
    """Put a run's bundle and report into the folder `target`, in place of what was there.

    What benchmarks measured stays. Earlier reads of the same test posts, which the former report knows, are kept in the
    new one. Raises BundleError or DataError when the run has no sound bundle or no report.
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
        if (former / "report.json").exists():
            path = staging / "report" / "report.json"
            write_json(
                path, _with_reads(json.loads(path.read_text()), json.loads((former / "report.json").read_text()))
            )
    return target


def _with_reads(new: dict[str, Any], former: dict[str, Any]) -> dict[str, Any]:
    """The new report.json with the test reads of the former one, if both are of one split."""
    if new["split"] != former.get("split"):
        return new
    own = new["test_reads"]
    reads = [*(read for read in former["test_reads"] if read not in own), *own]
    return {**new, "test_reads": sorted(reads, key=lambda read: read["at"])}
