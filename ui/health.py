"""Whether the page can answer, for whoever runs it: a probe asks before visitors do."""

from functools import lru_cache
from typing import TypedDict

from ui.model import Model, sentence

LOADING = "The model is still loading."
# A probe comes every few seconds: the same error is logged once.
reason_of = lru_cache(maxsize=1)(sentence)


class Health(TypedDict):
    """What a probe reads: the bundle's name once its model answers, and the reason while it does not."""

    ready: bool
    bundle: str | None
    reason: str


def health(model: Model) -> tuple[int, Health]:
    """Status and body: 200 once the model answers, 503 while it loads and after a load that failed.

    It sets nothing going: a failed load is tried again for the next visitor, not for a probe.
    """
    try:
        predictor = model.peek()
    except Exception as error:
        return 503, {"ready": False, "bundle": None, "reason": reason_of(error)}
    if predictor is None:
        return 503, {"ready": False, "bundle": None, "reason": LOADING}
    return 200, {"ready": True, "bundle": predictor.bundle.name, "reason": ""}
