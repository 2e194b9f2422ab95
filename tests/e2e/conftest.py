"""Tests in a browser skip where there is none, except in continuous integration: there it must be."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")


def pytest_collection_modifyitems() -> None:
    if os.environ.get("CI") and CHROMIUM is None:
        raise pytest.UsageError("chromium is missing, so the tests in a browser cannot run: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The creators' page, with models, signals and evidence made for tests."""
    import app
    from tests.page_evidence import PageEvidence
    from tests.page_predictor import POPULARITY_FORMULA, PagePredictor
    from tests.page_signals import PageSignals
    from ui import chooser
    from ui.chooser import Choice
    from ui.theme import launch_settings

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr(chooser, "load_from", lambda bundle: lambda: PagePredictor(score_formula=POPULARITY_FORMULA))
        offered = [Choice(name, f"{name} model", Path(name)) for name in ("first", "second")]
        demo = app.build(PagePredictor, PageSignals, offered, PageEvidence.load)  # type: ignore[arg-type]
        yield demo.launch(**{**launch_settings(), "quiet": True, "prevent_thread_lock": True})[1]
        demo.close(verbose=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sunset.png"
    Image.linear_gradient("L").rotate(90).resize((320, 200)).convert("RGB").save(path)
    return path
