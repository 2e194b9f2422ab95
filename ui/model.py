"""The predictor behind the page: loaded in the background, so that the page is there before the weights are."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from engine.errors import BundleError, DataError, EncoderError, FirstImpressionsError

if TYPE_CHECKING:
    from engine.predictor import Predictor
    from engine.signals import Signals

UNEXPECTED = "Something went wrong on our side; your draft was not the reason. Try again in a moment."
UNAVAILABLE = (
    "The model behind this page cannot be used right now; your draft was not the reason. "
    "Whoever runs the page finds the reason in its log."
)
GPU_SECONDS = 60

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("first_impressions.app")


class Model:
    """A predictor that loads once in a thread; a failed load is tried again when it is next asked for."""

    def __init__(self, loader: Callable[[], "Predictor"]) -> None:
        self._loader = loader
        self._lock = threading.Lock()
        self._future: Future[Predictor] | None = None

    def start(self) -> None:
        """Begin loading, unless it is under way or done."""
        with self._lock:
            failed = self._future is not None and self._future.done() and self._future.exception() is not None
            if self._future is None or failed:
                self._future = Future()
                threading.Thread(target=self._load, args=(self._future,), daemon=True, name="load-model").start()

    def get(self) -> "Predictor":
        """The predictor, waiting for it if need be. Raises what the loader raised, such as BundleError."""
        self.start()
        assert self._future is not None
        return self._future.result()

    def peek(self) -> "Predictor | None":
        """The predictor if it is there, None while it is not. Raises what the loader raised."""
        future = self._future
        return future.result() if future is not None and future.done() else None

    def _load(self, future: "Future[Predictor]") -> None:
        try:
            future.set_result(self._loader())
        except Exception as error:
            # Whatever it is must reach the waiting visitor as a sentence, not die in this thread.
            future.set_exception(error)


def load_shipped() -> "Predictor":
    """The bundle named by the settings, else the shipped one. Torch is imported here, after the page is up."""
    from engine.language import language_of
    from engine.predictor import Predictor

    predictor = Predictor.load()
    # What tells languages apart is loaded with the first title, for which a visitor would wait.
    language_of("What language is this?")
    return predictor


def load_signals() -> "Signals":
    """What reads picture and words; its models are loaded with the first draft."""
    from engine.signals import Signals

    # A lent GPU is there for a prediction only.
    return Signals("cpu" if zero_gpu() else "auto")


def sentence(error: Exception) -> str:
    """What a visitor is told.

    What is wrong with the model goes to the log, for it names folders of the server. Unforeseen errors are logged by
    type and place only: their text may quote the draft.
    """
    if isinstance(error, BundleError | EncoderError | DataError):
        log.error("%s", error)
        return UNAVAILABLE
    if isinstance(error, FirstImpressionsError):
        return str(error)
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "unknown place"
    log.error("%s at %s", type(error).__name__, where)
    return UNEXPECTED


def zero_gpu() -> bool:
    """Whether a Hugging Face Space lends its GPU call by call."""
    return "spaces" in sys.modules and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def on_gpu(function: Callable[P, R]) -> Callable[P, R]:
    """The function, run with the lent GPU on a ZeroGPU Space and as it is elsewhere.

    A lent worker replaces every exception by a general one, so the errors with a sentence travel back as values.
    """
    if "spaces" not in sys.modules:
        return function

    def attempt(*args: P.args, **kwargs: P.kwargs) -> R | FirstImpressionsError:
        try:
            return function(*args, **kwargs)
        except FirstImpressionsError as error:
            return error

    lent = sys.modules["spaces"].GPU(duration=GPU_SECONDS)(attempt)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        result = lent(*args, **kwargs)
        if isinstance(result, FirstImpressionsError):
            raise result
        return result

    return call
