"""Many drafts in one call, for programs: each is answered, or says in one sentence why it is not.

For lists that a person has, the page takes a table and a zip (`ui.batch`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.context import cells_of
from engine.errors import ImageError, PostError
from engine.images import load_image
from engine.posts import TEXT_FIELDS, Post
from engine.previews import file_of
from ui import details
from ui.model import sentence
from ui.scale import scale_of
from ui.tools import NO_PICTURE
from ui.uploads import read_draft, uploaded_path

if TYPE_CHECKING:
    from engine.predictor import Predictor
    from ui.handlers import Page

MOST = 100
# Drafts in memory, and answered, at a time.
TOGETHER = 16
FIELDS = (*TEXT_FIELDS, "picture", "context")
NO_LIST = 'Give the drafts as a list, as in [{"title": "One title"}, {"title": "Another"}].'
NO_DRAFT = f"This is no draft: give an object with {', '.join(FIELDS)}, as far as there."


class Several:
    """The endpoint's handler. It keeps nothing; files that come with a call are gone before its answer is sent."""

    def __init__(self, page: "Page") -> None:
        self._page = page

    def api_score_batch(self, drafts: Any = None, model: str = "", context: Any = None) -> dict[str, Any]:
        """Predict the engagement level of many unpublished posts in one call.

        Takes a list of at most 100 drafts, each an object with a title, a picture, or both; tags (separated by commas,
        or a list) and description count only where the model reads them. A picture is a data URL
        (data:image/png;base64,...), or a file as handle_file(path). model names another model where there are several;
        context is as in the prediction, that of every draft without one of its own. Returns for each draft, in order,
        what the prediction of it alone returns, or null and an error that says in one sentence why: the others are
        answered. Pictures are deleted before the answer is sent.
        """
        with self._page.used_once(map(_path, drafts) if isinstance(drafts, list) else ()):
            if not isinstance(drafts, list) or not drafts:
                raise PostError(NO_LIST)
            if len(drafts) > MOST:
                raise PostError(
                    f"Those are {len(drafts)} drafts, and at most {MOST} are scored in one call; split them."
                )
            predictor = self._page.models.get(model)
            scored = [
                row
                for start in range(0, len(drafts), TOGETHER)
                for row in self._scored(drafts[start : start + TOGETHER], predictor, model, context)
            ]
            errors = sum(row["error"] is not None for row in scored)
            return {"scored": scored, "errors": errors, "model": predictor.bundle.name}

    def _scored(self, drafts: list[Any], predictor: "Predictor", model: str, context: Any) -> Iterator[dict[str, Any]]:
        posts: list[Post | str] = []
        for given in drafts:
            try:
                post = self._read(given, context)
                predictor.view_of(post)
                posts.append(post)
            except gr.Error as error:
                posts.append(error.message)
            except Exception as error:
                posts.append(sentence(error))
        read = [post for post in posts if isinstance(post, Post)]
        found = iter(self._page.predictions(read, model) if read else [])
        scale = scale_of(predictor.bundle)
        for one in posts:
            if isinstance(one, str):
                yield {"answer": None, "error": one}
            else:
                yield {"answer": details.record(next(found), scale, cells_of(one)), "error": None}

    def _read(self, given: Any, context: Any) -> Post:
        """The draft in an object, under that context where it has none. Raises PostError for what is none."""
        if not isinstance(given, dict):
            raise PostError(NO_DRAFT)
        if odd := sorted(set(map(str, given)) - {*FIELDS}):
            raise PostError(f"A draft has no field {odd[0][:40]}; it has {', '.join(FIELDS)}.")
        picture = given.get("picture")
        path = uploaded_path(picture) if _path(given) is not None else None
        words = {name: given.get(name) for name in TEXT_FIELDS}
        post = read_draft(path, **words, context=given.get("context", context))
        if picture is None or picture == "" or path is not None:
            return post
        try:
            data = file_of(picture)
        except ValueError as error:
            raise ImageError(NO_PICTURE) from error
        return replace(post, image=load_image(data))


def _path(given: Any) -> str | None:
    """The path of a draft's picture that came as a file."""
    picture = given.get("picture") if isinstance(given, dict) else None
    path = picture.get("path") if isinstance(picture, Mapping) else None
    return path if isinstance(path, str) else None
