"""What parts of a model, more posts, other recipes, and picture against words come to."""

import math
from pathlib import Path

from training.steps import WORK


def ablate(recipe: str = "youtube_blend", work: Path = WORK, encoders: str = "recipe", seeds: int = 5) -> None:
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


def learn(recipe: str = "youtube_blend", work: Path = WORK, encoders: str = "recipe") -> None:
    """Fit a recipe with folds on a half, a quarter and an eighth of the posts: what would more of them bring?

    Args:
        recipe: Name of a module in training/recipes.
        work: The work folder it was trained in.
        encoders: As it was trained.
    """
    from training.evaluation.learning_curve import learn as run
    from training.recipes import chosen

    print(f"report: {run(work, chosen(recipe, encoders))}")


def compare(
    recipe: str = "youtube_blend", work: Path = WORK, encoders: str = "recipe", model: Path | None = None
) -> None:
    """Put what every run of the work folder reached into one recipe's report: test figures, nested folds, grids.

    Args:
        recipe: Name of a module in training/recipes whose report is to hold it.
        work: The work folder of all those runs.
        encoders: As it was trained.
        model: Folder of a shipped model of that recipe, whose report takes the place of the run's.
    """
    from training.evaluation.runs import compare as run
    from training.recipes import chosen

    print(f"report: {run(work, chosen(recipe, encoders), model)}")


def classify(
    recipe: str = "vit_scratch_category_likes",
    work: Path = WORK,
    model: Path = Path("models/youtube_system3"),
    encoders: str = "recipe",
) -> None:
    """Tell further pictures' class of likes per view from the picture alone, with the encoder and heads of a recipe.

    Args:
        recipe: Name of a module in training/recipes, of a recipe with a category head.
        work: A work folder that has further pictures.
        model: Folder of a shipped model, whose report is to hold the figures.
        encoders: recipe, or embedded, with a way to treat encoders, as in embedded:frozen.
    """
    from training.evaluation.picture_classes import classify as run
    from training.recipes import chosen

    print(f"report: {run(work, chosen(recipe, encoders), model)}")


def align(photos: Path, work: Path = WORK, covers: Path | None = None, epochs: int = 60) -> None:
    """Bring the packaged picture and text encoders into one space, and measure how well pairs match in it.

    Args:
        photos: Parquet table of photos with captions (photo_id, image, captions), as Flickr8k comes in.
        work: A split work folder; its training posts' pictures and titles are pairs too.
        covers: Parquet table of further covers with titles (post_id, image, title), for training alone.
        epochs: Passes over the photos.
    """
    from training.evaluation.matching import align as run

    print(f"alignment: {run(photos, work, covers, epochs=epochs)}")


def caption(photos: Path, work: Path = WORK, epochs: int = 9, minutes: float = math.inf) -> None:
    """Train the captioner on photos, and measure it on others and on covers.

    Args:
        photos: Parquet table of photos with captions (photo_id, image, captions), as Flickr8k comes in.
        work: A split work folder; on its test posts' covers the captioner is measured too.
        epochs: Passes over the photos.
        minutes: Begin no further pass after so long, and take the best of those made.
    """
    from training.evaluation.captioning import caption as run

    print(f"captioner: {run(photos, work, epochs=epochs, minutes=minutes)}")


def consistency(recipe: str = "youtube_blend", work: Path = WORK, encoders: str = "recipe") -> None:
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
