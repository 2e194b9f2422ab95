"""To take away: the answer as a picture or as JSON, and a link that fills the page with the same words.

All is made for the browser, which saves it: nothing of it is a file here.
"""

import base64
import json
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.memory import released
from engine.posts import MAX_DESCRIPTION, MAX_TITLE, Post
from ui import result_card
from ui.chooser import Models
from ui.model import sentence
from ui.scale import scale_of

if TYPE_CHECKING:
    from ui.handlers import Page

FAILED = "There is no picture of this answer: {}"
TOLD = '<p class="fi-small" id="kept-told" role="status"></p>'
SAY = "const say = (text) => { document.querySelector('#kept-told').textContent = text; };"
SAVE = "const save = (download, href) => Object.assign(document.createElement('a'), {download, href}).click();"
PICTURE_DOWN = f"""(made) => {{
  {SAY} {SAVE}
  if (!made.startsWith('data:image/png;base64,')) {{ say(made); return; }}
  save('first-impression.png', made);
  say('Saved as a picture; it shows picture and title of the draft.');
}}"""
JSON_DOWN = f"""(record) => {{
  {SAY} {SAVE}
  if (!record) return;
  const address = URL.createObjectURL(new Blob([JSON.stringify(record, null, 2)], {{type: 'application/json'}}));
  save('first-impression.json', address);
  setTimeout(() => URL.revokeObjectURL(address), 1000);
  const more = record.context ? 'and what else the model reads, neither picture nor words' : 'and nothing of the draft';
  say(`Saved as JSON; it holds the answer, ${{more}}.`);
}}"""
# Where a page may not write to the clipboard, the link stands there to be copied by hand. It names the model where that
# is not the FIRST one, which answers unasked.
LINK = f"""async (title, tags, description, model, record) => {{
  {SAY}
  if (record?.view === 'image') {{ say('This is answered by its picture alone, which a link cannot hold.'); return; }}
  const link = new URL(location.origin + location.pathname);
  for (const [name, words] of Object.entries({{title, tags, description}}))
    if (words?.trim()) link.searchParams.set(name, words.trim());
  if (!link.search) {{ say('There are no words to put into a link.'); return; }}
  if (model && model !== FIRST) link.searchParams.set('model', model);
  const warned = 'It holds your words for whoever sees it, and not the picture.';
  try {{ await navigator.clipboard.writeText(link.href); say(`Link copied. ${{warned}}`); }}
  catch {{ say(`${{link.href}} is the link. ${{warned}}`); }}
}}"""
# Milliseconds that a slow browser has until the fields are there, and how often they are looked for.
PATIENCE, TRIES = 30_000, 150
MOST = {"title": MAX_TITLE, "tags": MAX_DESCRIPTION, "description": MAX_DESCRIPTION}


def from_link(*names: str) -> str:
    """JavaScript that gives what the address holds for these fields, and what they hold already where that is nothing.

    The title is taken at once, tags and description where the page has them.
    """
    given = ", ".join(f"told('{name}', {MOST[name]}, now[{place}])" for place, name in enumerate(names))
    return f"""(...now) => {{
  const asked = new URLSearchParams(location.search);
  const there = (name) => name === 'title' || document.querySelector(`#${{name}} :is(textarea, input)`);
  const cut = (text, most) => [...text].slice(0, most).join('');
  const told = (name, most, held) => there(name) && asked.get(name) ? cut(asked.get(name), most) : held;
  return {given if len(names) == 1 else f"[{given}]"};
}}"""


def model_from_link(models: Models) -> str:
    """JavaScript that gives the model that the address names, and the one that is chosen already for none on offer."""
    return f"""(now) => {{
  const asked = new URLSearchParams(location.search).get('model');
  return {json.dumps([*models.offered])}.includes(asked) ? asked : now;
}}"""


def asks(*, at_once: bool) -> str:
    """JavaScript that asks for what a link has put into the fields: at once where that is the title alone, or later.

    Whether the page has tags and a description is known when the model is there.
    """
    return f"""() => {{
  const asked = new URLSearchParams(location.search);
  const more = Boolean(asked.get('tags') || asked.get('description'));
  const press = (tries) => {{
    if (document.querySelector('#title textarea')?.value) document.querySelector('#predict').click();
    else if (tries) setTimeout(press, {PATIENCE // TRIES}, tries - 1);
  }};
  if (asked.get('title')?.trim() && more === {str(not at_once).lower()}) press({TRIES});
}}"""


class Keeping:
    """The row of buttons below the verdict, and its events."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        with gr.Row(elem_id="keep"):
            self._picture, self._json, self._link = (
                gr.Button(label, elem_id=name, size="sm", min_width=60, variant="secondary")
                for label, name in (
                    ("Save as picture", "save-picture"),
                    ("Save as JSON", "save-json"),
                    ("Copy link", "copy-link"),
                )
            )
        gr.HTML(TOLD, elem_id="kept")
        self._made = gr.Textbox(visible="hidden", elem_id="made", show_label=False)

    def wire(self, draft: gr.State, record: gr.JSON, words: list[Any], model: gr.Dropdown, settings: Any) -> None:
        """The events; `words` are the fields of title, tags and description."""
        made = self._picture.click(
            self.picture, [draft, model], self._made, show_progress="hidden", api_visibility="private", **settings
        )
        made.then(None, self._made, None, js=PICTURE_DOWN)
        self._json.click(None, record, None, js=JSON_DOWN)
        first = json.dumps(next(iter(self._page.models.offered), ""))
        self._link.click(None, [*words, model, record], None, js=LINK.replace("FIRST", first))

    def picture(self, post: Post | None, model: str = "") -> str:
        """The card of the draft that was predicted last, as a data URL; a sentence where there is none."""
        if post is None:
            return FAILED.format("predict a draft first.")
        try:
            prediction, bundle = self._page.answer(post, model)
            with released():
                png = result_card.png(post, prediction, scale_of(bundle))
            return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
        except Exception as error:
            return FAILED.format(sentence(error))
