"""What is said of a title's language: nothing, unless few of the titles were in it that a model learned from."""

import pytest

from engine.language import language_of
from tests.page_predictor import PagePredictor
from ui.handlers import Page
from ui.languages import remark, told

LEARNED = {"en": 0.96, "es": 0.017, "fr": 0.001}


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Mi gato me juzga cada mañana", "seems to be Spanish. Of those that the model learned from 2\u00a0% were"),
        ("Les meilleurs moments de la saison", "seems to be French. Of those that the model learned from <\u00a01"),
        ("Meine Katze verurteilt mich jeden Morgen", "seems to be German. Of those that the model learned from none"),
    ],
)
def test_a_rare_language_is_named_with_what_was_learned_of_it(title: str, said: str) -> None:
    found = remark(title, LEARNED)
    assert said in found and found.endswith("96\u00a0% were English.")
    assert remark(title, {}) == ""


@pytest.mark.parametrize(
    "title", ["", "asdf asdf asdf asdf", "IMG_2034.mov", "My cat", "My cat judges me every morning"]
)
def test_of_others_nothing_is_said(title: str) -> None:
    assert remark(title, LEARNED) == ""


def test_a_language_that_much_was_learned_of_is_no_news() -> None:
    assert remark("Mi gato me juzga cada mañana", {"en": 0.5, "es": 0.5}) == ""
    assert told({"en": 0.2, "es": 0.8}).startswith(" Of the titles 80\u00a0% are Spanish") and told({}) == ""


def test_it_stands_beside_the_verdict_where_the_title_is_read() -> None:
    page = Page(PagePredictor, list)  # type: ignore[arg-type]
    assert "seems to be Spanish" in page.predict(None, "Mi gato me juzga cada mañana", "", "")[0]
    assert "seems to be" not in page.predict(None, "My cat judges me every morning", "", "")[0]


def test_the_language_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("py3langid", reason="requirements-signals.txt is not installed")
    assert language_of("I built the fastest car in the world") == "en"
    assert language_of("Warum ich nie wieder nach Berlin fahre") == "de"
    assert language_of("漢字とカタカナの話") == "ja"
    assert language_of("vlog") is language_of("") is language_of("🔥 2024") is None
    monkeypatch.setattr("engine.language.find_spec", lambda name: None)
    assert language_of("I built the fastest car in the world") is None
