"""Signals without models for tests of the page, and what is usual of them among made-up posts."""

import time
from collections.abc import Iterator

from engine.posts import Post
from engine.signals import SIGNALS, Signal, objection

# Titles with this word take a second.
SLOW = "slowly"
HOSTILE_CAPTION = "a cat <script>document.title='hit'</script> on a sofa"


def _rows(low: float, step: float, width: float) -> tuple[tuple[float, ...], ...]:
    """Five quantiles a level, the middle moving by `step` from level to level."""
    spread = (-1.0, -0.4, 0.0, 0.4, 1.0)
    return tuple(tuple(low + step * level + width * at for at in spread) for level in range(5))


TYPICAL = {
    "similarity": _rows(0.20, 0.01, 0.15),
    "caption_consistency": _rows(0.15, 0.01, 0.20),
    "log_perplexity": _rows(4.6, -0.05, 1.2),
    "title_written": ((0.0, 0.0, 0.1, 0.4, 0.8),) * 5,
    "faces": ((0.0, 0.0, 1.0, 1.0, 3.0),) * 5,
}


class PageSignals:
    """Says the same of every draft, and null where `engine.signals` objects."""

    def __init__(self) -> None:
        self.asked: list[Post] = []

    def stream(self, post: Post) -> Iterator[Signal]:
        self.asked.append(post)
        sides = {side for side, there in (("image", post.has_image), ("text", post.has_text)) if there}
        for name, source in SIGNALS.items():
            if sides.issuperset(source.sides):
                time.sleep(SLOW in post.title)
                yield self._signal(name, post)

    def read(self, post: Post) -> dict[str, Signal]:
        return {name: self._signal(name, post) for name in SIGNALS}

    def _signal(self, name: str, post: Post) -> Signal:
        if why := objection(name, post):
            return Signal(name, None, why)
        return {
            "similarity": Signal(name, 0.41),
            "caption_consistency": Signal(name, 0.22, detail=(HOSTILE_CAPTION,)),
            "log_perplexity": Signal(name, 7.2, detail=("en",)),
            "title_written": Signal(name, 3 / 7, detail=("<b>MY CAT</b>", "SUBSCRIBE", "N" * 60, "4"), total=7),
            "faces": Signal(name, 2.0, detail=("smile",)),
        }[name]
