"""The answer in words: the verdict, how sure it is, and what the estimated score means for people."""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from PIL import Image

from engine.prediction import Prediction
from engine.scoring import LEVELS
from ui.bars import NO_BREAK, probability_bars
from ui.category import category_part
from ui.scale import Scale

SURENESS = {1: "Quite sure", 2: "Fairly sure", 3: "Fairly unsure", 4: "Very unsure", 5: "Not sure at all"}
STRANGE = {
    "text": "This does not look like a title the model has learned from",
    "image": "This does not look like a picture the model has learned from",
}
NAMES = {"text": "title", "image": "picture"}
ANOTHER = " Another model can be chosen under Details."
# Where tabs would have their say on a draft.
GONE = "This draft is no longer kept here; press Predict again."
NOTHING = (
    '<section class="fi-card fi-quiet"><p>The model does not answer this draft as a whole: '
    "there is nothing to {}.</p></section>"
)
EMPTY = (
    '<section class="fi-card fi-empty"><div class="fi-mark" aria-hidden="true">'
    '<i class="fi-level-0"></i><i class="fi-level-1"></i><i class="fi-level-2"></i>'
    '<i class="fi-level-3"></i><i class="fi-level-4"></i></div>'
    "<h2>Your first impression appears here</h2>"
    "<p>Add a picture, a title, or both, and see how such a post is likely to do, how sure that is, and why. "
    "Drafts are private, and deleted after you leave.</p></section>"
)


def above(share: float) -> int:
    """Of ten posts, how many lie below a share of all."""
    return min(max(round(10 * share), 0), 10)


def headline(prediction: Prediction, scale: Scale) -> str:
    """The verdict in a few words: "Likely to beat about 7 of 10 trending posts", or that there is none."""
    if prediction.strange is not None:
        return STRANGE[prediction.strange]
    if prediction.abstain:
        return "Hard to call"
    count = above(prediction.percentiles[0])
    if count in (0, 10):
        return f"Likely among the {'top' if count else 'lowest'} tenth of {scale.crowd}"
    return f"Likely to beat about {count} of 10 {scale.crowd}"


def certainty(prediction: Prediction, scale: Scale) -> str:
    """How sure the verdict is, in one sentence."""
    if prediction.is_usual:
        return f"So there is no verdict: the bars show how {scale.crowd} are spread, whatever they look like."
    low, high = (above(share) for share in prediction.percentiles[1:])
    told = f"between {low or 'almost none'} and {'nearly all' if high == 10 else high} of 10 {scale.crowd}"
    if prediction.strange is not None:
        return f"So only the {NAMES[prediction.view]} counts: 8 times in 10, a draft like this beats {told}."
    # By what is said after it: two drafts of one range are one as sure as the other.
    sure = "It could go almost anywhere" if prediction.abstain else SURENESS[max(math.ceil((high - low) / 2), 1)]
    return f"{sure}: 8 times in 10, a draft like this beats {told}."


def estimate(prediction: Prediction, scale: Scale) -> str:
    """The estimated score with its 80 % interval, in words."""
    return (
        f"About {scale.number(prediction.score)} {scale.unit}, most likely between "
        f"{scale.number(prediction.score_low)} and {scale.number(prediction.score_high)}."
    )


def verdict_panel(
    prediction: Prediction,
    cuts: Sequence[float],
    scale: Scale,
    picture: Image.Image | None = None,
    language: str = "",
) -> str:
    """HTML of the whole answer; `cuts` and `scale` are those of the bundle's score, `language` says what there is to be
    said of the title's.

    The result is written on the `picture` where the model says a category.
    """
    unclear = prediction.abstain
    tone = "fi-unclear" + " fi-strange" * bool(prediction.strange) if unclear else f"fi-tone-{prediction.level}"
    note = "".join(f'<p class="fi-note">{escape(told)}</p>' for told in (prediction.note, language) if told)
    level = "" if unclear else f'<p class="fi-level">Likeliest level: <b>{escape(prediction.level_name)}</b></p>'
    return (
        f'<section class="fi-card fi-verdict {tone}">'
        f'<p class="fi-kicker">Likely {scale.name}<span class="fi-stale-hint">draft changed: predict again</span></p>'
        f"<h2>{escape(headline(prediction, scale))}</h2>"
        f'<p class="fi-sure">{escape(certainty(prediction, scale))}</p>{note}{level}'
        f"{probability_bars(prediction)}{'' if prediction.strange else _estimate(prediction, cuts, scale)}"
        f"{category_part(prediction, scale, picture)}</section>"
    )


def _estimate(prediction: Prediction, cuts: Sequence[float], scale: Scale) -> str:
    return (
        f'<div class="fi-estimate"><p>{escape(estimate(prediction, scale))}</p>{_ruler(prediction, cuts, scale)}'
        f'<p class="fi-small">{escape(scale.key)} Zones: the five levels.</p></div>'
    )


def unexplained(prediction: Prediction) -> str:
    """HTML in the place of an explanation where a side is strange: how to get one, if the other is answered."""
    if prediction.strange is None or prediction.is_usual:
        return NOTHING.format("explain")
    return (
        f'<section class="fi-card fi-quiet"><p>Clear the {NAMES[prediction.strange]} and predict again to see why.</p>'
        "</section>"
    )


def not_explained(prediction: Prediction) -> str:
    """The sentence for programs in the place of an explanation where a side is strange."""
    what = NAMES[prediction.strange] if prediction.strange else "draft"
    rest = "" if prediction.is_usual else f"; leave the {what} out to have the rest explained"
    return f"The {what} does not look like one that the model has learned from, so nothing is explained{rest}."


def error_panel(reason: str, title: str = "No prediction", *, another: bool = False) -> str:
    """HTML of the one sentence that is shown when there is no answer; `another` model may have one."""
    kind, reason = ("fi-error fi-another", reason + ANOTHER) if another else ("fi-error", reason)
    return f'<section class="fi-card {kind}" role="alert"><h2>{title}</h2><p>{escape(reason)}</p></section>'


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
    marks = "".join(f'<span style="left:{place(cut):.1f}%">{scale.mark(cut)}</span>' for cut in cuts)
    start, end = place(prediction.score_low), place(prediction.score_high)
    ends = f"{scale.number(prediction.score_low)} to {scale.number(prediction.score_high)}"
    spoken = f"{ends}{NO_BREAK}{scale.unit}"
    return (
        f'<div class="fi-ruler" role="img" aria-label="Ruler of levels with the interval {spoken}">'
        f'<div class="fi-span" style="left:{start:.1f}%;width:{end - start:.1f}%"></div>'
        f'<div class="fi-dot" style="left:{place(prediction.score):.1f}%"></div>'
        f'<div class="fi-zones">{zones}</div><div class="fi-cuts" aria-hidden="true">{marks}</div></div>'
    )
