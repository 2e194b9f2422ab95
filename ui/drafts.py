"""The two tabs on drafts: comparing several, and trying edits of the one that was predicted last."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.drafts.compare import MOST
from engine.posts import MAX_TITLE
from ui.arrivals import SECONDS_KEPT
from ui.compare import CHANGED, ON_REMOVE, Comparing
from ui.edits import HINT, ON_APPLY, Editing
from ui.newest import NOW, Newest
from ui.ranking import Kept, empty
from ui.uploads import pictures_field
from ui.verdict import NOTHING

if TYPE_CHECKING:
    from ui.handlers import Page

# The last inputs are how many drafts are shown, and the moment.
BUSY = f"""(...given) => {{
  const pressed = document.activeElement;
  window.fiAdding = pressed?.closest('.fi-adding') ? pressed : null;
  for (const part of {CHANGED}) part.inert = true;
  const drafts = document.querySelectorAll('#comparison .fi-ranks > li').length;
  return [...given.slice(0, -2), drafts, performance.now()];
}}"""
READY = f"""() => {{
  for (const part of {CHANGED}) part.inert = false;
  if (document.activeElement === document.body) window.fiAdding?.focus();
}}"""
# What was clicked is gone by then, and the keyboard must not start over at the top of the page.
FOCUS = f"""() => {{
  for (const part of {CHANGED}) part.inert = false;
  document.querySelector('#comparison section')?.focus();
}}"""
TO_VERDICT = """() => {
  document.querySelector('#predict')?.focus({preventScroll: true});
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  document.querySelector('#verdict')?.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'});
}"""


def unless_emptied(add: Callable[..., Any]) -> Callable[..., Any]:
    """What an addition gives, and nothing where the comparison was emptied since it was asked for. Behind what `add`
    takes stand the comparison's `Newest`, how many drafts the page shows, and the moment of asking; where it shows some
    and none is kept any more, `add` takes None for them."""

    def added(kept: Sequence[Kept], *given: Any) -> Any:
        *asked, newest, shown, moment = given
        found = add(None if shown and not kept else kept, *asked)
        return gr.skip() if newest.overtakes(moment) else found

    return added


class DraftTabs:
    """Built between the other tabs; `wire` joins them to the page's draft."""

    def __init__(self, page: "Page") -> None:
        self.comparing, self.editing = Comparing(page), Editing(page)
        with gr.Tab("Compare"):
            # Beside the tabs it would count as one of them.
            self._kept = gr.State((), time_to_live=SECONDS_KEPT)
            self._asked = [gr.State(Newest()), gr.Number(visible=False)]
            self._drafts = gr.Number(visible=False)
            with gr.Row(elem_classes="fi-adding"):
                self._add = gr.Button("Add this draft", elem_id="add-draft", size="md", min_width=130)
                self._pictures = pictures_field(
                    gr.UploadButton,
                    label="Add pictures",
                    elem_id="add-pictures",
                    file_types=["image"],
                    size="md",
                    min_width=130,
                )
            with gr.Row(elem_classes="fi-adding"):
                self._titles = gr.Textbox(
                    label="More titles for this picture, one a line",
                    elem_id="more-titles",
                    lines=2,
                    max_lines=MOST,
                    max_length=MOST * (MAX_TITLE + 1),
                    scale=4,
                )
                self._add_titles = gr.Button("Add titles", elem_id="add-titles", size="md", scale=1, min_width=110)
            self._comparison = gr.HTML(empty(), js_on_load=ON_REMOVE, elem_id="comparison")
        with gr.Tab("Edits"):
            self._try = gr.Button("Try small edits", elem_id="try-edits")
            self._edits = gr.HTML(HINT, js_on_load=ON_APPLY, elem_id="edits")
        self.use = self._edits.click

    def wire(
        self,
        fields: Sequence[Any],
        draft: gr.State,
        model: gr.Dropdown,
        one_a_core: Mapping[str, Any],
        one_at_a_time: Mapping[str, Any],
    ) -> tuple[Any, Any]:
        """The events, answered by the `model` that was chosen.

        Returns edits being tried, which another draft cancels, and an edit put into the `fields`, which asks.
        """
        picture, title, *more = fields
        self._draft = draft
        shown = [self._kept, self._comparison]
        private: dict[str, Any] = {"api_visibility": "private"}
        newest, moment = self._asked
        asked = [model, newest, self._drafts, moment]
        adding: dict[str, Any] = {"js": BUSY, "show_progress_on": self._comparison, **one_a_core, **private}
        added = (
            self._add.click(unless_emptied(self.comparing.add), [self._kept, *fields, *asked], shown, **adding),
            self._add_titles.click(
                unless_emptied(self.comparing.add_titles),
                [self._kept, self._titles, picture, *more, *asked],
                [*shown, self._titles],
                **adding,
            ),
            self._pictures.upload(
                unless_emptied(self.comparing.add_pictures),
                [self._kept, self._pictures, title, *more, *asked],
                shown,
                **adding,
            ),
        )
        for done in added:
            done.then(None, js=READY)
        removed = self._comparison.click(self.comparing.remove, [self._kept, model], shown, **one_a_core, **private)
        removed.then(None, js=FOCUS)
        # Answers of two models do not compare.
        self._empty(model.change, shown, show_progress="hidden")
        trying = self._try.click(
            self.editing.attempt, [draft, model], self._edits, show_progress="hidden", **one_at_a_time, **private
        )
        applied = self.use(self.editing.apply, draft, [picture, title], queue=False, **private)
        applied.then(None, js=TO_VERDICT)
        return trying, applied

    def reset(self, answered: Any) -> None:
        """After another answer the edits are those of another draft."""
        hint: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        answered.then(lambda draft: NOTHING.format("edit") if draft is None else HINT, self._draft, self._edits, **hint)

    def clear(self, pressed: Any) -> None:
        """When the page starts over, so does the comparison."""
        self._empty(pressed, [self._kept, self._comparison, self._titles])

    def _empty(self, event: Any, parts: Sequence[Any], **settings: Any) -> None:
        """Empty the comparison; what is still on its way into it stays out."""

        def emptied(newest: Newest, moment: float) -> tuple[Any, ...]:
            newest.overtakes(moment)
            return (), empty(), *[""] * (len(parts) - 2)

        event(emptied, self._asked, parts, js=NOW, queue=False, api_visibility="private", **settings)
