"""The creators' page: a draft on the left, its likely engagement on the right.

Run it with `python app.py`; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT say where it listens.
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

with contextlib.suppress(ImportError):
    # On a ZeroGPU Space this must come before torch, which it patches.
    import spaces  # noqa: F401

import gradio as gr
from gradio.utils import get_cancelled_fn_indices, get_upload_folder

from engine.posts import MAX_DESCRIPTION, MAX_TITLE
from ui import feed, history
from ui.account import OwnAccount
from ui.api import publish
from ui.arrivals import SECONDS_KEPT
from ui.batch import batch_panel
from ui.calls import lenient
from ui.chooser import Choice, choice_field, models_offered
from ui.context import context_field
from ui.cut import SAY_CUT
from ui.drafts import DraftTabs
from ui.evidence import ON_CLICK as ON_COVER
from ui.evidence import Loader, SimilarPosts, load_evidence
from ui.examples import FILL, ON_CLICK, example_cards
from ui.explanation import HINT, METHODS, ON_SLIDE, OWEN
from ui.folder import own_folder
from ui.handlers import Page
from ui.keep import Keeping, asks, from_link, model_from_link
from ui.model import load_shipped, load_signals, zero_gpu
from ui.newest import NOW, Newest
from ui.sessions import SESSIONS
from ui.theme import launch_settings
from ui.uploads import PICTURE, picture_field
from ui.verdict import EMPTY

if TYPE_CHECKING:
    from engine.predictor import Predictor
    from engine.signals import Signals

HEADER = (
    '<header class="fi-header"><h1>First Impressions</h1>'
    "<p>See how a post is likely to land, before you publish it.</p></header>"
)

# Two cores must survive a crowd: explanations and signals keep both busy, a prediction one.
ONE_A_CORE: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "predict"}
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "explain"}
ONE_READS: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "signals"}
ONE_SEARCHES: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "evidence"}
PRIVATE: dict[str, Any] = {"api_visibility": "private"}

# Gradio's own event of a line of text comes with keys that write a character: not when one is deleted, or text pasted.
EDITED = """() => document.addEventListener('input', ({target}) => {
  if (target.closest('#title, #tags, #description')) document.querySelector('.fi-columns')?.classList.add('fi-stale');
})"""
STALE = "() => { document.querySelector('.fi-columns')?.classList.add('fi-stale'); }"
# The button that was pressed is gone by then, and the keyboard must not start over at the top of the page.
FOCUS_PICTURE = "() => { setTimeout(() => document.querySelector('#picture button')?.focus(), 100); }"
# What was typed last before Enter is announced after it. The last input is the moment.
FRESH = """(...asked) => {
  const columns = document.querySelector('.fi-columns');
  for (const wait of [0, 150]) setTimeout(() => columns?.classList.remove('fi-stale'), wait);
  return [...asked.slice(0, -1), performance.now()];
}"""
NO_DRAFT = "() => [null, '', '', '', {}]"
# Regions that are read out when they change must be there, and known, before they do.
SPOKEN = """() => {
  const names = '#verdict, #signals, #reasons';
  for (const region of document.querySelectorAll(names)) region.setAttribute('aria-live', 'polite');
}"""
SHOW = """() => {
  const verdict = document.querySelector('#verdict');
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  if (verdict && innerWidth < 900) verdict.scrollIntoView({behavior: calm ? 'auto' : 'smooth', block: 'start'});
}"""


def build(
    predictor_loader: Callable[[], "Predictor"] = load_shipped,
    signals_loader: Callable[[], "Signals"] = load_signals,
    offered: Sequence[Choice] | None = None,
    evidence_loader: Loader = load_evidence,
) -> gr.Blocks:
    """The page; `predictor_loader` runs once, in the background, when it is built, `signals_loader` after an answer.

    Visitors choose among the models `offered`, of which it gives the first; by default among those that ship with the
    one that does. `evidence_loader` gives the real posts beside a bundle.
    """
    if offered is None:
        offered = models_offered() if predictor_loader is load_shipped else ()
    return build_page(Page(predictor_loader, signals_loader, offered), evidence_loader)


def build_page(page: Page, evidence_loader: Loader = load_evidence) -> gr.Blocks:
    """The page with these handlers, whose model begins to load."""
    evidence = SimilarPosts(page.models, evidence_loader)
    # Once: after SIGTERM it is gone, and nothing may bring it back.
    Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
    gr.set_static_paths([example.path for example in page.examples if example.path])
    with gr.Blocks(title="First Impressions", analytics_enabled=False) as demo:
        gr.HTML(HEADER)
        # What is explained and read further; and what was answered, though it may be withheld or of one side.
        draft, answered_draft = (gr.State(None, time_to_live=SECONDS_KEPT) for _ in range(2))
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
                    label="Description",
                    lines=2,
                    max_lines=6,
                    max_length=MAX_DESCRIPTION,
                    visible=False,
                    elem_id="description",
                )
                context = context_field()
                with gr.Row(elem_classes="fi-actions"):
                    predict = gr.Button("Predict engagement", variant="primary", size="lg", scale=3, elem_id="predict")
                    clear = gr.Button("Start over", variant="secondary", size="lg", scale=1, min_width=110)
                cards = gr.HTML(example_cards(page.examples), js_on_load=ON_CLICK, elem_id="examples")
                seen = gr.HTML("", elem_id="signals")
                visit = gr.HTML(history.EMPTY, js_on_load=history.ON_LOAD, elem_id="visit")
                tried = gr.JSON(visible=False)
                newest, moment = gr.State(Newest()), gr.Number(visible=False)
            with gr.Column(scale=6, min_width=300):
                answer = gr.HTML(EMPTY, elem_id="verdict")
                keeping = Keeping(page)
                with gr.Tabs(elem_id="more"):
                    with gr.Tab("Explanation"):
                        choices = [(label, name) for name, label in METHODS.items()]
                        method = gr.Radio(choices, value=OWEN, label="Method", visible=False, elem_id="method")
                        explain = gr.Button("Explain this answer", elem_id="explain")
                        reasons = gr.HTML("", js_on_load=ON_SLIDE, elem_id="reasons")
                    drafts = DraftTabs(page)
                    with gr.Tab("Similar posts", visible=False) as similar_tab:
                        similar = gr.HTML("", js_on_load=ON_COVER, elem_id="similar")
                    with gr.Tab("Preview"):
                        preview = gr.HTML("", elem_id="feed")
                    account = OwnAccount(page)
                    with gr.Tab("Details"):
                        model = choice_field(page.models)
                        votes = gr.HTML(elem_id="votes")
                        with gr.Accordion("This prediction as JSON", open=False, elem_id="record"):
                            record = gr.JSON(show_label=False)
                        facts = gr.HTML(elem_id="facts")

        inputs = [picture, title, tags, description, context]
        outcome = [answer, votes, record, reasons, seen, draft, answered_draft, tried]
        # What comes after a verdict, and is not to stand beside the next one meanwhile.
        outcome += [similar, preview, account.shown]
        # Declared before the page's own events, which would take these names.
        publish(page, drafts.comparing, ONE_A_CORE, ONE_AT_A_TIME, ONE_READS)
        batch_panel(page.models, model, PRIVATE)

        explaining = explain.click(
            page.explain, [draft, method, model, newest], reasons, show_progress="hidden", **ONE_AT_A_TIME, **PRIVATE
        )
        trying, applied = drafts.wire(inputs, draft, model, ONE_A_CORE, ONE_AT_A_TIME)
        ask: dict[str, Any] = {
            "fn": page.ask,
            "inputs": [*inputs, model, newest, moment],
            "outputs": outcome,
            "js": FRESH,
            # Who presses again before the answer is there wants that of the draft as it is by then.
            "trigger_mode": "always_last",
            "show_progress_on": answer,
            **ONE_A_CORE,
            **PRIVATE,
        }
        # What is still under way for a former draft would land beside the next verdict. Declared before what asks,
        # for the page goes by this order: later, cancelling would meet what the new answer has just begun.
        left = [predict.click, title.submit, cards.click, visit.click, clear.click, model.change, drafts.use]
        gr.on(left, None, cancels=[explaining, trying], **PRIVATE)
        cancelling = next(reversed(demo.fns.values()))
        clicked = cards.click(None, None, inputs, js=FILL)
        brought = visit.click(history.bring_back, None, inputs, queue=False, **PRIVATE)
        reading = []
        asking = (
            predict.click(**ask),
            title.submit(**ask),
            clicked.then(**ask),
            brought.then(**ask),
            applied.then(**ask),
            # Its `input` comes whenever the field is left, too.
            model.change(**{**ask, "fn": page.ask_another}),
        )
        for answered in asking:
            answered.then(None, js=SHOW)
            answered.then(None, tried, None, js=history.REMEMBER)
            drafts.reset(answered)
            # The verdict does not wait for it. What a former draft's has begun holds back none of the last one's.
            told: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last", **PRIVATE}
            answered.then(feed.show, [answered_draft, picture, title], preview, **told, **ONE_A_CORE)
            read = answered.then(page.signals, [draft, model, newest], seen, **told, **ONE_READS)
            # They have read the lettering by then.
            reading += [read, read.then(feed.read, [draft, newest], preview, **told, **ONE_READS)]
            reading.append(answered.then(evidence.show, [draft, model], similar, **told, **ONE_SEARCHES))
        account.wire(answered_draft, model, asking, ONE_A_CORE)
        keeping.wire(answered_draft, record, [title, tags, description], model, ONE_A_CORE)
        cancelling.cancels += get_cancelled_fn_indices(reading)
        # In the browser: fields that a server emptied would lose what is typed meanwhile.
        clear.click(None, None, inputs, js=NO_DRAFT, **PRIVATE)
        # Not past the queue: what comes out of that comes in order, after an answer that was nearly there.
        clear.click(page.start_over, [newest, moment], outcome, js=NOW, concurrency_limit=None, **PRIVATE)
        drafts.clear(clear.click)
        # What another method said is not left standing below the name of this one.
        method.input(lambda: HINT, None, reasons, cancels=explaining, show_progress="hidden", queue=False, **PRIVATE)
        # Before what asks the server: the page goes by this order, and a slow one would mark what was asked for since.
        for edited in (context.input, picture.upload, picture.clear):
            edited(None, js=STALE)
        picture.clear(None, js=FOCUS_PICTURE)
        picture.upload(
            page.uploads.arrived, picture, picture, show_progress="hidden", concurrency_limit=None, **PRIVATE
        )
        demo.load(None, js=EDITED)
        shown = [tags, description, method, facts, answer, context]
        demo.load(None, js=SPOKEN)
        chosen = demo.load(None, model, model, js=model_from_link(page.models))
        demo.load(None, title, title, js=from_link("title")).then(None, js=asks(at_once=True))
        described = chosen.then(page.describe, model, shown, show_progress="hidden", **PRIVATE)
        more = [tags, description]
        filled = described.then(None, more, more, js=from_link("tags", "description"))
        filled.then(None, js=asks(at_once=False))
        model.change(page.describe, model, shown, show_progress="hidden", **PRIVATE)
        for opened in (chosen.then, model.change):
            opened(evidence.describe, model, similar_tab, show_progress="hidden", **PRIVATE)
        demo.load(None, js=SAY_CUT)
        for done_with in (picture.clear, clear.click):
            done_with(page.uploads.forgetting(PICTURE), None, None, queue=False, **PRIVATE)
        demo.unload(page.uploads.forget)

    lenient(demo)
    # `launch` takes this as an argument, `mount_gradio_app` from here.
    demo.state_session_capacity = SESSIONS
    page.model.start()
    if zero_gpu():
        # Its workers are forked from this process for each call, so the weights must be here by then.
        with contextlib.suppress(Exception):
            page.model.get()
    return demo.queue(max_size=64, api_open=False)


if __name__ == "__main__":
    with own_folder():
        build().launch(**launch_settings())
