"""What a probe is told of the model behind the page, from its first moment on."""

import threading

import pytest

from engine.errors import BundleError
from tests.page_predictor import PagePredictor
from ui.health import LOADING, health
from ui.model import UNAVAILABLE, Model


def settled(model: Model) -> None:
    """Wait until the model is there or has failed."""
    try:
        model.get()
    except BundleError:
        return


def test_it_is_ready_once_the_model_answers() -> None:
    may_load = threading.Event()

    def load() -> PagePredictor:
        may_load.wait(10)
        return PagePredictor()

    model = Model(load)  # type: ignore[arg-type]
    assert health(model) == (503, {"ready": False, "bundle": None, "reason": LOADING})
    model.start()
    assert health(model)[0] == 503
    may_load.set()
    settled(model)
    assert health(model) == (200, {"ready": True, "bundle": "made-up", "reason": ""})


def test_a_model_that_cannot_load_is_said_without_its_folder(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def missing() -> PagePredictor:
        calls.append(1)
        raise BundleError("There is no bundle at /srv/models; train one.")

    model = Model(missing)  # type: ignore[arg-type]
    settled(model)
    loads = len(calls)
    assert health(model) == (503, {"ready": False, "bundle": None, "reason": UNAVAILABLE})
    assert "no bundle at /srv/models" in caplog.text
    assert health(model)[0] == 503 and caplog.text.count("no bundle at /srv/models") == 1
    # A probe that comes every few seconds must not keep a core busy with loading.
    assert len(calls) == loads
