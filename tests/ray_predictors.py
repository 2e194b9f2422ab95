"""What takes the place of a model, and whose workers die or fail, for the tests of Ray.

Workers import it from here, each that takes another's place anew, so that nothing large is imported with it.
"""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from engine.posts import Post
from engine.prediction import Prediction
from tests.fake_predictor import FakePredictor

KILLS_ONCE, KILLS, FAILS = "kills its worker once", "kills its worker", "fails"


class FragilePredictor(FakePredictor):
    """Ends its own process, as a machine that is lost would, or raises what no row is to blame for, by the title."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def predict(self, posts: Sequence[Post]) -> list[Prediction]:
        fall(self.folder, posts)
        return super().predict(posts)


def fall(folder: Path, posts: Sequence[Post]) -> None:
    """End this process, or raise, where a title says so; leave a file for each process."""
    titles = {post.title for post in posts}
    (folder / f"worker-{os.getpid()}").touch()
    killed = folder / "killed"
    if KILLS in titles or (KILLS_ONCE in titles and not killed.exists()):
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if FAILS in titles:
        raise KeyError("model on fire")
    time.sleep(0.05)
