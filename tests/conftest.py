"""What several kinds of tests share."""

import os
from pathlib import Path

# Processes of tests that run side by side share the cores; libraries read this when they are loaded.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Workers of the clusters that tests start are not to wait for the tests beside them.
os.environ.setdefault("RAY_worker_niceness", "0")

import pytest
from filelock import FileLock

from tests.tiny_report import make_report


@pytest.fixture(scope="session")
def tiny_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a report that the training steps wrote; not to be changed, `tests.tiny_report.altered` copies it.

    Made once for all processes of a test run.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "tiny"
    with FileLock(f"{shared}.lock"):
        done = shared / "report.path"
        if not done.exists():
            done.write_text(str(make_report(shared)), encoding="utf-8")
        return Path(done.read_text(encoding="utf-8"))
