"""Which sides of a post a model answers."""

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from engine.errors import PostError
from engine.posts import EMPTY_POST, Post
from engine.predictor import Predictor

PICTURE = Image.new("RGB", (4, 4))
POSTS = {"both": Post("title", PICTURE), "text": Post("title"), "image": Post("  ", PICTURE)}


def view_of(post: Post, *views: str, text_fields: tuple[str, ...] = ("title",)) -> str:
    predictor: Any = SimpleNamespace(views=views, text_fields=text_fields)
    return Predictor.view_of(predictor, post)


def test_the_sides_that_are_there_are_answered() -> None:
    for view, post in POSTS.items():
        assert view_of(post, "both", "text", "image") == view
    with pytest.raises(PostError, match=EMPTY_POST):
        view_of(Post(" "), "both", "text", "image")


def test_a_title_that_no_member_reads_is_as_if_it_were_not_there() -> None:
    assert view_of(POSTS["both"], "image", text_fields=()) == "image"
    with pytest.raises(PostError, match="answers nothing to a title alone; give the post a picture too"):
        view_of(POSTS["text"], "image", text_fields=())
    with pytest.raises(PostError, match=EMPTY_POST):
        view_of(Post(" "), "image", text_fields=())


@pytest.mark.parametrize(("lacks", "alone"), [("image", "picture alone; give the post a title too"), ("text", "title")])
def test_a_side_that_no_member_answers_is_said(lacks: str, alone: str) -> None:
    """A recipe of n-grams alone has no answer to a picture; one row of a file must not end the run."""
    views = {"both", "text", "image"} - {lacks}
    assert view_of(POSTS["both"], *views) == "both"
    with pytest.raises(PostError, match=f"answers nothing to a {alone}"):
        view_of(POSTS[lacks], *views)
