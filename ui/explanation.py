"""An explanation in words and pictures: what raised the answer, what lowered it, and how far to trust that."""

from html import escape
from typing import Any

import numpy as np
from PIL import Image

from engine.explain.base import Explanation
from engine.explain.render import heat_limit
from engine.previews import copy_of, data_url
from engine.scoring import LEVELS
from ui.bars import percent

OWEN, GRADIENTS = "owen", "integrated_gradients"
METHODS = {OWEN: "Whole model (Owen values)", GRADIENTS: "Network alone (Integrated Gradients)"}
HINT = (
    '<section class="fi-card fi-quiet"><p>See which parts of the picture and which words raised or lowered the '
    "answer. It takes a few seconds, because the draft is answered again many times with parts of it removed.</p>"
    "</section>"
)
WORKING = '<section class="fi-card fi-quiet"><p>Taking parts of the draft away, one by one …</p></section>'
NEGLIGIBLE = 0.005
# Below full strength, so that the text on it stays legible in both colour schemes.
STRONGEST = 0.6
LEADING_WORDS = 3
# Movements smaller than this, in levels, have no direction worth a word.
STILL = 0.05
# The page hands the slider's place on to the layer of the heat map. A new one begins where its slider stands.
ON_SLIDE = """
watch('value', () => element.style.removeProperty('--heat'));
element.addEventListener('input', (event) => {
  if (event.target.matches('.fi-opacity')) element.style.setProperty('--heat', event.target.value / 100);
});
"""


def heat_map(explanation: Explanation, picture: Image.Image | None, layer: Image.Image | None) -> str:
    """HTML of the picture, and beside it the picture under its heat map, both inlined: no copy of a draft is filed."""
    if picture is None or layer is None:
        return ""
    plain = f'<img src="{copy_of(picture)}" alt="The picture">'
    heat = f'<img class="fi-layer" src="{data_url(layer, "PNG")}" alt="{escape(_spoken(explanation))}">'
    limit = heat_limit(explanation)
    ends = ("lowers", "raises") if explanation.pixel_values is not None else (f"−{limit:.2f}", f"+{limit:.2f} levels")
    return (
        f'<div class="fi-heat"><figure>{plain}</figure><figure class="fi-stack">{plain}{heat}</figure></div>'
        f'<div class="fi-heat-scale"><span>{ends[0]}</span><i aria-hidden="true"></i><span>{ends[1]}</span>'
        '<label>Opacity <input class="fi-opacity" type="range" min="0" max="100" value="75"></label></div>'
        f"{_doubt(explanation)}"
    )


def _doubt(explanation: Explanation) -> str:
    """A sentence where some regions' values lie within their own noise; those are left clear."""
    parts = 0 if explanation.segment_values is None else len(explanation.segment_values)
    count = int((~explanation.certain[:parts]).sum())
    if not count or explanation.half_widths is None:
        return ""
    return (
        f'<p class="fi-small">{count} of {parts} parts are left clear: what they did lies within the noise of this '
        f"estimate (±{float(explanation.half_widths.max()):.2f} levels).</p>"
    )


def explanation_panel(
    explanation: Explanation,
    picture: Image.Image | None,
    layer: Image.Image | None,
    share: float = 1.0,
    whole: tuple[float, float] | None = None,
) -> str:
    """HTML of what moved the answer: the way from the base value to the value, words, heat map, fine print.

    `share` is how much of the work is done. `whole` are base value and value of the whole model, where the explanation
    is of a part of it.
    """
    alone = '<p class="fi-kicker">The network alone</p>' if whole else ""
    contradiction = escape(disagreement(explanation, whole)) if whole else ""
    note = f'<p class="fi-note">{contradiction}</p>' if contradiction else ""
    return (
        f'<section class="fi-card fi-why" aria-busy="{"false" if share >= 1 else "true"}">'
        f"{alone}<h3>{escape(summary(explanation))}</h3>{note}"
        f"{_journey(explanation)}{_words(explanation)}{_shares(explanation)}"
        f"{heat_map(explanation, picture, layer)}{_progress(share)}{fine_print(explanation)}</section>"
    )


def _progress(share: float) -> str:
    if share >= 1:
        return ""
    return f'<p class="fi-small"><progress value="{share:.2f}"></progress> Now the parts of the picture …</p>'


def disagreement(explanation: Explanation, whole: tuple[float, float]) -> str:
    """Why the network alone moves another way than the whole model; "" where it does not."""
    moved, all_moved = explanation.value - explanation.base_value, whole[1] - whole[0]
    if moved * all_moved >= 0 or min(abs(moved), abs(all_moved)) < STILL:
        return ""
    return (
        f"The whole model goes the other way, {'up' if all_moved > 0 else 'down'} by {abs(all_moved):.1f} levels: its "
        "other members, such as trees on statistics of picture and title, outweigh the network and have no gradients."
    )


def fine_print(explanation: Explanation) -> str:
    """HTML list, folded: what is attributed, against which baseline, how exactly, at what cost."""
    facts = [
        f"Method: {explanation.method}. Attributed: the {explanation.target}.",
        f"From {explanation.base_value:.2f} (nothing shown) to {explanation.value:.2f} (this draft); the parts add up "
        f"to the difference within {max(explanation.completeness_error, 0.001):.3f} levels.",
        *explanation.notes,
        f"Cost: {explanation.seconds:.1f} seconds, {explanation.evaluations:,} variants of the draft answered.",
    ]
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f'<details class="fi-fine"><summary>How this was measured</summary><ul>{items}</ul></details>'


def _words(explanation: Explanation) -> str:
    """HTML of the title, each piece coloured by what it did, with the strongest in words below."""
    pieces = [*explanation.words, *((f" [{name}]", value) for name, value in explanation.fields)]
    if not pieces:
        return ""
    strongest = float(np.abs(explanation.text_values).max(initial=0.0)) or 1.0
    spans = "".join(_word(text, value, strongest) for text, value in pieces)
    leaders = leading_words(explanation)
    told = f'<p class="fi-leaders">{escape(leaders)}</p>' if leaders else ""
    return f'<p class="fi-words" id="words">{spans}</p>{told}'


def _word(text: str, value: float, strongest: float) -> str:
    kind = "fi-plain" if abs(value) < NEGLIGIBLE else "fi-raises" if value > 0 else "fi-lowers"
    strength = STRONGEST * abs(value) / strongest
    told = f"{'+' if value > 0 else '−'}{abs(value):.2f} levels"
    return f'<span class="{kind}" style="--strength:{strength:.3f}" title="{told}">{escape(text)}</span>'


def leading_words(explanation: Explanation) -> str:
    """The words that did most, with their values in levels, for those who cannot tell the colours apart."""
    counted = [
        (text.strip(), value)
        for text, value in (*explanation.words, *explanation.fields)
        if text.strip() and abs(value) >= NEGLIGIBLE
    ]
    leaders = sorted(counted, key=lambda word: -abs(word[1]))[:LEADING_WORDS]
    told = ", ".join(f"“{text}” {'+' if value > 0 else '−'}{abs(value):.2f}" for text, value in leaders)
    return f"{told} levels." if told else ""


def summary(explanation: Explanation) -> str:
    """One sentence: which way the draft was moved, and by which side more."""
    moved = explanation.value - explanation.base_value
    if abs(moved) < STILL:
        return "This draft is expected to do as well as an empty one: what raises it and what lowers it weigh the same."
    if explanation.heat is None:
        side = "by its words alone"
    elif not len(explanation.text_values):
        side = "by its picture alone"
    elif explanation.picture_share >= 0.6:
        side = "mostly through the picture"
    elif explanation.text_share >= 0.6:
        side = "mostly through the words"
    else:
        side = "through picture and words alike"
    return f"This draft is expected {abs(moved):.1f} levels {'above' if moved > 0 else 'below'} an empty one, {side}."


def record(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain data: signed words, and regions as boxes in shares of width and height."""
    return {
        "method": explanation.method,
        "target": explanation.target,
        "base_value": explanation.base_value,
        "value": explanation.value,
        "words": [{"text": text, "value": value} for text, value in explanation.words],
        "fields": [{"field": name, "value": value} for name, value in explanation.fields],
        "regions": _regions(explanation),
        "picture_share": explanation.picture_share,
        "text_share": explanation.text_share,
        "completeness_error": explanation.completeness_error,
        "seconds": explanation.seconds,
        "notes": list(explanation.notes),
    }


def _regions(explanation: Explanation) -> list[dict[str, Any]]:
    if explanation.segments is None or explanation.segment_values is None:
        return []
    height, width = explanation.segments.shape
    regions = []
    for number, value in enumerate(explanation.segment_values):
        rows, columns = np.nonzero(explanation.segments == number)
        if len(rows):
            box = columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height
            regions.append({"box": [round(float(edge), 4) for edge in box], "value": float(value)})
    return regions


def _spoken(explanation: Explanation) -> str:
    assert explanation.segment_values is not None
    raising = float(explanation.segment_values.clip(min=0).sum())
    lowering = float(-explanation.segment_values.clip(max=0).sum())
    return f"Heat map: parts of the picture raise the answer by {raising:.2f} and lower it by {lowering:.2f} levels"


def _journey(explanation: Explanation) -> str:
    """The scale of levels with the step from base value to value."""
    start, end = (100 * min(max(v, 0.0), 4.0) / 4 for v in (explanation.base_value, explanation.value))
    names = "".join(
        f"<span{' class=fi-inner' if level in (1, 3) else ''}>{name}</span>" for level, name in enumerate(LEVELS)
    )
    kind = "fi-raises" if end >= start else "fi-lowers"
    return (
        f'<div class="fi-journey" role="img" aria-label="From {explanation.base_value:.2f} to {explanation.value:.2f} '
        f'on the scale of levels, 0 to 4"><div class="fi-line">'
        f'<i class="{kind}" style="left:{min(start, end):.1f}%;width:{abs(end - start):.1f}%"></i>'
        f'<b class="fi-from" style="left:{start:.1f}%" title="Nothing shown: {explanation.base_value:.2f}"></b>'
        f'<b class="fi-to {kind}" style="left:{end:.1f}%" title="This draft: {explanation.value:.2f}"></b></div>'
        f'<div class="fi-stops" aria-hidden="true">{names}</div>'
        '<p class="fi-legend" aria-hidden="true"><span><i class="fi-from"></i>nothing shown</span>'
        f'<span><i class="fi-to {kind}"></i>this draft</span></p></div>'
    )


def _shares(explanation: Explanation) -> str:
    if explanation.heat is None or not len(explanation.text_values) or not explanation.scale:
        return ""
    picture, text = explanation.picture_share, explanation.text_share
    return (
        f'<div class="fi-shares"><span style="flex-grow:{picture:.3f}">Picture {escape(percent(picture))}</span>'
        f'<span style="flex-grow:{text:.3f}">Words {escape(percent(text))}</span></div>'
    )
