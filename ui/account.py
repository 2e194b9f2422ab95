"""The tab "Your account": views and likes of one's own posts, pasted, and the draft against what is usual there.

What is pasted is read for the answer and kept nowhere: not in the session, not on the disk, in no log.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from engine.drafts.account import Against, against
from engine.posts import Post
from engine.scoring import log_score
from ui.model import sentence
from ui.own_posts import MOST_CHARACTERS, counts_of, scores_of
from ui.scale import Scale, scale_of

if TYPE_CHECKING:
    from ui.handlers import Page

# Lines that are left out are named one by one up to here.
NAMED = 3
FEW = 5
LABEL = "Your recent posts, one a line: views, likes, comments"
EXAMPLE = "12000, 480, 35\n8.5k, 310"
HELP = (
    "Paste a few of your recent posts to see this draft against what is usual for you. Comments may be missing, and "
    "columns copied from a table will do. They are read for this answer and stored nowhere."
)
EMPTY = f"Give views and likes of at least one of your posts, as in {EXAMPLE.splitlines()[0]}."
NO_USUAL = "At least half of these posts have no engagement at all: there is nothing usual to be a multiple of."
UNANSWERED = "The model does not answer this draft as a whole: there is nothing to set beside your posts."
NO_DRAFT = "There is no draft with an answer here, or no longer: press Predict to set one beside your posts."
NO_COMMENTS = "{} of these posts came without comments, which count too: your usual may be more, the multiples less."
# What is said of other lines than stand there is set back, until the answer to these is there.
ON_LOAD = """
element.setAttribute('aria-live', 'polite');
document.addEventListener('input', ({target}) => {
  if (target.closest('#own-posts')) document.querySelector('#own').classList.add('fi-former');
});
"""
ASKED = "(draft, posts, model) => { window.fiOwn = posts; return [draft, posts, model]; }"
ANSWERED = "(posts) => { document.querySelector('#own').classList.toggle('fi-former', posts !== window.fiOwn); }"
NO_RATE = "This model estimates no engagement per view, so your own posts cannot be set beside it; choose another."


class OwnAccount:
    """The tab and its handler, which keeps nothing; built between the other tabs."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        with gr.Tab("Your account"):
            gr.HTML(f'<p class="fi-small">{HELP}</p>')
            self._posts = gr.Textbox(
                label=LABEL,
                elem_id="own-posts",
                placeholder=EXAMPLE,
                lines=4,
                max_lines=10,
                max_length=MOST_CHARACTERS,
            )
            self._compare = gr.Button("Compare with my posts", elem_id="own-compare")
            self.shown = gr.HTML("", js_on_load=ON_LOAD, elem_id="own")

    def wire(self, draft: gr.State, model: gr.Dropdown, answers: Sequence[Any], settings: Mapping[str, Any]) -> None:
        """The events: on the button, and after each of the answers."""
        asked: dict[str, Any] = {"inputs": [draft, self._posts, model], "outputs": self.shown, **settings}
        asked |= {"show_progress": "hidden", "api_visibility": "private", "js": ASKED}
        shown = [self._compare.click(self.compare, **asked | {"show_progress": "full"})]
        shown += [answered.then(self.show, **asked, trigger_mode="always_last") for answered in answers]
        for one in shown:
            one.then(None, self._posts, None, js=ANSWERED)

    def compare(self, post: Post | None, text: str | None, model: str = "") -> str:
        """What `show` says, and that there is nothing to compare with where it says nothing."""
        return self.show(post, text, model) or panel([EMPTY])

    def show(self, post: Post | None, text: str | None, model: str = "") -> str:
        """HTML of the draft that was predicted last against the posts in `text`; "" without either."""
        if not (text or "").strip():
            return ""
        try:
            # Half of a character could not be quoted.
            counts, told = counts_of((text or "").encode("utf-8", "replace").decode("utf-8"))
            if not counts:
                return panel(told)
            if post is None:
                return panel([NO_DRAFT, *told])
            prediction, bundle = self._page.answer(post, model)
            scale = scale_of(bundle)
            if prediction.strange is not None:
                return panel([UNANSWERED, *told])
            if not scale.is_rate:
                return panel([NO_RATE])
            scores = scores_of(counts)
            if np.median(scores) <= log_score(0.0):
                return panel([NO_USUAL, *told])
            found = against(prediction, scores, bundle.score_quantiles)
            lacking = sum(comments is None for *_, comments in counts)
            return panel(told, found, scale, NO_COMMENTS.format(lacking) if lacking else "")
        except Exception as error:
            return panel([sentence(error)])


def headline(found: Against) -> str:
    """The one sentence: "Likely between 0.6 and 1.9 times your usual engagement"."""
    return f"Likely between {times(found.low)} and {times(found.high)} times your usual engagement"


def usual(found: Against, scale: Scale) -> str:
    """What is usual, of how many posts, and what so few of them are worth."""
    posts = f"median of your {found.count} posts" if found.count > 1 else "one post that you gave"
    few = " So few posts say little of what is usual: give more." if found.count < FEW else ""
    return (
        f"At least 8 times in 10, if the model is right; about {times(found.middle)} times in the middle. "
        f"Your usual is {scale.number(found.usual)} {scale.unit}, the {posts}.{few}"
    )


def times(ratio: float) -> str:
    """A multiple to what can be told: "0.6", "1.9", "12"."""
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}" if ratio >= 0.095 else f"{ratio:.2f}"


def panel(told: Sequence[str], found: Against | None = None, scale: Scale | None = None, note: str = "") -> str:
    """HTML of the answer, where there is one, with a note on it, and of what was left out."""
    body = ""
    if found and scale:
        body = f"<h3>{escape(headline(found))}</h3>{_line(found)}<p>{escape(usual(found, scale))}</p>"
        body += f'<p class="fi-small">{note}</p>' if note else ""
    left = len(told) - NAMED
    more = [f"And {left} more line{'s' * (left > 1)}."] if left > 0 else []
    errors = "".join(f"<li>{escape(line)}</li>" for line in [*told[:NAMED], *more])
    listed = f'<div role="alert"><ul class="fi-left-out">{errors}</ul></div>' if errors else ""
    return f'<section class="fi-card fi-own">{body}{listed}</section>' if body or listed else ""


def _line(found: Against) -> str:
    """The interval on a line of multiples, from a tenth to ten times, with a tick at the usual."""

    def place(ratio: float) -> float:
        return min(max(50 + 50 * np.log10(ratio), 0.0), 100.0)

    low, middle, high = place(found.low), place(found.middle), place(found.high)
    return (
        f'<div class="fi-times" aria-hidden="true"><div class="fi-reach"><u></u>'
        f'<i style="left:{low:.1f}%;width:{high - low:.1f}%"></i><b style="left:{middle:.1f}%"></b></div>'
        "<p><span>a tenth</span><span>your usual</span><span>ten times</span></p></div>"
    )
