"""What a model that says categories thinks a draft is, in a line, and the whole result written on its picture."""

from collections.abc import Sequence
from html import escape

from PIL import Image

from engine.prediction import Prediction
from engine.previews import copy_of
from ui.bars import percent
from ui.scale import Scale

# Further categories that the line names.
NAMED = 2


def category_line(prediction: Prediction) -> str:
    """The likeliest category and those behind it, as one sentence; "" of a model that says none."""
    if not prediction.categories:
        return ""
    (name, share), *others = prediction.categories
    behind = ", ".join(f"{other} {percent(chance)}" for other, chance in others[:NAMED])
    return f"Likeliest category: {name} {percent(share)}{f', then {behind}' if behind else ''}."


def written(prediction: Prediction, scale: Scale) -> Sequence[str]:
    """What is written on the picture: the category, and the estimated score with its interval."""
    name, share = prediction.categories[0]
    ends = f"{scale.number(prediction.score_low)} to {scale.number(prediction.score_high)}"
    return f"{name} {percent(share)}", f"{scale.number(prediction.score)} {scale.unit} ({ends})"


def category_part(prediction: Prediction, scale: Scale, picture: Image.Image | None) -> str:
    """HTML of the line, and of the picture with the result on it, inlined; "" of a model that says no categories."""
    line = category_line(prediction)
    if not line:
        return ""
    figure = ""
    if picture is not None:
        first, second = written(prediction, scale)
        figure = (
            f'<figure class="fi-written"><img src="{copy_of(picture)}" alt="The picture">'
            f"<figcaption><b>{escape(first)}</b><span>{escape(second)}</span></figcaption></figure>"
        )
    return f'<p class="fi-category">{escape(line)}</p>{figure}'
