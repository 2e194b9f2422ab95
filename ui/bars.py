"""The five level probabilities as an ordered list of bars, in plain HTML: light, accessible, and never re-sorted."""

from collections.abc import Sequence
from html import escape

from engine.prediction import Prediction
from engine.scoring import LEVELS

NO_BREAK = "\u00a0"


def percent(share: float) -> str:
    """A share as whole percent: "41 %"; what is above 0 but rounds to it is "< 1 %"."""
    if 0 < share < 0.005:
        return f"<{NO_BREAK}1{NO_BREAK}%"
    return f"{share:.0%}".replace("%", f"{NO_BREAK}%")


def probability_bars(prediction: Prediction) -> str:
    """HTML list of five bars, Very Low first, on one scale of 0-100 %, each with a tick at the level's prior."""
    rows = [
        _row(
            level,
            prediction.probabilities[level],
            prediction.prior[level],
            chosen=level == prediction.level and not prediction.abstain,
            possible=level in prediction.level_set,
        )
        for level in range(len(LEVELS))
    ]
    return f'<ol class="fi-bars" aria-label="Probability of each level">{"".join(rows)}</ol>{_scale()}{_legend()}'


def vote_bars(probabilities: Sequence[float]) -> str:
    """Five thin columns for a table cell, level order, with the numbers as text for screen readers."""
    columns = "".join(
        f'<i class="fi-level-{level}" style="height:{100 * share:.0f}%"></i>'
        for level, share in enumerate(probabilities)
    )
    spoken = ", ".join(f"{name} {percent(share)}" for name, share in zip(LEVELS, probabilities, strict=True))
    return f'<span class="fi-spark" role="img" aria-label="{escape(spoken)}" title="{escape(spoken)}">{columns}</span>'


def _row(level: int, share: float, prior: float, *, chosen: bool, possible: bool) -> str:
    classes = " ".join(("fi-bar", *(["fi-chosen"] if chosen else []), *(["fi-possible"] if possible else [])))
    shown = escape(percent(share))
    spoken = f"{escape(percent(prior))} of all posts"
    return (
        f'<li class="{classes}" title="{LEVELS[level]}: {shown}, against {spoken}">'
        f'<span class="fi-name">{LEVELS[level]}</span>'
        f'<span class="fi-track" aria-hidden="true">'
        f'<span class="fi-fill fi-level-{level}" style="width:{100 * share:.1f}%"></span>'
        f'<span class="fi-prior" style="left:{100 * prior:.1f}%"></span></span>'
        f'<span class="fi-share">{shown}</span></li>'
    )


def _scale() -> str:
    marks = "".join(
        f"<span{' class=fi-inner' if mark in (25, 75) else ''}>{mark}{NO_BREAK}%</span>"
        for mark in (0, 25, 50, 75, 100)
    )
    return f'<div class="fi-scale" aria-hidden="true"><span></span><div>{marks}</div><span></span></div>'


def _legend() -> str:
    return (
        '<p class="fi-legend"><span><i class="fi-key-prior" aria-hidden="true"></i>share among all posts</span>'
        '<span><i class="fi-key-possible" aria-hidden="true"></i>true level, in about 9 of 10 drafts</span></p>'
    )
