"""Drafts side by side on the page: which is likely to do better, how sure that is, and what makes the difference."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.drafts.compare import FEWEST, MOST, answer, check_count, different, merge
from engine.errors import ImageError, PostError
from engine.memory import released
from engine.posts import Post
from ui.model import on_gpu, sentence
from ui.ranking import ALL, Kept, empty, panel, record, thumbnail
from ui.scale import scale_of
from ui.uploads import read_draft

if TYPE_CHECKING:
    from ui.handlers import Page

GONE = "The drafts that were compared here are no longer kept; add them again."
# Two changes at once would each begin with what is there, and the later one would win.
CHANGED = "document.querySelectorAll('.fi-adding, #comparison section')"
ON_REMOVE = f"""
element.setAttribute('aria-live', 'polite');
element.addEventListener('click', (event) => {{
  const button = event.target.closest('[data-remove]');
  if (!button) return;
  for (const part of {CHANGED}) part.inert = true;
  trigger('click', {{remove: Number(button.dataset.remove)}});
}});
"""


class Comparing:
    """The handlers of a page's comparison. What they keep of drafts is the session's own and is gone with it, or after
    an hour: `kept` is None where the page still shows what is gone."""

    def __init__(self, page: "Page") -> None:
        self._page = page
        self._answer = on_gpu(released()(self._answer_here))

    def add(
        self,
        kept: Sequence[Kept] | None,
        path: str | None,
        title: str,
        tags: str,
        description: str,
        context: Any = None,
        model: str = "",
    ) -> tuple[Sequence[Kept], str]:
        """The comparison with the draft of the fields in it."""
        return self._added(kept, lambda: [self._draft(path, title, tags, description, context, model)], model)

    def add_titles(
        self,
        kept: Sequence[Kept] | None,
        titles: str,
        path: str | None,
        tags: str,
        description: str,
        context: Any = None,
        model: str = "",
    ) -> tuple[Sequence[Kept], str, str]:
        """The comparison with a draft for each line of `titles`, and what is left in their field."""

        def posts() -> list[Post]:
            found = [line for line in titles.splitlines() if line.strip()]
            if not found:
                raise PostError("Write at least one title, one a line.")
            if len(set(found)) > MOST:
                check_count(len(kept or ()) + len(set(found)))
            return [self._draft(path, line, tags, description, context, model) for line in found]

        now, shown = self._added(kept, posts, model)
        return now, shown, titles if now is kept or not now else ""

    def add_pictures(
        self,
        kept: Sequence[Kept] | None,
        paths: Sequence[str] | None,
        title: str,
        tags: str,
        description: str,
        context: Any = None,
        model: str = "",
    ) -> tuple[Sequence[Kept], str]:
        """The comparison with a draft for each picture that can be read, whose file is then deleted."""
        told: list[str] = []

        def posts() -> list[Post]:
            found = []
            for number, path in enumerate(paths or (), start=1):
                try:
                    found.append(self._draft(path, title, tags, description, context, model))
                except ImageError as error:
                    told.append(f"Picture {number} was left out: {error}")
            if not found:
                raise PostError(" ".join(told) or "Choose at least one picture.")
            return found

        try:
            return self._added(kept, posts, model, told)
        finally:
            for path in paths or ():
                self._page.uploads.drop(path)

    def remove(self, kept: Sequence[Kept], model: str, event: gr.EventData) -> tuple[Sequence[Kept], str]:
        """The comparison without the draft at the place that was clicked, or without any."""
        gone = int(event.remove)
        left = () if gone == ALL else tuple(one for place, one in enumerate(kept) if place != gone)
        return left, self._panel(left, model, "" if kept or gone == ALL else GONE)

    def api_compare(
        self, titles: Any = None, pictures: Sequence[str] | None = None, model: str = "", context: Any = None
    ) -> dict[str, Any]:
        """Compare two to six drafts: which is likely to do better, how sure that is, what makes the difference.

        Takes titles and pictures: every title with every picture, titles alone, or pictures alone. Equal drafts are
        one; model names another model where there are several; context is as in the prediction, and that of all drafts.
        Returns the drafts, best first, each with its place (null where the model does not answer it: its reason says
        why), its score with the 80 % interval, the chance to do best of all and the answers to its sides alone; and for
        each two of them the chance that the first does better, and whether that is too close to call. Pictures are
        deleted before the answer is sent.
        """
        with self._page.used_once(pictures or ()):
            if not isinstance(titles or [], list) or not all(isinstance(title, str) for title in titles or []):
                raise PostError('Give the titles as a list of texts, as in ["One title", "Another"].')
            with_titles = list(dict.fromkeys(titles or [""]))
            with_pictures: Sequence[str | None] = pictures or (None,)
            check_count(len(with_titles) * len(with_pictures))
            posts = [read_draft(path, title, context=context) for path in with_pictures for title in with_titles]
            drafts = [one.draft for one in self._answer(posts, model)]
            if len(drafts) < FEWEST:
                raise PostError(f"Give {FEWEST} to {MOST} different drafts: several titles, several pictures, or both.")
            return record(drafts)

    def _draft(self, path: str | None, title: str, tags: str, description: str, context: Any, model: str) -> Post:
        return read_draft(path, title, tags, description, self._page.context_for(context, model))

    def _added(
        self, kept: Sequence[Kept] | None, read: Callable[[], list[Post]], model: str, told: Sequence[str] = ()
    ) -> tuple[Sequence[Kept], str]:
        """The comparison with more drafts in it, and above it what was `told` while they were read; where that cannot
        be, as it was, with one sentence above it."""
        gone, kept = ([GONE], ()) if kept is None else ([], kept)
        try:
            more = self._answer(read(), model)
            drafts = merge([one.draft for one in (*kept, *more)])
        except Exception as error:
            return kept, self._panel(kept, model, " ".join([*gone, sentence(error)]))
        found = {one.draft.key: one for one in (*more, *kept)}
        now = tuple(found[draft.key] for draft in drafts)
        if len(now) == len(kept):
            return kept, self._panel(kept, model, " ".join([*told, "The comparison has that already."]))
        return now, self._panel(now, model, " ".join([*gone, *told]))

    def _answer_here(self, posts: Sequence[Post], model: str) -> list[Kept]:
        chosen = different(posts)
        drafts = answer(self._page.models.get(model), chosen)
        return [Kept(draft, thumbnail(post.image)) for draft, post in zip(drafts, chosen, strict=True)]

    def _panel(self, kept: Sequence[Kept], model: str, told: str = "") -> str:
        if not kept:
            return empty(told)
        return panel(kept, scale_of(self._page.models.get(model).bundle), told)
