"""Which models a visitor may choose among, what is loaded of them, and that a choice reaches every answer."""

import json
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from engine.addresses import Address
from engine.bundle import read_bundle
from engine.errors import PostError
from engine.posts import Post
from engine.settings import SHIPPED_BUNDLE
from tests.page_predictor import POPULARITY_FORMULA, PagePredictor
from tests.page_signals import PageSignals
from ui import chooser, handlers, verdict
from ui.chooser import KEPT, Choice, Models, choice_field, models_offered
from ui.evidence import load_evidence
from ui.model import UNAVAILABLE, Model, load_shipped

NAMES = ("first", "second", "third", "fourth")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models: one whose manifest is sound, one whose manifest is none."""
    monkeypatch.delenv("FIRST_IMPRESSIONS_BUNDLE", raising=False)
    monkeypatch.setenv("FIRST_IMPRESSIONS_MODELS", str(tmp_path))
    for name in ("other", "broken", "youtube"):
        (tmp_path / name / "bundle").mkdir(parents=True)
    shutil.copy(SHIPPED_BUNDLE / "bundle.json", tmp_path / "other" / "bundle")
    # Of the same name as the one that answers unasked.
    shutil.copy(SHIPPED_BUNDLE / "bundle.json", tmp_path / "youtube" / "bundle")
    (tmp_path / "broken" / "bundle" / "bundle.json").write_text(json.dumps({"sha256": "", "name": "<b>"}))
    return tmp_path


class Loads:
    """Counts what is loaded; every other model speaks of a popularity."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def of(self, bundle: Path) -> Any:
        def load() -> PagePredictor:
            self.loaded.append(bundle.parent.name)
            return PagePredictor(score_formula=POPULARITY_FORMULA)

        return load


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()
    monkeypatch.setattr(chooser, "load_from", loads.of)
    return loads


def offered() -> list[Choice]:
    return [Choice(name, name.title(), Path(name) / "bundle") for name in NAMES]


def models(loads: Loads) -> Models:
    return Models(Model(PagePredictor), offered(), loads.of)  # type: ignore[arg-type]


def test_the_models_of_a_folder_are_offered(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, other = models_offered()
    assert (first.name, first.bundle) == ("youtube", SHIPPED_BUNDLE)
    assert (other.name, other.bundle) == ("other", folder / "other" / "bundle")
    assert other.label == "Engagement on YouTube's trending lists (other)"
    assert "broken" in caplog.text


def test_a_bundle_that_is_named_is_the_only_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_BUNDLE", str(folder / "other" / "bundle"))
    [only] = models_offered()
    assert only.bundle == folder / "other" / "bundle"


def test_a_bundle_that_cannot_be_fetched_gets_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(folder))
    monkeypatch.setenv("FIRST_IMPRESSIONS_BUNDLE", "memory://nowhere/bundle")
    [only] = models_offered()
    page = handlers.Page(load_shipped, PageSignals, [only])  # type: ignore[arg-type]
    assert only.bundle == page.models.bundle() == Address("memory://nowhere/bundle")
    for told in (page.describe()[4], page.predict(None, "My cat", "", "")[0]):
        assert UNAVAILABLE in told and "memory" not in told
    assert "memory://nowhere/bundle/bundle.json does not exist" in caplog.text
    # Beside one that is fetched there is no index.
    assert load_evidence(only.bundle, read_bundle(SHIPPED_BUNDLE)) is None


def test_one_model_is_nothing_to_choose(loads: Loads) -> None:
    with gr.Blocks():
        assert not choice_field(Models(Model(PagePredictor), offered()[:1], loads.of)).visible  # type: ignore[arg-type]
        alone = Models(Model(PagePredictor), [], loads.of)  # type: ignore[arg-type]
        assert not choice_field(alone).visible
        with pytest.raises(PostError, match=r"leave the name out\.$"):
            alone.get("other")
        field = choice_field(models(loads))
    assert field.visible and field.value == "first" and len(field.choices) == len(NAMES)


def test_models_are_loaded_when_asked_for_and_few_are_kept(loads: Loads) -> None:
    found = models(loads)
    assert found.get() is found.get("") is found.get("first") and not loads.loaded
    second = found.get("second")
    assert second is found.get("second") and second is not found.get() and loads.loaded == ["second"]
    for name in NAMES[2 : 2 + KEPT]:
        found.get(name)
    assert found.get("second") is not second and loads.loaded.count("second") == 2
    assert len(found._loaded) == KEPT


def test_an_unknown_model_gets_a_sentence(loads: Loads) -> None:
    with pytest.raises(PostError, match="leave the name out, or take one of first, second, third, fourth"):
        models(loads).get("../second")


def test_who_asks_another_model_in_vain_is_told_where_to_choose(loads: Loads) -> None:
    page = handlers.Page(PagePredictor, PageSignals, offered())  # type: ignore[arg-type]
    page.models = models(loads)
    told = [page.predict(None, "", "", "", model=name)[0] for name in ("first", "second")]
    assert [verdict.ANOTHER in html for html in told] == [False, True]


def test_a_choice_reaches_every_answer(loads: Loads) -> None:
    page = handlers.Page(PagePredictor, PageSignals, offered())  # type: ignore[arg-type]
    page.models = models(loads)
    shown = [page.predict(None, "My cat", "", "", model=name)[0] for name in ("first", "second", "")]
    assert ["opularity" in html for html in shown] == [False, True, False]
    assert "opularity" in page.describe("second")[3] and "opularity" not in page.describe("first")[3]
    assert page.api_predict(title="My cat", model="second")["score_name"] == "popularity"
    assert page.api_predict(title="My cat")["score_name"] == "engagement"
    with pytest.raises(gr.Error, match="no model of that name"):
        page.api_explain(title="My cat", model="fifth")
    assert "fi-why" in list(page.explain(Post("My cat"), "owen", "second"))[-1]
    assert loads.loaded == ["second"]
