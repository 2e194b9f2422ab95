"""The one interval rule: whole groups are drawn."""

import numpy as np
import pytest

from engine.intervals import bounds, cluster_weights, gathered, mean_interval


def test_posts_of_one_group_are_drawn_together() -> None:
    weights = np.concatenate(list(cluster_weights(["a", "b", "a", None, None], resamples=500)))
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == weights[:, 2]).all()
    # Two posts of unknown groups are two groups.
    assert (weights[:, 3] != weights[:, 4]).any()
    assert (weights[:, [0, 1, 3, 4]].sum(axis=1) == 4).all()


def test_chunks_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.arange(50) % 7
    whole = np.concatenate(list(cluster_weights(groups, resamples=40)))
    monkeypatch.setattr("engine.intervals._CHUNK", 200)
    parts = list(cluster_weights(groups, resamples=40))
    assert len(parts) == 10
    assert (np.concatenate(parts) == whole).all()


def test_an_interval_of_equal_groups_is_that_of_their_number() -> None:
    generator = np.random.default_rng(0)
    level = generator.normal(size=100)
    narrow = mean_interval(np.repeat(level, 10), np.arange(1000))
    wide = mean_interval(np.repeat(level, 10), np.repeat(np.arange(100), 10))
    assert np.subtract(*wide[::-1]) > 2.5 * np.subtract(*narrow[::-1])
    assert np.subtract(*wide[::-1]) == pytest.approx(2 * 1.96 * level.std() / 10, rel=0.15)


def test_nothing_has_no_interval() -> None:
    assert np.isnan(mean_interval([], [])).all()
    assert np.isnan(bounds([np.nan, np.nan])).all()
    assert bounds([1.0, 1.0, np.nan]) == (1.0, 1.0)


def test_groups_that_are_gathered_vary_as_they_do_alone() -> None:
    assert gathered(5, 5).tolist() == [0, 1, 2, 3, 4]
    together = gathered(3001, 1000)
    assert set(np.bincount(together)) == {3, 4}
    values = np.random.default_rng(0).gamma(0.5, size=3001)
    widths = [np.subtract(*mean_interval(values, groups)) for groups in (np.arange(3001), together)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
