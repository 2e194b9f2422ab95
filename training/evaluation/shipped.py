"""The report of a shipped model, for steps that add to it what needs none of its networks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.bundle import amend_bundle
from engine.errors import DataError
from engine.files import write_json
from training.evaluation.gains import READ, reads_note
from training.modeling.run import Run

REPORT = "report.json"
# Parts that come from other runs.
OTHERS, FOLDS = "other recipes", "nested folds"
APART = "Of another run on the same posts and split"


def facts_of(report: Path) -> dict[str, Any]:
    """The content of report.json, nothing where there is none."""
    path = report / REPORT
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return facts


def shipped_facts(model: Path, run: Run, recipe: str | None = None) -> dict[str, Any]:
    """The report.json of a shipped model, whose figures may stand beside those of a run.

    Raises DataError where it has none, or one of other posts, of another split or of another recipe than `recipe`.
    """
    facts = facts_of(model / "report")
    ours = run.workspace.dataset["fingerprint"], run.workspace.split_digest
    if not facts or (facts["data"]["fingerprint"], facts.get("split")) != ours or recipe not in (None, facts["recipe"]):
        of = f" of the recipe {recipe}" if recipe else ""
        raise DataError(
            f"{model} has no report{of} on the posts and the split of {run.work}; name the model that was shipped from "
            "there."
        )
    return facts


def with_reads(new: dict[str, Any], former: dict[str, Any], since: list[dict[str, str]]) -> dict[str, Any]:
    """The new report.json with the test reads of the former one of the same split, and with those since."""
    earlier = former.get("test_reads", [])
    reads: list[dict[str, str]] = []
    for read in (*earlier, *new["test_reads"], *since):
        if read not in reads:
            reads.append(read)
    notes = [reads_note(reads) if note.startswith(READ) else note for note in new["notes"]]
    return {**new, "notes": notes, "test_reads": sorted(reads, key=lambda read: read["at"])}


def note_reads(run: Run) -> None:
    """Say in a run's report, where there is one, how often the test posts were read by now."""
    if facts := facts_of(run.report):
        write_json(run.report / REPORT, with_reads(facts, {}, run.test_reads()))


def with_apart(facts: dict[str, Any], apart: Mapping[str, str]) -> dict[str, Any]:
    """The report.json that says of parts which a run of its own model did not make when their last rows were made, in
    `apart` and in notes; what it says of other parts stays.
    """
    found = {**facts.get("apart", {}), **apart}
    days: dict[str, list[str]] = {}
    for what, made in found.items():
        days.setdefault(made[:10], []).append(what)
    notes = [note for note in facts["notes"] if not note.startswith(APART)]
    notes += [f"{APART} ({day}): {', '.join(of)}." for day, of in days.items()]
    return {**facts, "apart": found, "notes": notes}


def write_facts(model: Path, facts: dict[str, Any]) -> None:
    """Write a shipped model's report.json, and its notes into the bundle."""
    write_json(model / "report" / REPORT, facts)
    amend_bundle(model / "bundle", notes=tuple(facts["notes"]))
