"""The figures in README.md, written from a report so that nobody types them: `python -m training figures`."""

import json
import os
from math import isnan, nan
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import DataError

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
# Metric in the report → heading, decimals.
COLUMNS = {
    "src": ("rank correlation", 2),
    "accuracy": ("accuracy", 2),
    "macro_f1": ("macro-F1", 2),
    "quadratic_kappa": ("weighted κ", 2),
    "classwise_ece": ("ECE", 3),
    "conformal_coverage": ("sets cover", 2),
}
# Resampling adds noise inside the bins of a calibration error, so its interval lies above it and would only puzzle.
WITHOUT_INTERVAL = {"classwise_ece"}
RECIPE_COLUMNS = {name: COLUMNS[name] for name in ("src", "accuracy", "macro_f1", "quadratic_kappa")} | {
    "r2": ("R²", 2)
}
TARGETS = {"score": "engagement", "popularity": "popularity", "popularity_with_views": "popularity with views"}
KINDS = ("model", "baseline", "control", "leak")
SEES = {"both": "picture and title", "text": "title", "image": "picture"}


def figures(report: Path) -> str:
    """Markdown of a report's figures: the model, baselines, controls and the leak on its grouped test split, its notes.

    Raises DataError when the folder is no report or has no grouped test figures.
    """
    try:
        facts: dict[str, Any] = json.loads((report / "report.json").read_text(encoding="utf-8"))
        metrics = pd.read_parquet(report / "metrics.parquet")
    except (OSError, ValueError) as error:
        raise DataError(f"{report} is no readable report; `python -m training evaluate` writes one.") from error
    table = metrics[(metrics["protocol"] == "grouped") & (metrics["split"] == "test") & metrics["kind"].isin(KINDS)]
    if table.empty:
        raise DataError(f"{report} has no figures of the grouped test split; run `python -m training evaluate` again.")
    heads = " | ".join(heading for heading, _ in COLUMNS.values())
    lines = [
        f"Five levels, {int(table['n'].max()):,} test posts; no channel, series or near-duplicate of them was trained "
        f"on. Small print: 95 % intervals. Recipe `{facts['recipe']}`, {str(facts['created'])[:10]}.",
        "",
        f"| | sees | {heads} |",
        f"| --- | --- |{' ---: |' * len(COLUMNS)}",
        *_rows(table),
        "",
        *(f"- {note}" for note in facts.get("notes", ())),
    ]
    if (report / "recipes.parquet").exists():
        lines += _recipes(pd.read_parquet(report / "recipes.parquet"), str(facts["recipe"]))
    return "\n".join(lines)


def _recipes(table: pd.DataFrame, own: str) -> list[str]:
    """The other recipes of the work folder on the same test posts, best rank correlation first within a target."""
    table = table[(table["protocol"] == "grouped") & (table["view"] == "both") & (table["recipe"] != own)]
    rows = []
    for (recipe, target), found in table.groupby(["recipe", "target"]):
        means = {str(name): _mean(part, str(name)) for name, part in found.groupby("metric")}
        cells = " | ".join(_cell(means.get(metric), digits) for metric, (_, digits) in RECIPE_COLUMNS.items())
        best = means.get("src", (0.0, 0.0, 0.0))[0]
        rows.append((list(TARGETS).index(str(target)), -best, f"| {recipe} | {TARGETS[str(target)]} | {cells} |"))
    if not rows:
        return []
    heads = " | ".join(heading for heading, _ in RECIPE_COLUMNS.values())
    return [
        "",
        "Other recipes, picture and title, same test posts (levels of another target are of another quantity):",
        "",
        f"| recipe | predicts | {heads} |",
        f"| --- | --- |{' ---: |' * len(RECIPE_COLUMNS)}",
        *(row for *_, row in sorted(rows)),
    ]


def _rows(table: pd.DataFrame) -> list[str]:
    """One Markdown row a model and view: the model by view, then each further kind, best rank correlation first."""
    rows = []
    for _, found in table.groupby(["model", "kind", "view"]):
        model, kind, view = (str(found[name].iloc[0]) for name in ("model", "kind", "view"))
        means = {str(name): _mean(part, str(name)) for name, part in found.groupby("metric")}
        cells = " | ".join(_cell(means.get(metric), digits) for metric, (_, digits) in COLUMNS.items())
        name = f"**{model}**" if kind == "model" else model if kind == "baseline" else f"{model} ({kind})"
        best = means.get("src", (0.0, 0.0, 0.0))[0]
        place = list(SEES).index(view) if kind == "model" else 1.0 if isnan(best) else -best
        rows.append((KINDS.index(kind), place, f"| {name} | {SEES[view]} | {cells} |"))
    return [row for _, _, row in sorted(rows)]


def _mean(part: pd.DataFrame, metric: str) -> tuple[float, float, float]:
    """Value and interval of one metric; over repeated seeds the mean, whose interval would be another one."""
    value = float(part["value"].mean())
    if len(part) > 1 or metric in WITHOUT_INTERVAL:
        return value, nan, nan
    return value, float(part["low"].iloc[0]), float(part["high"].iloc[0])


def _cell(found: tuple[float, float, float] | None, digits: int) -> str:
    if found is None or isnan(found[0]):
        return "–"
    value, low, high = (_number(number, digits) for number in found)
    return f"{value} <sub>{low}–{high}</sub>" if low != high else value


def _number(value: float, digits: int) -> str:
    """A share or correlation without its leading zero: ".62"; "" for none."""
    return "" if isnan(value) else f"{value:.{digits}f}".replace("-0.", "−.").removeprefix("0")


def update_readme(report: Path, readme: Path) -> None:
    """Put the figures of a report between the markers of a README. Raises DataError when either is not as it should."""
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise DataError(f"{readme} needs one line {BEGIN} and, below it, one line {END}.")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    temporary = readme.with_name(f".{readme.name}.tmp")
    temporary.write_text(f"{before}{BEGIN}\n{figures(report)}\n{END}{after}", encoding="utf-8")
    os.replace(temporary, readme)
