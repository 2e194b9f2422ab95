"""What a model that says categories reaches: accuracy, macro-F1, a classification report and a confusion matrix.

Everything is read off its predictions; intervals draw whole groups (`engine.intervals`). Posts of no known category are
left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.intervals import RESAMPLES, bounds, cluster_weights
from engine.prediction import View
from training.evaluation.candidates import Candidate
from training.modeling.heads import NETWORKS, fit_heads
from training.modeling.run import Run
from training.recipes.base import Heads

Array = npt.NDArray[np.float64]
# What the leak reads: likes and comments of a post grow together.
LEAKED = ("comments",)
MAJORITY = "majority"


def says_categories(predictions: pd.DataFrame) -> bool:
    """Whether any post of a table of predictions has a known category beside a predicted one."""
    return "category" in predictions and bool(predictions["category"].notna().any())


def _parts(predictions: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Model, view and split of each part of a table, and its rows of known category."""
    known = predictions[predictions["category"].notna() & predictions["predicted_category"].notna()]
    for (model, view, split), table in known.groupby(["model", "view", "split"], sort=False):
        yield {"model": str(model), "view": str(view), "split": str(split)}, table


def _scores(hits: Array, guesses: Array, weights: Array) -> dict[str, Array]:
    """Precision, recall and F1 (resamples, k) of one-hot truth and guesses (n, k); 0 of no post."""
    right, said, true = weights @ (hits * guesses), weights @ guesses, weights @ hits

    def ratio(above: Array, below: Array) -> Array:
        return np.divide(above, below, out=np.zeros_like(above), where=below > 0)

    return {"precision": ratio(right, said), "recall": ratio(right, true), "f1": ratio(2 * right, said + true)}


def _one_hot(values: pd.Series, names: list[str]) -> Array:
    return (values.to_numpy(dtype=object)[:, None] == np.array(names, dtype=object)).astype(np.float64)


def category_metrics(table: pd.DataFrame, groups: npt.ArrayLike, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Accuracy and macro-F1 of one model, view and split: metric, value, low, high, n.

    `table` has category and predicted_category, `groups` (n,) are those of its posts. Macro-F1 is over the categories
    that the posts have.
    """
    names = sorted(table["category"].unique())
    hits, guesses = _one_hot(table["category"], names), _one_hot(table["predicted_category"], names)
    right = (table["category"] == table["predicted_category"]).to_numpy(dtype=np.float64)

    def values(weights: Array) -> Array:
        f1, there = _scores(hits, guesses, weights)["f1"], weights @ hits > 0
        return np.stack([weights @ right / weights.sum(axis=1), (f1 * there).sum(axis=1) / there.sum(axis=1)])

    point = values(np.ones((1, len(table))))[:, 0]
    drawn = np.concatenate([values(weights) for weights in cluster_weights(groups, resamples)], axis=1)
    rows = [
        (name, float(value), *bounds(row), len(table))
        for name, value, row in zip(("category_accuracy", "category_macro_f1"), point, drawn, strict=True)
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def category_tables(
    predictions: pd.DataFrame, truth: pd.DataFrame, resamples: int = RESAMPLES
) -> dict[str, pd.DataFrame]:
    """classification.parquet and confusion.parquet of the recipe's own predictions.

    classification: model, view, split, category, metric (precision | recall | f1), value, low, high, n (posts of it);
    confusion: model, view, split, category (true), predicted_category, count.
    """
    group_of = truth.set_index("post_id")["group"]
    report, confusion = [], []
    for keys, table in _parts(predictions):
        names = sorted({*table["category"], *table["predicted_category"]})
        hits, guesses = _one_hot(table["category"], names), _one_hot(table["predicted_category"], names)
        point = _scores(hits, guesses, np.ones((1, len(table))))
        weighed = list(cluster_weights(group_of.loc[table["post_id"]].to_numpy(), resamples))
        drawn = [_scores(hits, guesses, weights) for weights in weighed]
        for place, name in enumerate(names):
            for metric, values in point.items():
                low, high = bounds(np.concatenate([part[metric][:, place] for part in drawn]))
                figures = {"value": float(values[0, place]), "low": low, "high": high, "n": int(hits[:, place].sum())}
                report.append({**keys, "category": name, "metric": metric, **figures})
        counts = table.groupby(["category", "predicted_category"]).size().reset_index(name="count")
        confusion.append(counts.assign(**keys))
    columns = ["model", "view", "split", "category", "predicted_category", "count"]
    return {"classification": pd.DataFrame(report), "confusion": pd.concat(confusion, ignore_index=True)[columns]}


def metrics_by_model(
    predictions: pd.DataFrame, kinds: Mapping[str, str], truth: pd.DataFrame, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Rows for metrics.parquet of every model that says categories, and of the training posts' most frequent one.

    `kinds` are those of the models, `truth` is of the posts of all splits, those of training among them.
    """
    group_of = truth.set_index("post_id")["group"]
    usual = truth.loc[truth["split"] == "train", "category"].mode()
    rows = []
    for keys, table in _parts(predictions):
        groups = group_of.loc[table["post_id"]].to_numpy()
        rows.append(category_metrics(table, groups, resamples).assign(**keys, kind=kinds[keys["model"]]))
        if kinds[keys["model"]] == "model" and keys["view"] == "both" and len(usual):
            guess = table.assign(predicted_category=usual.iloc[0])
            rows.append(
                category_metrics(guess, groups, resamples).assign(**{**keys, "model": MAJORITY}, kind="baseline")
            )
    return pd.concat(rows, ignore_index=True)


def networks_of(run: Run) -> pd.DataFrame:
    """networks.parquet of the report: of each network with heads its size, its largest layer, and its training."""
    tables = [
        pd.read_parquet(run.members / spec.name / NETWORKS) for spec in run.recipe.members if isinstance(spec, Heads)
    ]
    return pd.concat(tables, ignore_index=True)


def leaks(run: Run) -> Iterator[Candidate]:
    """The same heads on the recipe's picture encoder and numbers, and on counts that nobody knows beforehand.

    They are fitted anew, calibrated like the model, and marked as a leak; no bundle holds them.
    """
    view: View = "both"
    for spec in run.recipe.members:
        if isinstance(spec, Heads):
            name = f"{spec.name} + {' and '.join(LEAKED)}"
            found = fit_heads(
                replace(spec, counts=LEAKED),
                run.matrix,
                run.folder / "leak" / spec.name,
                ("validation", "test"),
                leak=True,
            )
            yield Candidate(name, "leak", view, found.outputs["validation"][view], found.outputs["test"][view])
