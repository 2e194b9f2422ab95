"""What tests of the pages leave behind is put back."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Streamlit puts the script it runs in the place of `__main__`, which worker processes of a later test run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
