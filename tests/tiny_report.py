"""A real report on a made-up dataset: the command line's own steps, tiny, so that tests rely on nothing else.

`make_report` takes about half a minute; `altered` copies its report and changes tables for edge cases.
Run `python -m tests.tiny_report FOLDER` to look at the dashboard without a trained model.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

from tests import tiny
from tests.made_up import COMMON, own_word, picture

POSTS = 300
RECIPE, TREES = "tiny", "tiny_trees"
# The command line draws a thousand, which takes a minute.
RESAMPLES = 60
# Of each kind of junk; the command line makes up 200.
JUNK = 6
# Words that many titles share, in two languages: rare ones would bind posts into groups.
WORDS = (
    "the people with their house under water and every morning after that night".split(),
    "los niños con una casa sobre el agua para todas las noches mañana".split(),
)
RECIPES = {
    RECIPE: """Recipe(
    name="tiny",
    summary="A made-up blend.",
    encoders={encoders},
    baseline_vectors=("picture", "words"),
    members=(
        Ngrams(),
        CatBoost(name="trees", iterations=20, early_stopping=None, learning_rate=0.1, depth=3),
        Network(settings={{"epochs": 2, "tuning": "frozen"}}, shape={{"width": 16}}),
    ),
)""",
    TREES: """Recipe(
    name="tiny_trees",
    summary="A made-up grid of trees.",
    encoders={encoders},
    members=(CatBoost(name="own", iterations=15, early_stopping=None, depth=2),),
    grid=(CatBoost(name="trees-10-3", iterations=10, early_stopping=None, depth=3),),
)""",
}


def raw_posts(count: int = POSTS, seed: int = 0) -> pd.DataFrame:
    """Posts of channels of very different sizes, some of which cleaning removes: hidden likes, the same picture."""
    generator = np.random.default_rng(seed)
    brightness = generator.uniform(0.2, 0.8, count)
    mood = generator.integers(0, 2, count)
    # Channels of one to eight posts, and one, the only one of its source, of many.
    channel = generator.integers(0, count // 3, count)
    serial = np.arange(count) >= count - 20
    luck = generator.normal(0, 0.5, count // 3)[channel]
    views = generator.integers(20_000, 1_000_000, count)
    rate = 0.02 * np.exp(1.5 * (brightness - 0.5) + 0.8 * mood + luck + generator.normal(0, 0.15, count) + serial)
    posts = pd.DataFrame(
        {
            "post_id": [f"{'-' if number % 9 == 0 else ''}p{number:03d}" for number in range(count)],
            "title": [
                " ".join([*generator.choice(WORDS[number % 3 == 0], 5), COMMON[kind], own_word(number)])
                for number, kind in enumerate(mood)
            ],
            "channel_id": np.where(serial, "serial", [f"channel {name}" for name in channel]),
            "source": np.where(serial, "one channel's list", np.where(channel % 3 == 0, "list B", "list A")),
            "views": views,
            "likes": (views * rate).astype(int),
            "comments": (views * rate / 20).astype(int),
            "image": [picture(value, generator) for value in brightness],
        }
    )
    posts.loc[[1, 2, 3], "likes"] = 0
    posts.at[5, "image"] = posts.at[4, "image"]
    return posts


def make_report(folder: Path) -> Path:
    """Every step of the command line on a new dataset in `folder`; returns the folder of the finished report."""
    import training.recipes
    from training.evaluation import ablations, variants
    from training.evaluation.report import evaluate

    source, recipes, work = (folder / name for name in ("source", "recipes", "work"))
    source.mkdir(parents=True)
    recipes.mkdir()
    posts = raw_posts()
    posts.to_parquet(source / "posts.parquet")
    # Posts without a picture, of which one says nothing.
    texts = raw_posts(6, seed=1).drop(columns="image").assign(post_id=[f"text {number}" for number in range(6)])
    texts.assign(title=texts["title"].where(texts.index > 0)).to_parquet(source / "titles.parquet")
    encoders = {
        "picture": f"vit:{tiny.build_vit(folder / 'vit')}",
        "words": f"bert:{tiny.build_bert(folder / 'bert')}",
    }
    for name, recipe in RECIPES.items():
        imports = "from training.recipes.base import CatBoost, Network, Ngrams, Recipe\n\n"
        (recipes / f"{name}.py").write_text(f"{imports}RECIPE = {recipe.format(encoders=encoders)}\n")
    training.recipes.__path__.append(str(recipes))
    few = replace(variants.TREES, iterations=10, depth=3)
    try:
        trees, blend = training.recipes.load_recipe(TREES), training.recipes.load_recipe(RECIPE)
        _step(work, "prepare", "--data", str(source))
        _step(work, "split")
        _step(work, "train", "--recipe", TREES)
        evaluate(work, trees, resamples=RESAMPLES, junk=JUNK)
        for protocol in ("grouped", "random"):
            _step(work, "crossvalidate", "--recipe", TREES, "--folds", "2", "--protocol", protocol)
        _step(work, "train", "--recipe", RECIPE)
        evaluate(work, blend, resamples=RESAMPLES, junk=JUNK)
        with patch.object(variants, "TREES", few), patch.object(ablations, "TREES", few):
            ablations.ablate(work, blend, seeds=2, resamples=RESAMPLES)
        _step(work, "explain", "--recipe", RECIPE, "--posts", "3")
        _step(work, "compare", "--recipe", RECIPE)
    finally:
        training.recipes.__path__.remove(str(recipes))
        for name in RECIPES:
            sys.modules.pop(f"training.recipes.{name}", None)
    return work / "runs" / RECIPE / "report"


def _step(work: Path, *arguments: str) -> None:
    from training.__main__ import main

    assert main([*arguments, "--work", str(work)]) == 0, arguments


def altered(
    report: Path,
    folder: Path,
    facts: dict[str, object] | None = None,
    **tables: Callable[[pd.DataFrame], object] | None,
) -> Path:
    """A copy of a report in `folder`: each named table goes through its function, or is left out for None.

    `facts` replaces entries of report.json.
    """
    shutil.copytree(report, folder)
    for name, change in tables.items():
        path = folder / f"{name}.parquet"
        if change is None:
            path.unlink()
        else:
            pd.DataFrame(change(pd.read_parquet(path))).to_parquet(path, index=False)
    if facts:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8")) | facts
        (folder / "report.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(make_report(Path(sys.argv[1])))
