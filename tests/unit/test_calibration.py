"""Calibration: coverage, order, consecutive sets, storage, and agreement with scikit-learn and MAPIE."""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mapie.classification import SplitConformalClassifier
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from engine.abstention import Abstention, divergence
from engine.calibration import (
    LevelSets,
    ScoreInterval,
    Temperature,
    conformal_quantile,
    level_spread,
)
from engine.errors import BundleError
from engine.intervals import cluster_weights

Array = npt.NDArray[np.float64]
UNIFORM = np.full(5, 0.2)
PRIOR_ROW = [0.2, 0.2, 0.2, 0.2, 0.2]

rows_of_probabilities = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 30), st.just(5)), elements=st.floats(0.001, 1.0)
).map(lambda values: values / values.sum(axis=1, keepdims=True))


def world(count: int, seed: int, sharpness: float = 1.5) -> tuple[Array, npt.NDArray[np.int64]]:
    """Probabilities of an ordinal model and levels drawn from them: a perfectly calibrated world."""
    generator = np.random.default_rng(seed)
    centre = generator.uniform(-0.5, 4.5, size=(count, 1))
    strength = generator.uniform(0.1, sharpness, size=(count, 1))
    probabilities = softmax(-strength * np.abs(np.arange(5) - centre), axis=1)
    levels = (generator.random((count, 1)) > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return probabilities, levels


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose input already is its probabilities."""

    def fit(self, inputs: Array, levels: Array) -> "Given":
        self.classes_ = np.arange(5)
        self.n_features_in_ = 5
        return self

    def predict_proba(self, inputs: Array) -> Array:
        return np.asarray(inputs)

    def predict(self, inputs: Array) -> npt.NDArray[np.int64]:
        return np.asarray(inputs).argmax(axis=1)


# --- quantile and spread ---


@pytest.mark.parametrize(("level", "expected"), [(0.9, 9.0), (0.5, 5.0), (0.05, 1.0), (0.91, math.inf)])
def test_conformal_quantile_is_corrected_for_a_finite_sample(level: float, expected: float) -> None:
    assert conformal_quantile(np.arange(9, 0, -1), level) == expected


def test_no_scores_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no scores"):
        conformal_quantile([], 0.9)


def test_spread_by_hand() -> None:
    rows = [[0, 0, 1, 0, 0], [0.5, 0, 0, 0, 0.5], PRIOR_ROW]
    np.testing.assert_allclose(level_spread(rows), [0.0, 2.0, math.sqrt(2)])


# --- temperature ---


@given(rows_of_probabilities, st.floats(0.05, 20.0))
def test_temperature_keeps_order_and_sums_to_one(probabilities: Array, value: float) -> None:
    scaled = Temperature(value).apply(probabilities)
    np.testing.assert_allclose(scaled.sum(axis=1), 1.0)
    for before, after in zip(probabilities, scaled, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= -1e-12).all()


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_temperature_is_found_again(true_temperature: float) -> None:
    probabilities, levels = world(20_000, seed=1)
    distorted = softmax(np.log(probabilities) * true_temperature, axis=1)
    fitted = Temperature.fit(distorted, levels)
    assert fitted.value == pytest.approx(true_temperature, rel=0.05)
    assert log_loss(levels, fitted.apply(distorted)) <= log_loss(levels, distorted) + 1e-9


def test_temperature_equals_scikit_learn() -> None:
    probabilities, levels = world(2_000, seed=2)
    sharp = softmax(np.log(probabilities) * 3, axis=1)
    reference = CalibratedClassifierCV(FrozenEstimator(Given().fit(sharp, levels)), method="temperature")
    reference.fit(sharp, levels)
    ours = Temperature.fit(sharp, levels).apply(sharp)
    np.testing.assert_allclose(ours, reference.predict_proba(sharp), atol=1e-3)


def test_impossible_levels_cost_no_infinity() -> None:
    fitted = Temperature.fit([[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0]], [1, 1])
    assert np.isfinite(fitted.value)
    assert np.isfinite(fitted.apply([[1.0, 0, 0, 0, 0]])).all()


@pytest.mark.parametrize(
    ("probabilities", "levels"),
    [
        ([[0.5, 0.5]], [2]),
        ([[0.5, 0.5]], [0.5]),
        ([[0.5, 0.5]], [0, 1]),
        ([[np.nan, 0.5]], [0]),
        ([[-0.1, 1.1]], [0]),
        ([[0.0, 0.0]], [0]),
        ([0.5, 0.5], [0]),
        (np.empty((0, 2)), []),
    ],
)
def test_wrong_input_is_refused(probabilities: npt.ArrayLike, levels: npt.ArrayLike) -> None:
    with pytest.raises(ValueError, match=r"probabilities|levels"):
        Temperature.fit(probabilities, levels)


# --- level sets ---


def test_set_grows_by_the_likelier_neighbour() -> None:
    row = [[0.05, 0.1, 0.4, 0.3, 0.15]]
    expected = {0.0: (2, 2), 0.39: (2, 2), 0.4: (2, 3), 0.7: (2, 4), 0.85: (1, 4), 0.95: (0, 4), 1.0: (0, 4)}
    for threshold, interval in expected.items():
        assert tuple(LevelSets(threshold, 0.1).apply(row)[0]) == interval


@given(rows_of_probabilities, st.floats(0.0, 1.0))
def test_sets_are_intervals_that_hold_the_mode_and_enough_mass(probabilities: Array, threshold: float) -> None:
    intervals = LevelSets(threshold, 0.1).apply(probabilities)
    for row, (low, high) in zip(probabilities, intervals, strict=True):
        assert 0 <= low <= row.argmax() <= high <= 4
        assert row[low : high + 1].sum() >= threshold - 1e-6


@given(rows_of_probabilities, st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_sets_are_monotone_in_alpha(probabilities: Array, one: float, other: float) -> None:
    calibration, levels = world(200, seed=3)
    wide = LevelSets.fit(calibration, levels, alpha=min(one, other)).apply(probabilities)
    narrow = LevelSets.fit(calibration, levels, alpha=max(one, other)).apply(probabilities)
    assert (wide[:, 0] <= narrow[:, 0]).all() and (wide[:, 1] >= narrow[:, 1]).all()


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.1, 0.3]), st.sampled_from([0.3, 1.0, 3.0]))
def test_sets_cover_even_a_miscalibrated_model(seed: int, alpha: float, distortion: float) -> None:
    probabilities, levels = world(6_000, seed)
    shown = softmax(np.log(probabilities) * distortion, axis=1)
    intervals = LevelSets.fit(shown[:2_000], levels[:2_000], alpha).apply(shown[2_000:])
    covered = np.mean((intervals[:, 0] <= levels[2_000:]) & (levels[2_000:] <= intervals[:, 1]))
    # Five standard deviations of calibration and test noise together.
    assert covered >= 1 - alpha - 5 * math.sqrt(alpha * (1 - alpha) * (1 / 2_000 + 1 / 4_000))


def test_coverage_is_exact_over_many_small_calibrations() -> None:
    covered = []
    for seed in range(300):
        probabilities, levels = world(20 + 50, seed, sharpness=0.6)
        intervals = LevelSets.fit(probabilities[:20], levels[:20], 0.2).apply(probabilities[20:])
        covered.append(np.mean((intervals[:, 0] <= levels[20:]) & (levels[20:] <= intervals[:, 1])))
    assert 0.79 <= np.mean(covered) <= 0.86


def test_too_few_posts_give_every_level() -> None:
    probabilities, levels = world(5, seed=4)
    assert (LevelSets.fit(probabilities, levels, 0.1).apply(probabilities) == [0, 4]).all()


def test_coverage_and_size_agree_with_mapie() -> None:
    probabilities, levels = world(12_000, seed=5)
    calibration, test = slice(0, 4_000), slice(4_000, None)
    reference = SplitConformalClassifier(
        Given().fit(probabilities, levels), confidence_level=0.9, conformity_score="aps", prefit=True, random_state=0
    ).conformalize(probabilities[calibration], levels[calibration])
    _, sets = reference.predict_set(probabilities[test], conformity_score_params={"include_last_label": True})
    theirs = sets[:, :, 0]
    ours = LevelSets.fit(probabilities[calibration], levels[calibration], 0.1).apply(probabilities[test])
    truth = levels[test]
    our_coverage = np.mean((ours[:, 0] <= truth) & (truth <= ours[:, 1]))
    assert theirs[np.arange(len(truth)), truth].mean() >= 0.885
    assert our_coverage == pytest.approx(0.9, abs=0.015)
    assert (ours[:, 1] - ours[:, 0] + 1).mean() <= theirs.sum(axis=1).mean() + 0.05


# --- score interval ---


def scores(count: int, seed: int) -> tuple[Array, Array, Array]:
    """Probabilities, predicted and actual log scores with skewed errors that grow with the spread."""
    probabilities, _ = world(count, seed)
    generator = np.random.default_rng(seed + 1)
    predicted = generator.normal(-3.5, 0.7, count)
    return probabilities, predicted, predicted + level_spread(probabilities) * (generator.gumbel(0, 0.5, count) - 0.2)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.2, 0.4]))
def test_interval_covers_on_both_sides(seed: int, alpha: float) -> None:
    probabilities, predicted, actual = scores(6_000, seed)
    interval = ScoreInterval.fit(probabilities[:2_000], predicted[:2_000], actual[:2_000], alpha)
    bounds = interval.apply(probabilities[2_000:], predicted[2_000:])
    slack = 5 * math.sqrt(alpha / 2 * (1 - alpha / 2) * (1 / 2_000 + 1 / 4_000))
    assert np.mean(actual[2_000:] < bounds[:, 0]) <= alpha / 2 + slack
    assert np.mean(actual[2_000:] > bounds[:, 1]) <= alpha / 2 + slack
    assert np.mean((actual[2_000:] >= bounds[:, 0]) & (actual[2_000:] <= bounds[:, 1])) <= 1 - alpha + 2 * slack
    assert (bounds[:, 0] <= predicted[2_000:]).all() and (predicted[2_000:] <= bounds[:, 1]).all()


def test_interval_is_wider_for_a_harder_post_and_skewed_as_the_errors_are() -> None:
    interval = ScoreInterval.fit(*scores(5_000, seed=6))
    easy, hard = interval.apply([[0, 0.1, 0.8, 0.1, 0], PRIOR_ROW], [0.0, 0.0])
    assert hard[1] - hard[0] > easy[1] - easy[0]
    assert hard[1] > -hard[0]
    certain = interval.apply([[0, 0, 1.0, 0, 0]], [0.0])[0]
    assert certain[1] > certain[0]


def test_interval_covers_posts_of_each_predicted_level() -> None:
    probabilities, predicted, actual = scores(12_000, seed=8)
    level = probabilities.argmax(axis=1)
    # Very Low is three times as wide in the score as the others.
    actual = np.where(level == 0, predicted + 3 * (actual - predicted), actual)
    interval = ScoreInterval.fit(probabilities[:6_000], predicted[:6_000], actual[:6_000])
    bounds = interval.apply(probabilities, predicted)[6_000:]
    held = (bounds[:, 0] <= actual[6_000:]) & (actual[6_000:] <= bounds[:, 1])
    for own in range(5):
        assert held[level[6_000:] == own].mean() == pytest.approx(0.8, abs=0.05)
    low, high = (np.asarray(ends) for ends in (interval.low, interval.high))
    assert low[0] < 2 * low[1:].min() and high[0] > 2 * high[1:].max()


def test_one_number_holds_for_every_level_and_few_posts_take_that_of_all() -> None:
    probabilities, predicted, actual = scores(300, seed=9)
    one = ScoreInterval.from_dict({"low": -1.0, "high": 2.0, "alpha": 0.2})
    each = ScoreInterval((-1.0,) * 5, (2.0,) * 5, 0.2)
    np.testing.assert_array_equal(one.apply(probabilities, predicted), each.apply(probabilities, predicted))
    assert ScoreInterval.from_dict(one.to_dict()) == one
    fitted = ScoreInterval.fit(probabilities, predicted, actual)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=5)
    assert isinstance(fitted.low, tuple) and len({fitted.low[own] for own in np.flatnonzero(counts < 100)}) == 1


def test_interval_wants_enough_posts() -> None:
    probabilities, predicted, actual = scores(8, seed=7)
    with pytest.raises(ValueError, match="too few"):
        ScoreInterval.fit(probabilities, predicted, actual, 0.2)
    with pytest.raises(ValueError, match="finite"):
        ScoreInterval.fit(probabilities, predicted, np.full(8, np.nan), 0.2)


# --- abstention ---


def test_divergence_by_hand() -> None:
    rows = [PRIOR_ROW, [1.0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0]]
    np.testing.assert_allclose(divergence(rows, UNIFORM), [0, math.log(5), math.log(2.5)], atol=1e-6)


def test_abstained_posts_are_less_accurate_on_new_posts() -> None:
    probabilities, levels = world(8_000, seed=8, sharpness=1.0)
    half = slice(0, 4_000), slice(4_000, None)
    sets = LevelSets.fit(probabilities[half[0]], levels[half[0]]).apply(probabilities)
    rule = Abstention.fit(probabilities[half[0]], sets[half[0]], levels[half[0]], UNIFORM)
    assert rule.accuracy_abstained is not None and rule.accuracy_kept is not None
    assert 0.02 < rule.share < 0.9 and rule.accuracy_abstained < rule.accuracy_kept
    left = rule.apply(probabilities[half[1]], sets[half[1]])
    right = probabilities[half[1]].argmax(axis=1) == levels[half[1]]
    assert right[left].mean() < right[~left].mean()
    sizes = sets[half[1]][:, 1] - sets[half[1]][:, 0] + 1
    assert (sizes[left] >= 4).all()


def test_a_stricter_rule_abstains_less() -> None:
    probabilities, levels = world(4_000, seed=12, sharpness=1.0)
    sets = LevelSets.fit(probabilities, levels).apply(probabilities)
    shares = [Abstention.fit(probabilities, sets, levels, UNIFORM, lost=lost).share for lost in (0.2, 0.5, 0.8)]
    assert shares[0] >= shares[1] >= shares[2] and shares[0] > shares[2]


def test_a_model_that_knows_nothing_abstains_everywhere() -> None:
    generator = np.random.default_rng(9)
    # The commonest level is level 0, and the model names another.
    levels = generator.choice(5, size=1_000, p=[0.28, 0.18, 0.18, 0.18, 0.18])
    probabilities = np.tile([0.19, 0.21, 0.2, 0.2, 0.2], (1_000, 1))
    sets = np.tile([0, 4], (1_000, 1))
    rule = Abstention.fit(probabilities, sets, levels, [0.28, 0.18, 0.18, 0.18, 0.18])
    assert rule.apply(probabilities, sets).all() and rule.share == 1 and rule.accuracy_kept is None


def test_an_evenly_good_model_never_abstains() -> None:
    generator = np.random.default_rng(10)
    levels = generator.integers(0, 5, 1_000)
    probabilities = np.full((1_000, 5), 0.1)
    guessed = np.where(generator.random(1_000) < 0.6, levels, (levels + 1) % 5)
    probabilities[np.arange(1_000), guessed] = 0.6
    sets = np.tile([0, 4], (1_000, 1))
    rule = Abstention.fit(probabilities, sets, levels, UNIFORM)
    assert rule.share == 0 and rule.accuracy_abstained is None
    assert not rule.apply(probabilities, sets).any()


@pytest.mark.parametrize(("missed", "abstains"), [(1, False), (20, True)])
def test_a_single_miss_may_be_chance(missed: int, abstains: bool) -> None:
    """A model that is right six times in ten, but for some posts that it says nothing of and always misses."""
    generator = np.random.default_rng(11)
    levels = generator.integers(0, 5, 300)
    guessed = np.where(generator.random(300) < 0.6, levels, (levels + 1) % 5)
    probabilities = np.full((300, 5), 0.1)
    probabilities[np.arange(300), guessed] = 0.6
    sets = np.stack([guessed, guessed], axis=1)
    levels[:missed], sets[:missed], probabilities[:missed] = 4, (0, 4), [0.22, 0.21, 0.19, 0.19, 0.19]
    assert (Abstention.fit(probabilities, sets, levels, UNIFORM).share > 0) == abstains


def test_posts_of_a_group_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, levels = world(300, seed=13, sharpness=1.0)
    sets, groups = LevelSets.fit(probabilities, levels).apply(probabilities), np.arange(300) // 6
    drawn = []

    def seen(*arguments: Any) -> Iterator[npt.NDArray[np.float64]]:
        for weights in cluster_weights(*arguments):
            drawn.append(weights)
            yield weights

    monkeypatch.setattr("engine.abstention.cluster_weights", seen)
    Abstention.fit(probabilities, sets, levels, UNIFORM, groups)
    weights = np.concatenate(drawn)
    assert (np.ptp(weights.reshape(len(weights), 50, 6), axis=2) == 0).all() and np.ptp(weights) > 0


def test_narrow_sets_are_always_answered() -> None:
    rule = Abstention(tuple(PRIOR_ROW), 10.0, 4, 0.0, None, None)
    assert rule.apply([PRIOR_ROW, PRIOR_ROW], [[0, 2], [1, 4]]).tolist() == [False, True]


def test_reason_is_a_sentence_for_the_page() -> None:
    text = Abstention.reason(0, 3)
    assert "any of 4 levels, from Very Low to High," in text and text.endswith(".")


# --- storage ---


def fitted() -> list[Temperature | LevelSets | ScoreInterval | Abstention]:
    probabilities, levels = world(500, seed=11)
    sets = LevelSets.fit(probabilities, levels)
    return [
        Temperature.fit(probabilities, levels),
        sets,
        ScoreInterval.fit(*scores(500, seed=11)),
        Abstention.fit(probabilities, sets.apply(probabilities), levels, UNIFORM),
    ]


@pytest.mark.parametrize("item", fitted(), ids=lambda item: type(item).__name__)
def test_storage_round_trip(item: Temperature | LevelSets | ScoreInterval | Abstention) -> None:
    stored = json.loads(json.dumps(item.to_dict(), allow_nan=False))
    assert type(item).from_dict(stored) == item
    with pytest.raises(BundleError, match="extra"):
        type(item).from_dict({**stored, "extra": 1})
    stored.popitem()
    with pytest.raises(BundleError, match="does not fit"):
        type(item).from_dict(stored)


def test_an_interval_of_other_levels_is_refused() -> None:
    with pytest.raises(BundleError, match="not one number for each level"):
        ScoreInterval.from_dict({"low": [-1.0, -1.0], "high": 1.0, "alpha": 0.2})
