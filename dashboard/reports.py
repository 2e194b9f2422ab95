"""Which reports there are, what is in one, and the settings that name them.

`FIRST_IMPRESSIONS_REPORT` is a report's folder (or a folder of such folders), here or at an address such as
s3://bucket/report, which is fetched into the cache once; without it the reports shipped under `models/` are offered.
`FIRST_IMPRESSIONS_DATA` is a folder whose `posts.parquet` holds titles and pictures.
"""

import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from pydantic_settings import BaseSettings, SettingsConfigDict

import engine.settings
from dashboard import text
from dashboard.checks import faults
from engine.addresses import Address, here, located
from engine.errors import DataError
from engine.scoring import LEVELS

ROOT = Path(__file__).resolve().parents[1]
# Of report.json, as `evaluate` writes it.
FORMAT = 2

# Columns without which a table's page cannot be drawn; further columns are welcome.
COLUMNS = {
    table: frozenset(names.split())
    for table, names in {
        "posts": "post_id split random_split group source score log_score level title_characters language image_width "
        "image_height thumbhash image_url",
        "cleaning": "post_id reason",
        "metrics": "model kind protocol split view metric value low high n seed",
        "predictions": "model view post_id split level p_very_low p_low p_average p_high p_very_high predicted_level "
        "expected_level score score_low score_high set_low set_high abstain",
        "reliability": "model view split level bin_low bin_high confidence frequency n",
        "differences": "model view reference reference_view metric delta low high n",
        "contributions": "view member metric delta low high n",
        "learning_curve": "view member posts metric value low high gain gain_low gain_high n",
        "coverage": "model view split level metric value low high n",
        "guard": "view origin kind metric value low high n",
        "curves": "model epoch step split metric value",
        "ablations": "family ablation reference seed split metric value reference_value",
        "comparisons": "ablation reference metric delta low high seeds n",
        "crossvalidation": "recipe protocol fold candidates chosen metric value n",
        "recipes": "recipe summary target protocol split view metric value low high n",
        "grid": "candidate iterations depth chosen metric value n",
        "attribution": "method kind fraction value n",
        "attribution_summary": "method metric value low high n",
        "signals": "post_id level popularity interval removed",
        "consistency": "signal by bin bin_low bin_high cleaning control value low high n",
        "trends": "signal against cleaning control value low high n",
        "removal": "by bin bin_low bin_high reason value low high n",
        "verdicts": "signal against verdict survives sentence",
        "matching": "dataset model direction metric value low high n",
        "captions": "dataset metric value low high n",
        "caption_examples": "dataset name caption",
        "adapter": "stage side ratio metric value low high n",
        "classification": "model view split category metric value low high n",
        "confusion": "model view split category predicted_category count",
        "networks": "network parameters largest_layer largest_share epochs kept_epoch",
        "picture_classes": "recipe metric value low high n",
        "picture_confusion": "recipe category predicted_category count",
        "picture_networks": "recipe size pictures parameters epochs kept_epoch",
        "recipe_curves": "recipe model epoch step split metric value",
        "embedding": "post_id split level stage dimensions x y z",
    }.items()
}
EXPECTED = ("posts", "metrics", "predictions")


class Settings(BaseSettings):
    """Environment of the dashboard."""

    model_config = SettingsConfigDict(env_prefix="FIRST_IMPRESSIONS_", env_ignore_empty=True, extra="ignore")

    report: str | None = None
    data: Path | None = None


@dataclass(frozen=True)
class Report:
    """One opened report: `facts` is report.json, `columns` the tables that can be read, `problems` what cannot."""

    folder: Path
    facts: dict[str, Any] = field(hash=False, compare=False)
    columns: dict[str, tuple[str, ...]] = field(hash=False, compare=False)
    problems: tuple[str, ...] = ()
    stamp: tuple[tuple[str, int, int], ...] = ()

    def has(self, *tables: str) -> bool:
        return all(table in self.columns for table in tables)

    def has_column(self, table: str, column: str) -> bool:
        return column in self.columns.get(table, ())

    @property
    def cut_on(self) -> tuple[str, ...]:
        """The splits whose percentiles the cuts are: of validation too where posts are answered out of fold."""
        return ("train", "validation") if self.facts.get("config", {}).get("folds") else ("train",)

    @property
    def cuts(self) -> list[float]:
        return [float(cut) for cut in self.facts["cuts"]]

    @property
    def data(self) -> dict[str, Any]:
        """What the report says of its dataset: name, fingerprint and what was read."""
        found = self.facts.get("data")
        return found if isinstance(found, dict) else {}

    @property
    def notes(self) -> list[str]:
        return [str(note) for note in self.facts.get("notes", [])]

    def apart(self, what: str) -> str:
        """That a part of the report is of another run, as a sentence to add; "" where it is of the report's own."""
        day = self.since(what)
        return f" Of another run on the same posts and split ({text.markdown(day)})." if day else ""

    def since(self, what: str) -> str | None:
        """The day of a part of the report that is of another run; None of its own."""
        apart = self.facts.get("apart")
        created = apart.get(what) if isinstance(apart, dict) else None
        return str(created)[:10] if created else None


def find_reports(settings: Settings) -> dict[str, Path]:
    """Reports to choose from, name → folder, in alphabetical order. Raises DataError where one cannot be fetched."""
    if settings.report is None:
        return {_name(path.parent): path.parent for path in sorted((ROOT / "models").glob("*/report/report.json"))}
    named, root = located(settings.report), _fetched(settings.report)
    below = sorted(path.parent for path in root.glob("*/report.json"))
    below += sorted(path.parent for path in root.glob("*/report/report.json"))
    if (root / "report.json").exists() or not below:
        return {_name(named): root}
    return {_name(folder): folder for folder in below}


@cache
def _fetched(named: str) -> Path:
    """The folder, of an address whole in the cache; what changes there is seen when the dashboard is started again."""
    return here(named, engine.settings.Settings().cache / "reports")


def _name(folder: Path | Address) -> str:
    return folder.parent.name if folder.name == "report" else folder.name


def stamp_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every file: changes when the report is written anew. Empty when it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    except OSError:
        return ()
    return tuple(sorted((name, status.st_mtime_ns, status.st_size) for name, status in found))


def open_report(folder: Path) -> Report:
    """Read report.json, the tables' columns, and whether their rows are possible.

    A table that is not as it should be is left out and named in `problems`. Raises DataError when there is no report
    that this version can read.
    """
    if not folder.is_dir():
        raise DataError(f"There is no report at {folder}. Point FIRST_IMPRESSIONS_REPORT to a report's folder.")
    stamp, facts = stamp_of(folder), _read_facts(folder)
    columns: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    with duckdb.connect() as connection:
        for table, needed in COLUMNS.items():
            path = folder / f"{table}.parquet"
            if not path.is_file():
                if table in EXPECTED:
                    problems.append(f"{path.name} is missing from the report")
                continue
            try:
                relation = connection.read_parquet(str(path))
                relation.create_view(table)
            except duckdb.Error:
                problems.append(f"{path.name} cannot be read as Parquet")
                continue
            if lacking := sorted(needed - set(relation.columns)):
                problems.append(f"{path.name} lacks {', '.join(lacking)}")
            else:
                columns[table] = tuple(relation.columns)
        for table, fault in faults(connection, tuple(columns)):
            del columns[table]
            problems.append(f"{table}.parquet {fault}")
    told = tuple(f"{problem}, so what it would show is left out." for problem in problems)
    return Report(folder, facts, columns, told, stamp)


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    if not path.is_file():
        raise DataError(f"{folder} holds no report.json, so it is no report. `python -m training evaluate` writes one.")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}). Write the report again.") from error
    if not isinstance(facts, dict):
        raise DataError(f"{path} should hold one JSON object. Write the report again.")
    if (found := facts.get("format", 1)) != FORMAT:
        if isinstance(found, int) and found > FORMAT:
            raise DataError(f"The report in {folder} was written by a newer version; update First Impressions.")
        raise DataError(
            f"The report in {folder} was written by an older version; run `python -m training evaluate` again."
        )
    cuts = facts.get("cuts")
    if not isinstance(cuts, list) or not all(isinstance(cut, int | float) for cut in cuts) or cuts != sorted(cuts):
        raise DataError(f"The level cuts in {path} are not rising numbers. Write the report again.")
    if len(cuts) != len(LEVELS) - 1:
        raise DataError(f"The report in {folder} has {len(cuts) + 1} levels, and the dashboard shows {len(LEVELS)}.")
    return facts


def read_json(report: Report, name: str) -> dict[str, Any] | None:
    """An optional JSON file of the report, or None when it is not there or not readable."""
    path = report.folder / name
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
