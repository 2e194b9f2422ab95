"""The figures in README.md, written from a report so that nobody types them: `python -m training figures`."""

import json
from math import isnan, nan
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import DataError
from engine.files import write_text

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
GAINS = {"src": "rank correlation", "accuracy": "accuracy", "macro_f1": "macro-F1"}
RECIPE_COLUMNS = {name: COLUMNS[name] for name in ("src", "accuracy", "macro_f1", "quadratic_kappa")} | {
    "r2": ("R²", 2)
}
TARGETS = {
    "score": "engagement",
    "popularity": "popularity",
    "popularity_with_views": "popularity with views",
    "published": "popularity as published",
}
KINDS = ("model", "baseline", "control", "leak")
SEES = {"both": "picture and title", "text": "title", "image": "picture"}


def figures(report: Path) -> str:
    """Markdown of a report's figures on its grouped test split: what the model gains over less, then the model,
    baselines, controls and the leak one by one, the report's notes, and the other recipes.

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
    posts = f"{int(table['n'].max()):,} test posts"
    lines = [
        f"Recipe `{facts['recipe']}`, {str(facts['created'])[:10]}, five levels, {posts}; no post of their "
        "groups (a known channel, a series, near-duplicates, what shares rare words) was trained on. Small print: 95 % "
        "intervals, whole groups drawn.",
        "",
    ]
    if (report / "differences.parquet").exists():
        lines += _differences(pd.read_parquet(report / "differences.parquet"), posts)
    heads = " | ".join(heading for heading, _ in COLUMNS.values())
    lines += [
        f"`{facts['recipe']}` and what it is set beside, {posts}, one by one:",
        "",
        f"| | given | {heads} |",
        f"| --- | --- |{' ---: |' * len(COLUMNS)}",
        *_rows(table),
        "",
        *(f"- {note}" for note in facts.get("notes", ())),
    ]
    if (report / "recipes.parquet").exists():
        lines += _recipes(pd.read_parquet(report / "recipes.parquet"), str(facts["recipe"]))
    return "\n".join(lines)


def _differences(table: pd.DataFrame, posts: str) -> list[str]:
    """What the model has over its references, paired by post."""
    rows = []
    for names, found in table.groupby(["model", "view", "reference", "reference_view"], sort=False):
        model, view, reference, other = map(str, names)
        cells = [_delta(found[found["metric"] == metric]) for metric in GAINS]
        rows.append(f"| **{model}**, {SEES[view]} | {reference}, {SEES[other]} | {' | '.join(cells)} |")
    return [
        f"What it gains over less, paired on the same {posts} (an interval that holds 0 shows no difference):",
        "",
        f"| | over | {' | '.join(GAINS.values())} |",
        f"| --- | --- |{' ---: |' * len(GAINS)}",
        *rows,
        "",
    ]


def _delta(found: pd.DataFrame) -> str:
    if found.empty:
        return "–"
    delta, low, high = (_number(float(found[name].iloc[0]), 3, sign="+") for name in ("delta", "low", "high"))
    return f"{delta} <sub>{low} to {high}</sub>"


def _recipes(table: pd.DataFrame, own: str) -> list[str]:
    """The other recipes of the work folder on the same test posts, best rank correlation first within a target."""
    table = table[(table["protocol"] == "grouped") & (table["view"] == "both") & (table["recipe"] != own)]
    rows = []
    for (recipe, target), found in table.groupby(["recipe", "target"]):
        means = {str(name): _mean(part) for name, part in found.groupby("metric")}
        cells = " | ".join(_cell(means.get(metric), digits) for metric, (_, digits) in RECIPE_COLUMNS.items())
        best = means.get("src", (0.0, 0.0, 0.0))[0]
        same = found["same_as"].iloc[0] if "same_as" in found else ""
        name = f"{recipe} (the same run: {same})" if same else recipe
        rows.append((list(TARGETS).index(str(target)), -best, f"| {name} | {TARGETS[str(target)]} | {cells} |"))
    if not rows:
        return []
    heads = " | ".join(heading for heading, _ in RECIPE_COLUMNS.values())
    return [
        "",
        f"Other recipes, picture and title, the same {int(table['n'].max()):,} test posts (levels of another target "
        "are of another quantity):",
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
        means = {str(name): _mean(part) for name, part in found.groupby("metric")}
        cells = " | ".join(_cell(means.get(metric), digits) for metric, (_, digits) in COLUMNS.items())
        name = f"**{model}**" if kind == "model" else model if kind == "baseline" else f"{model} ({kind})"
        best = means.get("src", (0.0, 0.0, 0.0))[0]
        place = list(SEES).index(view) if kind == "model" else 1.0 if isnan(best) else -best
        rows.append((KINDS.index(kind), place, f"| {name} | {SEES[view]} | {cells} |"))
    return [row for _, _, row in sorted(rows)]


def _mean(part: pd.DataFrame) -> tuple[float, float, float]:
    """Value and interval of one metric; over repeated seeds the mean, whose interval would be another one."""
    value = float(part["value"].mean())
    if len(part) > 1:
        return value, nan, nan
    return value, float(part["low"].iloc[0]), float(part["high"].iloc[0])


def _cell(found: tuple[float, float, float] | None, digits: int) -> str:
    if found is None or isnan(found[0]):
        return "–"
    value, low, high = (_number(number, digits) for number in found)
    return f"{value} <sub>{low}–{high}</sub>" if low != high else value


def _number(value: float, digits: int, sign: str = "-") -> str:
    """A share or correlation without its leading zero: ".62", with `sign` "+" also "+.62"; "" for none."""
    text = "" if isnan(value) else f"{value:{sign}.{digits}f}"
    return text.replace("-0.", "−.").replace("+0.", "+.").removeprefix("0")


def update_readme(report: Path, readme: Path) -> None:
    """Put the figures of a report between the markers of a README. Raises DataError when either is not as it should."""
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{readme} cannot be read as text; give the name of a README that is there.") from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise DataError(f"{readme} needs one line {BEGIN} and, below it, one line {END}.")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    write_text(readme, f"{before}{BEGIN}\n{figures(report)}\n{END}{after}")
