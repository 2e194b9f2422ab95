"""What else a model reads, given to a page that runs: the answers are those of a file with the same rows."""

import csv
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from pydantic import TypeAdapter

from engine.batch.score import score_file
from engine.predictor import Predictor
from tests import made_up
from tests.app_page import connected
from tests.page_signals import PageSignals
from tests.smpd_files import CATEGORIES, raw, write
from training.data.prepare import prepare
from training.data.workspace import split
from training.modeling.train import train
from training.recipes.base import CatBoost, Ngrams, Recipe
from ui import handlers
from ui.api import Answer, Ranking, Scores
from ui.several import Several

CONTEXT = ("time_and_place", "author", "category", "numbers")
TREES = CatBoost(
    name="trees",
    features=("text_statistics", "picture_statistics", *CONTEXT),
    iterations=40,
    early_stopping=None,
    learning_rate=0.15,
    depth=3,
)
RECIPE = Recipe(name="whole", summary="Picture, words and context.", members=(Ngrams(), TREES))
MORNING: dict[str, Any] = {"published_at": "2016-03-01T06:00+05:30", "latitude": 52.5, "longitude": "13.4"}
FULL = {**MORNING, "category": CATEGORIES[0], "author.photo_count": 900, "author.is_pro": 1}
ROWS: list[dict[str, Any]] = [{}, {"author.photo_count": 90_000}, MORNING, FULL, {**FULL, "category": "Unknown one"}]
TITLE = "My own word"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smpd")
    files = raw(users=60)
    # So that a category counts too.
    places = [CATEGORIES.index(row["Category"]) for row in files["category"]]
    files["label"] = [f"{float(label) + 2 * place:.2f}" for label, place in zip(files["label"], places, strict=True)]
    prepare("smpd", write(folder / "source", files), folder / "work")
    split(folder / "work")
    return train(folder / "work", RECIPE)


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    # Its guard has met but a few pictures and titles.
    found = Predictor.load(bundle, device="cpu")
    found.guards.clear()
    return found


@pytest.fixture(scope="module")
def client(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with connected(tmp_path_factory.mktemp("uploads"), lambda: predictor, PageSignals) as found:
        yield found


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "own.png"
    path.write_bytes(made_up.picture(0.5, np.random.default_rng(1)))
    return path


def figures(answer: dict[str, Any]) -> list[float]:
    return [*answer["probabilities"].values(), answer["score"], answer["score_low"], answer["score_high"]]


def rounded(answer: dict[str, Any]) -> Any:
    """An answer to nine digits: two at once are rounded otherwise than one, in the last."""
    return json.loads(json.dumps(answer), parse_float=lambda number: float(f"{float(number):.9g}"))


def page(predictor: Predictor) -> handlers.Page:
    return handlers.Page(lambda: predictor, PageSignals)  # type: ignore[arg-type, return-value]


def test_answers_are_those_of_a_file_with_the_same_rows(client: Client, predictor: Predictor, picture: Path) -> None:
    names = ["title", "image", *FULL]
    with picture.with_name("posts.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows({"title": TITLE, "image": picture.name, **row} for row in ROWS)
    score_file(predictor, file.name, picture.with_name("out.parquet"))
    filed = pd.read_parquet(picture.with_name("out.parquet"))
    assert filed["error"].isna().all() and filed["score"].nunique() == len(ROWS)
    levels = [name for name in filed if name.startswith("p_")]
    wanted = filed[[*levels, "score", "score_low", "score_high"]].to_numpy().tolist()

    drafts = [{"title": TITLE, "picture": handle_file(picture), "context": row} for row in ROWS]
    scored = client.predict(drafts=drafts, api_name="/score_batch")
    TypeAdapter(Scores).validate_python(scored)
    for row, draft, one, expected in zip(ROWS, drafts, scored["scored"], wanted, strict=True):
        alone = client.predict(title=TITLE, picture=draft["picture"], context=row, api_name="/predict")
        TypeAdapter(Answer).validate_python(alone)
        assert set(alone.get("context", {})) == set(row) and alone.get("context") == one["answer"].get("context")
        panel, _, record, *_ = page(predictor).predict(str(picture), TITLE, "", "", row)
        assert "went wrong" not in panel
        for answer in (alone, one["answer"], record):
            # Shares are rounded for reading.
            assert figures(answer) == pytest.approx(expected, abs=6e-5, rel=1e-9)


def test_half_an_emoji_costs_its_own_draft(predictor: Predictor) -> None:
    """As JSON brings it; no client in Python can send it."""
    drafts = [{"title": TITLE}, {"title": "cut \ud83d"}, {"title": "Tags", "tags": "a, \udc00"}]
    first, second, third = Several(page(predictor)).api_score_batch(drafts)["scored"]
    assert first["answer"] and not first["error"]
    assert "half of a character" in second["error"] and "half of a character" in third["error"]


def test_without_a_context_nothing_changes(client: Client) -> None:
    bare = client.predict(title=TITLE, api_name="/predict")
    assert "context" not in bare
    for empty in ({}, None, {"category": "", "latitude": None, "author.photo_count": " "}):
        assert client.predict(title=TITLE, context=empty, api_name="/predict") == bare


def test_explanations_and_comparisons_carry_it_along(client: Client, picture: Path) -> None:
    for row in (MORNING, FULL):
        given = {"title": TITLE, "picture": handle_file(picture), "context": row}
        answer, reasons = (client.predict(**given, api_name=name) for name in ("/predict", "/explain"))
        assert reasons["value"] == pytest.approx(answer["expected_level"], abs=1e-4)
    titles = [TITLE, "Another word"]
    found = client.predict(titles=titles, context=FULL, api_name="/compare")
    TypeAdapter(Ranking).validate_python(found)
    for draft in found["drafts"]:
        alone = client.predict(title=draft["title"], context=FULL, api_name="/predict")
        assert draft["score"] == pytest.approx(alone["score"])


def test_a_draft_s_own_context_counts_before_that_of_all(client: Client) -> None:
    drafts: list[dict[str, Any]] = [{"title": TITLE}, {"title": TITLE, "context": MORNING}]
    scored = client.predict(drafts=drafts, context=FULL, api_name="/score_batch")["scored"]
    answers = [client.predict(title=TITLE, context=row, api_name="/predict") for row in (FULL, MORNING)]
    assert [rounded(one["answer"]) for one in scored] == [rounded(answer) for answer in answers]
    assert figures(answers[0]) != pytest.approx(figures(answers[1]), rel=1e-3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"views": 5}, "A context has no views; it has category, published_at"),
        ({"author.likes": 5}, "may count reactions"),
        ({"published_at": "soon"}, "is no time"),
        ({"latitude": 3}, "both latitude and longitude"),
        ({"category": {"a": 1}}, "category is no text"),
        ([1], "as an object"),
        ("{}", "as an object"),
    ],
)
def test_what_is_no_context_gets_a_sentence(
    client: Client, given: object, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for endpoint in ("/predict", "/explain"):
        with pytest.raises(AppError, match=told):
            client.predict(title=TITLE, context=given, api_name=endpoint)
    with pytest.raises(AppError, match=told):
        client.predict(titles=[TITLE, "Another"], context=given, api_name="/compare")
    [one] = client.predict(drafts=[{"title": TITLE, "context": given}], api_name="/score_batch")["scored"]
    assert one["answer"] is None and told in one["error"]
    printed = capfd.readouterr()
    assert "soon" not in printed.out + printed.err and "Traceback" not in printed.err


def test_nothing_is_fetched_for_a_context(client: Client) -> None:
    file = {"path": "http://127.0.0.1:9/a.png", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="The category is no text"):
        client.predict(title=TITLE, context={"category": file}, api_name="/predict")


def test_a_page_whose_model_reads_it_asks_for_it(predictor: Predictor) -> None:
    *_, facts, _, update = page(predictor).describe()
    asked = {"published_at", "latitude", "longitude", "category", "author.photo_count", "author.account_age_days"}
    assert all(f'data-name="{name}"' in update["shown"] for name in asked)
    assert all(f'<option value="{escape(name)}">' in update["shown"] for name in CATEGORIES)
    assert "What else the model reads" in facts and "not who publishes it" not in facts


def test_a_name_that_the_model_does_not_read_is_told_of(client: Client) -> None:
    answer = client.predict(title=TITLE, context={"author.followers": 3}, api_name="/predict")
    assert "was not trained on author.followers, so it left them out" in answer["note"]
    many = {f"author.{number}{'x' * 900}": 1 for number in range(900)}
    assert len(client.predict(title=TITLE, context=many, api_name="/predict")["note"]) < 400
    assert "not trained" not in client.predict(title=TITLE, context=FULL, api_name="/predict")["note"]
