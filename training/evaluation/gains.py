"""What a model gains over simpler ones, and the sentences that belong beside every figure of a report."""

import pandas as pd

from engine.prediction import View
from training.data.workspace import Workspace
from training.evaluation.baselines import NGRAM_RIDGE
from training.metrics.bootstrap import paired_bootstrap


def gains_of(
    predictions: pd.DataFrame, model: str, truth: pd.DataFrame, resamples: int
) -> dict[str, dict[str, dict[str, float]]]:
    """What the model with both sides gains on test, paired by post: over its own answer to the title alone
    (`picture`), and over the n-gram ridge (`ngrams`); by metric, delta with its 95 % interval."""
    test = predictions[predictions["split"] == "test"]

    def answers(name: str, view: View) -> pd.DataFrame:
        return test[(test["model"] == name) & (test["view"] == view)]

    both = answers(model, "both")
    references = {"picture": answers(model, "text"), "ngrams": answers(NGRAM_RIDGE, "text")}
    gains: dict[str, dict[str, dict[str, float]]] = {}
    for name, reference in references.items():
        for metric in ("src", "accuracy", "ranked_probability_score"):
            delta, low, high = paired_bootstrap(metric, both, reference, truth, groups="group", resamples=resamples)
            gains.setdefault(name, {})[metric] = {"delta": delta, "low": low, "high": high}
    return gains


def _gain_sentence(start: str, gain: dict[str, float], shown: str, not_shown: str) -> str:
    interval = f"SRC {gain['delta']:+.3f} (95 % interval {gain['low']:+.3f} to {gain['high']:+.3f})"
    return f"{start}: {interval}, {shown if gain['low'] > 0 else not_shown}."


def notes_of(workspace: Workspace, gains: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Sentences that belong beside every figure of the report."""
    absent = workspace.dataset["absent_counts"]
    return [
        f"The engagement score here lacks {' and '.join(absent)}: the dataset does not give them." if absent else
        "The engagement score uses every count of its formula.",
        "Posts come from trending lists: only posts that did well somewhere are in it.",
        _gain_sentence("Picture and title together against the title alone", gains["picture"]["src"],
                       "so the picture helps beyond the title",
                       "so on these posts the picture is not shown to add to the rank order that the title gives"),
        _gain_sentence("Picture and title together against a ridge on the title's n-grams", gains["ngrams"]["src"],
                       "so the model is better than that strong baseline",
                       "so the model is not shown to be better than that strong baseline"),
        "Intervals draw whole groups of related posts (cluster bootstrap).",
    ]  # fmt: skip
