"""Metrics, reliability, curves and ablations of the made-up report; the first two are computed from its predictions."""

import numpy as np
import pandas as pd

from engine.scoring import LEVELS

PROBABILITIES = [f"p_{name.lower().replace(' ', '_')}" for name in LEVELS]
ABLATIONS = (
    ("modality", "text only", "both", -0.01),
    ("modality", "image only", "both", -0.12),
    ("statistic", "no text statistics", "both", -0.004),
    ("signal", "no similarity", "both", 0.001),
    ("signal", "no perplexity", "both", -0.002),
    ("fusion", "concat", "gated", -0.006),
    ("fusion", "cross-attention", "gated", 0.002),
    ("head", "catboost depth 5", "torch", -0.012),
    ("head", "catboost depth 10", "torch", -0.02),
    ("leak", "counts as inputs", "both", 0.45),
    ("control", "shuffled labels", "both", -0.2),
)


def _quadratic_kappa(level: np.ndarray, predicted: np.ndarray) -> float:
    matrix = np.zeros((5, 5))
    np.add.at(matrix, (level, predicted), 1)
    cost = (np.arange(5)[:, None] - np.arange(5)[None, :]) ** 2
    expected = np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / matrix.sum()
    total = float((cost * expected).sum())
    return 1 - float((cost * matrix).sum()) / total if total else 0.0


def _macro_f1(level: np.ndarray, predicted: np.ndarray) -> float:
    scores = []
    for index in range(5):
        hits = float(((level == index) & (predicted == index)).sum())
        wrong = float(((level == index) != (predicted == index)).sum())
        scores.append(2 * hits / (2 * hits + wrong) if hits + wrong else 0.0)
    return float(np.mean(scores))


def metric_rows(
    posts: pd.DataFrame, table: pd.DataFrame, model: str, kind: str, protocol: str, split: str, view: str
) -> list[dict[str, object]]:
    """Rows of metrics.parquet for one model; the 95 % intervals are of the size that n posts would give."""
    level = table["level"].to_numpy()
    predicted = table["predicted_level"].to_numpy()
    p = table[PROBABILITIES].to_numpy()
    score = posts["score"].to_numpy()
    hit = np.eye(5)[level]
    own = np.clip(p[np.arange(len(level)), level], 1e-6, 1)
    top = table["expected_level"].rank().corr(posts["score"].rank())
    values = {
        "accuracy": (level == predicted).mean(),
        "within_one_accuracy": (np.abs(level - predicted) <= 1).mean(),
        "macro_f1": _macro_f1(level, predicted),
        "quadratic_kappa": _quadratic_kappa(level, predicted),
        "class_mae": np.abs(level - predicted).mean(),
        "ranked_probability_score": ((p.cumsum(1) - hit.cumsum(1)) ** 2).sum(1).mean() / 4,
        "src": 0.0 if np.isnan(top) else top,
        "mae_log10": np.abs(np.log10(table["score"].to_numpy()) - np.log10(score)).mean(),
        "log_loss": -np.log(own).mean(),
        "brier": ((p - hit) ** 2).sum(1).mean(),
        "conformal_coverage": ((level >= table["set_low"]) & (level <= table["set_high"])).mean(),
        "conformal_set_size": (table["set_high"] - table["set_low"] + 1).mean(),
        "interval_coverage": ((score >= table["score_low"]) & (score <= table["score_high"])).mean(),
    }
    half = 1 / np.sqrt(len(level))
    # Controls are repeated over seeds, as the documented `seed` column allows.
    seeds = (0, 1, 2) if kind == "control" else (None,)
    return [
        {
            "model": model,
            "kind": kind,
            "protocol": protocol,
            "split": split,
            "view": view,
            "metric": metric,
            "value": float(value),
            "low": None if metric == "brier" else float(value - half),
            "high": None if metric == "brier" else float(value + half),
            "n": len(level),
            "seed": seed,
        }
        for metric, value in values.items()
        for seed in seeds
    ]


def reliability_rows(table: pd.DataFrame, model: str, split: str, view: str) -> list[dict[str, object]]:
    """Rows of reliability.parquet: ten bins per level, and of the top label as level -1."""
    p = table[PROBABILITIES].to_numpy()
    level = table["level"].to_numpy()
    curves = {-1: (p.max(axis=1), (p.argmax(axis=1) == level))}
    curves |= {index: (p[:, index], level == index) for index in range(5)}
    rows: list[dict[str, object]] = []
    for index, (confidence, frequency) in curves.items():
        which = np.minimum((confidence * 10).astype(int), 9)
        for step in np.unique(which):
            chosen = which == step
            rows.append(
                {
                    "model": model,
                    "view": view,
                    "split": split,
                    "level": index,
                    "bin_low": step / 10,
                    "bin_high": (step + 1) / 10,
                    "confidence": float(confidence[chosen].mean()),
                    "frequency": float(frequency[chosen].mean()),
                    "n": int(chosen.sum()),
                }
            )
    return rows


def curve_table(rng: np.random.Generator) -> pd.DataFrame:
    """Learning curves of two members, training and validation."""
    rows = []
    for model, final in (("fine-tuned title", 1.42), ("picture grid", 1.55)):
        for epoch in range(6):
            for split, gap in (("train", -0.02 * epoch), ("validation", 0.004 * epoch)):
                value = final + 0.25 * np.exp(-epoch / 1.5) + gap + rng.normal(scale=0.004)
                rows.append((model, epoch, epoch * 50, split, "loss", float(value)))
            rows.append((model, epoch, epoch * 50, "validation", "src", float(0.5 - 0.3 * np.exp(-epoch / 1.2))))
    return pd.DataFrame(rows, columns=["model", "epoch", "step", "split", "metric", "value"])


def grid_table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Validation figures of CatBoost of three depths and four lengths, and of one stopped early, which is chosen."""
    sizes = [("own", 311, 6), *((f"trees-{k}-{depth}", k, depth) for depth in (5, 10, 14) for k in (50, 100, 250, 500))]
    rows = []
    for candidate, trees, depth in sizes:
        gain = 0.02 * np.log(trees / 50) + (0.03 if candidate == "own" else 0.0) + rng.normal(scale=0.002)
        for metric, value in (("accuracy", 0.3 + gain), ("src", 0.4 + 2 * gain), ("log_loss", 1.5 - gain)):
            rows.append((candidate, trees, depth, candidate == "own", metric, float(value), n))
    return pd.DataFrame(rows, columns=["candidate", "iterations", "depth", "chosen", "metric", "value", "n"])


def fold_table(rng: np.random.Generator, folds: int = 5, n: int = 60) -> pd.DataFrame:
    """Nested folds under both protocols, the random ones flattered."""
    rows = [
        (
            "fake",
            protocol,
            fold,
            9,
            "own" if fold else "trees-500-5",
            metric,
            float(mean + gain + rng.normal(0, 0.01)),
            n,
        )
        for protocol, gain in (("grouped", 0.0), ("random", 0.05))
        for fold in range(folds)
        for metric, mean in (("src", 0.5), ("accuracy", 0.35), ("macro_f1", 0.34))
    ]
    columns = ["recipe", "protocol", "fold", "candidates", "chosen", "metric", "value", "n"]
    return pd.DataFrame(rows, columns=columns)


def recipe_table(rng: np.random.Generator, n: int = 60) -> pd.DataFrame:
    """Test figures of three recipes, one of another target, in every view."""
    rows = [
        (recipe, f"{recipe} on towers.", target, "grouped", "test", view, metric, value, value - 0.05, value + 0.05, n)
        for recipe, target, base in (("fake", "score", 0.5), ("trees", "score", 0.4), ("reach", "popularity", 0.2))
        for view, loss in (("both", 0.0), ("text", 0.02))
        for metric, value in (("src", base - loss), ("accuracy", 0.3 + rng.uniform(0, 0.1)), ("brier", 0.8))
    ]
    columns = ["recipe", "summary", "target", "protocol", "split", "view", "metric", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def ablation_tables(rng: np.random.Generator, seeds: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ablations.parquet and the comparisons.parquet that goes with it: delta is the mean over the seeds."""
    rows, deltas = [], []
    # Class MAE moves the other way: an earned part lowers it.
    for metric, base, sign in (("macro_f1", 0.38, 1.0), ("src", 0.6, 1.3), ("class_mae", 0.95, -2.0)):
        reference_values = base + rng.normal(scale=0.004, size=seeds)
        for family, ablation, reference, effect in ABLATIONS:
            values = reference_values + sign * effect + rng.normal(scale=0.004, size=seeds)
            for seed in range(seeds):
                rows.append((family, ablation, reference, seed, "test", metric, values[seed], reference_values[seed]))
            delta = float((values - reference_values).mean())
            deltas.append((ablation, reference, metric, delta, delta - 0.008, delta + 0.008, seeds, 100))
    ablations = pd.DataFrame(
        rows, columns=["family", "ablation", "reference", "seed", "split", "metric", "value", "reference_value"]
    )
    names = ["ablation", "reference", "metric", "delta", "low", "high", "seeds", "n"]
    return ablations, pd.DataFrame(deltas, columns=names)
