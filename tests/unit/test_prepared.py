"""Examples that were answered beforehand: by the shipped bundle, without the model, and only these very drafts."""

import json
from pathlib import Path

import numpy as np
import pytest

from engine.bundle import read_bundle
from engine.explain.base import Explanation
from engine.posts import Post
from engine.prediction import Prediction
from engine.settings import SHIPPED_BUNDLE
from tests.page_predictor import PagePredictor
from ui import prepared
from ui.examples import EXAMPLES
from ui.explanation import OWEN
from ui.handlers import Page
from ui.model import load_shipped
from ui.prepared import FILE, Known, key_of, load_prepared
from ui.uploads import read_draft


@pytest.fixture
def known() -> list[Known]:
    found = load_prepared()
    drafts = [read_draft(str(example.path) if example.path else None, example.title) for example in EXAMPLES]
    answers = [found.find(draft) for draft in drafts]
    assert all(answers), "the bundle, the examples or the code behind an answer changed: run `make examples`"
    return [answer for answer in answers if answer is not None]


def test_every_example_is_known_and_the_file_is_small(known: list[Known]) -> None:
    assert len(known) == len(load_prepared()) == len(EXAMPLES)
    assert sum(bool(example.picture) for example in EXAMPLES) >= 8
    assert FILE.stat().st_size < 300_000


def test_examples_show_all_that_an_answer_can_be(known: list[Known]) -> None:
    answers = [answer.prediction for answer in known]
    assert {answer.level for answer in answers} == {0, 1, 2, 3, 4}
    assert {answer.level for answer in answers if not answer.abstain} >= {0, 4}
    assert any(answer.strange == "text" for answer in answers)
    unsure = [answer for answer in answers if answer.abstain and answer.strange is None]
    assert unsure and all(answer.reason for answer in unsure)
    assert [answer.explanation is None for answer in known] == [answer.strange is not None for answer in answers]


def test_the_first_click_waits_for_no_model(known: list[Known], monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(load_shipped)

    def loads() -> None:
        raise AssertionError("asked for the model")

    monkeypatch.setattr(page.model, "get", loads)
    for example, answer in zip(EXAMPLES, known, strict=True):
        picture = str(example.path) if example.path else None
        panel, votes, record, _, _, draft, _, _ = page.predict(picture, example.title, "", "")
        assert "fi-verdict" in panel and record["probabilities"]
        if answer.prediction.strange is not None:
            assert draft is None and not votes
            continue
        *_, reasons = page.explain(draft, OWEN)
        assert 'aria-busy="false"' in reasons and prepared.PREPARED.replace("'", "&#x27;") in reasons
        assert ("Heat map" in reasons) == (draft.image is not None)


def test_other_drafts_and_other_models_are_answered_live(known: list[Known]) -> None:
    found = load_prepared()
    words = next(example for example in EXAMPLES if not example.picture).title
    assert found.find(Post(title=words)) is not None
    others = (Post(words, tags=("a",)), Post(words, description="b"), Post(words, category="c"))
    for other in (Post(f"{words}!"), *others):
        assert found.find(other) is None
    page = Page(PagePredictor)  # type: ignore[arg-type]
    assert len(page.prepared) == 0 and page.api_predict(title=words)["score_name"]


def test_another_key_and_a_broken_file_are_of_no_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = read_bundle(SHIPPED_BUNDLE)
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    assert stored["key"] == key_of(bundle)
    # Figures that are put in after training change no answer.
    assert key_of(bundle.model_copy(update={"notes": ("new",)})) == stored["key"]
    path = tmp_path / "prepared.json"
    path.write_text(json.dumps(stored | {"key": key_of(bundle.model_copy(update={"created": "today"}))}))
    assert len(load_prepared(path)) == 0 and not caplog.text
    for broken in ("", "[]", json.dumps(stored | {"drafts": {"a": {"prediction": {}, "explanation": None}}})):
        path.write_text(broken)
        assert len(load_prepared(path)) == 0 and "answered live" in caplog.text
        caplog.clear()


def test_a_bundle_of_ones_own_has_no_examples_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_BUNDLE", str(tmp_path / "none"))
    assert len(load_prepared()) == 0


def test_an_explanation_comes_back_as_it_was() -> None:
    [answer] = PagePredictor().predict([Post(title="My cat")])
    made = Explanation(
        method="made up",
        base_value=2.0,
        value=2.5,
        words=(("My ", 0.1), ("cat", 0.2)),
        notes=("A note.",),
        segments=np.arange(12).reshape(3, 4) // 6,
        segment_values=np.array([0.3, -0.1]),
        half_widths=np.array([0.01, 0.02, 0.0, 0.0]),
        evaluations=7,
    )
    entry = {
        "prediction": prepared.predictions.dump_python(answer, mode="json"),
        "explanation": prepared._stored(made),
    }
    back = prepared._known(json.loads(json.dumps(entry)), read_bundle(SHIPPED_BUNDLE))
    assert isinstance(back.prediction, Prediction) and back.prediction == answer
    assert back.explanation is not None
    assert back.explanation.words == made.words and back.explanation.notes[0] == "A note."
    assert np.array_equal(back.explanation.heat, made.heat)  # type: ignore[arg-type]
    assert np.array_equal(back.explanation.values, made.values) and back.explanation.evaluations == 7
