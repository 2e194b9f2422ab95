"""What tests of the pages leave behind is put back, and what each run of a page would do again is done once."""

import sys
from collections.abc import Iterator

import pytest

from benchmarks.dashboard import scanning_once


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
