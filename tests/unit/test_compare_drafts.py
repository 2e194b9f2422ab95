"""Drafts side by side: chances that fit together, the right order, nothing twice, nothing withheld in the ranking."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from benchmarks.pairs import KINDS, Found, Posts, draw, measure, read
from engine.drafts.compare import MOST, TOO_CLOSE, answer, beats, compare, different, merge
from engine.errors import PostError
from engine.posts import Post
from engine.prediction import VIEWS
from engine.settings import SHIPPED_BUNDLE
from tests.page_predictor import DARK, LIGHT, STRANGE, PagePredictor, drafts


def test_the_chance_is_that_of_two_independent_normals() -> None:
    first, second = (0.3, 0.3 - 1.2816 * 0.5, 0.3 + 1.2816 * 0.5), (-0.2, -0.2 - 1.2816 * 0.8, -0.2 + 1.2816 * 0.8)
    assert beats(first, second) == pytest.approx(ndtr(0.5 / np.hypot(0.5, 0.8)), abs=0.002)
    assert beats([first, second], [first, first]) == pytest.approx([0.5, 1 - beats(first, second)])


def test_a_wide_half_counts_where_it_lies() -> None:
    """Two drafts of one median: the one that may fall far below it is the less likely to do better."""
    assert beats((0.0, -3.0, 0.5), (0.0, -0.5, 0.5)) < 0.5 < beats((0.0, -0.5, 3.0), (0.0, -0.5, 0.5))


@given(st.lists(st.tuples(st.floats(-6, 0), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=MOST))
def test_chances_fit_together(found: list[tuple[float, float, float]]) -> None:
    [draft] = drafts(Post("My cat"))
    several = [
        replace(
            draft,
            title=str(number),
            whole=replace(draft.whole, score=np.exp(log), score_low=np.exp(log - low), score_high=np.exp(log + high)),
        )
        for number, (log, low, high) in enumerate(found)
    ]
    comparison = compare(several)
    assert comparison.best.sum() == pytest.approx(1)
    assert comparison.beats + comparison.beats.T == pytest.approx(np.ones((len(found), len(found))))
    assert np.diagonal(comparison.beats) == pytest.approx(0.5)
    assert sorted(comparison.order) == list(range(len(found)))
    wins = comparison.beats.sum(axis=1)[list(comparison.order)]
    assert (np.diff(wins) <= 1e-9).all()


def test_the_better_title_comes_first_and_a_copy_is_too_close() -> None:
    dull, exciting = drafts(Post("Quarterly results, part 2"), Post("My cat and the rocket launch"))
    comparison = compare([dull, exciting])
    assert comparison.order == (1, 0) and comparison.beats[1, 0] > TOO_CLOSE
    assert not comparison.too_close(0, 1) and not comparison.too_close(1, 0)
    assert compare([dull, dull]).too_close(0, 1)


def test_what_is_withheld_is_not_ranked() -> None:
    comparison = compare(drafts(Post("My cat"), Post(f"{STRANGE} cat"), Post("Quarterly")))
    assert comparison.order == (0, 2) and comparison.withheld == (1,)
    assert np.isnan(comparison.best[1]) and np.isnan(comparison.beats[1]).all()
    assert comparison.best[[0, 2]].sum() == pytest.approx(1)
    alone = compare(drafts(Post(STRANGE)))
    assert alone.order == () and alone.withheld == (0,)


def test_sides_are_answered_alone_where_a_draft_has_both() -> None:
    both, words, look = drafts(Post(" My cat ", LIGHT), Post("My cat"), Post(image=LIGHT))
    assert both.words is not None and both.look is not None
    assert both.words.expected_level == words.whole.expected_level
    assert both.look.expected_level == look.whole.expected_level
    assert (words.words, words.look, look.words, look.look) == (None,) * 4


def test_a_side_that_the_model_does_not_answer_is_left_out() -> None:
    class Titles(PagePredictor):
        def view_of(self, post: Post):
            if not post.has_text:
                raise PostError("Give it a title too.")
            return super().view_of(post)

    [draft] = answer(Titles(), [Post("My cat", LIGHT)])  # type: ignore[arg-type]
    assert draft.words is not None and draft.look is None


def test_equal_drafts_are_one_and_there_are_at_most_six() -> None:
    first, again, other, darker = drafts(
        Post("My cat", LIGHT), Post("My cat ", LIGHT.copy()), Post("My dog", LIGHT), Post("My cat", DARK)
    )
    assert merge([first, again, other, darker, first]) == [first, other, darker]
    posts = [Post("My cat", LIGHT), Post("My cat ", LIGHT.copy()), Post("My cat", DARK), Post("My cat", LIGHT, ("x",))]
    assert different(posts) == [posts[0], posts[2], posts[3]]
    assert len(merge(drafts(Post("My cat"), Post("My cat", category="Music"), Post("My cat", category="Music")))) == 2
    many = drafts(*(Post(f"Title {number}") for number in range(MOST + 1)))
    assert len(merge(many[:MOST])) == MOST
    with pytest.raises(PostError, match="7 drafts, and at most 6 can be compared"):
        merge(many)
    with pytest.raises(PostError, match="at most 6"):
        different([Post(f"Title {number}") for number in range(MOST + 1)])


def largest_gap(found: Found) -> float:
    """The farthest that a bin's share won surely lies from what was said: 0 where every interval holds that."""
    return max(max(one.interval[0] - one.said, one.said - one.interval[1], 0.0) for one in found.bins)


@pytest.mark.parametrize("view", VIEWS)
def test_chances_came_true_on_test_posts(view) -> None:
    """The shipped report: what is said of two posts holds, also of two of one group."""
    posts = read(SHIPPED_BUNDLE.parent / "report", view)
    apart, together = (measure(posts, kind, partners=8) for kind in KINDS)
    assert apart.error < 0.025 and largest_gap(apart) < 0.04 and apart.loss < 0.95
    assert together.error < 0.06 and abs(together.correlation) < 0.3
    # What is called likely wins in more than half of the cases, and what is too close in no more than is said.
    for found in (apart, together):
        for one in found.bins:
            assert one.interval[0] > 0.5 if one.low >= TOO_CLOSE else one.interval[1] < TOO_CLOSE


def test_chances_that_are_too_sure_are_found_out() -> None:
    generator = np.random.default_rng(0)
    centre = generator.normal(0, 0.5, 600)
    actual, groups = centre + generator.normal(0, 0.6, 600), np.arange(600) // 4

    def spans(width: float) -> np.ndarray:
        return np.stack([centre, centre - 1.2816 * width, centre + 1.2816 * width], axis=1)

    right, sure = (
        measure(Posts(spans(width), actual, groups, groups.astype(object)), "of any two groups") for width in (0.6, 0.2)
    )
    assert right.error < 0.03 and largest_gap(right) < 0.02
    assert sure.error > 0.08 and largest_gap(sure) > 0.05 and sure.loss > right.loss


def test_pairs_are_of_their_kind() -> None:
    groups = np.array([0, 1, 1, 2, 2, 2, 0, 5])
    for kind, same in zip(KINDS, (False, True), strict=True):
        first, second = draw(groups, kind, 50).T
        assert ((groups[first] == groups[second]) == same).all() and (first != second).all()
        assert set(first) == set(range(8)) - ({7} if same else set())
    with pytest.raises(ValueError, match="no pairs of one group"):
        measure(Posts(np.zeros((3, 3)), np.zeros(3), np.arange(3), np.arange(3).astype(object)), "of one group")
