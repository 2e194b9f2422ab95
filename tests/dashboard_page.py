"""Runs one page of the dashboard without a browser, and completes a report with what its model pages read."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from streamlit.testing.v1 import AppTest

from tests.tiny_report import altered

PAGES = ("results", "calibration", "ablations", "recipes", "explanations")
TESTED = (
    "src", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "ranked_probability_score", "log_loss",
)  # fmt: skip
READS = [
    {"step": "evaluate", "at": "2026-01-01T00:00:00+00:00", "bundle": "ab12"},
    {"step": "evaluate", "at": "2026-01-02T00:00:00+00:00", "bundle": "ab12"},
    {"step": "ablate", "at": "2026-01-03T00:00:00+00:00", "bundle": None},
]
HARDWARE = {
    "single_post": {
        "what": "one prediction, against its encoders",
        "ratio": 1.551,
        "target": 1.3,
        "figures": [{"name": "prediction", "value": 41.0, "unit": "ms"}],
        "machine": "a made-up processor",
        "threads": 1,
        "versions": {"Python": "3.11.0", "torch": "2.0"},
        "measured": "2026-01-01T00:00:00+00:00",
        "bundle": "of a former one",
    },
    "startup": {"what": "until the page answers", "ratio": 0.65, "target": 1.5, "bundle": "the report's"},
    "contention": {"what": "score beside busy loops", "ratio": 0.7, "target": 0.8, "better": "higher"},
    "untested": {"what": "another", "ratio": 2.0},
}


def _script(name: str, folder: str) -> None:
    from importlib import import_module
    from pathlib import Path

    from dashboard import app

    app.show(import_module(f"dashboard.app_pages.{name}.page"), app.open_once(Path(folder)))


def page(name: str, folder: Path) -> AppTest:
    """A page of a report, not yet run."""
    return AppTest.from_function(_script, args=(name, str(folder)), default_timeout=60)


def texts(app: AppTest) -> str:
    """All words on a page."""
    elements = (*app.markdown, *app.caption, *app.subheader, *app.info, *app.warning, *app.success, *app.error)
    return "\n".join(str(element.value) for element in elements)


def completed(report: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a report with made-up differences, coverage, intervals of the reliability, readings and benchmarks.

    `changes` are those of `tests.tiny_report.altered`.
    """
    altered(report, folder, {"test_reads": READS, "bundle": "the report's"})
    recipe = json.loads((folder / "report.json").read_text(encoding="utf-8"))["recipe"]
    found = {name: (-0.02, -0.03, -0.01) for name in TESTED} | {
        "src": (0.05, 0.02, 0.08),
        "accuracy": (0.01, -0.02, 0.04),
    }
    rows = [
        (recipe, "both", reference, view, metric, *figures, 43)
        for reference, view in ((recipe, "text"), (recipe, "image"), ("n-gram ridge", "text"))
        for metric, figures in found.items()
    ]
    columns = ["model", "view", "reference", "reference_view", "metric", "delta", "low", "high", "n"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "differences.parquet")
    levels = [
        (recipe, view, split, level, metric, 0.8, 0.7, 0.9, 9)
        for view in ("both", "text", "image")
        for split in ("validation", "test")
        for level in range(5)
        for metric in ("conformal_coverage", "interval_coverage")
    ]
    columns = ["model", "view", "split", "level", "metric", "value", "low", "high", "n"]
    pd.DataFrame(levels, columns=columns).to_parquet(folder / "coverage.parquet")
    curve = pd.read_parquet(folder / "reliability.parquet")
    curve.assign(low=curve["frequency"] - 0.1, high=curve["frequency"] + 0.1).to_parquet(folder / "reliability.parquet")
    (folder / "hardware.json").write_text(json.dumps(HARDWARE), encoding="utf-8")
    if changes:
        return altered(folder, folder.with_name(f"{folder.name}-changed"), **changes)
    return folder
