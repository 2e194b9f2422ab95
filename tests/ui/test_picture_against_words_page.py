"""The page of picture against words: its figures are the report's, whatever is absent or hostile is survived."""

from pathlib import Path

import pandas as pd
import pytest

from dashboard.app_pages.picture_against_words import queries
from dashboard.app_pages.picture_against_words.signals import SIGNALS, ordered, signal
from dashboard.reports import Report, open_report
from dashboard.scope import Scope
from dashboard.selection import Selection
from tests import tiny_report as made
from tests.dashboard_page import page, texts
from tests.tiny_report import RECIPE, altered

NAME = "picture_against_words"
SCOPE = Scope(RECIPE, "both", "test")
OPTIONAL = ("signals", "trends", "removal", "verdicts", "matching", "captions", "caption_examples")
HOSTILE = "<img src=x onerror=alert(1)> **bold** $x$ [a](javascript:1)"


@pytest.fixture(scope="module")
def report(tiny_report: Path) -> Report:
    return open_report(tiny_report)


def test_means_are_those_of_the_report_with_their_bins_in_words(tiny_report: Path, report: Report) -> None:
    rows = pd.read_parquet(tiny_report / "consistency.parquet")
    for by, labels in {"level": 5, "interval": 4}.items():
        found = queries.means(report, "similarity", by)
        own = rows[rows["signal"].eq("similarity") & rows["by"].eq(by)]
        assert len(found) == len(own) and found["value"].sum() == pytest.approx(own["value"].sum())
        assert found["label"].nunique() == labels
    assert list(dict.fromkeys(found["label"])) == ["<10", "10–12", "12–14", "≥14"]


def test_the_spread_is_of_the_posts_of_a_level(tiny_report: Path, report: Report) -> None:
    signals = pd.read_parquet(tiny_report / "signals.parquet").merge(pd.read_parquet(tiny_report / "posts.parquet"))
    every, kept = (queries.quantiles(report, "smile", cleaned).set_index("level") for cleaned in (False, True))
    there = signals[signals["smile"].notna()]
    assert every["n"].to_dict() == there.groupby("level").size().to_dict()
    assert kept["n"].to_dict() == there[there["removed"] == ""].groupby("level").size().to_dict()
    assert every["middle"].to_dict() == pytest.approx(there.groupby("level")["smile"].median().to_dict())
    assert queries.quantiles(report, '"; DROP VIEW posts; --', False).empty


def test_a_dot_is_what_the_model_expects_of_each_side(tiny_report: Path, report: Report) -> None:
    rows = pd.read_parquet(tiny_report / "predictions.parquet")
    own = rows[rows["model"].eq(RECIPE) & rows["split"].eq("test")].pivot(
        index="post_id", columns="view", values="expected_level"
    )
    found = queries.sides(report, SCOPE, Selection()).set_index("post_id")
    assert len(found) == len(own) and found["chosen"].all()
    for side in ("image", "text"):
        assert found[side].to_dict() == pytest.approx(own[side].to_dict())
    post = found.index[0]
    picked = queries.sides(report, SCOPE, Selection().pick([post])).set_index("post_id")
    assert picked.index[picked["chosen"]].tolist() == [post]


def test_verdicts_come_first_with_their_figures_and_caveats(tiny_report: Path) -> None:
    app = page(NAME, tiny_report).run()
    assert not app.exception and not app.error
    said = texts(app)
    trends = pd.read_parquet(tiny_report / "trends.parquet").set_index(["signal", "against", "cleaning", "control"])
    # Odd wording by both its measures, of which the verdict is on one.
    for name in ("similarity", "log_perplexity", "bits_per_character"):
        row = trends.loc[(name, "score", "uncleaned", "raw")]
        figures = f"**{row['value']:+.3f}** (95%: {row['low']:+.3f} to {row['high']:+.3f}), n = {int(row['n']):,}"
        assert f"the signal itself, {signal(name).label.lower()}:]  \n:small[As it is: {figures}" in said
    assert "grows, and survives" in said and "no clear trend" in said
    for caveat in ("not causes", "removes some levels more", "length and language", "learned from photos"):
        assert caveat in said
    assert app.selectbox(key="signal").options == [SIGNALS[name].label for name in made.SIGNALS]


def test_every_choice_of_a_signal_is_drawn(tiny_report: Path) -> None:
    app = page(NAME, tiny_report).run()
    for name in made.SIGNALS:
        app.selectbox(key="signal").select(name).run()
        assert not app.exception and signal(name).meaning.split(",")[0][:20] in texts(app)
    for key, choice in (("cleaning", "cleaned"), ("control", "controlled")):
        app.segmented_control(key=key).set_value(choice).run()
        assert not app.exception
    removal = next(frame.value for frame in app.dataframe if "reason" in frame.value)
    assert set(removal["reason"]) == {"any", *made.REASONS}


@pytest.mark.parametrize("table", OPTIONAL)
def test_what_the_report_lacks_is_left_out(tiny_report: Path, tmp_path: Path, table: str) -> None:
    absent = page(NAME, altered(tiny_report, tmp_path / "absent", **{table: None})).run()
    empty = page(NAME, altered(tiny_report, tmp_path / "empty", **{table: lambda rows: rows.iloc[:0]})).run()
    for app in (absent, empty):
        assert not app.exception and not app.error and "Mean by level" in texts(app)


def test_without_means_or_one_sided_predictions_it_says_so(tiny_report: Path, tmp_path: Path) -> None:
    folder = altered(
        tiny_report,
        tmp_path / "report",
        consistency=lambda rows: rows.iloc[:0],
        predictions=lambda rows: rows[rows["view"] != "image"],
    )
    app = page(NAME, folder).run()
    assert not app.exception
    assert "consistency.parquet has no rows" in texts(app) and "for the picture alone and the title alone" in texts(app)


def test_hostile_words_are_letters(tiny_report: Path, tmp_path: Path) -> None:
    folder = altered(
        tiny_report,
        tmp_path / "report",
        verdicts=lambda rows: rows.assign(sentence=HOSTILE),
        removal=lambda rows: rows.assign(reason=rows["reason"].replace({"odd wording": HOSTILE})),
        matching=lambda rows: rows.assign(direction=HOSTILE),
        captions=lambda rows: rows.assign(dataset=HOSTILE),
        caption_examples=lambda rows: rows.assign(caption=HOSTILE, name="=1+1"),
        consistency=lambda rows: rows.assign(signal=rows["signal"].replace({"faces": HOSTILE})),
    )
    app = page(NAME, folder).run()
    assert not app.exception
    assert "<img" not in texts(app).replace("\\<img", "") and "**bold**" not in texts(app)
    app.selectbox(key="signal").select(HOSTILE).run()
    assert not app.exception and "no definition" in texts(app)
    charts = "".join(str(chart.proto.spec) for chart in app.get("plotly_chart"))
    assert "&lt;img src=x" in charts and "<img" not in charts


def test_a_selection_is_listed_and_an_empty_one_says_so(tiny_report: Path, report: Report) -> None:
    app = page(NAME, tiny_report)
    posts = queries.sides(report, SCOPE, Selection())["post_id"].tolist()[:2]
    app.query_params["selection"] = f"post:{'|'.join(posts)}"
    app.run()
    assert not app.exception and "2 selected posts" in texts(app)
    app.button(key="chip-post").click().run()
    assert "selection" not in app.query_params and "selected posts" not in texts(app)
    app.query_params["selection"] = "post:nobody"
    app.run()
    assert not app.exception and "No post meets every filter" in texts(app)


def test_an_unknown_signal_is_last() -> None:
    assert ordered(["made_up", "smile", "similarity"]) == ["similarity", "smile", "made_up"]
    assert signal("made_up").label == "Made up"
