"""What else the model reads: when, where, by whom and as what a draft is published, in folded fields.

They are there where the chosen model reads any of it, and for what it reads alone. Their value is one object with the
names that a file's columns have; the browser makes it of what is filled in.
"""

from collections.abc import Mapping
from html import escape

import gradio as gr

from engine.context import AUTHOR
from engine.posts import MAX_TITLE
from ui.uploads import take_no_address

LABELS = {
    "published_at": "Published at, by your clock",
    "latitude": "Latitude (−90 to 90)",
    "longitude": "Longitude (−180 to 180)",
}
HELP = (
    "Fill in what you know; what is left empty counts as unknown. A comparison takes each draft with what stood here "
    "when it was added."
)
# A time goes out with the visitor's own zone and comes back by their clock. What cannot be read is handed on as it is,
# for the server has a sentence for it. Of a draft that comes back, what this model does not read is left out.
ON_LOAD = """
const fields = () => [...element.querySelectorAll('[data-name]')];
const isTime = (field) => field.type === 'datetime-local';
const zoned = (local) => {
  const east = -new Date(local).getTimezoneOffset(), two = (n) => String(Math.floor(n)).padStart(2, '0');
  return `${local}${east < 0 ? '-' : '+'}${two(Math.abs(east) / 60)}:${two(Math.abs(east) % 60)}`;
};
const local = (time) => {
  const at = new Date(time);
  return isNaN(at) ? '' : new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
};
const held = (field) =>
  field.validity.badInput ? '?' : isTime(field) && field.value ? zoned(field.value) : field.value;
const read = () => {
  const given = fields().map((field) => [field.dataset.name, held(field)]).filter(([, value]) => value !== '');
  if (fields().length) props.value = Object.fromEntries(given);
  const count = element.querySelector('summary span');
  if (count) count.textContent = given.length ? ` (${given.length})` : '';
};
const fill = () => {
  const given = props.value ?? {};
  for (const field of fields()) {
    const value = String(given[field.dataset.name] ?? '');
    if (held(field) !== value) field.value = isTime(field) ? local(value) : value;
  }
  read();
};
element.addEventListener('input', () => { read(); trigger('input'); });
// A time of which a part is missing still counts as empty while it is typed, and says nothing of itself.
element.addEventListener('focusout', read);
watch(['value', 'shown'], fill);
fill();
"""


def context_field() -> gr.HTML:
    """The fields, of which there are none until `shown` is known."""
    return take_no_address(gr.HTML({}, html_template="${shown}", js_on_load=ON_LOAD, elem_id="context", shown=""))


def fields(reads: Mapping[str, tuple[str, ...]]) -> str:
    """HTML of the fields for what a model reads, each with the values that it knows; "" where it reads nothing."""
    if not reads:
        return ""
    labels = "".join(f"<label>{escape(_label(name))}{_input(name, known)}</label>" for name, known in reads.items())
    return (
        '<details class="fi-visit fi-context"><summary>What else the model reads<span></span></summary>'
        f'<div>{labels}</div><p class="fi-small">{HELP}</p></details>'
    )


def _label(name: str) -> str:
    return LABELS.get(name) or name.removeprefix(AUTHOR).replace("_", " ").capitalize()


def _input(name: str, known: tuple[str, ...]) -> str:
    about = f'data-name="{escape(name)}"'
    if known:
        options = "".join(f'<option value="{escape(one)}">{escape(one)}</option>' for one in sorted(known))
        return f'<select {about}><option value="">unknown</option>{options}</select>'
    if name == "category":
        return f'<input type="text" maxlength="{MAX_TITLE}" placeholder="unknown" {about}>'
    if name == "published_at":
        return f'<input type="datetime-local" {about}>'
    return f'<input type="number" step="any" placeholder="unknown" {about}>'
