"""The drafts of this visit, in the visitor's browser alone, which keeps them for its tab until that is closed.

The server hands over what is to be kept with each answer and forgets it. A draft that is brought back comes from the
browser like any upload.
"""

import json
from typing import Any

import gradio as gr

from engine.context import Context, cells_of, read_context
from engine.errors import ImageError, PostError
from engine.posts import MAX_DESCRIPTION, MAX_TITLE, Post
from engine.prediction import Prediction
from engine.previews import copy_of, file_of
from ui.arrivals import place
from ui.ranking import thumbnail
from ui.scale import Scale
from ui.verdict import headline

MOST = 12
KEY = "first-impressions-visit"
EMPTY = '<details class="fi-visit" hidden></details>'
# Hands an answer's draft to the list; what was told of saving the last one is over.
REMEMBER = """(tried) => {
  document.querySelector('#kept-told')?.replaceChildren();
  document.dispatchEvent(new CustomEvent('fi-tried', {detail: tried}));
}"""
# What is kept is shown as text and never as markup. Of more than fits the oldest go.
ON_LOAD = (
    f"const KEY = '{KEY}', MOST = {MOST};"
    """
const isPicture = (text) => text === '' || /^data:image\\/(webp|jpeg);base64,[A-Za-z0-9+\\/=]*$/.test(text);
const isDraft = (one) => one && ['title', 'tags', 'description', 'context', 'headline', 'small', 'picture'].every(
  (name) => typeof one[name] === 'string') && isPicture(one.small) && isPicture(one.picture);
const read = () => {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY));
    return Array.isArray(found) ? found.filter(isDraft).slice(0, MOST) : [];
  } catch { return []; }
};
const write = (drafts) => {
  for (; drafts.length; drafts.pop()) {
    try { sessionStorage.setItem(KEY, JSON.stringify(drafts)); return; } catch { /* too much: without the oldest */ }
  }
  try { sessionStorage.removeItem(KEY); } catch { /* a browser that keeps nothing */ }
};
const made = (kind, text = '', name = '') => {
  const part = document.createElement(kind);
  part.textContent = text;
  if (name) part.className = name;
  return part;
};
const button = (text, label, pressed) => {
  const part = made('button', text);
  part.type = 'button';
  if (label) part.setAttribute('aria-label', label);
  part.addEventListener('click', pressed);
  return part;
};
const same = (one, other) => ['title', 'tags', 'description', 'context', 'picture'].every(
  (name) => one[name] === other[name]);
// What comes back is the same draft, although its picture was saved anew on the way.
const back = (former, draft) => former && draft.title === former.title && !draft.picture === !former.picture;
let brought = null;
const bring = (draft) => (event) => {
  event.stopPropagation();
  brought = draft;
  const {title, tags, description, context, picture} = draft;
  trigger('click', {title, tags, description, context, picture});
};
let drafts = read();
const show = () => {
  const box = element.querySelector('.fi-visit');
  box.hidden = !drafts.length;
  const summary = made('summary', `Drafts of this visit (${drafts.length})`);
  const list = made('ol');
  drafts.forEach((draft, place) => {
    const item = made('li');
    const picture = draft.small ? made('img') : made('i', 'no picture');
    if (draft.small) Object.assign(picture, {src: draft.small, alt: ''});
    const words = made('div');
    words.append(made('p', draft.title || 'no title', 'fi-draft'), made('p', draft.headline, 'fi-small'));
    item.append(picture, words, button('Bring back', `Bring back draft ${place + 1}`, bring(draft)));
    list.append(item);
  });
  const actions = made('p', '', 'fi-links');
  if (drafts.length > 1) actions.append(button('Undo: back to the draft before', '', bring(drafts[1])));
  actions.append(button('Clear this list', '', (event) => {
    event.stopPropagation();
    drafts = [];
    write(drafts);
    show();
    document.querySelector('#title textarea')?.focus();
  }));
  const told = made('p', 'Kept in this tab of your browser alone, and gone when you close it. '
    + 'Pictures come back as smaller copies, so that an answer may move a little.', 'fi-small');
  const held = box.contains(document.activeElement);
  box.replaceChildren(summary, actions, list, told);
  if (held) summary.focus();
};
document.addEventListener('fi-tried', ({detail: given}) => {
  let detail = given;
  // One that is brought back is answered next, or not at all.
  const former = brought;
  brought = null;
  if (!isDraft(detail)) return;
  if (back(former, detail)) detail = {...detail, small: former.small, picture: former.picture};
  drafts = [detail, ...drafts.filter((draft) => !same(draft, detail))].slice(0, MOST);
  write(drafts);
  show();
});
show();
"""
)


def entry(post: Post, prediction: Prediction, scale: Scale) -> dict[str, str]:
    """What the browser is to keep of a draft and its answer."""
    return {
        "title": post.title,
        "tags": ", ".join(post.tags),
        "description": post.description,
        "context": json.dumps(cells_of(post)),
        "headline": headline(prediction, scale),
        "small": thumbnail(post.image),
        "picture": copy_of(post.image),
    }


async def bring_back(event: gr.EventData, request: gr.Request) -> tuple[Any, str, str, str, Context]:
    """Picture, words and context of a draft that the browser kept; what is no picture or no context is left out."""
    words = (str(event.title)[: MAX_TITLE + 1], str(event.tags)[:MAX_DESCRIPTION], str(event.description))
    return await _picture(str(event.picture), request), *words, _context(str(event.context))


def _context(text: str) -> Context:
    try:
        return cells_of(Post(**read_context(json.loads(text))))
    except (ValueError, PostError, RecursionError):
        return {}


async def _picture(url: str, request: gr.Request) -> str | None:
    try:
        return await place(file_of(url), request) if url.startswith("data:image/") else None
    except (ValueError, ImageError):
        return None
