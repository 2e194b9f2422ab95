"""Example drafts: pictures that scikit-image ships (public domain or CC0), with titles written for this project.

The browser fills them in by itself, so what a visitor does next is not overtaken by a server that is slow.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from engine.previews import data_url

THUMBNAIL = (192, 120)

ON_CLICK = """
element.addEventListener('click', ({target}) => {
  const card = target.closest('[data-draft]');
  if (!card) return;
  element.dataset.clicked = card.dataset.draft;
  trigger('click');
});
"""
# Picture and title of the card that was clicked last, and nothing else.
FILL = """() => {
  const {path, title} = JSON.parse(document.querySelector('[data-clicked]').dataset.clicked);
  const url = `${window.gradio_config.root}/gradio_api/file=${encodeURI(path)}`;
  return [path && {path, url, meta: {_type: 'gradio.FileData'}}, title, '', '', {}];
}"""


@dataclass(frozen=True)
class Example:
    """A draft to try. `picture` is the name of a file in scikit-image's data, "" for none."""

    title: str
    picture: str = ""

    @property
    def path(self) -> Path | None:
        """The picture's file, None without one."""
        return _data_folder() / self.picture if self.picture else None


# From all levels, with drafts on which the model has no firm opinion, and one that is no title at all.
EXAMPLES = (
    Example("My cat judges me every morning at 5 a.m.", "chelsea.png"),
    Example("Rocket launch highlights", "rocket.jpg"),
    Example("What is hiding behind these galaxies?", "hubble_deep_field.jpg"),
    Example("Trying the most expensive coffee in the world", "coffee.png"),
    Example("Space shuttle: the last flight", "astronaut.png"),
    Example("What your eye doctor sees", "retina.jpg"),
    Example("", "astronaut.png"),
    Example("IMG_2041.JPG", "coffee.png"),
    Example("Press conference after the game"),
)


def example_cards(examples: Sequence[Example] = EXAMPLES) -> str:
    """HTML list of buttons, one an example, with its thumbnail inlined."""
    cards = "".join(
        f'<li><button type="button" data-draft="{escape(_draft(example))}">{_thumbnail(example)}'
        f"<span>{escape(example.title) or '<em>no title</em>'}</span></button></li>"
        for example in examples
    )
    return f'<p class="fi-kicker">Or try one of these</p><ul class="fi-examples">{cards}</ul>'


def available(examples: Sequence[Example] = EXAMPLES) -> list[Example]:
    """The examples whose picture is installed."""
    return [example for example in examples if example.path is None or example.path.is_file()]


def _data_folder() -> Path:
    spec = find_spec("skimage")
    # Importing skimage.data would take a second and may go looking for downloads; the files are all that is needed.
    return Path(spec.origin).parent / "data" if spec and spec.origin else Path("data")


def _draft(example: Example) -> str:
    return json.dumps({"path": str(example.path) if example.path else None, "title": example.title})


def _thumbnail(example: Example) -> str:
    if example.path is None:
        return '<b aria-hidden="true">no picture</b>'
    with Image.open(example.path) as picture:
        picture.draft("RGB", THUMBNAIL)
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL[0] * 2, THUMBNAIL[1] * 2))
    return f'<img alt="" src="{data_url(small, "WEBP", quality=60)}">'
