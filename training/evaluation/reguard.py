"""The `guard` step: the guards of a shipped model fitted anew, and what they do, without training a member.

    python -m training guard --work work/youtube --recipe youtube_blend --model models/youtube

For whoever changes what a guard reads, learns from or may turn away. Guards never learn from test, and the report holds
what members that did not either say of the test posts; so what it then says of the guard there is what `evaluate` would
say. Made-up junk is answered by the members that ship.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from engine.bundle import FEATURES, GUARDS, MANIFEST, Bundle, Side, identity, read_bundle, save_bundle
from engine.files import replacing_folder
from engine.guard import Guard
from engine.predictor import Predictor
from training.evaluation.guard import NOTES, guard_notes, guard_table
from training.evaluation.runs import PREDICTIONS
from training.evaluation.shipped import facts_of, shipped_facts, with_reads, write_facts
from training.modeling.guard import fit_guards
from training.modeling.run import Run
from training.modeling.train import entry_of
from training.recipes.base import Recipe
from training.tables import now, write_table


def guard(work: Path, recipe: Recipe, target: Path, *, resamples: int = 1000, junk: int = 200) -> Path:
    """Replace the guards in the folder `target` of a shipped model, and in its report what is said of them.

    Members, blend and every other figure stay. That test was read goes into the ledger and the report. Returns the
    folder. Raises BundleError where `target` holds no sound bundle, DataError where its report is of another recipe, of
    other posts or of another split than the work folder's.
    """
    former = Predictor.load(target / "bundle")
    run = Run(work, recipe)
    shipped_facts(target, run, recipe.name)
    # A side that no member reads has none.
    guards = fit_guards(run.matrix, former.guards)
    with replacing_folder(target) as staging:
        shutil.copytree(target, staging, dirs_exist_ok=True)
        bundle, report = staging / "bundle", staging / "report"
        facts = facts_of(report)
        save_bundle(bundle, lambda place: _write(place, former, target / "bundle", run, guards))
        run.read_test("guard", bundle)
        own = pd.read_parquet(report / PREDICTIONS).query("model == @recipe.name")
        table = guard_table(Predictor.load(bundle), run, own, junk, resamples)
        write_table(report / "guard.parquet", table)
        notes = [note for note in facts["notes"] if not note.startswith(NOTES)] + guard_notes(table)
        found = {**facts, "notes": notes, "bundle": identity(read_bundle(bundle))}
        write_facts(staging, with_reads(found, {}, run.test_reads()))
    return target


def _write(place: Path, former: Predictor, own: Path, run: Run, guards: Mapping[Side, Guard]) -> Bundle:
    """Fill the folder of a bundle: a former one, which is its `own`, with other guards. Returns its manifest."""
    shutil.copytree(own, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST, GUARDS))
    features = run.matrix.behind(found.fit.feature for found in guards.values())
    for name in (FEATURES, GUARDS):
        (place / name).mkdir(exist_ok=True)
    for feature in features.values():
        feature.save(place / FEATURES)
    for found in guards.values():
        found.save(place / GUARDS)
    entries = {entry.name: entry for entry in former.bundle.features}
    entries |= {name: entry_of(feature) for name, feature in features.items()}
    read = former.reads | features.keys()
    for name, entry in reversed(entries.items()):
        if name in read:
            read.update(entry.upstream)
        else:
            # A former guard's.
            (place / FEATURES / f"{name}.safetensors").unlink(missing_ok=True)
    return former.bundle.model_copy(
        update={
            "created": now(),
            "features": tuple(entry for name, entry in entries.items() if name in read),
            "guards": {side: found.fit for side, found in guards.items()},
        }
    )
