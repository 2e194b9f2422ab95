"""What each figure of a report means: its name on screen, one line of definition, and which way is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """`better` is "higher", "lower", or "nominal" for coverages, which should meet `nominal` and neither exceed it."""

    name: str
    label: str
    meaning: str
    better: str = "higher"
    nominal: float | None = None

    @property
    def direction(self) -> str:
        if self.nominal is not None:
            return f"should be close to {self.nominal:.0%}"
        return f"{self.better} is better"


CATALOGUE = {
    metric.name: metric
    for metric in (
        Metric("src", "Spearman (SRC)", "Rank correlation of the expected score with the true one."),
        Metric("accuracy", "Accuracy", "Share of posts whose level is predicted exactly; guessing reaches about .20."),
        Metric("within_one_accuracy", "Within one level", "Share of posts predicted at most one level off."),
        Metric("macro_f1", "Macro-F1", "F1 of each level, averaged with equal weight: a majority guess scores .07."),
        Metric("quadratic_kappa", "Quadratic kappa", "Agreement beyond chance, misses weighted by squared distance."),
        Metric("class_mae", "Class MAE", "Mean distance between true and predicted level, in levels.", "lower"),
        Metric(
            "ranked_probability_score",
            "Ranked probability score",
            "Squared distance between the cumulated probabilities and the truth, over four cuts.",
            "lower",
        ),
        Metric("src_likes_per_view", "SRC, likes per view", "Rank correlation of the expected score with likes/views."),
        Metric("r2", "R²", "Share of the log score's variance explained; below 0 is worse than the mean."),
        Metric("mae_log10", "MAE, log10", "Mean distance between true and predicted score, in powers of ten.", "lower"),
        Metric("top20_src", "SRC, top 20%", "Rank correlation among the fifth of posts with the highest true score."),
        Metric(
            "log_loss", "Log loss", "Mean negative log probability of the true level; a flat guess costs 1.61.", "lower"
        ),
        Metric("brier", "Brier score", "Squared distance between the five probabilities and the truth.", "lower"),
        Metric(
            "classwise_ece", "Classwise ECE", "Mean gap between stated probability and frequency, per level.", "lower"
        ),
        Metric(
            "conformal_coverage",
            "Conformal coverage",
            "Share of posts whose true level lies in the set that promises 90%.",
            nominal=0.9,
        ),
        Metric("conformal_set_size", "Conformal set size", "Mean number of levels in that set, 1 to 5.", "lower"),
        Metric(
            "interval_coverage",
            "Interval coverage",
            "Share of posts whose score lies in the interval that promises 80%.",
            nominal=0.8,
        ),
        Metric(
            "pairwise_accuracy", "Pairwise accuracy", "Share of post pairs put in the right order; guessing gives .50."
        ),
    )
}
HEADLINE = ("src", "accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "class_mae", "log_loss")


def metric(name: str) -> Metric:
    """The catalogue's entry, or a plain one for a metric the catalogue does not know."""
    return CATALOGUE.get(name, Metric(name, name.replace("_", " "), "A figure this dashboard has no definition of."))


def ordered(names: list[str]) -> list[str]:
    """Metric names in the catalogue's order, unknown ones last."""
    known = [name for name in CATALOGUE if name in names]
    return known + sorted(set(names) - set(known))


def verdict(name: str, delta: float, low: float | None, high: float | None, basis: str = "seeds and posts") -> str:
    """Does a difference help? "better", "worse", "no clear difference" (zero inside), or "not tested" (no interval).

    Where the interval draws seeds but not test posts, that is said: such a difference may still be these posts' luck.
    """
    if low is None or high is None or low != low or high != high:
        return "not tested"
    if low <= 0 <= high:
        return "no clear difference"
    if metric(name).nominal is not None:
        word = "higher" if delta > 0 else "lower"
    else:
        word = "better" if (delta > 0) == (metric(name).better == "higher") else "worse"
    return word if basis == "seeds and posts" else f"{word}, seeds only"
