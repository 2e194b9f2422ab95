"""Two models behind one page: a real server, whose clients name the one they mean."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.app_page import program, served
from tests.page_predictor import POPULARITY_FORMULA, PagePredictor


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    def second() -> PagePredictor:
        return PagePredictor(score_formula=POPULARITY_FORMULA)

    with (
        served(tmp_path_factory.mktemp("uploads"), ("rates", "reach"), second) as address,
        closing(program(address)) as connected,
    ):
        yield connected


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
