"""The answer in words: the verdict, how sure it is, and what the estimated score means for people."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from engine.prediction import Prediction
from engine.scoring import LEVELS
from ui.bars import NO_BREAK, percent, probability_bars
from ui.scale import Scale

SURENESS = {1: "Quite sure", 2: "Fairly sure", 3: "Fairly unsure", 4: "Very unsure", 5: "Not sure at all"}
EMPTY = (
    '<section class="fi-card fi-empty"><div class="fi-mark" aria-hidden="true">'
    '<i class="fi-level-0"></i><i class="fi-level-1"></i><i class="fi-level-2"></i>'
    '<i class="fi-level-3"></i><i class="fi-level-4"></i></div>'
    "<h2>Your first impression appears here</h2>"
    "<p>Add a picture, a title, or both. You get one of five engagement levels, how sure the model is, "
    "and what moved its answer. Drafts are private, and deleted after you leave.</p></section>"
)


def headline(prediction: Prediction) -> str:
    """The verdict in a few words: "High — 41 %", or what the model leans to when it abstains."""
    if prediction.abstain:
        return f"Unclear — leans {prediction.level_name}"
    return f"{prediction.level_name} — {percent(prediction.confidence)}"


def certainty(prediction: Prediction) -> str:
    """How sure the verdict is, from the conformal 90 % set, or the reason why there is none."""
    if prediction.abstain:
        return prediction.reason
    size = len(prediction.level_set)
    if size == len(LEVELS):
        return f"{SURENESS[size]}: none of the five levels can be ruled out."
    names = _either([LEVELS[level] for level in prediction.level_set])
    return f"{SURENESS[max(size, 1)]}: the true level is {names} in 9 of 10 such cases."


def against_prior(prediction: Prediction) -> str:
    """What the verdict adds to knowing nothing about the post."""
    prior = prediction.prior[prediction.level]
    if prediction.abstain or prior <= 0:
        return ""
    ratio = prediction.confidence / prior
    if ratio < 1.15:
        return f"{percent(prior)} of all posts are {prediction.level_name}, so this says little about yours."
    return f"{prediction.level_name} is {ratio:.1f} times as likely for this draft as for any post."


def estimate(prediction: Prediction, scale: Scale) -> str:
    """The estimated score with its 80 % interval, in words."""
    return (
        f"About {scale.number(prediction.score)} {scale.unit}; 8 of 10 such posts land between "
        f"{scale.number(prediction.score_low)} and {scale.number(prediction.score_high)}."
    )


def verdict_panel(prediction: Prediction, cuts: Sequence[float], scale: Scale) -> str:
    """HTML of the whole answer; `cuts` and `scale` are those of the bundle's score."""
    tone = "fi-unclear" if prediction.abstain else f"fi-tone-{prediction.level}"
    note = f'<p class="fi-note">{escape(prediction.note)}</p>' if prediction.note else ""
    added = against_prior(prediction)
    return (
        f'<section class="fi-card fi-verdict {tone}" aria-live="polite">'
        f'<p class="fi-kicker">Likely {scale.name}<span class="fi-stale-hint">draft changed: predict again</span></p>'
        f"<h2>{escape(headline(prediction))}</h2>"
        f'<p class="fi-sure">{escape(certainty(prediction))}{" " + escape(added) if added else ""}</p>{note}'
        f"{probability_bars(prediction)}"
        f'<div class="fi-estimate"><p>{escape(estimate(prediction, scale))}</p>{_ruler(prediction, cuts, scale)}'
        f'<p class="fi-small">{escape(scale.key)} Zones: the five levels.</p>'
        "</div></section>"
    )


def error_panel(reason: str, title: str = "No prediction") -> str:
    """HTML of the one sentence that is shown when there is no answer."""
    return f'<section class="fi-card fi-error" role="alert"><h2>{title}</h2><p>{escape(reason)}</p></section>'


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _ruler(prediction: Prediction, cuts: Sequence[float], scale: Scale) -> str:
    """The interval on a logarithmic ruler whose zones are the five levels."""
    positive = [value for value in (*cuts, prediction.score_low, prediction.score_high) if value > 0]
    low, high = math.log(min(positive) / 1.6), math.log(max(positive) * 1.6)

    def place(score: float) -> float:
        return 100.0 * (math.log(max(score, math.exp(low))) - low) / (high - low)

    edges = [0.0, *(place(cut) for cut in cuts), 100.0]
    zones = "".join(
        f'<i class="fi-level-{level}" style="left:{start:.1f}%;width:{end - start:.1f}%" title="{LEVELS[level]}"></i>'
        for level, (start, end) in enumerate(pairwise(edges))
    )
    marks = "".join(f'<span style="left:{place(cut):.1f}%">{scale.number(cut)}</span>' for cut in cuts)
    start, end = place(prediction.score_low), place(prediction.score_high)
    ends = f"{scale.number(prediction.score_low)} to {scale.number(prediction.score_high)}"
    spoken = f"{ends}{NO_BREAK}{scale.unit}"
    return (
        f'<div class="fi-ruler" role="img" aria-label="Ruler of levels with the interval {spoken}">'
        f'<div class="fi-span" style="left:{start:.1f}%;width:{end - start:.1f}%"></div>'
        f'<div class="fi-dot" style="left:{place(prediction.score):.1f}%"></div>'
        f'<div class="fi-zones">{zones}</div><div class="fi-cuts" aria-hidden="true">{marks}</div></div>'
    )
