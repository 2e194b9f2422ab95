"""What is shipped, end to end: the page answers and explains, the batch command scores, the dashboard opens the report.

`make test-lowest` runs this on the lowest versions that the requirements allow.
"""

import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from gradio_client import Client, handle_file
from packaging.requirements import Requirement
from packaging.version import Version
from streamlit.testing.v1 import AppTest

from engine.__main__ import main
from engine.posts import Post
from engine.predictor import Predictor
from engine.scoring import LEVELS
from tests.app_page import connected
from tests.pictures import photograph
from ui.examples import EXAMPLES
from ui.prepared import PREPARED, load_prepared
from ui.uploads import read_draft

ROOT = Path(__file__).parents[2]
# What people type first.
ORDINARY = (
    "My cat", "My dog", "Happy birthday", "Making pasta", "How to cook rice", "Vacation in Italy", "I quit my job",
    "My new car", "Beautiful sunset at the beach", "Trip to Paris", "Morning routine",
    "Chocolate cake recipe", "New song", "House tour", "Guitar solo", "Best pizza ever", "Day in my life",
)  # fmt: skip
JUNK = (
    "asdf", "a", "ASDF", "hjkl", "qwe", "lol", "hello", "sdfsdf", "IMG_2034.mov", "lorem ipsum dolor", "test", "title",
    "qwertyuiop", "holiday_v3.mp4",
)  # fmt: skip
REQUIREMENTS = ("requirements.txt", "requirements-heic.txt", "requirements-signals.txt", "requirements-dev.txt")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    photograph("chelsea").save(path)
    return path


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with connected(tmp_path_factory.mktemp("uploads")) as found:
        yield found


def test_the_page_answers(client: Client, picture: Path) -> None:
    answer = client.predict(handle_file(picture), "My cat judges me", "", "", api_name="/predict")
    assert answer["view"] == "both" and answer["level"] in LEVELS
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.01)


def test_what_people_type_first_is_answered_and_junk_is_not() -> None:
    predictor = Predictor.load()
    ordinary, junk = (predictor.predict([Post(title) for title in titles]) for titles in (ORDINARY, JUNK))
    assert sum(found.strange is not None for found in ordinary) <= len(ORDINARY) / 10
    assert [title for title, found in zip(JUNK, junk, strict=True) if found.strange != "text"] == []


def test_the_page_explains(client: Client, picture: Path) -> None:
    draft = (handle_file(picture), "My cat judges me", "", "", "owen")
    reasons = client.predict(*draft, api_name="/explain")
    total = sum(part["value"] for part in (*reasons["words"], *reasons["regions"]))
    assert total == pytest.approx(reasons["value"] - reasons["base_value"], abs=1e-4)


def test_what_was_worked_out_beforehand_is_what_the_model_says(client: Client) -> None:
    """A description, which this model does not read, makes a draft another than the example: it is answered live."""
    shown, words = EXAMPLES[0], next(example for example in EXAMPLES if example.path is None)
    assert shown.path is not None
    known = load_prepared().find(read_draft(str(shown.path), shown.title))
    assert known is not None
    live = client.predict(handle_file(shown.path), shown.title, "", "Not read.", api_name="/predict")
    assert "left them out" in live["note"] and not known.prediction.note
    assert list(live["probabilities"].values()) == pytest.approx(list(known.prediction.probabilities), abs=0.01)
    assert live["score"] == pytest.approx(known.prediction.score, rel=0.02)

    known = load_prepared().find(read_draft(None, words.title))
    assert known is not None and known.explanation is not None
    live = client.predict(title=words.title, description="Not read.", api_name="/explain")
    assert PREPARED in known.explanation.notes and PREPARED not in live["notes"]
    assert [word["text"] for word in live["words"]] == [text for text, _ in known.explanation.words]
    assert [word["value"] for word in live["words"]] == pytest.approx(known.explanation.text_values.tolist(), abs=0.02)


def test_a_file_is_scored(tmp_path: Path, picture: Path) -> None:
    source = tmp_path / "posts.csv"
    source.write_text(f"post_id,title,image\na,My cat judges me,{picture}\nb,No picture,\nc,,missing.png\n")
    assert main(["score", str(source), "-o", str(tmp_path / "scored.parquet")]) == 0
    scored = pq.read_table(tmp_path / "scored.parquet").to_pandas()
    assert scored["post_id"].tolist() == ["a", "b", "c"]
    assert scored["error"].fillna("").ne("").tolist() == [False, False, True]


def test_the_dashboard_opens_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(ROOT / "models" / "youtube" / "report"))
    shown = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=120).run()
    assert not shown.exception and not shown.error
    assert shown.subheader or shown.markdown


@pytest.mark.skipif("LOWEST_VERSIONS" not in os.environ, reason="make test-lowest installs the lowest versions")
def test_the_lowest_versions_are_installed() -> None:
    """Each floor is one that the others allow; PyTorch's is not installed, see the Makefile."""
    lines = [line for name in REQUIREMENTS for line in (ROOT / name).read_text().splitlines()]
    wanted = [Requirement(line) for line in lines if re.match(r"\w", line) and not line.startswith("torch")]
    floors = {one.name: one.specifier for one in wanted}
    other = {}
    for name, specifier in floors.items():
        floor = next(Version(part.version) for part in specifier if part.operator in (">=", "=="))
        if Version(version(name)) != floor:
            other[name] = f"{version(name)} instead of {floor}"
    assert not other
