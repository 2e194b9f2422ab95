"""Tests in a browser skip where there is none, except in continuous integration: there it must be."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.app_page import CHROMIUM, opened, served


def pytest_collection_modifyitems() -> None:
    if os.environ.get("CI") and CHROMIUM is None:
        raise pytest.UsageError(
            "chromium is missing, so the tests in a browser cannot run: apt-get install chromium-headless-shell"
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The creators' page, with models, signals and evidence made for tests."""
    from tests.page_evidence import PageEvidence
    from tests.page_predictor import POPULARITY_FORMULA, PagePredictor

    def second() -> PagePredictor:
        return PagePredictor(score_formula=POPULARITY_FORMULA)

    with served(tmp_path_factory.mktemp("uploads"), ("first", "second"), second, PageEvidence.load) as address:
        yield address


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sunset.png"
    Image.linear_gradient("L").rotate(90).resize((320, 200)).convert("RGB").save(path)
    return path
