"""The card "Picture and words": plain sentences, strips that say where the draft lies, nothing unescaped, no grades."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter

from engine.posts import Post
from engine.prediction import Prediction
from engine.scoring import LEVELS
from engine.signals import SIGNALS, Signal
from tests.page_predictor import PageBundle, PagePredictor
from tests.page_signals import PageSignals
from ui import handlers, signals
from ui.api import Readings
from ui.newest import Newest
from ui.signals import card, sentence
from ui.strip import share_below, strip

BUNDLE: Any = PageBundle()
BARE: Any = PageBundle(typical={})
TRENDING: Any = PageBundle(data={"description": "the YouTube Trending Video Dataset"})
HOSTILE = "<img src=x onerror=alert(1)> & {{this}} ${value}"
PRIOR = (0.2,) * 5
EVEN = ((0.05, 0.25, 0.5, 0.75, 0.95),) * 5


def read(title: str = "My cat", picture: bool = True) -> list[Signal]:
    return list(PageSignals().stream(Post(title, Image.linear_gradient("L") if picture else None)))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("similarity", 0.41, "The title and the picture seem to be about the same thing."),
        ("similarity", 0.1, "The title and the picture seem to be about different things."),
        (
            "similarity",
            0.0,
            "The title and the picture hardly seem to belong together; in about 19 of 20 trending posts they have more "
            "to do with each other. Are they of the same post?",
        ),
        (
            "similarity",
            0.22,
            "The title and the picture have about as much to do with each other as in most trending posts.",
        ),
        ("log_perplexity", 7.2, "The wording is unusual."),
        ("log_perplexity", 2.0, "The wording is familiar."),
        ("log_perplexity", 4.5, "The wording is about as usual as in most trending posts."),
        ("faces", 0.0, "No face looks out of the picture."),
        ("faces", 1.0, "One face looks out of the picture."),
        ("faces", 7.0, "7 faces look out of the picture."),
    ],
)
def test_a_sentence_says_what_is_usual(name: str, value: float, words: str) -> None:
    assert sentence(Signal(name, value), TRENDING) == words


SEEN = "A small captioner, which often errs on covers, sees: a man with a guitar."


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, f"{SEEN} The title says something similar."),
        (0.2, f"{SEEN} The title is about as close to that as usual."),
        (-0.2, f"{SEEN} The title speaks of something else."),
    ],
)
def test_the_caption_is_told(value: float, words: str) -> None:
    assert sentence(Signal("caption_consistency", value, detail=("a man with a guitar",)), BUNDLE) == words


@pytest.mark.parametrize(
    ("count", "total", "words"),
    [
        (3, 7, "3 of the title's 7 words are also written in the picture."),
        (1, 7, "1 of the title's 7 words is also written in the picture."),
        (7, 7, "All the title's 7 words are also written in the picture."),
        (0, 7, "None of the title's 7 words is written in the picture."),
        (1, 1, "The title's only word is also written in the picture."),
        (0, 1, "The title's only word is not written in the picture."),
    ],
)
def test_written_words_are_counted(count: int, total: int, words: str) -> None:
    assert sentence(Signal("title_written", count / total, total=total), BUNDLE) == words


def test_smiles_are_told() -> None:
    for count, words in ((1.0, "One face looks out of the picture, and it smiles."), (2.0, "the largest smiles.")):
        assert sentence(Signal("faces", count, detail=("smile",)), BUNDLE).endswith(words)


def test_the_wording_of_a_short_title_is_not_called_unusual() -> None:
    told = {words: sentence(Signal("log_perplexity", 9.9, total=words), TRENDING) for words in (2, 4, 5)}
    assert told[2] == told[4] and "too short to tell" in told[2] and told[5] == "The wording is unusual."
    assert sentence(Signal("log_perplexity", 0.1, total=2), TRENDING) == "The wording is familiar."


def test_a_title_in_another_language_is_no_odd_wording() -> None:
    found = sentence(Signal("log_perplexity", 7.2, detail=("de",)), BUNDLE)
    assert found.endswith("judged by what has read mostly English; the title seems to be German.")


def test_without_what_is_typical_values_are_given_and_nothing_is_drawn() -> None:
    html = card(read(), BARE)
    assert "How alike title and picture are: 0.41" in html and "How unusual the wording is: 7.2" in html
    assert "3 of the title&#x27;s 7 words" in html and "0.22, where 1 is the same" in html
    assert "close to that by −0.13, where" in sentence(Signal("caption_consistency", -0.13, detail=("a cat",)), BARE)
    assert "fi-strip" not in html and "fi-legend" not in html


def test_what_is_null_says_why_and_has_no_strip() -> None:
    html = card(read("🔥"), BUNDLE)
    assert html.count("The title has no words.") == 4 and html.count("fi-strip") == 1
    assert card(read("🔥", picture=False), BUNDLE) == "" and card([], BUNDLE) == ""


def test_everything_is_escaped() -> None:
    hostile = [
        Signal("similarity", None, HOSTILE),
        Signal("caption_consistency", 0.2, detail=(HOSTILE,)),
        Signal("title_written", 0.5, detail=(HOSTILE,) * 5, total=2),
    ]
    for bundle in (BUNDLE, BARE):
        html = card(hostile, bundle)
        assert "<img" not in html and html.count("&lt;img") == 5 and "and 2 more" in html


def test_lines_of_lettering_are_cut() -> None:
    html = card([Signal("title_written", 0.5, detail=("x" * 200,), total=2)], BUNDLE)
    assert f"“{'x' * 40}…”" in html and "x" * 41 not in html


def test_nothing_reads_as_a_grade_or_a_promise() -> None:
    shown = " ".join(
        sentence(Signal(name, value, total=5), bundle)
        for name in SIGNALS
        for value in (0, 0.5, 1)
        for bundle in (BUNDLE, BARE)
    )
    text = re.sub("<[^>]+>", " ", card(read(), TRENDING)) + shown
    for word in (
        "good",
        "bad",
        "better",
        "worse",
        "should",
        "weak",
        "strong",
        "score",
        "nats",
        "cosine",
        "perplexity",
        "token",
    ):
        assert word not in text.lower(), word
    assert "among trending posts, not what causes what" in text


def test_the_strip_has_five_levels_in_order_and_says_what_it_shows() -> None:
    html = strip(0.41, BUNDLE.typical["similarity"], ("far apart", "alike"), "{:.2f}".format)
    assert re.findall(r"<span>([^<]+)</span><div>", html) == list(LEVELS)
    assert html.count("<b ") == 5 and html.count("fi-half") == 5
    assert 'role="img" aria-label="This draft: 0.41. In the middle of each level: Very Low 0.20, Low 0.21' in html


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=5).map(sorted), min_size=5, max_size=5),
)
def test_a_strip_stays_inside_itself(value: float, rows: list[list[float]]) -> None:
    html = strip(value, rows, ("", ""), str)
    parts = [
        (float(left), float(width or 0)) for left, width in re.findall(r"left:([\d.]+)%(?:;width:([\d.]+)%)?", html)
    ]
    assert len(parts) == html.count("left:") == 20
    assert all(left >= 0 and left + width <= 100.2 for left, width in parts)
    assert 0.0499 <= share_below(value, rows, PRIOR) <= 0.9501


def test_the_percentile_is_that_of_all_levels() -> None:
    assert share_below(0.3, EVEN, PRIOR) == pytest.approx(0.3)
    assert [share_below(value, EVEN, PRIOR) for value in (-9, 9)] == pytest.approx([0.05, 0.95])
    # Of equals, half lie below: nobody in the picture is nothing unusual where that is so in half of the posts.
    assert share_below(0, ((0, 0, 0, 1, 3),) * 5, PRIOR) == pytest.approx((0.05 + 0.5) / 2)
    shifted = (*EVEN[:4], tuple(np.array(EVEN[0]) + 10))
    assert share_below(0.5, shifted, (0, 0, 0, 0, 1)) == pytest.approx(0.05)


def test_the_record_has_its_schema() -> None:
    found = TypeAdapter(Readings).validate_python(signals.record(read(), BUNDLE))
    assert [signal["percentile"] is None for signal in found["signals"]] == [False] * 5
    assert all(signal["percentile"] is None for signal in signals.record(read(), BARE)["signals"])


# --- what the page does with it ---


class Withholding(PagePredictor):
    def predict(self, posts: Any) -> list[Prediction]:
        return [dataclasses.replace(found, abstain=True, strange="text") for found in super().predict(posts)]


def page(predictor: Any = PagePredictor, reader: Any = PageSignals) -> handlers.Page:
    return handlers.Page(predictor, reader)


def test_the_card_grows_and_is_then_done() -> None:
    shown = list(page().signals(Post("My cat", Image.linear_gradient("L"))))
    assert [html.count("<li") for html in shown] == [1, 2, 3, 4, 5, 5]
    assert ['aria-busy="true"' in html for html in shown] == [True] * 5 + [False]


def test_the_card_grows_no_more_when_another_verdict_is_shown() -> None:
    newest, post = Newest(), Post("My cat")
    newest.show(post)
    begun = page().signals(post, "", newest)
    assert "<li" in next(begun)
    newest.show(None)
    assert list(begun) == [gr.skip()]


def test_a_verdict_comes_with_a_place_for_the_card() -> None:
    *_, place, post, _, _ = page().predict(None, "My cat", "", "")
    assert "Looking at what is in them" in place and post.title == "My cat"
    assert page().predict(None, "", "", "")[4:6] == ("", None) and page().start_over(Newest(), 0.0)[4:6] == ("", None)


def test_what_is_withheld_gets_no_card() -> None:
    """It would say something of a draft of which the verdict says that nothing follows from it."""
    reader = PageSignals()
    withheld = page(Withholding, lambda: reader)
    *_, place, post, _, _ = withheld.predict(None, "asdf", "", "")
    assert place == "" and post is None and list(withheld.signals(post)) == [] and not reader.asked


def test_a_reader_that_fails_leaves_the_verdict(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(PageSignals):
        def stream(self, post: Post) -> Iterator[Signal]:
            raise ZeroDivisionError(post.title)

    assert list(page(reader=Failing).signals(Post("a private draft"))) == [""]
    assert "ZeroDivisionError" in caplog.text and "private draft" not in caplog.text


def test_models_are_not_loaded_before_a_draft_comes() -> None:
    made = []
    shown = page(reader=lambda: made.append(1) or PageSignals())
    shown.describe()
    shown.predict(None, "My cat", "", "")
    assert not made
    for _ in range(2):
        list(shown.signals(Post("My cat")))
    assert made == [1]
