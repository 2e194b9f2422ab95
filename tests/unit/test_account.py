"""A draft against an account's own posts: counts read as people write them, intervals that hold and widen honestly."""

import math
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd
import pytest

from benchmarks.account import main, measure, shares, within_and_between
from benchmarks.pairs import read
from engine.drafts.account import OF_ACCOUNT, WITHIN, against, beside, variance_of
from engine.errors import PostError
from engine.posts import Post
from engine.settings import SHIPPED_BUNDLE
from tests.page_predictor import POPULARITY_FORMULA, STRANGE, PagePredictor
from training.modeling.train import STEPS
from ui import account, own_posts
from ui.account import OwnAccount
from ui.handlers import Page
from ui.own_posts import counts_of, scores_of

REPORT = SHIPPED_BUNDLE.parent / "report"
POSTS = "12000, 480, 35\n8.5k, 310"


@pytest.mark.parametrize(
    "text",
    [
        "12345, 678, 9",
        "12345,678,9",
        "12,345, 678, 9",
        "12,345\t678\t9",
        "12.345; 678; 9",
        "12 345;678;9",
        '"12,345"\t"678"\t"9"',
        '"12,345","678","9"',
        '"12,345", 678, 9',
        '"12,345" 678 9',
        "12,345 678 9",
        "12345 678 9",
        "12345 views, 678 likes, 9 comments",
        "9 Comments, 678 likes, 12345 views",
        "12345 views, 9 comments, 678 likes",
        "Views, Likes, Comments\n12345, 678, 9",
        "Likes\tTitle\tComments\tViews\n678\tA title; 5, of mine\t9\t12,345",
        "Views (28 days), Comments, Likes\n12345, 9, 678",
        "\n  12345 | 678 | 9 \n\n",
    ],
)
def test_counts_are_read_as_people_write_them(text: str) -> None:
    assert counts_of(text) == ([(12345, 678, 9)], [])


def test_short_counts_and_missing_comments() -> None:
    assert counts_of("1.2k, 80\n3M; 1,5k; 2K\n900\t7\t") == (
        [(1200, 80, None), (3_000_000, 1500, 2000), (900, 7, None)],
        [],
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("12000", "it has one number, and views and likes are needed"),
        ("0, 0", "it has no views"),
        ("80, 1200", "it has more likes than views; views come first"),
        ("1200, many", "“many” is no count"),
        ("1200, -5", "“-5” is no count"),
        ("1200; ; 3", "a count is missing"),
        ("80 likes, 12 comments", "views or likes are missing"),
        ("nan, inf 1", "“nan” is no count"),
        ("12 000 480", "“000” is no count"),
        ("12,345,678", "it has more likes than views; views come first"),
        ("soon", "it has no number, and views and likes are needed"),
    ],
)
def test_a_line_that_cannot_be_read_costs_itself(line: str, reason: str) -> None:
    counts, told = counts_of(f"1200, 80\n{line}\n2000, 90")
    assert [views for views, _, _ in counts] == [1200, 2000]
    assert told == [f"Line 2 was left out: {reason}."]


def test_more_than_is_read_gets_a_sentence() -> None:
    with pytest.raises(PostError, match="201 posts"):
        counts_of("100, 5\n" * 201)
    with pytest.raises(PostError, match="too long"):
        counts_of("1" * 20_000)


def test_scores_are_the_models_own() -> None:
    assert scores_of([(1000, 40, 5), (1000, 50, None)]) == pytest.approx([math.log(0.05)] * 2)


VARIANCE = 0.55


def simulated(known: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spans, medians of `known` posts, and the draft against what is usual: 20,000 accounts that are as supposed."""
    draw = np.random.default_rng(0)
    count, left_open, within = 20_000, 0.3, WITHIN * VARIANCE
    own = (1 - OF_ACCOUNT) * left_open
    answer, offset, others = (
        draw.normal(0, math.sqrt(part), count) for part in (0.2, OF_ACCOUNT * left_open, within - own)
    )
    usual = answer + offset + others
    posts = usual[:, None] + draw.normal(0, math.sqrt(within), (count, known))
    happened = answer + offset + draw.normal(0, math.sqrt(own), count) - usual
    reach = 1.2815516 * math.sqrt(left_open)
    return np.stack([answer, answer - reach, answer + reach], axis=1), np.median(posts, axis=1), happened


@pytest.mark.parametrize("known", [1, 3, 20])
def test_the_interval_holds_what_it_promises(known: int) -> None:
    spans, usual, happened = simulated(known)
    _, low, high = beside(spans, usual, known, VARIANCE).T
    assert np.mean((low <= happened) & (happened <= high)) == pytest.approx(0.8, abs=0.02)


def test_few_posts_say_little_and_leave_it_wide() -> None:
    span = np.array([[-3.5, -4.2, -2.8]])
    for times in (0.5, 2.0):
        usual = np.array([-3.5 + math.log(times)])
        found = [beside(span, usual, known, VARIANCE)[0] for known in (1, 2, 5)]
        sizes, widths = [abs(middle) for middle, _, _ in found], [high - low for _, low, high in found]
        assert sizes == sorted(sizes) and widths == sorted(widths, reverse=True) and widths[0] > 1.05 * widths[-1]
        assert all((middle < 0) == (times > 1) for middle, _, _ in found)
    # An account that is nothing like those of the report is no reason to promise it a fall.
    middle, _, _ = beside(span, np.array([-3.5 + math.log(30)]), 20, VARIANCE)[0]
    assert -0.1 < middle < 0


def test_it_holds_on_the_shipped_report() -> None:
    """On test posts, in groups that are harder than accounts; the shares it takes are those of validation posts."""
    table = pd.read_parquet(REPORT / "posts.parquet", columns=["split", "log_score"])
    variance = variance_of(np.quantile(table.loc[table["split"] == "train", "log_score"], STEPS))
    common, within = shares(read(REPORT, "both", ["validation"]), variance)
    assert common == pytest.approx(OF_ACCOUNT, abs=0.02) and within == pytest.approx(WITHIN, abs=0.02)
    posts = read(REPORT, "both")
    for known in (1, 5, 20):
        held = measure(posts, known, 20, variance)
        assert held is not None and held.drafts > 1000
        assert held.share > 0.8 - 0.01 and held.interval[0] > 0.75
    assert measure(posts, 5000, 20, variance) is None


def test_channels_may_take_the_place_of_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_parquet(REPORT / "posts.parquet", columns=["post_id", "split"])
    table = table[table["split"] != "train"].reset_index()
    path = tmp_path / "posts.parquet"
    table["group"] = [f"channel {number // 8}" if number % 3 else None for number in table.index]
    table.to_parquet(path)
    found = read(REPORT, "both", table=path)
    assert 0 < len(found.actual) < (table["split"] == "test").sum()
    main(["--posts", str(path), "--fewest", "3"])
    told = capsys.readouterr().out
    assert told.count(" 1 posts known") == 3 and "10 posts known" not in told


def test_variance_is_told_apart_within_and_between() -> None:
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 5)
    values = draw.normal(0, 1, 400)[groups] + draw.normal(0, 0.5, 2000)
    assert within_and_between(values, groups) == pytest.approx((0.25, 1.0), rel=0.15)


CAT = Post("My cat")


def tab(formula: str | None = None) -> OwnAccount:
    predictor = PagePredictor(**({"score_formula": formula} if formula else {}))
    with gr.Blocks():
        return OwnAccount(Page(lambda: predictor, list))  # type: ignore[arg-type, return-value]


def own(text: str, post: Post | None = CAT, formula: str | None = None) -> str:
    return tab(formula).show(post, text)


def test_the_button_says_what_is_missing_and_an_answer_does_not() -> None:
    assert account.EMPTY in tab().compare(CAT, " ") and tab().compare(CAT, POSTS) == own(POSTS)
    assert own("") == ""


def test_the_answer_is_one_sentence_beside_what_is_usual() -> None:
    html = own(POSTS)
    prediction = PagePredictor().predict([Post("My cat")])[0]
    found = against(prediction, scores_of(counts_of(POSTS)[0]), np.linspace(-5, -2, 201).tolist())
    assert found.low < found.middle < found.high and found.count == 2
    assert "Likely between 0." in html and "times your usual engagement" in html
    assert "Your usual is 4.1 points per 100 views, the median of your 2 posts. So few posts say little" in html
    assert account.NO_COMMENTS.format(1) in html and "came without" not in own("12000, 480, 35\n8500, 310, 2")
    assert "So few" not in own("\n".join([POSTS] * 4))
    assert account.times(0.04) == "0.04" and account.times(0.64) == "0.6" and account.times(12.3) == "12"


def test_what_cannot_be_said_is_said_in_a_sentence() -> None:
    assert own(" \n") == "" and account.NO_DRAFT in own(POSTS, None)
    # A lone line is no header.
    assert "it has no number" in own("hello") and "And 1 more line." in own("a\n" * 4 + "b")
    hostile = own(f"{POSTS}\n" + "<img src=x>, 5\n" * 5)
    assert "times your usual" in hostile and "<img src=x>" not in hostile
    assert hostile.count("<li>") == account.NAMED + 1 and "And 2 more lines." in hostile
    assert account.NO_RATE in own(POSTS, formula=POPULARITY_FORMULA)
    withheld = own(POSTS, Post(STRANGE))
    assert "times your" not in withheld and account.UNANSWERED in withheld
    nothing = own("100, 0\n200, 0\n300, 9")
    assert account.NO_USUAL in nothing and "times your" not in nothing
    assert "too long" in own("1" * (own_posts.MOST_CHARACTERS + 1))
