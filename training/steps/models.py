"""From features to a bundle, its report, and where the apps look."""

from pathlib import Path
from typing import Literal

from engine.addresses import here, located
from training.steps import WORK


def train(
    recipe: str = "youtube_blend",
    work: Path = WORK,
    encoders: str = "recipe",
    fold: int | None = None,
    as_published: bool = False,
) -> None:
    """Fit a recipe's members, blend and calibrate them, and write the bundle. A killed run goes on.

    Args:
        recipe: Name of a module in training/recipes.
        work: A split work folder.
        encoders: recipe, or embedded to use encoders whose weights come with the installation; a way to treat
            encoders may follow, as in embedded:frozen.
        fold: Of a recipe with folds, fit this one alone, beside processes that fit others.
        as_published: Take the published configuration that the recipe's module reproduces, faults and all
            (--as-published).
    """
    from training.modeling.train import train as run
    from training.recipes import chosen

    print(f"{'bundle' if fold is None else 'fold'}: {run(work, chosen(recipe, encoders, as_published), fold)}")


def refit(recipe: str = "youtube_blend", work: Path = WORK, encoders: str = "recipe") -> None:
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
    recipe: str = "youtube_blend",
    work: Path = WORK,
    encoders: str = "recipe",
    as_published: bool = False,
    leak: bool = False,
) -> None:
    """Evaluate a trained bundle, once on test, beside baselines and controls, and write the report.

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
        as_published: As it was trained (--as-published).
        leak: Also show what heads feign that read the comments, known to nobody beforehand (--demonstrate-leak).
    """
    from training.evaluation.report import evaluate as run
    from training.recipes import chosen

    print(f"report: {run(work, chosen(recipe, encoders, as_published), leak=leak)}")


def crossvalidate(
    recipe: str = "youtube_blend",
    work: Path = WORK,
    encoders: str = "recipe",
    folds: int = 5,
    protocol: Literal["grouped", "random"] = "grouped",
    deepest: int | None = None,
    model: Path | None = None,
) -> None:
    """Evaluate a recipe on nested folds of the posts outside of test, which stays unread. Finished folds are kept.

    Args:
        recipe: Name of a module in training/recipes.
        work: A split work folder.
        encoders: recipe, or embedded to use encoders whose weights come with the installation; a way to treat
            encoders may follow, as in embedded:frozen.
        folds: Outer folds, which choose nothing.
        protocol: grouped, or random for comparison with work that split so.
        deepest: Leave candidates with deeper trees out of the recipe's grid.
        model: Folder of a shipped model of the same posts and split, whose report is to hold the folds too.
    """
    from training.evaluation.cross_validation import crossvalidate as run
    from training.evaluation.cross_validation import summary
    from training.recipes import chosen

    table = run(work, chosen(recipe, encoders), folds=folds, protocol=protocol, deepest=deepest, model=model)
    if len(table):
        print(summary(table))


def explain(recipe: str = "youtube_blend", work: Path = WORK, encoders: str = "recipe", posts: int = 150) -> None:
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


def ship(
    recipe: str = "youtube_blend",
    work: Path = WORK,
    encoders: str = "recipe",
    models: str = "models",
    name: str = "youtube",
    signals: Path | None = None,
) -> None:
    """Copy a run's bundle and report to where the apps look.

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
        models: Folder of shipped models, or its address such as s3://bucket/models.
        name: Folder in it to write; a model of another dataset there is not replaced.
        signals: Folder that takes what align and caption trained; engine/encoders/weights is where the apps look.
    """
    from training.evaluation.ship import ship as run
    from training.recipes import chosen

    print(f"shipped: {run(work, chosen(recipe, encoders), located(models) / name, signals)}")


def evidence(work: Path = WORK, model: Path = Path("models/youtube")) -> None:
    """Index the real posts of a work folder, so that the page can show those nearest to a draft.

    Args:
        work: A split work folder.
        model: Folder of a shipped model, beside whose bundle the index is to lie.
    """
    from training.evaluation.evidence import evidence as run

    print(f"evidence: {run(work, model)}")


def guard(
    recipe: str = "youtube_blend", work: Path = WORK, encoders: str = "recipe", model: Path = Path("models/youtube")
) -> None:
    """Fit the guards of a shipped model anew, and say in its report what they do; its members stay.

    Args:
        recipe: Name of the module in training/recipes that was shipped.
        work: A work folder of the same posts and split; nothing need be trained in it.
        encoders: As it was trained.
        model: Folder of the shipped model.
    """
    from training.evaluation.reguard import guard as run
    from training.recipes import chosen

    print(f"guards: {run(work, chosen(recipe, encoders), model)}")


def figures(report: str = "models/youtube/report", readme: Path = Path("README.md")) -> None:
    """Write the figures of a report into the README, between its markers.

    Args:
        report: Folder of a report, or its address such as s3://bucket/report, which is fetched into the cache.
        readme: File with the markers.
    """
    from engine.settings import Settings
    from training.evaluation.readme import update_readme

    update_readme(here(report, Settings().cache / "reports"), readme)
    print(f"figures: {readme}")
