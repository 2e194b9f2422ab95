"""Edits of the draft on the page: tried on demand, shown as the model's opinion, put into the draft with one click."""

import asyncio
from collections.abc import Iterator
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.drafts.compare import TOO_CLOSE
from engine.memory import released
from engine.posts import Post
from ui import verdict
from ui.arrivals import place
from ui.model import on_gpu, sentence
from ui.ranking import thumbnail
from ui.scale import Scale, scale_of

if TYPE_CHECKING:
    from engine.drafts.edits import Edit, Effect, Trial
    from ui.handlers import Page

HINT = (
    '<section class="fi-card fi-quiet"><p>See what the model would make of this draft with a word less, in another '
    "order, or with its picture cropped. Only what moves the answer further than changes that mean nothing is shown."
    "</p></section>"
)
WORKING = '<section class="fi-card fi-quiet" aria-busy="true"><p>Trying small edits, one by one …</p></section>'
SHOWN = 5
SIDES = {"text": "title", "image": "picture"}
NOTHING = "No edit moves the answer further than changes that mean nothing do"
ON_APPLY = """
element.setAttribute('aria-live', 'polite');
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-edit]');
  if (button) trigger('click', {edit: Number(button.dataset.edit), label: button.dataset.label});
});
"""


class Editing:
    """The handlers of a page's edits; they keep nothing."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        self._attempt = on_gpu(released()(self._attempt_here))

    def attempt(self, post: Post | None, model: str = "") -> Iterator[str]:
        """What small edits would make of the draft that was predicted last."""
        if post is None:
            yield verdict.error_panel(verdict.GONE, "No edits")
            return
        yield WORKING
        try:
            yield panel(self._attempt(post, model), post, scale_of(self._page.models.get(model).bundle))
        except Exception as error:
            yield verdict.error_panel(sentence(error), "No edits")

    async def apply(self, post: Post | None, event: gr.EventData, request: gr.Request) -> tuple[Any, Any]:
        """Picture and title of the draft with the edit that was clicked; one of an earlier draft changes nothing."""
        edit = await asyncio.to_thread(chosen, post, int(event.edit), str(event.label))
        if edit is None:
            return gr.skip(), gr.skip()
        if edit.side == "text" or edit.post.image is None:
            return gr.skip(), edit.post.title
        file = BytesIO()
        edit.post.image.save(file, "BMP")
        return await place(file.getvalue(), request), gr.skip()

    def _attempt_here(self, post: Post, model: str) -> "Trial":
        from engine.drafts.edits import attempt

        return attempt(self._page.models.get(model), post)


def chosen(post: Post | None, number: int, label: str) -> "Edit | None":
    """The edit of a draft by its number, None where the draft has no such edit under that label."""
    from engine.drafts.edits import edits_of

    edits = enumerate(edits_of(post) if post is not None else ())
    return next((edit for place, edit in edits if (place, edit.label) == (number, label)), None)


def panel(trial: "Trial", post: Post, scale: Scale) -> str:
    """HTML of the edits that stand out, the strongest first, each with what the model would make of the draft then."""
    offered = trial.better[:SHOWN]
    items = "".join(_item(effect, trial, post) for effect in offered)
    listed = f'<ol class="fi-edits">{items}</ol>' if offered else ""
    if more := len(trial.better) - len(offered):
        listed += f'<p class="fi-small">And {more} more, by less.</p>'
    return (
        f'<section class="fi-card fi-tried"><h3>{escape(headline(trial))}</h3>'
        f"<p>{escape(standing(trial, scale))}</p>{listed}{_worse(trial)}"
        f'<p class="fi-small">{escape(noise(trial))} This is what the model makes of it: it does not know what a '
        "sentence means, and no post was ever published both ways.</p></section>"
    )


def headline(trial: "Trial") -> str:
    """How many edits would raise the answer; one sentence where none stands out."""
    if not trial.better:
        return "No edit raises the answer further than changes that mean nothing do" if trial.worse else NOTHING
    count = len(trial.better)
    sure = sum(effect.wins >= TOO_CLOSE for effect in trial.better)
    told = f"{count} edit{'s' * (count > 1)} would raise the model's answer"
    if sure == count:
        return told
    return f"{told}, {sure or 'none'} by more than a coin toss"


def standing(trial: "Trial", scale: Scale) -> str:
    """Where the draft stands as it is, and how many edits were tried."""
    return (
        f"The model expects this draft above {_hundred(trial.share)} of 100 {scale.crowd}. "
        f"{trial.tried} small edit{' was' if trial.tried == 1 else 's were'} tried."
    )


def noise(trial: "Trial") -> str:
    """How far changes that mean nothing move this draft."""
    moves = " and ".join(f"{100 * move:.1f} of 100 for its {SIDES[side]}" for side, move in trial.noise.items())
    if not moves:
        return "No change that means nothing could be made to this draft, so no edit can be told from noise."
    return (
        "Left out is what moves the draft by less than 1 of 100, or no further than letter case, a full stop, spaces, "
        f"mirroring or saving it anew do: up to {moves}."
    )


def _item(effect: "Effect", trial: "Trial", post: Post) -> str:
    edit = effect.edit
    if edit.side == "text":
        preview = f'<p class="fi-draft">{escape(edit.post.title)}</p>'
    else:
        preview = f'<img src="{thumbnail(edit.post.image)}" alt="">'
    even = '<span class="fi-soft">close to a coin toss</span>'
    close = even if effect.wins < TOO_CLOSE else "more than a coin toss"
    label = escape(edit.label)
    return (
        f"<li><div><b>{label}</b>{preview}<p>Expected above <b>{_hundred(effect.share)}</b> instead of "
        f"{_hundred(trial.share)} of 100; better in {_hundred(effect.wins)} of 100 cases, "
        f"{close}</p></div>"
        f'<button type="button" data-edit="{effect.number}" data-label="{label}" aria-label="Use it: {label}">Use it'
        "</button></li>"
    )


def _worse(trial: "Trial") -> str:
    if not trial.worse:
        return ""
    named = ", ".join(
        f"{effect.edit.label[:1].lower()}{effect.edit.label[1:]} ({_hundred(effect.share)})"
        for effect in trial.worse[:SHOWN]
    )
    more = f" and {len(trial.worse) - SHOWN} more" if len(trial.worse) > SHOWN else ""
    return f'<p class="fi-small">Would lower it: {escape(named)}{more}.</p>'


def _hundred(share: float) -> int:
    return min(max(round(100 * share), 0), 100)
