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


def view_of(post: Post, *views: str) -> str:
    predictor: Any = SimpleNamespace(bundle=SimpleNamespace(views=dict.fromkeys(views), text_fields=("title",)))
    return Predictor.view_of(predictor, post)


def test_the_sides_that_are_there_are_answered() -> None:
    for view, post in POSTS.items():
        assert view_of(post, "both", "text", "image") == view
    with pytest.raises(PostError, match=EMPTY_POST):
        view_of(Post(" "), "both", "text", "image")


@pytest.mark.parametrize(("lacks", "alone"), [("image", "picture alone; give the post a title too"), ("text", "title")])
def test_a_side_that_no_member_answers_is_said(lacks: str, alone: str) -> None:
    """A recipe of n-grams alone has no answer to a picture; one row of a file must not end the run."""
    views = {"both", "text", "image"} - {lacks}
    assert view_of(POSTS["both"], *views) == "both"
    with pytest.raises(PostError, match=f"answers nothing to a {alone}"):
        view_of(POSTS[lacks], *views)
