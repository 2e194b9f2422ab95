"""Scores and levels: hand-worked values, properties, absent counts, and inputs that have no room for counts."""

import dataclasses
import inspect

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.posts import Post
from engine.scoring import (
    LEVELS,
    LOG_FLOOR,
    POPULARITY_COUNTS,
    SCORE_WEIGHTS,
    engagement_score,
    fit_cuts,
    fit_popularity_weights,
    log_popularity,
    log_score,
    popularity_score,
    to_level,
)

Array = npt.NDArray[np.float64]

counts = st.integers(0, 10**9)
distinct_scores = st.lists(st.floats(1e-6, 10, allow_subnormal=False), min_size=50, max_size=300, unique=True).map(
    np.array
)


@given(views=counts, likes=counts, comments=counts, shares=counts)
def test_engagement_score_is_the_formula(views: int, likes: int, comments: int, shares: int) -> None:
    row = {"views": [views], "likes": [likes], "comments": [comments], "shares": [shares]}
    assert engagement_score(row)[0] == pytest.approx((likes + 2 * comments + 3 * shares) / max(views, 1))


@given(name=st.sampled_from(sorted(SCORE_WEIGHTS)), base=counts, more=st.integers(1, 10**6), views=counts)
def test_more_reactions_score_higher(name: str, base: int, more: int, views: int) -> None:
    few, many = engagement_score({"views": [views, views], name: [base, base + more]})
    assert many > few


def test_favorites_are_no_part_of_the_engagement_score() -> None:
    assert engagement_score({"views": [10], "likes": [1], "favorites": [5]})[0] == 0.1


def test_absent_counts_add_nothing() -> None:
    views = [100.0, 100.0, 100.0, np.nan]
    score = engagement_score({"views": views, "likes": [5, np.nan, np.nan, 5], "comments": [np.nan, 5, np.nan, 5]})
    np.testing.assert_allclose(score, [0.05, 0.10, np.nan, np.nan])
    assert engagement_score({"views": [100], "likes": [0]})[0] == 0
    assert np.isnan(engagement_score({"views": [100]})).all()


def test_nullable_columns_of_a_table_are_read() -> None:
    table = pd.DataFrame({"views": [10, 20, None], "likes": [1, None, 3]}, dtype="Int64")
    np.testing.assert_allclose(engagement_score({name: table[name] for name in table}), [0.1, np.nan, np.nan])


@pytest.mark.parametrize("score", [engagement_score, fit_popularity_weights, lambda row: popularity_score(row, {})])
def test_views_are_needed(score) -> None:
    with pytest.raises(KeyError, match="views"):
        score({"likes": [1]})


@given(hnp.arrays(np.float64, 20, elements=st.floats(0, 10)))
def test_log_score_is_finite_monotone_and_floored(score: Array) -> None:
    logs = log_score(np.sort(score))
    assert np.isfinite(logs).all() and (np.diff(logs) >= 0).all() and (logs >= np.log(LOG_FLOOR)).all()
    assert np.isnan(log_score(np.nan))


# --- popularity ---


def reach(count: int = 200, seed: int = 0) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    views = generator.lognormal(10, 1, count)
    return {"views": views} | {
        name: np.round(views * rate * generator.lognormal(0, 0.5, count))
        for name, rate in zip(POPULARITY_COUNTS, (0.05, 0.01, 0.005, 0.02), strict=True)
    }


def test_popularity_weights_are_one_minus_pearson() -> None:
    row = reach()
    weights = fit_popularity_weights(row)
    assert set(weights) == set(POPULARITY_COUNTS)
    for name, weight in weights.items():
        assert weight == pytest.approx(1 - np.corrcoef(row["views"], row[name])[0, 1])
        assert 0 <= weight <= 2


def test_absent_and_constant_counts_get_no_weight() -> None:
    row = reach() | {"shares": np.full(200, np.nan), "favorites": np.full(200, 3.0)}
    row["likes"][:50] = np.nan
    weights = fit_popularity_weights(row)
    assert set(weights) == {"likes", "comments"}
    assert weights["likes"] == pytest.approx(1 - np.corrcoef(row["views"][50:], row["likes"][50:])[0, 1])


def test_popularity_with_and_without_views() -> None:
    row = {"views": [100.0, 50.0], "likes": [10.0, 4.0], "shares": [2.0, np.nan]}
    weights = {"likes": 0.5, "shares": 0.25}
    plain = popularity_score(row, weights)
    np.testing.assert_allclose(plain, [5.5, 2.0])
    np.testing.assert_allclose(popularity_score(row, weights, with_views=True), plain + np.array([100, 50]))
    np.testing.assert_allclose(log_popularity(row, weights), np.log1p(plain))
    assert row["views"] == [100.0, 50.0]


@pytest.mark.parametrize("with_views", [False, True])
def test_post_without_any_counted_reaction_has_no_popularity(with_views: bool) -> None:
    row = {"views": [100.0, 100.0], "likes": [np.nan, 0.0]}
    score = popularity_score(row, {"likes": 0.5, "shares": 0.5}, with_views=with_views)
    assert np.isnan(score[0]) and score[1] == (100 if with_views else 0)
    assert np.isnan(log_popularity(row, {"likes": 0.5}, with_views=with_views)[0])


@given(st.integers(0, 50), st.booleans())
def test_log_popularity_is_finite_and_not_negative(seed: int, with_views: bool) -> None:
    row = reach(30, seed)
    logs = log_popularity(row, fit_popularity_weights(row), with_views=with_views)
    assert np.isfinite(logs).all() and (logs >= 0).all()


# --- levels ---


@given(distinct_scores)
def test_training_levels_hold_a_fifth_each(score: Array) -> None:
    levels = to_level(score, fit_cuts(score))
    shares = np.bincount(levels, minlength=len(LEVELS)) / len(score)
    assert np.abs(shares - 0.2).max() <= 1.0 / len(score) + 1e-9


@given(distinct_scores)
def test_cuts_rise_and_levels_keep_the_order_of_scores(score: Array) -> None:
    cuts = fit_cuts(score)
    assert cuts.shape == (len(LEVELS) - 1,) and (np.diff(cuts) > 0).all()
    levels = to_level(np.sort(score), cuts)
    assert (np.diff(levels) >= 0).all() and levels.min() == 0 and levels.max() == len(LEVELS) - 1


@given(distinct_scores)
def test_levels_are_the_same_on_the_log_scale(score: Array) -> None:
    score = score + LOG_FLOOR
    cuts = fit_cuts(score)
    near = np.abs(np.log(score)[:, None] - np.log(cuts)).min(axis=1) < 1e-9
    np.testing.assert_array_equal(to_level(score, cuts)[~near], to_level(log_score(score), log_score(cuts))[~near])


def test_a_score_on_a_cut_belongs_below_it() -> None:
    assert to_level([0.5, 1.0, 1.5, 4.0, 4.1, np.inf], [1.0, 2.0, 3.0, 4.0]).tolist() == [0, 0, 1, 3, 4, 4]
    assert to_level([], [1.0, 2.0, 3.0, 4.0]).shape == (0,)


def test_cuts_leave_unknown_scores_out() -> None:
    score = np.arange(1.0, 101.0)
    np.testing.assert_array_equal(fit_cuts(np.append(score, [np.nan] * 40)), fit_cuts(score))


def test_an_unknown_score_has_no_level() -> None:
    with pytest.raises(ValueError, match="1 posts have no score"):
        to_level([0.1, np.nan], [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(("score", "message"), [([1.0, 2.0], "too few"), ([], "too few"), ([0.0] * 99, "repeat")])
def test_scores_without_five_levels_are_refused(score: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_cuts(score)


# --- leakage ---


def test_a_post_has_no_room_for_counts() -> None:
    names = {field.name for field in dataclasses.fields(Post)} | set(inspect.signature(Post).parameters)
    assert names == {
        *("title", "image", "tags", "description", "post_id"),
        *("published_at", "place", "author", "category"),
    }


@pytest.mark.parametrize("name", ["views", "likes", "comments", "shares", "favorites", "score", "level"])
def test_a_count_cannot_be_given_to_a_post(name: str) -> None:
    with pytest.raises(TypeError):
        Post(title="a title", **{name: 1})
    with pytest.raises((AttributeError, TypeError)):
        setattr(Post(title="a title"), name, 1)
