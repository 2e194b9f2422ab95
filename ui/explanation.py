"""An explanation in words and pictures: what raised the answer, what lowered it, and how far to trust that."""

import base64
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from engine.explain.base import Explanation
from engine.scoring import LEVELS
from ui.bars import percent

SHAPLEY = "Whole model (Shapley)"
GRADIENTS = "Fast (Integrated Gradients)"
HINT = (
    '<section class="fi-card fi-quiet"><p>See which parts of the picture and which words raised or lowered the '
    "answer. It takes a few seconds, because the draft is answered again many times with parts of it removed.</p>"
    "</section>"
)
FIRST = '<section class="fi-card fi-quiet"><p>Predict a draft first; then its answer can be explained.</p></section>'
NEGLIGIBLE = 0.005
# Below full strength, so that the text on it stays legible in both colour schemes.
STRONGEST = 0.6
LEADING_WORDS = 3


def heat_map(overlay: Image.Image | None, explanation: Explanation) -> str:
    """HTML figure of the heat map, the picture inlined: so no copy of a draft lies in a folder of the server."""
    if overlay is None:
        return ""
    buffer = BytesIO()
    overlay.convert("RGB").save(buffer, "JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure class="fi-heat"><img src="data:image/jpeg;base64,{data}" alt="{escape(_spoken(explanation))}">'
        '<figcaption><span><i class="fi-raises" aria-hidden="true"></i>raises the answer</span>'
        '<span><i class="fi-lowers" aria-hidden="true"></i>lowers it</span></figcaption></figure>'
    )


def explanation_panel(explanation: Explanation, overlay: Image.Image | None) -> str:
    """HTML of what moved the answer: from the base value to the value, shares of both sides, heat map."""
    return (
        f'<section class="fi-card fi-why" aria-live="polite"><h3>{escape(summary(explanation))}</h3>'
        f"{_journey(explanation)}{_shares(explanation)}{heat_map(overlay, explanation)}</section>"
    )


def fine_print(explanation: Explanation) -> str:
    """HTML list: what is attributed, against which baseline, how exactly, at what cost."""
    facts = [
        f"Method: {explanation.method}. Attributed: the {explanation.target}.",
        f"From {explanation.base_value:.2f} (nothing shown) to {explanation.value:.2f} (this draft); the parts add up "
        f"to the difference within {max(explanation.completeness_error, 0.001):.3f} levels.",
        *explanation.notes,
        f"Cost: {explanation.seconds:.1f} seconds, {explanation.evaluations:,} variants of the draft answered.",
    ]
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    leaders = leading_words(explanation)
    told = f'<p class="fi-leaders">{escape(leaders)}</p>' if leaders else ""
    return f'{told}<ul class="fi-fine">{items}</ul>'


def leading_words(explanation: Explanation) -> str:
    """The words that did most, with their values in levels, for those who cannot tell the colours apart."""
    counted = [
        (text.strip(), value)
        for text, value in (*explanation.words, *explanation.fields)
        if text.strip() and abs(value) >= 0.005
    ]
    leaders = sorted(counted, key=lambda word: -abs(word[1]))[:LEADING_WORDS]
    told = ", ".join(f"“{text}” {'+' if value > 0 else '−'}{abs(value):.2f}" for text, value in leaders)
    return f"{told} levels." if told else ""


def summary(explanation: Explanation) -> str:
    """One sentence: which way the draft was moved, and by which side more."""
    moved = explanation.value - explanation.base_value
    if abs(moved) < 0.05:
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


def signed_words(explanation: Explanation) -> list[tuple[str, float | None]]:
    """Words and fields for gr.HighlightedText: signed strengths on the heat map's scale, none if negligible."""
    scale = explanation.scale or 1.0
    pieces = [*explanation.words, *((f"\n{name}", value) for name, value in explanation.fields)]
    return [(text, STRONGEST * value / scale if abs(value) > NEGLIGIBLE * scale else None) for text, value in pieces]


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
