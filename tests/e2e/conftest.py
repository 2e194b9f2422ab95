"""Tests in a browser skip where there is none, except in continuous integration: there it must be."""

import os
import shutil

import pytest


def pytest_collection_modifyitems() -> None:
    if os.environ.get("CI") and shutil.which("chromium") is None:
        raise pytest.UsageError("chromium is missing, so the tests in a browser cannot run: apt-get install chromium")
