"""What is nearly the same is found as by comparing each with every other."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from training.data import alike
from training.data.alike import PHASH_DISTANCE, TITLE_SIMILARITY, near_pictures, near_titles


def test_near_pictures_are_those_of_all_comparisons() -> None:
    generator = np.random.default_rng(0)
    own = generator.integers(0, 2**64, 300, dtype=np.uint64).tolist()
    for distance in range(1, 10):
        for value in own[:20]:
            own.append(value ^ sum(1 << int(bit) for bit in generator.choice(64, distance, replace=False)))
    expected = {
        (left, right)
        for left, right in combinations(range(len(own)), 2)
        if (own[left] ^ own[right]).bit_count() <= PHASH_DISTANCE
    }
    hashes = [f"{value:016x}" for value in own]
    assert {(min(pair), max(pair)) for pair in near_pictures(hashes)} == expected and len(expected) > 120
    assert set(near_pictures([None, hashes[0], None, hashes[1], hashes[0]])) == {(1, 4)}
    assert not list(near_pictures([None, None])) and not list(near_pictures([]))


@pytest.mark.parametrize("at_once", [7, 50_000])
def test_near_titles_are_those_of_all_comparisons(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(alike, "_AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("abcdefghijklmnop"), generator.integers(2, 9))) for _ in range(400)]
    rows = [generator.choice(words, generator.integers(3, 10)).tolist() for _ in range(150)]
    rows += [[*row[: int(generator.integers(2, 9))], str(generator.choice(words))] for row in rows]
    titles = list(dict.fromkeys(map(" ".join, rows)))
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4)).fit_transform(titles)
    left, right = np.nonzero(np.triu((grams @ grams.T).toarray() >= TITLE_SIMILARITY, k=1))
    expected = set(zip(left.tolist(), right.tolist(), strict=True))
    assert {(min(pair), max(pair)) for pair in near_titles(titles)} == expected and len(expected) > 80
    assert not list(near_titles(["abc", "abc", ""])) and not list(near_titles(["a title", "a title"]))
