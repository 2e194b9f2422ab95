"""What tests of the pages leave behind is put back, and what each run of a page would do again is done once."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.dashboard import scanning_once
from tests.dashboard_page import completed


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Streamlit puts the script it runs in the place of `__main__`, which worker processes of a later test run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session", autouse=True)
def scanned() -> Iterator[None]:
    """A second or so a run of a page."""
    with scanning_once():
        yield


@pytest.fixture(scope="session")
def folder(tiny_report: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all that the pages on the model read; not to be changed, `tests.tiny_report.altered` copies it."""
    return completed(tiny_report, tmp_path_factory.mktemp("report") / "report")
