"""Metrics against scikit-learn, scipy and hand-worked cases; intervals against plain resampling."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from engine.errors import DataError
from engine.scoring import fit_cuts, to_level
from training.metrics.bootstrap import calibration_by_chance, evaluate_metrics, paired_bootstrap, with_intervals
from training.metrics.pairs import Pairs
from training.metrics.predictions import PROBABILITIES, coverage, evaluated, reliability
from training.metrics.weighted import METRICS, Evaluated, available

REPORT = Path(__file__).resolve().parents[2] / "models" / "youtube" / "report"

DOCUMENTED = {
    *("accuracy", "within_one_accuracy", "macro_f1", "quadratic_kappa", "class_mae", "ranked_probability_score"),
    *("src", "src_likes_per_view", "r2", "mae_log10", "top20_src", "log_loss", "brier", "classwise_ece"),
    *("conformal_coverage", "conformal_set_size", "interval_coverage", "pairwise_accuracy"),
}


def tables(count: int = 300, seed: int = 0, noise: float = 0.6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and truth of `count` posts, with ties in both and posts in another order than the truth."""
    generator = np.random.default_rng(seed)
    log_score = np.round(generator.normal(-3.5, 0.8, count), 2)
    guess = np.round(log_score + generator.normal(0, noise, count), 1)
    level = to_level(np.exp(log_score), fit_cuts(np.exp(log_score)))
    centre = np.clip((guess + 5) / 0.7, 0, 4)
    weights = np.exp(-np.abs(np.arange(5) - centre[:, None])) * generator.uniform(0.7, 1.3, (count, 5))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    truth = pd.DataFrame(
        {
            "post_id": [f"p{index:05d}" for index in range(count)],
            "score": np.exp(log_score),
            "level": level,
            "likes_per_view": np.exp(log_score) * generator.uniform(0.7, 1.0, count),
            "group": generator.integers(0, max(count // 4, 1), count),
        }
    )
    predictions = pd.DataFrame(probabilities, columns=PROBABILITIES)
    top = probabilities.argmax(axis=1)
    predictions = predictions.assign(
        post_id=truth["post_id"],
        model="m",
        view="both",
        split="test",
        level=level,
        predicted_level=top,
        expected_level=probabilities @ np.arange(5),
        score=np.exp(guess),
        score_low=np.exp(guess - 1),
        score_high=np.exp(guess + 0.8),
        set_low=np.maximum(top - 1, 0),
        set_high=np.minimum(top + 1, 4),
    )
    return predictions.sample(frac=1.0, random_state=seed), truth


def hand(level: list[int], probabilities: list[list[float]], score: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = [f"p{index}" for index in range(len(level))]
    predictions = pd.DataFrame(probabilities, columns=PROBABILITIES).assign(post_id=names)
    return predictions, pd.DataFrame({"post_id": names, "level": level, "score": score})


def test_every_documented_name_is_there() -> None:
    values = evaluate_metrics(*tables())
    assert set(values) >= DOCUMENTED
    assert set(values) - DOCUMENTED == {"ece", "pairwise_accuracy_within_group"}
    # One is of scores that are published as a log2.
    assert list(values) == [name for name in METRICS if name != "mae_log2"]
    assert all(type(value) is float and np.isfinite(value) for value in values.values())


def test_values_equal_scikit_learn_and_scipy() -> None:
    predictions, truth = tables(seed=1)
    values = evaluate_metrics(predictions, truth)
    joined = predictions.drop(columns="level").merge(truth, on="post_id", suffixes=("_predicted", ""))
    level, top = joined["level"], joined["predicted_level"]
    probabilities = joined[[*PROBABILITIES]].to_numpy()
    log_truth, log_guess = np.log(joined["score"]), np.log(joined["score_predicted"])
    expected = {
        "accuracy": reference.accuracy_score(level, top),
        "macro_f1": reference.f1_score(level, top, average="macro"),
        "quadratic_kappa": reference.cohen_kappa_score(level, top, weights="quadratic"),
        "class_mae": reference.mean_absolute_error(level, top),
        "within_one_accuracy": np.mean(np.abs(level - top) <= 1),
        "log_loss": reference.log_loss(level, probabilities),
        "brier": np.mean(((probabilities - np.eye(5)[level]) ** 2).sum(axis=1)),
        "src": stats.spearmanr(joined["score_predicted"], joined["score"]).statistic,
        "src_likes_per_view": stats.spearmanr(joined["score_predicted"], joined["likes_per_view"]).statistic,
        "r2": reference.r2_score(log_truth, log_guess),
        "mae_log10": reference.mean_absolute_error(np.log10(joined["score"]), np.log10(joined["score_predicted"])),
        "conformal_coverage": np.mean((joined["set_low"] <= level) & (level <= joined["set_high"])),
        "interval_coverage": np.mean(joined["score"].between(joined["score_low"], joined["score_high"])),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-9), name


def test_top20_src_is_spearman_among_the_top_fifth() -> None:
    predictions, truth = tables(seed=2)
    # Distinct scores, so that the fifth is cut without ties.
    truth = truth.assign(score=truth["score"] * np.linspace(1, 1 + 1e-6, len(truth)))
    joined = predictions.merge(truth, on="post_id", suffixes=("_predicted", "")).nlargest(60, "score")
    expected = stats.spearmanr(joined["score_predicted"], joined["score"]).statistic
    assert evaluate_metrics(predictions, truth)["top20_src"] == pytest.approx(expected, rel=1e-9)


def test_pairwise_accuracy_counts_every_pair() -> None:
    predictions, truth = tables(count=120, seed=3)
    joined = predictions.merge(truth, on="post_id", suffixes=("_predicted", ""))
    pairs = {"all": [], "group": []}
    rows = list(zip(joined["score"], joined["score_predicted"], joined["group"], strict=True))
    for place, (score, guess, group) in enumerate(rows):
        for other_score, other_guess, other_group in rows[:place]:
            if score != other_score:
                point = 0.5 + 0.5 * np.sign(score - other_score) * np.sign(guess - other_guess)
                pairs["all"].append(point)
                if group == other_group:
                    pairs["group"].append(point)
    values = evaluate_metrics(predictions, truth)
    assert values["pairwise_accuracy"] == pytest.approx(np.mean(pairs["all"]))
    assert values["pairwise_accuracy_within_group"] == pytest.approx(np.mean(pairs["group"]))


def every_pair(truth: np.ndarray, predicted: np.ndarray, cluster: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of pairs ordered right, as it is defined."""
    valid = (truth[:, None] > truth) & (cluster[:, None] == cluster)
    points = valid * (np.sign(predicted[:, None] - predicted) + 1.0) / 2.0
    right, pairs = (np.einsum("ri,ij,rj->r", weights, part, weights) for part in (points, valid.astype(float)))
    return np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


@settings(max_examples=60)
@given(
    st.integers(1, 70),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 30),
    st.integers(1, 20),
    st.integers(0, 2**32 - 1),
)
def test_pairs_are_those_of_all_comparisons(
    count: int, truths: int, guesses: int, clusters: int, resamples: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=truths)[generator.integers(0, truths, count)]
    predicted = generator.normal(size=guesses)[generator.integers(0, guesses, count)]
    cluster = generator.integers(0, clusters, count)
    weights = generator.poisson(0.7, (resamples, count)).astype(float)
    found = Pairs(truth, predicted, cluster).right(weights)
    np.testing.assert_allclose(found, every_pair(truth, predicted, cluster, weights), rtol=0, atol=1e-9)


def test_hand_worked_scores() -> None:
    sure, flat = [0.0, 1.0, 0.0, 0.0, 0.0], [0.2] * 5
    values = evaluate_metrics(*hand([1, 3], [sure, flat], [0.01, 0.1]))
    assert values["accuracy"] == 0.5
    assert values["class_mae"] == 1.5
    assert values["within_one_accuracy"] == 0.5
    # Flat, true level 3: cumulative .2 .4 .6 .8 against 0 0 0 1.
    assert values["ranked_probability_score"] == pytest.approx((0.04 + 0.16 + 0.36 + 0.04) / 4 / 2)
    assert values["brier"] == pytest.approx((4 * 0.04 + 0.64) / 2)
    assert values["log_loss"] == pytest.approx(np.log(5) / 2)
    # Expected levels 1 and 2 order the scores rightly; there is no predicted score.
    assert values["src"] == pytest.approx(1) and values["pairwise_accuracy"] == 1
    assert not {"r2", "mae_log10", "conformal_coverage", "interval_coverage", "src_likes_per_view"} & set(values)


def test_calibration_error_by_hand() -> None:
    probabilities = [[0.8, 0.2, 0, 0, 0]] * 10
    values = evaluate_metrics(*hand([0] * 6 + [1] * 4, probabilities, [0.01] * 5 + [0.02] * 5))
    # One bin a level, as all confidences are equal: |.8 − .6|, |.2 − .4|, 0, 0, 0.
    assert values["classwise_ece"] == pytest.approx(0.4 / 5)
    assert values["ece"] == pytest.approx(0.2)


def test_a_constant_model_orders_nothing() -> None:
    values = evaluate_metrics(*hand([0, 1, 2, 3, 4], [[0.2] * 5] * 5, [0.01, 0.02, 0.03, 0.04, 0.05]))
    assert values["src"] == values["top20_src"] == values["quadratic_kappa"] == 0
    assert values["pairwise_accuracy"] == 0.5
    assert values["macro_f1"] == pytest.approx((2 * 1 / 6) / 5)


def test_impossible_true_level_has_a_finite_loss() -> None:
    values = evaluate_metrics(*hand([4, 0], [[1.0, 0, 0, 0, 0]] * 2, [0.1, 0.01]))
    assert np.isfinite(values["log_loss"])


def test_hidden_likes_are_left_out_of_their_metric_only() -> None:
    predictions, truth = tables(seed=5)
    truth.loc[::3, "likes_per_view"] = np.nan
    kept = truth[truth["likes_per_view"].notna()]
    part = predictions[predictions["post_id"].isin(kept["post_id"])]
    whole, partly = evaluate_metrics(predictions, truth), evaluate_metrics(part, kept)
    assert whole["src_likes_per_view"] == pytest.approx(partly["src_likes_per_view"])
    assert whole["src"] != partly["src"]


@settings(max_examples=20)
@given(st.integers(2, 60), st.integers(0, 1_000))
def test_weights_equal_repeated_rows(count: int, seed: int) -> None:
    """The heart of the bootstrap: a weighted metric is the plain metric of the resample written out."""
    count = max(count, 10)
    posts = evaluated(*tables(count, seed))
    drawn = np.random.default_rng(seed).integers(0, count, count)
    weights = np.bincount(drawn, minlength=count)[None, :].astype(float)

    def take(values: npt.NDArray[np.generic] | None) -> npt.NDArray[np.generic] | None:
        return None if values is None else values[drawn]

    resampled = Evaluated(**{name: take(getattr(posts, name)) for name in Evaluated.__dataclass_fields__})
    # Of pairs within groups whole groups are drawn, see below.
    for name in set(available(posts)) - {"pairwise_accuracy_within_group"}:
        plain = METRICS[name](resampled, np.ones((1, count)))[0] if name in available(resampled) else np.nan
        assert METRICS[name](posts, weights)[0] == pytest.approx(plain, nan_ok=True, abs=1e-6), name


def test_pairs_of_a_group_drawn_twice_count_twice() -> None:
    truth = np.array([1.0, 2, 3, 1, 2, 3])
    score = np.array([1.0, 2, 3, 3, 2, 1])
    pairs = Pairs(truth, score, np.repeat([0, 1], 3))
    posts: Any = SimpleNamespace(pairs_within_group=pairs)
    drawn = np.repeat([[1.0, 1], [2, 1], [0, 2]], 3, axis=1)
    assert METRICS["pairwise_accuracy_within_group"](posts, drawn) == pytest.approx([1 / 2, 2 / 3, 0])


def outside(table: pd.DataFrame) -> pd.DataFrame:
    """Rows whose value is not within its own interval."""
    return table[~table["value"].between(table["low"], table["high"])]


@pytest.mark.parametrize("count", [40, 300, 1_600])
def test_a_well_calibrated_models_error_lies_within_its_interval(count: int) -> None:
    """Resampling adds noise inside the bins: plain percentiles lie above the calibration error that they belong to."""
    for seed in range(5):
        predictions, truth = tables(count, seed=seed)
        drawn = np.random.default_rng(seed).random((count, 1))
        rows = predictions.sort_values("post_id")[[*PROBABILITIES]].to_numpy()
        truth = truth.assign(level=(drawn > rows.cumsum(axis=1)[:, :-1]).sum(axis=1))
        table = with_intervals(predictions, truth, resamples=100).set_index("metric")
        for name in ("classwise_ece", "ece"):
            value, low, high = table.loc[name, ["value", "low", "high"]]
            assert 0 <= low <= value <= high <= 1 and low < high


def test_calibration_errors_by_chance_are_those_of_a_calibrated_model() -> None:
    predictions, truth = tables(400, seed=5)
    found = calibration_by_chance(predictions, truth).set_index("metric")
    posts, rng = evaluated(predictions, truth), np.random.default_rng(100)
    drawn = [[rng.choice(5, p=shares) for shares in posts.probabilities] for _ in range(300)]
    for name in ("classwise_ece", "ece"):
        values = [METRICS[name](replace(posts, level=np.array(level)), np.ones((1, 400)))[0] for level in drawn]
        value, low, high = found.loc[f"{name}_by_chance", ["value", "low", "high"]]
        assert 0 < low < value < high
        assert value == pytest.approx(np.mean(values), rel=0.05)
    # One that is sure and right leaves nothing to chance.
    certain = predictions.assign(**{name: float(name == PROBABILITIES[2]) for name in PROBABILITIES})
    assert calibration_by_chance(certain, truth, draws=3)["value"].tolist() == [0, 0]


def test_a_constants_r2_lies_within_its_interval() -> None:
    predictions, truth = tables(seed=19)
    mean = np.exp(np.log(truth["score"]).mean())
    assert outside(with_intervals(predictions.assign(score=mean), truth, resamples=100)).empty


@pytest.mark.slow
def test_no_figure_of_the_shipped_predictions_lies_outside_its_interval() -> None:
    predictions = pd.read_parquet(REPORT / "predictions.parquet")
    truth = pd.read_parquet(REPORT / "posts.parquet")
    found = [with_intervals(table, truth, resamples=60) for _, table in predictions.groupby(["model", "view", "split"])]
    assert outside(pd.concat(found)).empty


def test_intervals_hold_the_value_and_are_repeatable() -> None:
    predictions, truth = tables(seed=6)
    table = with_intervals(predictions, truth, resamples=300, seed=7)
    assert list(table.columns) == ["metric", "value", "low", "high", "n"]
    assert (table["n"] == 300).all() and outside(table).empty
    pd.testing.assert_frame_equal(table, with_intervals(predictions, truth, resamples=300, seed=7))
    shuffled = predictions.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(table, with_intervals(shuffled, truth, resamples=300, seed=7))


def test_interval_of_a_mean_agrees_with_theory() -> None:
    predictions, truth = tables(count=1_000, seed=8)
    row = with_intervals(predictions, truth, resamples=1_000).set_index("metric").loc["accuracy"]
    half = 1.96 * np.sqrt(row["value"] * (1 - row["value"]) / 1_000)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(half, rel=0.12)


def test_clusters_of_copies_widen_the_interval() -> None:
    predictions, truth = tables(count=100, seed=9)

    def copy(table: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([table.assign(post_id=table["post_id"] + f"-{turn}") for turn in range(9)])

    truth = truth.assign(group=np.arange(100))
    predictions, truth = copy(predictions), copy(truth)
    alone = truth.drop(columns="group")
    by_post, by_group = (
        with_intervals(predictions, known, resamples=400).set_index("metric") for known in (alone, truth)
    )
    for name in ("accuracy", "src", "log_loss"):
        widths = [table.loc[name, "high"] - table.loc[name, "low"] for table in (by_post, by_group)]
        # Nine copies carry no more than one: the interval must be three times as wide.
        assert widths[1] / widths[0] == pytest.approx(3, rel=0.25)


def test_posts_without_a_group_stand_alone() -> None:
    predictions, truth = tables(count=50, seed=10)
    truth = truth.assign(group=pd.array([None] * 25 + [1] * 25, dtype="Int64"))
    assert len(np.unique(evaluated(predictions, truth).cluster)) == 26
    alone = truth.assign(group=np.arange(50))
    assert "pairwise_accuracy_within_group" not in evaluate_metrics(predictions, alone)


def test_paired_bootstrap_sees_a_difference_that_single_intervals_hide() -> None:
    better, truth = tables(count=400, seed=11, noise=0.60)
    generator = np.random.default_rng(0)
    worse = better.assign(score=better["score"] * np.exp(generator.normal(0, 0.15, len(better))))
    delta, low, high = paired_bootstrap(["accuracy", "src"], better, worse, truth, resamples=500)["src"]
    expected = evaluate_metrics(better, truth)["src"] - evaluate_metrics(worse, truth)["src"]
    assert delta == pytest.approx(expected)
    assert low <= delta <= high and low > 0
    single = with_intervals(better, truth, resamples=200).set_index("metric").loc["src"]
    assert high - low < (single["high"] - single["low"]) / 2


def test_a_model_does_not_differ_from_itself() -> None:
    predictions, truth = tables(seed=12)
    assert paired_bootstrap(["macro_f1"], predictions, predictions, truth, resamples=50) == {"macro_f1": (0, 0, 0)}


def test_seeds_are_resampled_too() -> None:
    reference_table, truth = tables(count=400, seed=13)
    generator = np.random.default_rng(1)

    def noisy(strength: float) -> pd.DataFrame:
        noise = np.exp(generator.normal(0, strength, len(reference_table)))
        return reference_table.assign(score=reference_table["score"] * noise)

    alike = [noisy(0.5) for _ in range(5)]
    unlike = [noisy(strength) for strength in (0.05, 0.2, 0.5, 1.0, 2.0)]
    narrow, wide = (
        paired_bootstrap(["src"], reference_table, seeds, truth, resamples=400)["src"] for seeds in (alike, unlike)
    )
    assert wide[2] - wide[1] > 2 * (narrow[2] - narrow[1])
    values = [evaluate_metrics(table, truth)["src"] for table in unlike]
    assert wide[0] == pytest.approx(evaluate_metrics(reference_table, truth)["src"] - np.mean(values))


@pytest.mark.parametrize("grouped", [False, True])
def test_paired_interval_covers_zero_for_equally_good_models(grouped: bool) -> None:
    base, truth = tables(count=300, seed=14)
    truth = truth if grouped else truth.drop(columns="group")
    generator = np.random.default_rng(2)
    one, other = (base.assign(score=base["score"] * np.exp(generator.normal(0, 0.5, len(base)))) for _ in range(2))
    _, low, high = paired_bootstrap(["src"], one, other, truth, resamples=300)["src"]
    assert low < 0 < high


def test_wrong_comparisons_are_refused() -> None:
    predictions, truth = tables(count=40)
    with pytest.raises(ValueError, match="unknown metric"):
        paired_bootstrap(["charm"], predictions, predictions, truth)
    with pytest.raises(ValueError, match="do not pair"):
        paired_bootstrap(["src"], [predictions] * 2, [predictions] * 3, truth)
    with pytest.raises(DataError, match="same posts"):
        paired_bootstrap(["src"], predictions, predictions.head(30), truth)
    with pytest.raises(DataError, match="needs"):
        paired_bootstrap(["r2"], predictions.drop(columns="score"), predictions, truth)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, t: (pd.concat([p, p]), t), "twice"),
        (lambda p, t: (p, t.head(10)), "no truth"),
        (lambda p, t: (p.drop(columns="p_average"), t), "p_average"),
        (lambda p, t: (p.assign(p_low=np.nan), t), "empty"),
        (lambda p, t: (p.assign(score=[np.nan, *p["score"][1:]]), t), "empty"),
        (lambda p, t: (p, t.assign(score=np.nan)), "empty"),
        (lambda p, t: (p.head(0), t), "no predictions"),
        (lambda p, t: (p.drop(columns="post_id"), t), "post_id"),
    ],
)
def test_wrong_tables_are_refused(change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_metrics(*change(*tables(count=40)))


def test_reliability_table() -> None:
    predictions, truth = tables(count=600, seed=15)
    other = predictions.assign(model="n", split="validation")
    table = reliability(pd.concat([predictions, other]), truth, resamples=200)
    documented = "model view split level bin_low bin_high confidence frequency low high n".split()
    assert list(table.columns) == documented
    assert set(table["level"]) == {-1, 0, 1, 2, 3, 4} and set(table["model"]) == {"m", "n"}
    assert (table.groupby(["model", "level"])["n"].sum() == 600).all()
    assert (
        (table["bin_low"] <= table["confidence"] + 1e-12) & (table["confidence"] <= table["bin_high"] + 1e-12)
    ).all()
    assert table["n"].between(38, 42).all()
    assert outside(table.rename(columns={"frequency": "value"})).empty
    assert table["low"].ge(0).all() and table["high"].le(1).all()
    copied = reliability(predictions, truth.assign(group=np.arange(600) // 30), resamples=200)
    own = table[table["model"] == "m"]
    assert (copied["frequency"].to_numpy() == own["frequency"].to_numpy()).all()
    assert not np.allclose(copied["low"], own["low"])


def test_coverage_by_level_adds_up_to_the_whole() -> None:
    predictions, truth = tables(count=500, seed=20)
    table = coverage(predictions, truth, resamples=200)
    assert list(table.columns) == "model view split level metric value low high n".split()
    assert set(table["level"]) == set(range(5)) and outside(table).empty
    values = evaluate_metrics(predictions, truth)
    for metric, own in table.groupby("metric"):
        assert own["n"].sum() == 500
        assert np.average(own["value"], weights=own["n"]) == pytest.approx(values[str(metric)])
    assert table["metric"].nunique() == 2


def test_reliability_is_what_ece_sums() -> None:
    predictions, truth = tables(count=500, seed=16)
    table = reliability(predictions, truth, resamples=2)
    gaps = (table["confidence"] - table["frequency"]).abs() * table["n"] / 500
    values = evaluate_metrics(predictions, truth)
    assert values["ece"] == pytest.approx(gaps[table["level"] == -1].sum())
    assert values["classwise_ece"] == pytest.approx(gaps[table["level"] >= 0].sum() / 5)


@pytest.mark.slow
def test_a_thousand_resamples_are_quick() -> None:
    predictions, truth = tables(count=1_650, seed=18)
    start = time.process_time()
    with_intervals(predictions, truth, resamples=1_000)
    assert time.process_time() - start < 30
