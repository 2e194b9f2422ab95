"""What each figure of a report means: its name on screen, one line of definition, and which way is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Metric:
    """`better` is "higher", "lower", or None: for a figure of unknown direction, and for a coverage, which should meet
    `nominal` and neither exceed it."""

    name: str
    label: str
    meaning: str
    better: str | None = "higher"
    nominal: float | None = None

    @property
    def direction(self) -> str:
        """ "Higher is better", or what else makes a good value; empty where nobody knows."""
        if self.nominal is not None:
            return f"Should be close to {self.nominal:.0%}"
        return f"{self.better.capitalize()} is better" if self.better else ""

    @property
    def definition(self) -> str:
        """Meaning and direction, in sentences."""
        return f"{self.meaning} {self.direction}." if self.direction else self.meaning

    @property
    def title(self) -> str:
        """Label and direction, for an axis."""
        return f"{self.label} ({self.direction.lower()})" if self.direction else self.label


CATALOGUE = {
    metric.name: metric
    for metric in (
        Metric("src", "Spearman (SRC)", "Rank correlation of the expected score with the true one."),
        Metric("accuracy", "Accuracy", "Share of posts whose level is predicted exactly; guessing reaches about .20."),
        Metric("within_one_accuracy", "Within one level", "Share of posts predicted at most one level off."),
        Metric("macro_f1", "Macro-F1", "F1 of each level, averaged with equal weight; a majority guess: about .06."),
        Metric("quadratic_kappa", "Quadratic kappa", "Agreement beyond chance, misses weighted by squared distance."),
        Metric("class_mae", "Class MAE", "Mean distance between true and predicted level, in levels.", "lower"),
        Metric(
            "ranked_probability_score",
            "Ranked prob. score",
            "Squared distance between the cumulated probabilities and the truth, over four cuts.",
            "lower",
        ),
        Metric("src_likes_per_view", "SRC, likes per view", "Rank correlation of the expected score with likes/views."),
        Metric("r2", "R²", "Share of the log score's variance explained; below 0 is worse than the mean."),
        Metric("mae_log10", "MAE, log10", "Mean distance between true and predicted score, in powers of ten.", "lower"),
        Metric("mae_log2", "MAE, log2", "Mean distance between true and predicted score, in powers of two.", "lower"),
        Metric("top20_src", "SRC, top 20%", "Rank correlation among the fifth of posts with the highest true score."),
        Metric(
            "log_loss", "Log loss", "Mean negative log probability of the true level; a flat guess costs 1.61.", "lower"
        ),
        Metric("brier", "Brier score", "Squared distance between the five probabilities and the truth.", "lower"),
        Metric(
            "classwise_ece", "Classwise ECE", "Mean gap between stated probability and frequency, per level.", "lower"
        ),
        Metric(
            "ece",
            "Top-label ECE",
            "Mean gap between the stated probability of the predicted level and how often it is the true one.",
            "lower",
        ),
        *(
            Metric(
                f"{name}_by_chance",
                f"{label}, by chance",
                "What a perfectly calibrated model with these probabilities would measure on as many posts: the mean "
                "of 300 draws, in brackets where 95% of them lie.",
                None,
            )
            for name, label in (("classwise_ece", "Classwise ECE"), ("ece", "Top-label ECE"))
        ),
        Metric(
            "conformal_coverage",
            "Conformal coverage",
            "Share of posts whose true level lies in the set that promises 90%.",
            None,
            0.9,
        ),
        Metric("conformal_set_size", "Conformal set size", "Mean number of levels in that set, 1 to 5.", "lower"),
        Metric(
            "interval_coverage",
            "Interval coverage",
            "Share of posts whose score lies in the interval that promises 80%.",
            None,
            0.8,
        ),
        Metric(
            "pairwise_accuracy", "Pairwise accuracy", "Share of post pairs put in the right order; guessing gives .50."
        ),
        Metric(
            "pairwise_accuracy_within_group",
            "Pairwise accuracy, same group",
            "The same among pairs of one group: a channel, a series, or what shares rare words.",
        ),
        Metric("category_accuracy", "Category accuracy", "Share of posts whose category is predicted."),
        Metric("category_macro_f1", "Category macro-F1", "F1 of each category, averaged with equal weight."),
        Metric("precision", "Precision", "Of the posts said to be of a category, the share that is."),
        Metric("recall", "Recall", "Of the posts of a category, the share that is said to be."),
        Metric("f1", "F1", "Harmonic mean of precision and recall."),
        Metric("category_loss", "Category loss", "Mean cross-entropy of the category.", "lower"),
        Metric("score_loss", "Score loss", "Mean squared error of the log score, in deviations.", "lower"),
        Metric("criterion", "What chose the epoch", "Both losses, as shares of what a constant answer costs.", "lower"),
        Metric("loss", "Loss", "What training lowers; of no unit, and comparable within one network only.", "lower"),
        Metric(
            "area_difference",
            "Area difference (levels)",
            "Area under insertion minus that under deletion; an order that knows nothing is near 0.",
        ),
        Metric(
            "completeness_error",
            "Completeness error (levels)",
            "What the values of all parts fail to account for of the answer.",
            "lower",
        ),
        Metric("withheld", "Turned away", "Share of which the guard leaves out a side, or all that there is.", None),
        Metric(
            "near_prior",
            "Told only the usual",
            "Share turned away, or answered with no probability further than .05 from what is usual.",
            None,
        ),
        Metric("abstained", "Abstained", "Share turned away, or left unanswered for any other reason.", None),
        Metric(
            "src_guarded",
            "SRC with the guard",
            "SRC when posts that are turned away rank by their other side, or in the middle.",
        ),
        Metric("src_difference", "Change in SRC", "SRC with the guard minus SRC without it."),
        Metric("seconds", "Seconds", "Time that one explanation took.", "lower"),
        *(
            Metric(f"recall@{depth}", f"Recall at {depth}", f"Share found among the first {depth} of all there are.")
            for depth in (1, 5, 10)
        ),
        Metric("auc", "AUC", "How often a matched pair is more alike than a mismatched one; guessing gives .50."),
        Metric("bleu4", "BLEU-4", "Runs of one to four words that captions share with what people wrote of a photo."),
        Metric("nouns_in_title", "Nouns in the title", "Share of the captions' nouns that the post's own title has."),
        Metric("nouns_in_other_title", "Nouns in other titles", "The same in titles of other posts.", None),
        Metric("nouns_difference", "Own minus other", "How much oftener the nouns are in a post's own title."),
        Metric(
            "linear_probe_r2",
            "R² of a linear probe",
            "Share of the target's variance that a ridge regression on the vectors explains out of fold.",
        ),
        Metric("cka", "CKA", "How alike the vectors before and after are: 1 where one is the other turned.", None),
        Metric("ratio", "Chosen ratio", "Share of the adapter in the vector; the rest is the vector as it was.", None),
    )
}
HEADLINE = (
    "src", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "ranked_probability_score", "log_loss",
)  # fmt: skip


def metric(name: str) -> Metric:
    """The catalogue's entry, or one without a direction for a metric the catalogue does not know."""
    plain = name.replace("_", " ").capitalize()
    return CATALOGUE.get(name, Metric(name, plain, "A figure this dashboard has no definition of.", None))


def ordered(names: Sequence[str]) -> list[str]:
    """Metric names in the catalogue's order, unknown ones last."""
    known = [name for name in CATALOGUE if name in names]
    return known + sorted(set(names) - set(known))


def ranked(table: pd.DataFrame, what: Metric, column: str = "value") -> pd.DataFrame:
    """Rows of one metric, best first: a coverage by its distance to the promise; as they come where nobody knows."""
    if what.nominal is not None and column == "value":
        return table.iloc[(table[column] - what.nominal).abs().argsort(kind="stable")]
    if what.better is None:
        return table
    return table.sort_values(column, ascending=what.better == "lower", kind="stable")


def between(low: float, high: float, style: str = ".3f") -> str:
    """An interval in words; empty where there is none."""
    return "" if pd.isna(low) or pd.isna(high) else f"{low:{style}} to {high:{style}}"


def bracketed(row: Mapping[str, Any], style: str = ".3f") -> str:
    """A figure, and its interval in brackets where it has one."""
    found = between(row["low"], row["high"], style)
    return f"{row['value']:{style}}" + (f" [{found}]" if found else "")


# An interval that ends so near zero, as a share of its middle, may hold zero by other draws of the groups.
EDGE = 0.1
EDGY = ", but hardly shown"


def verdict(name: str, low: float, high: float) -> str:
    """What a difference's interval says: "better", "worse", "no clear difference" (zero inside) or "not tested" (there
    is none); "higher" or "lower" where nobody knows which is better; `EDGY` follows where it all but holds zero."""
    if pd.isna(low) or pd.isna(high):
        return "not tested"
    if low <= 0 <= high:
        return "no clear difference"
    better = metric(name).better
    words = ("lower", "higher") if better is None else ("worse", "better")
    word = words[(low > 0) == (better != "lower")]
    return word + EDGY if min(abs(low), abs(high)) < EDGE * abs(low + high) / 2 else word
