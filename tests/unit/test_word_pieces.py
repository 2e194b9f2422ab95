"""What word pieces say of a text: usual words are whole and early, what was typed at random falls apart."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine.word_pieces import COLUMNS, make_up


def named(text: str) -> dict[str, float]:
    return dict(zip(COLUMNS, make_up(text), strict=True))


def test_a_usual_word_is_one_early_piece() -> None:
    usual, rare = named("the"), named("forgiveness")
    assert usual["continued_share"] == rare["continued_share"] == 0 and usual["whole_word_share"] == 1
    assert usual["word_rank_mean"] < rare["word_rank_mean"]


def test_what_was_typed_at_random_falls_into_pieces() -> None:
    # a · ##sd · ##f and the like: no whole word, and so the last rank.
    mash = named("xqzvkjw")
    assert mash["continued_share"] > 0.5 and mash["pieces_most"] >= 3
    assert mash["whole_word_share"] == 0 and mash["word_rank_mean"] > named("forgiveness")["word_rank_mean"]


def test_shares_are_of_words_and_pieces() -> None:
    # The · x…(pieces) · 7: a number is no word of letters.
    mixed, mash = named("The xqzvkjw 7"), named("xqzvkjw")
    count = mash["pieces_most"]
    assert mixed["whole_word_share"] == 1 / 2 and mixed["pieces_most"] == count
    assert mixed["continued_share"] == pytest.approx((count - 1) / (count + 2))
    assert named("👀 the")["unknown_share"] == 1 / 2


@pytest.mark.parametrize("text", ["", "  ", "\0", "\u202e", "a" * 5000, "\ud800"])
def test_no_text_breaks_them(text: str) -> None:
    found = make_up(text)
    assert len(found) == len(COLUMNS) and np.isfinite(found).all()


def test_case_says_nothing() -> None:
    assert make_up("My CAT Judges") == make_up("my cat judges")


def test_several_threads_find_the_same() -> None:
    texts = [f"{'word ' * number}end" for number in range(1, 60)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(make_up, texts * 20)) == [make_up(text) for text in texts] * 20
