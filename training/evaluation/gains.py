"""What a model gains over simpler ones, and the sentences that belong beside every figure of a report."""

from collections.abc import Mapping, Sequence

import pandas as pd

from engine.intervals import RESAMPLES
from training.data.workspace import Workspace
from training.evaluation.baselines import NGRAM_RIDGE
from training.metrics.bootstrap import paired_bootstrap

METRICS = (
    "src", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "ranked_probability_score", "log_loss",
)  # fmt: skip
# Metric → the share that is promised, and what of.
PROMISES = {
    "conformal_coverage": (0.9, "level sets hold the level"),
    "interval_coverage": (0.8, "intervals hold the score"),
}


def differences_of(
    predictions: pd.DataFrame, model: str, truth: pd.DataFrame, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """differences.parquet: what a model has over its own answers to one side and over the n-gram ridge, on test.

    Columns: model, view, reference, reference_view, metric, delta = metric(model) − metric(reference), its paired 95 %
    interval low, high, and n. `predictions` hold the test posts of all models, `truth` what happened to them; a view or
    reference that is not there is left out.
    """
    test = predictions[predictions["split"] == "test"]
    answers = {names: table for names, table in test.groupby(["model", "view"])}
    # The model with picture and title against less of either, and against the ridge.
    pairs = (
        ("both", model, "text"),
        ("both", model, "image"),
        ("both", NGRAM_RIDGE, "text"),
        ("text", NGRAM_RIDGE, "text"),
    )
    rows = []
    for view, reference, other in pairs:
        if (model, view) not in answers or (reference, other) not in answers:
            continue
        one, two = answers[model, view], answers[reference, other]
        found = paired_bootstrap(METRICS, one, two, truth, resamples=resamples)
        rows += [(model, view, reference, other, metric, *gain, len(one)) for metric, gain in found.items()]
    columns = ["model", "view", "reference", "reference_view", "metric", "delta", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def gains_of(differences: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Of the differences of the view `both`, those over the title alone (`picture`) and over the n-gram ridge
    (`ngrams`): by metric, delta with its interval."""
    gains: dict[str, dict[str, dict[str, float]]] = {}
    for row in differences[differences["view"].eq("both") & differences["reference_view"].eq("text")].itertuples():
        name = "ngrams" if row.reference == NGRAM_RIDGE else "picture"
        figures = {key: float(getattr(row, key)) for key in ("delta", "low", "high")}
        gains.setdefault(name, {})[str(row.metric)] = figures
    return gains


# An interval that ends so near above 0, as a share of its middle, may hold 0 by other draws of the groups.
EDGE = 0.1
AT_THE_EDGE = "which all but holds 0, so these posts alone hardly show it"
# Of `gains_of` → what is set beside what, and what it means when the interval lies above 0, and when not.
GAINS = {
    "picture": (
        "Picture and title together against the title alone",
        "so the picture helps beyond the title",
        "so on these posts the picture is not shown to add to the rank order that the title gives",
    ),
    "ngrams": (
        "{} against a ridge on the title's n-grams",
        "so the model is better than that strong baseline",
        "so the model is not shown to be better than that strong baseline",
    ),
}


# In the place of what a gain of the picture means, where the answer to the title alone is the worse for lacking it.
WEAK = "which says little of the picture: to the title alone the model answers worse than a ridge on its n-grams"


def _gain(name: str, gain: Mapping[str, float], weak: bool, reads_words: bool) -> str:
    start, shown, not_shown = GAINS[name]
    start = start.format("Picture and title together" if reads_words else "What it sees, without any words,")
    if gain["low"] < EDGE * (gain["low"] + gain["high"]) / 2:
        shown = AT_THE_EDGE
    if name == "picture" and weak:
        shown = not_shown = WEAK
    interval = f"SRC {gain['delta']:+.3f} (95 % interval {gain['low']:+.3f} to {gain['high']:+.3f})"
    return f"{start}: {interval}, {shown if gain['low'] > 0 else not_shown}."


def earned_notes(contributions: pd.DataFrame) -> list[str]:
    """What each member that sees the picture alone adds to the rest out of fold; `contributions` as in the report."""
    own = contributions[contributions["metric"] == "src"]
    seen = {view: set(own.loc[own["view"] == view, "member"]) for view in ("image", "text")}
    rows = own[own["view"].eq("both") & own["member"].isin(seen["image"] - seen["text"])]
    return [
        f"Out of fold, on {row.n:,} posts outside of test, picture and title rank posts by SRC {row.delta:+.3f} (95 % "
        f"interval {row.low:+.3f} to {row.high:+.3f}) better with {row.member}, which sees the picture alone, than "
        "without it."
        for row in rows.itertuples()
    ]


def _promise(metrics: pd.DataFrame, metric: str) -> str:
    """Whether test keeps what one kind of set or interval promises; `metrics` are the model's on test, view both."""
    promised, what = PROMISES[metric]
    own = metrics[metrics["metric"] == metric]
    value, low, high = (float(own[name].iloc[0]) for name in ("value", "low", "high"))
    verdict = "as promised, within the interval"
    if low == high:
        verdict = "of so few groups of related posts that no more can be told"
    elif not low <= promised <= high:
        verdict = "less often than promised" if high < promised else "more often than promised"
    return (
        f"On test, {what} of {value:.1%} of the posts (95 % interval {low:.1%} to {high:.1%}); promised are "
        f"{promised:.0%}: {verdict}."
    )


def _calibration(metrics: pd.DataFrame) -> str:
    """The calibration error beside what chance alone leaves; `metrics` as in `_promise`."""
    rows = metrics.set_index("metric").loc[["classwise_ece", "classwise_ece_by_chance"]]
    (error, *_), (chance, low, high) = rows[["value", "low", "high"]].to_numpy(dtype=float)
    return (
        f"On test, the calibration error (classwise ECE) is {error:.3f}; a perfectly calibrated model that says the "
        f"same would measure {chance:.3f} on as many posts (95 % of draws {low:.3f} to {high:.3f})."
    )


def notes_of(
    workspace: Workspace, differences: pd.DataFrame, metrics: pd.DataFrame, test_reads: Sequence[Mapping[str, str]] = ()
) -> list[str]:
    """Sentences that belong beside every figure of the report.

    `metrics` are the rows of metrics.parquet of the recipe's own model; `test_reads` say when test was read before and
    now, one entry a time.
    """
    absent = workspace.dataset["absent_counts"]
    gains = gains_of(differences)
    alone = differences[differences["view"].eq("text") & differences["metric"].eq("src")]
    weak = bool((alone["high"] < 0).any())
    own = metrics[metrics["split"].eq("test") & metrics["view"].eq("both")]
    counts = f"lacks {' and '.join(absent)}: the dataset does not give them" if absent else "uses every count"
    score = f"The engagement score here {counts}."
    if formula := workspace.dataset.get("score_formula"):
        score = f"The score here is the dataset's own: {formula}."
    sentences = [
        score,
        *workspace.dataset.get("notes", ()),
        *(_gain(name, gain["src"], weak, "text" in set(metrics["view"])) for name, gain in gains.items()),
        *(_promise(own, metric) for metric in PROMISES),
        _calibration(own),
        "Intervals draw whole groups of related posts (cluster bootstrap).",
    ]
    return [*sentences, *([reads_note(test_reads)] if test_reads else [])]


READ = "The figures of the test posts have been read"


def reads_note(test_reads: Sequence[Mapping[str, str]]) -> str:
    """How often steps read test, as a sentence; benchmarks that read a report of it are not counted."""
    return f"{READ} at least {'once' if len(test_reads) == 1 else f'{len(test_reads)} times'} by steps of the pipeline."
