"""What several kinds of tests share."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

# Processes of tests that run side by side share the cores; libraries read this when they are loaded.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Workers of the clusters that tests start are not to wait for the tests beside them.
os.environ.setdefault("RAY_worker_niceness", "0")

import pytest
from filelock import FileLock
from hypothesis import settings

# An example may take as long as a busy machine takes.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Trees, and folds, of a few hundred posts; and what guards see of these.
FEW, FEW_FOLDS = 12, 2
COARSE, SHORT = "lite0-moments:32x32", "minilm-moments:12"


@pytest.fixture(scope="session", autouse=True)
def small_models() -> Iterator[None]:
    """Guards of few folds that see little, and baselines of a few trees: what is trained here is small, and often."""
    # Not above, where the process that only hands tests on to others would wait for it too.
    from engine.features import picture_moments, title_moments
    from training.evaluation import baselines
    from training.modeling import guard

    quick = replace(baselines.QUICK, iterations=FEW)
    with (
        patch.object(guard, "FOLDS", FEW_FOLDS),
        patch.object(baselines, "QUICK", quick),
        patch.object(picture_moments, "ENCODER", COARSE),
        patch.object(title_moments, "ENCODER", SHORT),
    ):
        yield


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Path], Path]], Path]:
    """The folder that one of the builders of `tests.tiny` made, once for all tests: not to be changed."""

    @cache
    def folder_of(build: Callable[[Path], Path]) -> Path:
        return build(tmp_path_factory.mktemp(build.__name__))

    return folder_of


@pytest.fixture(scope="session")
def vit_and_bert(checkpoints: Callable[[Callable[[Path], Path]], Path]) -> dict[str, str]:
    """A recipe's encoders, of such checkpoints."""
    from tests import tiny

    return {"picture": f"vit:{checkpoints(tiny.build_vit)}", "words": f"bert:{checkpoints(tiny.build_bert)}"}


@pytest.fixture(scope="session")
def tiny_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a report that the training steps wrote; not to be changed, `tests.tiny_report.altered` copies it.

    Made once for all processes of a test run.
    """
    from tests.tiny_report import make_report

    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "tiny"
    with FileLock(f"{shared}.lock"):
        done = shared / "report.path"
        if not done.exists():
            done.write_text(str(make_report(shared)), encoding="utf-8")
        return Path(done.read_text(encoding="utf-8"))
