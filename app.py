"""The creators' page: a draft on the left, its likely engagement on the right.

Run it with `python app.py`; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where it listens.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

with contextlib.suppress(ImportError):
    # On a ZeroGPU Space this must come before torch, which it patches.
    import spaces  # noqa: F401

import gradio as gr

from engine.posts import MAX_DESCRIPTION, MAX_TITLE
from ui.examples import ON_CLICK, example_cards
from ui.explanation import FIRST, GRADIENTS, SHAPLEY
from ui.handlers import Page
from ui.model import load_shipped, zero_gpu
from ui.theme import SESSIONS, launch_settings
from ui.uploads import picture_field
from ui.verdict import EMPTY

if TYPE_CHECKING:
    from engine.predictor import Predictor

HEADER = (
    '<header class="fi-header"><h1>First Impressions</h1>'
    "<p>See how a post is likely to land, before you publish it.</p></header>"
)
SECONDS_KEPT = 3600

# Two cores must survive a crowd: an explanation keeps both busy, a prediction one.
ONE_A_CORE: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "predict"}
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "explain"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}

STALE = "() => { document.querySelector('#verdict')?.classList.add('fi-stale'); }"
FRESH = "(...draft) => { document.querySelector('#verdict')?.classList.remove('fi-stale'); return draft; }"
SHOW = """() => {
  const verdict = document.querySelector('#verdict');
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (verdict && innerWidth < 900) verdict.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'});
}"""


def build(predictor_loader: Callable[[], "Predictor"] = load_shipped) -> gr.Blocks:
    """The page; `predictor_loader` runs once, in the background, when the page is built."""
    page = Page(predictor_loader)
    with gr.Blocks(title="First Impressions", analytics_enabled=False, delete_cache=(300, SECONDS_KEPT)) as demo:
        gr.HTML(HEADER)
        draft = gr.State(None, time_to_live=SECONDS_KEPT)
        with gr.Row(elem_classes="fi-columns"):
            with gr.Column(scale=5, min_width=300):
                picture = picture_field(
                    label="Picture",
                    elem_id="picture",
                    sources=["upload", "clipboard"],
                    buttons=[],
                    height=290,
                    placeholder="Drop a picture here, paste it,\nor click to choose one",
                    alt_text="The picture of your draft",
                )
                title = gr.Textbox(
                    label="Title",
                    elem_id="title",
                    placeholder="What will it be called?",
                    lines=1,
                    max_lines=3,
                    max_length=MAX_TITLE,
                )
                tags = gr.Textbox(label="Tags", placeholder="Separated by commas", visible=False, elem_id="tags")
                description = gr.Textbox(
                    label="Description", lines=2, max_lines=6, max_length=MAX_DESCRIPTION, visible=False
                )
                with gr.Row(elem_classes="fi-actions"):
                    predict = gr.Button("Predict engagement", variant="primary", size="lg", scale=3, elem_id="predict")
                    clear = gr.Button("Start over", variant="secondary", size="lg", scale=1, min_width=110)
                cards = gr.HTML(example_cards(page.examples), js_on_load=ON_CLICK, elem_id="examples")
            with gr.Column(scale=6, min_width=300):
                answer = gr.HTML(EMPTY, elem_id="verdict")
                with gr.Tabs(elem_id="more"):
                    with gr.Tab("Explanation"):
                        method = gr.Radio([SHAPLEY, GRADIENTS], value=SHAPLEY, label="Method", visible=False)
                        explain = gr.Button("Explain this answer", elem_id="explain")
                        reasons = gr.HTML(FIRST, elem_id="reasons")
                        words = gr.HighlightedText(label="Words: what each one added", visible=False, elem_id="words")
                        fine_print = gr.HTML()
                    with gr.Tab("Details"):
                        votes = gr.HTML()
                        with gr.Accordion("This prediction as JSON", open=False):
                            record = gr.JSON(show_label=False)
                        facts = gr.HTML(elem_id="facts")

        inputs = [picture, title, tags, description]
        explained = [reasons, words, fine_print]
        outcome = [answer, votes, record, *explained, draft]
        # Declared before the page's own events, which would take these names.
        with gr.Row(visible=False):
            told = gr.JSON()
            gr.Button().click(page.api_predict, inputs, told, api_name="predict", **ONE_A_CORE)
            gr.Button().click(page.api_explain, [*inputs, method], told, api_name="explain", **ONE_AT_A_TIME)

        explaining = explain.click(
            page.explain, [draft, method], explained, show_progress_on=reasons, **ONE_AT_A_TIME, **PRIVATE
        )
        ask: dict[str, Any] = {"fn": page.predict, "inputs": inputs, "outputs": outcome, "js": FRESH}
        # An explanation still under way would otherwise land beside the next draft's verdict.
        ask |= {"show_progress_on": answer, "cancels": [explaining], **ONE_A_CORE, **PRIVATE}
        clicked = cards.click(page.load_example, None, inputs, queue=False, **PRIVATE)
        for answered in (predict.click(**ask), title.submit(**ask), clicked.then(**ask)):
            answered.then(None, js=SHOW)
        clear.click(page.start_over, None, [*inputs, *outcome], queue=False, cancels=[explaining], **PRIVATE)
        picture.upload(page.uploads.remember, picture, None, queue=False, **PRIVATE)
        for edited in (title.input, tags.input, description.input, picture.upload, picture.clear):
            edited(None, js=STALE)
        shown = [tags, description, method, facts, answer]
        demo.load(page.describe, None, shown, show_progress="hidden", **PRIVATE)
        demo.unload(page.uploads.forget)

    # `launch` takes this as an argument, `mount_gradio_app` from here.
    demo.state_session_capacity = SESSIONS
    page.model.start()
    if zero_gpu():
        # Its workers are forked from this process for each call, so the weights must be here by then.
        with contextlib.suppress(Exception):
            page.model.get()
    return demo.queue(max_size=64)


if __name__ == "__main__":
    build().launch(**launch_settings())
