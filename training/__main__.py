"""From raw dumps to a verified bundle: `python -m training prepare|split|extract|train|evaluate|… --help`.

Steps are resumable and write whole files or none. The dataset's folder is given by --data or FIRST_IMPRESSIONS_DATA.
"""

import math
import os
import sys
import time
from pathlib import Path
from typing import Literal

from engine.errors import DataError, FirstImpressionsError

WORK, BLEND, OWN = Path("work/youtube"), "youtube_blend", "recipe"


def prepare(
    dataset: str = "youtube", data: Path | None = None, work: Path = WORK, limit: int | None = None, workers: int = 1
) -> None:
    """Read a raw dataset, clean it, and write posts.parquet.

    Args:
        dataset: Name of the adapter, youtube, pixelrec, smpd or folders.
        data: Folder of the raw dataset; the variable FIRST_IMPRESSIONS_DATA where not given.
        work: Folder that will hold the prepared posts, features and runs.
        limit: Stop after this many posts, for a trial.
        workers: Processes that decode pictures.
    """
    from training.data.prepare import prepare as run

    named = os.environ.get("FIRST_IMPRESSIONS_DATA")
    source = data or (Path(named) if named else None)
    if source is None:
        raise DataError("Say where the dataset is: --data FOLDER, or the variable FIRST_IMPRESSIONS_DATA.")
    run(dataset, source, work, limit=limit, workers=workers)


def split(work: Path = WORK, seed: int = 0) -> None:
    """Part the posts into train, validation and test: grouped, and at random.

    Args:
        work: A prepared work folder.
        seed: Another seed gives another split.
    """
    from training.data import splits, workspace

    found = splits.summarise(workspace.split(work, seed=seed))
    parts = ", ".join(f"{name} {count:,}" for name, count in found.sizes.items())
    print(f"{found.posts:,} posts in {found.groups:,} groups (largest {found.largest_group}): {parts}")


def extract(recipe: str = BLEND, work: Path = WORK, encoders: str = OWN, device: str = "auto") -> None:
    """Compute every feature that a recipe reads, once; stopped at any moment, it goes on where it stood.

    Args:
        recipe: Name of a module in training/recipes.
        work: A prepared and split work folder.
        encoders: recipe, or embedded for those that come with the installation; also embedded:frozen, :lora, …
        device: auto, cpu, cuda or cuda:N.
    """
    from training.modeling.run import Run
    from training.recipes import chosen

    run = Run(work, chosen(recipe, encoders), device=device)
    for extraction in run.matrix.extract(run.feature_names):
        print(extraction)


def train(
    recipe: str = BLEND, work: Path = WORK, encoders: str = OWN, fold: int | None = None, as_published: bool = False
) -> None:
    """Fit a recipe's members, blend and calibrate them, and write the bundle. A killed run goes on.

    Args:
        recipe: Name of a module in training/recipes.
        work: A split work folder.
        encoders: recipe, or embedded for those that come with the installation; also embedded:frozen, :lora, …
        fold: Of a recipe with folds, fit this one alone, beside processes that fit others.
        as_published: Take the published configuration that the recipe's module reproduces, faults and all.
    """
    from training.modeling.train import train as run
    from training.recipes import chosen

    print(f"{'bundle' if fold is None else 'fold'}: {run(work, chosen(recipe, encoders, as_published), fold)}")


def refit(recipe: str = BLEND, work: Path = WORK, encoders: str = OWN) -> None:
    """Fit the members of a recipe with folds once more, on all posts: what ships. Blend and figures stay.

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
    """
    from training.modeling.train import refit as run
    from training.recipes import chosen

    print(f"bundle: {run(work, chosen(recipe, encoders))}")


def evaluate(
    recipe: str = BLEND, work: Path = WORK, encoders: str = OWN, as_published: bool = False, leak: bool = False
) -> None:
    """Evaluate a trained bundle, once on test, beside baselines and controls, and write the report.

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
        as_published: As it was trained.
        leak: Also show what heads feign that read the comments, known to nobody beforehand (--demonstrate-leak).
    """
    from training.evaluation.report import evaluate as run
    from training.recipes import chosen

    print(f"report: {run(work, chosen(recipe, encoders, as_published), leak=leak)}")


def ablate(recipe: str = BLEND, work: Path = WORK, encoders: str = OWN, seeds: int = 5) -> None:
    """Measure what each part earns: several seeds, paired bootstrap on test, the leak shown as what it is.

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
        seeds: Repetitions of every variant.
    """
    from training.evaluation.ablations import ablate as run
    from training.recipes import chosen

    print(f"ablations: {run(work, chosen(recipe, encoders), seeds=seeds)}")


def crossvalidate(
    recipe: str = BLEND,
    work: Path = WORK,
    encoders: str = OWN,
    folds: int = 5,
    protocol: Literal["grouped", "random"] = "grouped",
    deepest: int | None = None,
) -> None:
    """Evaluate a recipe on nested folds of the posts outside of test, which stays unread. Finished folds are kept.

    Args:
        recipe: Name of a module in training/recipes.
        work: A split work folder.
        encoders: recipe, or embedded for those that come with the installation; also embedded:frozen, :lora, …
        folds: Outer folds, which choose nothing.
        protocol: grouped, or random for comparison with work that split so.
        deepest: Leave candidates with deeper trees out of the recipe's grid.
    """
    from training.evaluation import cross_validation as nested
    from training.recipes import chosen

    found = nested.crossvalidate(work, chosen(recipe, encoders), folds=folds, protocol=protocol, deepest=deepest)
    print(nested.summary(found))


def compare(recipe: str = BLEND, work: Path = WORK, encoders: str = OWN) -> None:
    """Put what every run of the work folder reached into one recipe's report: test figures, nested folds, grids.

    Args:
        recipe: Name of a module in training/recipes whose report is to hold it.
        work: The work folder of all those runs.
        encoders: As it was trained.
    """
    from training.evaluation.runs import compare as run
    from training.recipes import chosen

    print(f"report: {run(work, chosen(recipe, encoders))}")


def explain(recipe: str = BLEND, work: Path = WORK, encoders: str = OWN, posts: int = 150) -> None:
    """Measure explanations on a sample of test posts: does the answer follow the parts they point at?

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
        posts: Size of the sample; 150 take about ten minutes of one core.
    """
    from training.evaluation.faithfulness import explain as run
    from training.recipes import chosen

    print(f"attribution: {run(work, chosen(recipe, encoders), posts)}")


def align(photos: Path, work: Path = WORK, covers: Path | None = None, epochs: int = 38, frozen: int = 30) -> None:
    """Bring the packaged picture and text encoders into one space, and measure how well pairs match in it.

    Args:
        photos: Parquet table of photos with captions (photo_id, image, captions), as Flickr8k comes in.
        work: A split work folder; its training posts' pictures and titles are pairs too.
        covers: Parquet table of further covers with titles (post_id, image, title), for training alone.
        epochs: Passes over the photos in all.
        frozen: Passes of them that train the projections alone.
    """
    from training.evaluation.matching import align as run

    print(f"alignment: {run(photos, work, covers, epochs=epochs, frozen=frozen)}")


def caption(photos: Path, work: Path = WORK, epochs: int = 9, minutes: float = math.inf) -> None:
    """Train the captioner on photos, and measure it on others and on covers.

    Args:
        photos: Parquet table of photos with captions (photo_id, image, captions), as Flickr8k comes in.
        work: A split work folder; its test posts' covers measure the captioner too.
        epochs: Passes over the photos.
        minutes: Begin no further pass after so long, and take the best of those made.
    """
    from training.evaluation.captioning import caption as run

    print(f"captioner: {run(photos, work, epochs=epochs, minutes=minutes)}")


def consistency(recipe: str = BLEND, work: Path = WORK, encoders: str = OWN) -> None:
    """Study whether picture and words agree, how usual the wording is, what adapters add, and whom that goes with.

    Args:
        recipe: Name of a module in training/recipes whose report is to hold the study.
        work: The work folder it was trained in.
        encoders: As it was trained.
    """
    from training.evaluation.consistency import consistency as study
    from training.modeling.run import Run
    from training.recipes import chosen

    for sentence in study(Run(work, chosen(recipe, encoders)))["sentence"]:
        print(sentence)


def ship(
    recipe: str = BLEND,
    work: Path = WORK,
    encoders: str = OWN,
    models: Path = Path("models"),
    name: str = "youtube",
    signals: Path | None = None,
) -> None:
    """Copy a run's bundle and report to where the apps look.

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
        models: Folder of shipped models.
        name: Folder in it to write.
        signals: Folder that takes what align and caption trained; engine/encoders/weights is where the apps look.
    """
    from training.evaluation.ship import ship as run
    from training.recipes import chosen

    print(f"shipped: {run(work, chosen(recipe, encoders), models / name, signals)}")


def figures(report: Path = Path("models/youtube/report"), readme: Path = Path("README.md")) -> None:
    """Write the figures of a report into the README, between its markers.

    Args:
        report: Folder of a report.
        readme: File with the markers.
    """
    from training.evaluation.readme import update_readme

    update_readme(report, readme)
    print(f"figures: {readme}")


STEPS = (
    *(prepare, split, extract, train, refit, evaluate, crossvalidate, ablate, explain, compare),
    *(align, caption, consistency, ship, figures),
)


# As they are typed.
SWITCHES = {"--as-published": "--as_published=true", "--demonstrate-leak": "--leak=true"}


def main(arguments: list[str] | None = None) -> int:
    """Run one step; 0 when done, 2 for a mistake that one sentence explains, 130 when interrupted."""
    from jsonargparse import auto_cli

    given = [SWITCHES.get(word, word) for word in (sys.argv[1:] if arguments is None else arguments)]
    began = time.monotonic()
    try:
        auto_cli({step.__name__: step for step in STEPS}, args=given, as_positional=False)  # type: ignore[arg-type]
    except FirstImpressionsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
