"""The order of the page's events, in which a browser goes through them."""

import app
from tests.page_predictor import PagePredictor
from tests.page_signals import PageSignals


def test_what_a_former_draft_began_is_cancelled_before_the_next_is_asked() -> None:
    """Cancelled later, Gradio would meet what the new answer has just begun, and show an error in its place."""
    demo = app.build(PagePredictor, PageSignals)  # type: ignore[arg-type]
    for name in ("predict", "title", "examples", "visit"):
        [block] = [number for number, block in demo.blocks.items() if getattr(block, "elem_id", None) == name]
        events = [fn for _, fn in sorted(demo.fns.items()) if block in {target for target, _ in fn.targets}]
        cancelling, *others = [fn for fn in events if fn.cancels or fn.fn is not None]
        assert not any(fn.cancels for fn in others)
        cancelled = {demo.fns[number].name for number in cancelling.cancels}
        assert cancelled >= {"explain", "attempt", "signals", "show", "read"}
