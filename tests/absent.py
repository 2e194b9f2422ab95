"""What tests need and a machine may lack: they are skipped there, but not in continuous integration, which has it."""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """End the test that needs what is not here."""
    if os.environ.get("CI"):
        pytest.fail(f"Continuous integration must have it: {what}")
    pytest.skip(what)
