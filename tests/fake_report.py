"""A small report of the documented format with random but consistent figures, for tests only; never shipped.

Run `python -m tests.fake_report FOLDER [N]` to look at the dashboard without a trained model.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from engine.scoring import LEVELS, SCORE_FORMULA, fit_cuts, log_score, to_level
from tests.fake_figures import (
    ablation_tables,
    curve_table,
    fold_table,
    grid_table,
    metric_rows,
    recipe_table,
    reliability_rows,
)

PROBABILITIES = [f"p_{name.lower().replace(' ', '_')}" for name in LEVELS]
REASONS = ("missing picture", "unreadable picture", "duplicate picture", "no views", "no title")
# ThumbHashes published as examples of the format: small, valid, and of no real post.
THUMBHASHES = ("1QcSHQRnh493V4dIh4eXh1h4kJUI", "3PcNNYSFeXh/d3eld0iHZoZgVwh2", "HBkSHYSIeHiPiHh8eJd4eTN0EEQG")
# name, kind, views it has, signal strength
MODELS = (
    ("blend", "model", ("both", "text", "image"), 1.0),
    ("fine-tuned title", "member", ("text",), 0.85),
    ("picture grid", "member", ("image",), 0.45),
    ("majority", "baseline", ("both",), 0.0),
    ("prior", "baseline", ("both",), 0.0),
    ("category only", "baseline", ("both",), 0.3),
    ("text statistics", "baseline", ("text",), 0.2),
    ("k nearest posts", "baseline", ("both",), 0.4),
    ("picture only", "baseline", ("image",), 0.4),
    ("text only", "baseline", ("text",), 0.7),
    ("n-gram ridge", "baseline", ("text",), 0.75),
    ("shuffled labels", "control", ("both",), 0.0),
    ("shuffled pictures", "control", ("both",), 0.7),
    ("shuffled texts", "control", ("both",), 0.35),
    ("counts as inputs", "leak", ("both",), 4.0),
)
NOTES = (
    "Random figures made by a test: nothing here was measured.",
    "There are no shares and no favorites in this source, so the engagement score uses likes and comments.",
)


def _posts(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The kept posts, and the part of their log score that a model could know."""
    group = rng.integers(0, max(n // 4, 10), n)
    known = 0.6 * rng.normal(size=group.max() + 1)[group] + 0.8 * rng.normal(size=n)
    score = np.exp(-3.2 + 0.55 * known + 0.55 * rng.normal(size=n))
    by_group = rng.choice(["train", "validation", "test"], size=group.max() + 1, p=[0.6, 0.15, 0.25])
    split = by_group[group]
    for index, name in enumerate(("train", "validation", "test")):
        split[index * 5 : index * 5 + 5] = name
    cuts = fit_cuts(score[split == "train"])
    small = rng.random(n) < 0.05
    characters = rng.integers(8, 100, n)
    posts = pd.DataFrame(
        {
            "post_id": [f"post{index:05d}" for index in range(n)],
            "split": split,
            "random_split": rng.choice(["train", "validation", "test"], size=n, p=[0.6, 0.15, 0.25]),
            "group": group,
            "source": rng.choice(["list A", "list B", "list C"], size=n, p=[0.6, 0.3, 0.1]),
            "score": score,
            "log_score": log_score(score),
            "level": to_level(score, cuts),
            "likes_per_view": score * rng.uniform(0.8, 1.0, n),
            "title_characters": characters,
            "title_words": np.maximum(characters // 6, 1),
            "language": rng.choice(["en", "es", "ja", "hi"], size=n, p=[0.8, 0.1, 0.06, 0.04]),
            "image_width": np.where(small, 120, 320),
            "image_height": np.where(small, 68, 180),
            "thumbhash": rng.choice(THUMBHASHES, size=n),
            "image_url": [f"https://pictures.invalid/{index}.jpg" if index % 10 else None for index in range(n)],
            "pixel_hash": [f"{index:064x}" for index in range(n)],
        }
    )
    return posts, known


def _predict(rng: np.random.Generator, posts: pd.DataFrame, known: np.ndarray, strength: float) -> pd.DataFrame:
    """Predictions whose quality grows with `strength`: ordinal probabilities around a noisy guess."""
    truth = (posts["log_score"] - posts["log_score"].mean()) / posts["log_score"].std()
    signal = np.asarray(truth) if strength > 1 else known
    center = 2 + 1.1 * min(strength, 1.0) * signal + rng.normal(scale=0.15, size=len(posts))
    distance = np.arange(5)[None, :] - center[:, None]
    width = 0.45 if strength > 1 else 1.0 if strength > 0.2 else 3.0
    weights = np.exp(-0.5 * (distance / width) ** 2)
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    table = pd.DataFrame(probabilities, columns=PROBABILITIES)
    predicted = probabilities.argmax(axis=1)
    reach = np.where(probabilities.max(axis=1) > 0.42, 1, 2)
    middle = float(posts["log_score"].mean())
    guess = middle + 0.45 * (center - 2)
    table["predicted_level"] = predicted
    table["expected_level"] = probabilities @ np.arange(5)
    table["score"] = np.exp(guess)
    table["score_low"] = np.exp(guess - 0.75)
    table["score_high"] = np.exp(guess + 0.75)
    table["set_low"] = np.maximum(predicted - reach, 0)
    table["set_high"] = np.minimum(predicted + reach, 4)
    table["abstain"] = probabilities.max(axis=1) < 0.386
    return table


def _report_json(posts: pd.DataFrame, seed: int) -> dict[str, object]:
    train = posts[posts["split"] == "train"]
    return {
        "recipe": "fake",
        "config": {"seed": seed, "encoders": ["none"], "members": [name for name, *_ in MODELS[:3]]},
        "environment": {"packages": {"numpy": np.__version__, "pandas": pd.__version__}, "machine": "a test"},
        "data_fingerprint": f"{seed:016x}",
        "created": "2026-01-01T00:00:00Z",
        "seconds": {"prepare": 1.0, "split": 0.5, "extract": 12.0, "train": 40.0, "evaluate": 3.0},
        "score_formula": SCORE_FORMULA,
        "cuts": [float(cut) for cut in fit_cuts(train["score"])],
        "prior": [float((train["level"] == level).mean()) for level in range(5)],
        "notes": list(NOTES),
    }


def write_report(folder: str | Path, n: int = 400, seed: int = 0) -> Path:
    """Write every table of a report of `n` kept posts into `folder` (made when absent) and return it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    posts, known = _posts(rng, n)
    removed = max(n // 12, 8)
    cleaning = pd.DataFrame(
        {
            "post_id": [f"gone{index:05d}" for index in range(removed)],
            "reason": rng.choice(REASONS, size=removed, p=[0.3, 0.1, 0.4, 0.1, 0.1]),
        }
    )
    tables: list[pd.DataFrame] = []
    metrics: list[dict[str, object]] = []
    reliability: list[dict[str, object]] = []
    for model, kind, views, strength in MODELS:
        for view in views:
            share = {"both": 1.0, "text": 0.95, "image": 0.5}[view] if kind == "model" else 1.0
            table = _predict(rng, posts, known, strength * share)
            table.insert(0, "post_id", posts["post_id"])
            table.insert(1, "split", posts["split"])
            table.insert(2, "level", posts["level"])
            for split in ("validation", "test"):
                chosen = posts["split"] == split
                metrics += metric_rows(posts[chosen], table[chosen], model, kind, "grouped", split, view)
                again = posts["random_split"] == split
                metrics += metric_rows(posts[again], table[again], model, kind, "random", split, view)
                if kind in ("model", "member"):
                    reliability += reliability_rows(table[chosen], model, split, view)
            if kind in ("model", "member"):
                table.insert(0, "model", model)
                table.insert(1, "view", view)
                tables.append(table[table["split"] != "train"])
    ablations, comparisons = ablation_tables(rng)
    attribution = pd.DataFrame(
        [
            {"method": method, "kind": kind, "fraction": step / 10, "value": 1.8 + 0.6 * share**power, "n": 100}
            for method, power in (("Integrated Gradients", 2.0), ("random order", 1.0))
            for step in range(11)
            for kind, share in (("deletion", 1 - step / 10), ("insertion", 1 - (1 - step / 10) ** power))
        ]
    )
    summary = pd.DataFrame(
        [
            ("Integrated Gradients", "area_difference", 0.4, 0.3, 0.5, 100),
            ("random order", "area_difference", 0.0, -0.1, 0.1, 100),
            ("Integrated Gradients", "seconds", 1.2, 1.1, 1.3, 100),
            ("Integrated Gradients − random order", "area_difference", 0.4, 0.25, 0.55, 100),
        ],
        columns=["method", "metric", "value", "low", "high", "n"],
    )
    written = {
        "posts": posts,
        "cleaning": cleaning,
        "metrics": pd.DataFrame(metrics).astype({"seed": "Int64"}),
        "predictions": pd.concat(tables, ignore_index=True),
        "reliability": pd.DataFrame(reliability),
        "curves": curve_table(rng),
        "grid": grid_table(rng, int((posts["split"] == "validation").sum())),
        "crossvalidation": fold_table(rng),
        "recipes": recipe_table(rng),
        "ablations": ablations,
        "comparisons": comparisons,
        "attribution": attribution,
        "attribution_summary": summary,
    }
    for name, frame in written.items():
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    (folder / "report.json").write_text(json.dumps(_report_json(posts, seed), indent=1), encoding="utf-8")
    hardware = {
        "single_post": {
            "what": "one prediction, against its encoders",
            "ratio": 1.234,
            "target": 1.3,
            "figures": [{"name": "prediction", "value": 41.0, "unit": "ms"}],
            "machine": "a made-up processor",
            "threads": 1,
            "versions": {"Python": "3.11.0", "torch": "2.0"},
            "measured": "2026-01-01T00:00:00+00:00",
        }
    }
    (folder / "hardware.json").write_text(json.dumps(hardware), encoding="utf-8")
    return folder


if __name__ == "__main__":
    print(write_report(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 400))
