"""The `ship` step: a run's bundle and report to where the apps look, both at once."""

import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from engine.addresses import Address
from engine.bundle import MANIFEST, Bundle, amend_bundle, identity, read_bundle
from engine.errors import DataError
from engine.evidence.index import FOLDER
from engine.files import replacing_folder, write_json
from training.evaluation.runs import GAIN, answers_on_test
from training.evaluation.shipped import FOLDS, OTHERS, REPORT, facts_of, with_apart, with_reads
from training.modeling.alignment import ALIGNMENT, CAPTIONER, SIGNALS, is_packaged
from training.modeling.run import Run
from training.recipes.base import Recipe
from training.tables import write_table

# Of a report: what benchmarks wrote, on whatever machine is shown.
HARDWARE = "hardware.json"
ABLATIONS, STUDY = "ablations", "the study of picture and words"
# Tables that hang on the posts, their split and parts trained apart, or take hours, and are kept with a note until they
# are made anew; by what they are of.
APART = {
    OTHERS: ("recipes",),
    FOLDS: ("crossvalidation",),
    "the grid": ("grid",),
    "the learning curve": ("learning_curve",),
    "classes of further pictures": ("picture_classes", "picture_confusion", "picture_networks"),
    ABLATIONS: ("ablations", "comparisons"),
    STUDY: (
        *("signals", "consistency", "trends", "removal", "verdicts"),
        *("adapter", "embedding", "matching", "captions", "caption_examples"),
    ),
}
# Of these, rows of recipes that the new report does not know.
OF_RECIPES = (OTHERS, FOLDS, "the grid")


def ship(work: Path, recipe: Recipe, target: Path | Address, signals: Path | None = None) -> Path | Address:
    """Put a run's bundle and report into the folder `target`, here or at an address, in place of what was there.

    The bundle is the one refitted on all posts where there is one. What benchmarks measured stays, and so does what the
    former report holds of the same posts, split, encoders and signals and this run did not make anew (`APART`); a note
    says since when; so does the index of real posts (`evidence`), which hangs on the posts alone.
    Reads of the same test posts since the report, and earlier ones that the former report knows, are kept in the new
    one. Into the folder `signals` goes what `align` and `caption` trained, and the study of others goes. Raises
    BundleError or DataError when the run has no sound bundle or no report, or its refit is of another one, when
    `target` holds a model of another dataset or something else, or the address cannot be written to.
    """
    if isinstance(target, Address):
        with TemporaryDirectory() as kept:
            own = target.download(Path(kept)) if target.exists() else Path(kept) / "new"
            _replace(own, target, work, recipe, signals)
            target.upload_folder(own, last=(REPORT, MANIFEST))
    else:
        _replace(target, target, work, recipe, signals)
    return target


def _replace(target: Path, called: Path | Address, work: Path, recipe: Recipe, signals: Path | None) -> None:
    """`ship` into a folder here, which errors call by the name that was given."""
    ours = ("bundle/bundle.json", "report/report.json")
    if target.is_dir() and any(target.iterdir()) and not any((target / name).is_file() for name in ours):
        raise DataError(f"{called} holds something else than a model, which would be gone; give another --name.")
    run = Run(work, recipe)
    if signals is not None and not (work / SIGNALS).is_dir():
        raise DataError(f"{work / SIGNALS} is not there; run `python -m training align` and `caption` first.")
    evaluated = read_bundle(run.bundle)
    typical = evaluated.typical
    report = run.need_report()
    former = target / "report"
    new, before = (facts_of(folder) for folder in (report, former))
    if ("evaluate", identity(evaluated)) not in [(read["step"], read["bundle"]) for read in new["test_reads"]]:
        raise DataError(f"{report} is of a former bundle; run `python -m training evaluate` for {run.bundle} first.")
    # Not the fingerprint: the same dataset, prepared anew, may take its own place.
    if before and (before["data"]["name"] != new["data"]["name"] or not _of_same_posts(former, report)):
        raise DataError(f"{called} holds a model of other posts; give another --name, or remove it.")
    with replacing_folder(target) as staging:
        shutil.copytree(_whole(run, evaluated), staging / "bundle")
        shutil.copytree(report, staging / "report")
        # The study is of those that are packaged.
        gone = {STUDY} if signals is not None and not is_packaged(work, ALIGNMENT, CAPTIONER) else set()
        if gone:
            for name in APART[STUDY]:
                (staging / "report" / f"{name}.parquet").unlink(missing_ok=True)
            typical = {}
        if (former / HARDWARE).exists() and not (report / HARDWARE).exists():
            shutil.copy(former / HARDWARE, staging / "report")
        if (target / FOLDER).is_dir() and before.get("data", {}).get("fingerprint") == new["data"]["fingerprint"]:
            shutil.copytree(target / FOLDER, staging / FOLDER)
        if before.get("split") == new["split"] and before["data"]["fingerprint"] == new["data"]["fingerprint"]:
            # With other encoders the frozen ones' ablations are others.
            if _frozen(before["config"]) != _frozen(new["config"]):
                gone.add(ABLATIONS)
            new = _with_apart(new, before, former, staging / "report", gone)
            if not typical and STUDY not in gone:
                typical = read_bundle(target / "bundle").typical
        else:
            before = {}
        new = with_reads(new, before, run.test_reads())
        # What benchmarks measured says of which bundle, and so tells whether it was this one.
        new["bundle"] = identity(read_bundle(staging / "bundle"))
        write_json(staging / "report" / REPORT, new)
        figures = {"test_metrics": evaluated.test_metrics, "notes": tuple(new["notes"]), "typical": typical}
        amend_bundle(staging / "bundle", **figures)
    if signals is not None:
        for trained in sorted((work / SIGNALS).iterdir()):
            with replacing_folder(signals / trained.name) as staging:
                shutil.copytree(trained, staging, dirs_exist_ok=True)


def _whole(run: Run, evaluated: Bundle) -> Path:
    """The bundle that ships: refitted on all posts, if it was, with the blend that was evaluated."""
    if not (run.refitted / MANIFEST).exists():
        return run.bundle
    if read_bundle(run.refitted).views != evaluated.views:
        raise DataError(f"{run.refitted} was refitted from another bundle; run `python -m training refit` again.")
    return run.refitted


def _of_same_posts(former: Path, report: Path) -> bool:
    """Whether two reports have posts in common, a tenth of the smaller one's: every dataset of one's own has the same
    name, and many call their posts 1, 2, 3, so what is known of a post counts too.
    """
    known = ["post_id", "pixel_hash", "title_characters"]
    first, second = (pd.read_parquet(folder / "posts.parquet", columns=known) for folder in (former, report))
    return 10 * len(first.merge(second)) >= min(len(first), len(second))


def _frozen(config: dict[str, Any]) -> dict[str, str | None]:
    """Of a recipe's config the encoders whose frozen vectors ablations read, by role."""
    encoders: dict[str, str] = config["encoders"]
    return {role: encoders.get(role) for role in config.get("baseline_vectors") or encoders}


def _with_apart(
    new: dict[str, Any], before: dict[str, Any], former: Path, report: Path, gone: Collection[str]
) -> dict[str, Any]:
    """Copy what the former report alone has into the new one, but for what is `gone`; returns the new report.json,
    which says so.
    """
    apart: dict[str, str] = {}
    for what, names in APART.items():
        if what in gone:
            continue
        found = [name for name in names if (former / f"{name}.parquet").exists()]
        if what in OF_RECIPES:
            found = [name for name in found if _others_kept(former, report, name, new["recipe"])]
        elif any((report / f"{name}.parquet").exists() for name in names):
            continue
        else:
            for name in found:
                shutil.copy(former / f"{name}.parquet", report)
        if found:
            apart[what] = before.get("apart", {}).get(what, before["created"])
            if what == OTHERS and before["recipe"] != new["recipe"]:
                # Its own model is one of them now.
                apart[what] = max(apart[what], before["created"])
    return with_apart(new, apart)


def _others_kept(former: Path, report: Path, name: str, recipe: str) -> bool:
    """Put what a former table says of other recipes behind the rows of the new one; returns whether it said any."""
    path = report / f"{name}.parquet"
    tables = [pd.read_parquet(found) for found in (path, former / path.name) if found.exists()]
    # Until `compare` gathers several, a grid is its own recipe's and does not say so.
    tables = [table.assign(recipe=table.get("recipe", recipe)) for table in tables]
    known = {recipe}.union(*(table["recipe"] for table in tables[:-1]))
    others = tables[-1][~tables[-1]["recipe"].isin(known)]
    if others.empty:
        return False
    if set(GAIN) <= set(others) and not answers_on_test(former, recipe).equals(answers_on_test(report, recipe)):
        # They were set beside another model.
        others = others.assign(**dict.fromkeys(GAIN, np.nan))
    write_table(path, pd.concat([*tables[:-1], others], ignore_index=True))
    return True
