"""Two models behind one page: a real server, whose clients name the one they mean."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from tests.page_predictor import POPULARITY_FORMULA, PagePredictor
from tests.page_signals import PageSignals
from ui import chooser
from ui.chooser import Choice
from ui.theme import launch_settings


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    def load_from(bundle: Path) -> Callable[[], Any]:
        return lambda: PagePredictor(score_formula=POPULARITY_FORMULA)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr(chooser, "load_from", load_from)
        offered = [Choice(name, name.title(), Path(name) / "bundle") for name in ("rates", "reach")]
        demo = app.build(PagePredictor, PageSignals, offered)  # type: ignore[arg-type]
        address = demo.launch(**{**launch_settings(), "quiet": True, "prevent_thread_lock": True})[1]
        connected = Client(address, verbose=False)
        yield connected
        connected.close()
        demo.close(verbose=False)


def test_a_program_names_the_model_it_means(client: Client) -> None:
    answers = [client.predict(title="My cat", **named, api_name="/predict") for named in ({}, {"model": "reach"})]
    assert [answer["score_name"] for answer in answers] == ["engagement", "popularity"]
    assert client.predict(title="My cat", model="reach", api_name="/explain")["words"]
    with pytest.raises(AppError, match="leave the name out, or take one of rates, reach"):
        client.predict(title="My cat", model="/etc", api_name="/predict")


def test_the_parameter_may_be_left_out(client: Client) -> None:
    for endpoint in client.view_api(return_format="dict")["named_endpoints"].values():
        fields = {field["parameter_name"]: field for field in endpoint["parameters"]}
        assert fields["model"]["parameter_has_default"]
