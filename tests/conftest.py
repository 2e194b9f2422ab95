"""What several kinds of tests share."""

from pathlib import Path

import pytest

from tests.tiny_report import make_report


@pytest.fixture(scope="session")
def tiny_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a report that the training steps wrote; not to be changed, `tests.tiny_report.altered` copies it."""
    return make_report(tmp_path_factory.mktemp("tiny"))
