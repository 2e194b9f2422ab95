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
from tests.made_up import COMMON, own_word, picture, without_baselines

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
    """Every step of the command line on a new dataset in `folder`, and a made-up study of picture and words beside what
    they write; returns the folder of the finished report.
    """
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
    vit, bert = tiny.build_vit(folder / "vit"), tiny.build_bert(folder / "bert")
    encoders = {"picture": f"vit:{vit}", "words": f"bert:{bert}"}
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
        with without_baselines():
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
    return add_study(work / "runs" / RECIPE / "report")


def _step(work: Path, *arguments: str) -> None:
    from training.__main__ import main

    assert main([*arguments, "--work", str(work)]) == 0, arguments


# As `training.evaluation` names them.
SIGNALS = (
    "similarity", "caption_consistency", "log_perplexity", "bits_per_character", "title_written", "lettering_in_title",
    "lettering_boxes", "lettering_area", "faces", "smile",
)  # fmt: skip
REASONS = ("another language", "odd wording")


def add_study(report: Path) -> Path:
    """Add the made-up tables of what picture and words say, of captions, of matching and of the adapters to a report.

    Figures are as likely to be drawn as right: the pages only need tables of their form.
    """
    posts = pd.read_parquet(report / "posts.parquet")
    generator = np.random.default_rng(0)
    popularity = 12 + 3 * generator.standard_normal(len(posts))
    interval = np.clip((popularity - 8) // 2, 0, 3).astype(int)
    removed = np.where(generator.random(len(posts)) < 0.3 - 0.06 * interval, generator.choice(REASONS, len(posts)), "")
    signals = pd.DataFrame({name: generator.random(len(posts)) - 0.05 * posts["level"] for name in SIGNALS})
    signals["smile"] = signals["smile"].where(generator.random(len(posts)) < 0.5)
    bins = {"level": (posts["level"], [None, 0.01, 0.02, 0.03, 0.04, None])}
    bins["interval"] = (interval, [None, 10.0, 12.0, 14.0, None])
    cells = [
        ({"by": by, "bin": number, "bin_low": edges[number], "bin_high": edges[number + 1]}, own == number)
        for by, (own, edges) in bins.items()
        for number in range(len(edges) - 1)
    ]
    studied = [
        (cleaning, control, shift, removed == "" if cleaning == "cleaned" else removed == removed)
        for cleaning in ("uncleaned", "cleaned")
        for control, shift in (("raw", 0.0), ("controlled", 0.03))
    ]
    means, trends = [], []
    for name, values in signals.items():
        for cleaning, control, shift, kept in studied:
            key = {"signal": name, "cleaning": cleaning, "control": control}
            means += [{**key, **cell, **_around(values[own & kept] + shift, 0.04)} for cell, own in cells]
            ranked = values[kept].rank().corr(posts["score"][kept].rank())
            figures = {"value": ranked, "low": ranked - 0.05, "high": ranked + 0.05, "n": int(values[kept].count())}
            trends += [{**key, "against": against, **figures} for against in ("score", "popularity")]
    shares = [
        {
            **cell,
            "reason": reason,
            **_around(pd.Series(removed[own] != "" if reason == "any" else removed[own] == reason)),
        }
        for reason in ("any", *REASONS)
        for cell, own in cells
    ]
    verdicts = [
        (name, against, verdict, survives, f"The gap {verdict} with {against}: +0.10 (+0.05 to +0.15, n = 1).")
        for name, verdict, survives in (("similarity", "grows", True), ("log_perplexity", "none", False))
        for against in ("score", "popularity")
    ]
    facts = {"level": posts["level"], "popularity": popularity, "interval": interval, "removed": removed}
    tables = {
        "signals": pd.concat([posts["post_id"], signals], axis=1).assign(**facts),
        "consistency": pd.DataFrame(means),
        "trends": pd.DataFrame(trends),
        "removal": pd.DataFrame(shares),
        "verdicts": pd.DataFrame(verdicts, columns=["signal", "against", "verdict", "survives", "sentence"]),
        **_tools(),
        **_adapter(posts.loc[posts["split"] != "train", ["post_id", "split", "level"]], generator),
    }
    for name, table in tables.items():
        table.to_parquet(report / f"{name}.parquet", index=False)
    return report


def _around(values: pd.Series, reach: float = 0.02) -> dict[str, float]:
    mean = float(values.mean()) if values.count() else 0.0
    return {"value": mean, "low": mean - reach, "high": mean + reach, "n": int(values.count())}


def _tools() -> dict[str, pd.DataFrame]:
    """Matching, captions and examples of captions."""
    asked = [("photos", way, f"recall@{k}") for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)]
    rows = [
        (dataset, model, way, metric, value, value - 0.01 * (model != "chance"), value + 0.01 * (model != "chance"), 90)
        for dataset, way, metric in [*asked, ("covers", "pairs", "auc")]
        for model, value in (("aligned", 0.7), ("cca", 0.6), ("chance", 0.5 if metric == "auc" else 0.01))
    ]
    said = [("photos", "bleu4", 0.2), ("covers", "nouns_in_title", 0.12), ("covers", "nouns_in_other_title", 0.05)]
    said.append(("covers", "difference", 0.07))
    figures = ["metric", "value", "low", "high", "n"]
    captions = [(dataset, metric, value, value - 0.01, value + 0.01, 80) for dataset, metric, value in said]
    examples = [("photos", "1.jpg", "a dog on grass"), ("covers", "p002", "a man in front of a sign")]
    return {
        "matching": pd.DataFrame(rows, columns=["dataset", "model", "direction", *figures]),
        "captions": pd.DataFrame(captions, columns=["dataset", *figures]),
        "caption_examples": pd.DataFrame(examples, columns=["dataset", "name", "caption"]),
    }


def _adapter(outside: pd.DataFrame, generator: np.random.Generator) -> dict[str, pd.DataFrame]:
    """What the adapters change, and maps of posts outside of training."""
    rows = [
        (stage, side, None, "linear_probe_r2", value, value - 0.01, value + 0.01, len(outside))
        for side in ("image", "text", "both")
        for stage, value in (("before", 0.04), ("after", 0.09), ("difference", 0.05))
    ]
    rows += [("difference", side, None, "cka", 0.8, 0.78, 0.82, len(outside)) for side in ("image", "text")]
    ratios = {0.0: 0.2, 0.2: 0.26, 0.6: 0.24}
    rows += [("search", "both", ratio, "src", value, value - 0.1, value + 0.1, 42) for ratio, value in ratios.items()]
    columns = ["stage", "side", "ratio", "metric", "value", "low", "high", "n"]
    maps = [
        pd.DataFrame(generator.normal(0, 20, (len(outside), 3)), columns=["x", "y", "z"], index=outside.index)
        .join(outside)
        .assign(stage=stage, dimensions=dimensions)
        for stage in ("before", "after")
        for dimensions in (2, 3)
    ]
    embedding = pd.concat(maps, ignore_index=True)
    embedding["z"] = embedding["z"].where(embedding["dimensions"] == 3)
    return {"adapter": pd.DataFrame(rows, columns=columns), "embedding": embedding}


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


def damaged(folder: Path, table: str) -> Path:
    """The folder, with a table whose damage shows only when rows are read: the footer at its end stays whole."""
    path = folder / f"{table}.parquet"
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(content)
    return folder


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(make_report(Path(sys.argv[1])))
