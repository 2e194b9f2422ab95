"""The two tabs on drafts: comparing several, and trying edits of the one that was predicted last."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.drafts.compare import MOST
from engine.posts import MAX_TITLE
from ui.arrivals import SECONDS_KEPT
from ui.compare import ON_REMOVE, Comparing
from ui.edits import HINT, ON_APPLY, Editing
from ui.ranking import empty
from ui.uploads import pictures_field
from ui.verdict import NOTHING

if TYPE_CHECKING:
    from ui.handlers import Page

# What was clicked is gone by then, and the keyboard must not start over at the top of the page.
FOCUS = "() => { document.querySelector('#comparison section')?.focus(); }"
# Two additions at once would each begin with what is there, and the later one would win.
BUSY = """(...given) => {
  for (const row of document.querySelectorAll('.fi-adding')) row.inert = true;
  return given;
}"""
READY = "() => { for (const row of document.querySelectorAll('.fi-adding')) row.inert = false; }"
TO_VERDICT = """() => {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  document.querySelector('#verdict')?.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'});
}"""


class DraftTabs:
    """Built between the other tabs; `wire` joins them to the page's draft."""

    def __init__(self, page: "Page") -> None:
        self.comparing, self.editing = Comparing(page), Editing(page)
        with gr.Tab("Compare"):
            # Beside the tabs it would count as one of them.
            self._kept = gr.State((), time_to_live=SECONDS_KEPT)
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
        adding: dict[str, Any] = {"js": BUSY, "show_progress_on": self._comparison, **one_a_core, **private}
        added = (
            self._add.click(self.comparing.add, [self._kept, *fields, model], shown, **adding),
            self._add_titles.click(
                self.comparing.add_titles,
                [self._kept, self._titles, picture, *more, model],
                [*shown, self._titles],
                **adding,
            ),
            self._pictures.upload(
                self.comparing.add_pictures,
                [self._kept, self._pictures, title, *more, model],
                shown,
                **adding,
            ),
        )
        for done in added:
            done.then(None, js=READY)
        removed = self._comparison.click(self.comparing.remove, [self._kept, model], shown, **one_a_core, **private)
        removed.then(None, js=FOCUS)
        # Answers of two models do not compare.
        model.change(lambda: ((), empty()), None, shown, queue=False, show_progress="hidden", **private)
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
        cleared = [self._kept, self._comparison, self._titles]
        pressed(lambda: ((), empty(), ""), None, cleared, queue=False, api_visibility="private")
