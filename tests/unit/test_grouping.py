"""Groups and splits: what resembles a post never stands on the other side of a split."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from training.data import grouping
from training.data.grouping import bind_posts, group_posts, normalise_title, series_keys
from training.data.splits import LEAST_GROUPS, split_posts
from training.modeling.blend import FOLDS

PARTS = ("train", "validation", "test")


def own_word(number: int) -> str:
    """Nine letters that no other number's word resembles."""
    letters = np.random.default_rng(number).choice(list("abcdefghijklmnopqrstuvwxyz"), 9)
    return "".join(letters.tolist())


def phash(seed: int) -> str:
    return f"{np.random.default_rng(seed).integers(0, 2**63):016x}"


def flipped(value: str, bits: int, seed: int = 0) -> str:
    number = int(value, 16)
    for place in np.random.default_rng(seed).choice(64, bits, replace=False):
        number ^= 1 << int(place)
    return f"{number:016x}"


def unrelated(count: int, start: int = 0) -> pd.DataFrame:
    """Posts that share nothing: two words of their own each, pictures of their own, no channel."""
    numbers = range(start, start + count)
    return pd.DataFrame(
        {
            "post_id": [f"p{number}" for number in numbers],
            "title": [f"{own_word(number)} {own_word(5000 + number)}" for number in numbers],
            "group": [None] * count,
            "phash": [phash(number) for number in numbers],
        }
    )


def changed(posts: pd.DataFrame, rows: list[int], column: str, values: list[object]) -> pd.DataFrame:
    posts = posts.copy()
    posts.loc[posts.index[rows], column] = pd.Series(values, index=posts.index[rows], dtype=object)
    return posts


def together(groups: np.ndarray, rows: list[int]) -> bool:
    return len(set(groups[rows])) == 1


def test_unrelated_posts_are_groups_of_their_own() -> None:
    assert len(set(group_posts(unrelated(60)))) == 60


LINKS = {
    "channel": ("group", ["UC123", "UC123", "UC123"]),
    "series before a bar": ("title", ["Zorblax Nights | velum", "Zorblax Nights | quorin", "Zorblax Nights | astrud"]),
    "series in brackets": ("title", ["velum [Zorblax Nights]", "quorin (Zorblax Nights)", "astrud【Zorblax Nights】"]),
    "series with numbers": ("title", ["Zorblax Ep. 1: velum", "Zorblax Ep. 2: quorin", "Zorblax Ep. 33: astrud"]),
    "handle": ("title", ["velum @zorblax", "quorin #zorblax", "astrud @Zorblax"]),
    "same title but for case, digits and marks": ("title", ["ZORBLAX velum 3!!", "zorblax vélum 4", "Zorblax – Velum"]),
    "almost the same title": (
        "title",
        [
            "zorblax velum quorin astrud merid",
            "zorblax velum quorin astrud meridi",
            "zorblax velum quorins astrud merid",
        ],
    ),
}


@pytest.mark.parametrize("name", LINKS)
def test_what_belongs_together_is_one_group_and_one_part(name: str) -> None:
    column, values = LINKS[name]
    rows = [3, 70, 141]
    posts = changed(unrelated(160), rows, column, list(values))
    groups = group_posts(posts)
    assert together(groups, rows)
    assert len(set(groups)) == 158
    score = np.random.default_rng(0).random(160)
    for seed in range(3):
        parts = split_posts(posts, score, seed=seed)["grouped"].to_numpy()
        assert len(set(parts[rows])) == 1


def test_near_duplicate_pictures_are_bound_and_others_are_not() -> None:
    first = phash(1)
    posts = changed(unrelated(40), [2, 17, 30], "phash", [first, flipped(first, 6), flipped(first, 9, seed=4)])
    groups = bind_posts(posts)
    assert groups[2] == groups[17]
    assert groups[30] != groups[2]


def test_bonds_are_transitive() -> None:
    posts = changed(unrelated(30), [1, 2], "group", ["UC1", "UC1"])
    posts = changed(posts, [2, 3], "phash", [phash(500), flipped(phash(500), 3)])
    posts = changed(posts, [3, 4], "title", ["Gribnok | velum", "Gribnok | quorin"])
    assert together(bind_posts(posts), [1, 2, 3, 4])


def test_rare_names_without_a_separator_gather_their_posts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve names, each in the middle of three titles that share nothing else."""
    names = [own_word(7000 + number) for number in range(12)]
    titles = [f"{own_word(8000 + row)} {names[row // 3]} {own_word(8500 + row)}" for row in range(36)]
    posts = changed(unrelated(60), list(range(36)), "title", list(titles))
    assert len(set(bind_posts(posts))) == 60
    groups = group_posts(posts)
    assert all(together(groups, [row, row + 1, row + 2]) for row in range(0, 36, 3))
    assert len(set(groups)) == 12 + 24
    # Words of more bound sets than so many tie nothing.
    monkeypatch.setattr(grouping, "RARE_WORD_SETS", 2)
    assert len(set(group_posts(posts))) == 60


def test_what_only_a_name_in_the_title_ties_is_not_parted_among_few_posts() -> None:
    """A handful of makers have all the ties that there are, of which each has too large a share for one community."""
    posts = unrelated(300)
    makers = np.repeat(np.arange(8), 10)
    titles = [f"{own_word(9000 + maker)} {title}" for maker, title in zip(makers, posts["title"], strict=False)]
    groups = group_posts(changed(posts, list(range(80)), "title", list(titles)))
    assert [len(set(groups[makers_posts])) for makers_posts in np.arange(80).reshape(8, 10)] == [1] * 8
    assert len(set(groups)) == 220 + 8


def test_generic_words_make_no_series() -> None:
    assert list(series_keys("Velum quorin | Official Video")) == ["velum quorin"]
    assert list(series_keys("Velum quorin (Official Music Video) [4K]")) == ["velum quorin"]
    assert list(series_keys("no separator at all")) == []
    assert list(series_keys("")) == []
    titles = [f"{own_word(number)} {own_word(900 + number)} (Official Video)" for number in range(20)]
    posts = unrelated(20).assign(title=titles)
    assert len(set(bind_posts(posts))) == 20


def test_normalised_titles_lose_case_marks_and_digits() -> None:
    assert normalise_title("Eva's 3 BEST  days… 2021 🎉") == "eva's best days"


def test_posts_without_anything_in_common_stay_apart_when_title_or_picture_is_missing() -> None:
    posts = changed(unrelated(20), [1, 2, 3], "title", [None, "", None])
    posts = changed(posts, [4, 5, 6], "phash", [None, None, None])
    assert len(set(group_posts(posts))) == 20


@st.composite
def tangled(draw: st.DrawFn) -> pd.DataFrame:
    """Posts with random bonds of every kind among them."""
    count = draw(st.integers(130, 170))
    posts = unrelated(count)
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    for number, (left, right) in enumerate(draw(st.lists(pairs, max_size=12))):
        kind = draw(st.sampled_from(("group", "title", "phash")))
        if kind == "group":
            values = [f"UC{number}"] * 2
        elif kind == "title":
            values = [f"Ser{own_word(number)} | {posts['title'][row]}" for row in (left, right)]
        else:
            values = [phash(9000 + number), flipped(phash(9000 + number), 4)]
        posts = changed(posts, [left], kind, values[:1])
        posts = changed(posts, [right], kind, values[1:])
    missing = draw(st.lists(st.integers(0, count - 1), max_size=8))
    return changed(posts, missing, "phash", [None] * len(missing)) if missing else posts


@settings(max_examples=25)
@given(tangled(), st.integers(0, 5))
@pytest.mark.slow
def test_no_group_is_in_two_parts_and_every_post_is_in_one(posts: pd.DataFrame, seed: int) -> None:
    score = np.random.default_rng(seed).random(len(posts))
    splits = split_posts(posts, score, seed=seed)
    assert splits["post_id"].tolist() == posts["post_id"].tolist()
    assert set(splits["grouped"]) <= set(PARTS) and set(splits["random"]) <= set(PARTS)
    for binding in (splits["group"], bind_posts(posts)):
        assert (splits.groupby(binding)["grouped"].nunique() == 1).all()
    grams = [normalise_title(title) for title in posts["title"].fillna("")]
    group, part = posts["group"].tolist(), splits["grouped"].tolist()
    for left, right in combinations(range(len(posts)), 2):
        same = grams[left] and grams[left] == grams[right]
        if same or (group[left] is not None and group[left] == group[right]):
            assert part[left] == part[right]


@pytest.mark.parametrize("seed", range(3))
def test_parts_are_70_15_15_and_alike_in_score(seed: int) -> None:
    posts = unrelated(1000)
    posts["group"] = [f"UC{number // 4}" for number in range(1000)]
    score = np.random.default_rng(7).lognormal(-3, 1, 1000)
    splits = split_posts(posts, score, seed=seed)
    for protocol in ("grouped", "random"):
        shares = splits[protocol].value_counts(normalize=True)
        assert shares["train"] == pytest.approx(0.70, abs=0.03)
        assert shares["validation"] == pytest.approx(0.15, abs=0.03)
        assert shares["test"] == pytest.approx(0.15, abs=0.03)
        high = pd.Series(score > np.quantile(score, 0.8)).groupby(splits[protocol]).mean()
        assert (high - 0.2).abs().max() < 0.015
    assert splits.equals(split_posts(posts, score, seed=seed))
    assert not splits["grouped"].equals(split_posts(posts, score, seed=seed + 1)["grouped"])


def test_text_only_posts_follow_their_group() -> None:
    posts = changed(unrelated(200), [190, 191], "phash", [None, None])
    posts = changed(posts, [190, 10], "group", ["UC1", "UC1"])
    splits = split_posts(posts, np.random.default_rng(0).random(200))
    assert splits["grouped"][190] == splits["grouped"][10]
    assert splits["grouped"][191] == "train"
    assert len(splits) == 200 and splits["group"].value_counts().iloc[0] == 2


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_does_not_take_is_refused_by_its_value(seed: int) -> None:
    with pytest.raises(DataError, match=f"^{seed} is no seed; give a whole number from 0 "):
        split_posts(unrelated(200), np.arange(200.0), seed=seed)


def test_too_many_equal_scores_for_five_levels_are_a_sentence() -> None:
    score = np.append(np.zeros(120), np.arange(1.0, 81.0))
    with pytest.raises(DataError, match="too equal for five levels: 120 of 200 have 0; leave out posts with too few"):
        split_posts(unrelated(200), score)


def test_groups_so_large_that_validation_or_test_lacks_them_are_refused_before_anything_is_trained() -> None:
    posts = unrelated(360)
    posts["group"] = ["UC0" if number < 130 else f"UC{1 + number % 21}" for number in range(360)]
    said = r"validation part would hold \d+ posts in [34] groups, of .* 5 or more: the largest of all 22 holds 130 of "
    with pytest.raises(DataError, match=said + r"360 posts; try another --seed, name finer groups, or"):
        split_posts(posts, np.random.default_rng(0).random(360))
    # What the blend takes, once members are trained.
    assert LEAST_GROUPS >= FOLDS
