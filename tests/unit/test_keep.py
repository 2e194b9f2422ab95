"""What is taken away: a card of the answer that is the same every time, and the drafts that the browser keeps."""

import asyncio
import base64
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from engine import previews
from engine.context import cells_of
from engine.images import load_image
from engine.posts import Post
from tests.page_predictor import STRANGE, PageBundle, PagePredictor
from ui import history, result_card
from ui.handlers import Page
from ui.keep import Keeping
from ui.scale import scale_of
from ui.uploads import UPLOADS

SCALE = scale_of(PageBundle())  # type: ignore[arg-type]
PICTURE = Image.effect_noise((1600, 1200), 90).convert("RGB")


def card(post: Post) -> bytes:
    return result_card.png(post, PagePredictor().predict([post])[0], SCALE)


@pytest.mark.parametrize(
    "title", ["My cat 😀", "קטע קצר", "猫が裁く", "w" * 500, "", "a\u202eb\x00c", " ".join(["word"] * 99)]
)
def test_the_card_is_the_same_every_time(title: str) -> None:
    post = Post(title, PICTURE)
    made = card(post)
    assert made == card(post) and len(made) < 1_500_000
    with Image.open(BytesIO(made)) as picture:
        assert picture.format == "PNG" and picture.size == result_card.SIZE and not picture.info


def test_the_card_depends_on_title_picture_and_answer() -> None:
    made = [card(post) for post in (Post("My cat"), Post("My dog"), Post("My cat", PICTURE), Post(f"My {STRANGE}"))]
    assert len(set(made)) == 4


def test_the_card_says_what_was_not_read_and_what_its_levels_are_of() -> None:
    seen = replace(PagePredictor().predict([Post("My cat", PICTURE)])[0], view="image")
    unread = [result_card.png(Post(title, PICTURE), seen, SCALE) for title in ("My cat", "My dog", "")]
    assert unread[0] == unread[1] != unread[2]
    likes = replace(SCALE, name="likes")
    assert result_card.png(Post("My cat", PICTURE), seen, likes) != unread[0]


def test_a_title_is_shown_as_far_as_there_are_letters() -> None:
    assert result_card.shown("My 😀 cat 👨‍👩‍👧 猫") == "My cat"
    assert result_card.shown("猫が裁く") == result_card.shown("😀") == result_card.OTHER_LETTERS
    assert result_card.shown("Кошка, γάτα, חתול, قطة, năo") == "Кошка, γάτα, חתול, قطة, năo"
    assert result_card.from_right("“קטע” and more") and not result_card.from_right("5: my cat קטע")


def test_text_is_wrapped_and_cut() -> None:
    def fits(text: str) -> bool:
        return len(text) <= 10

    assert result_card.wrapped("one two three", fits, 2) == ["one two", "three"]
    assert result_card.wrapped("one two three four", fits, 2) == ["one two", "three four"]
    assert result_card.wrapped("one two three four five", fits, 2) == ["one two", "three fou…"]
    assert result_card.wrapped("a" * 25, fits, 3) == ["a" * 10, "a" * 10, "a" * 5]
    assert result_card.wrapped("", fits, 2) == []


def keeping() -> Keeping:
    with gr.Blocks():
        return Keeping(Page(PagePredictor, list))  # type: ignore[arg-type]


def test_the_picture_is_made_for_the_browser() -> None:
    made = keeping().picture(Post("My cat"))
    assert base64.b64decode(made.removeprefix("data:image/png;base64,")) == card(Post("My cat"))
    assert "predict a draft first" in keeping().picture(None)
    assert "Something went wrong" not in keeping().picture(Post("")) and "title" in keeping().picture(Post(""))


def test_what_is_withheld_can_be_taken_away_too() -> None:
    row = keeping()
    *_, read_further, answered, _ = row._page.predict(None, f"My {STRANGE}", "", "")
    assert read_further is None and answered.title == f"My {STRANGE}"
    assert base64.b64decode(row.picture(answered).removeprefix("data:image/png;base64,")) == card(answered)
    assert row._page.predict(None, "", "", "")[-3:] == (None, None, None)


def test_the_browser_keeps_words_headline_and_a_small_copy() -> None:
    post = Post("My cat", PICTURE, ("a", "b"), "Of cats")
    kept = history.entry(post, PagePredictor().predict([post])[0], SCALE)
    assert (kept["title"], kept["tags"], kept["description"]) == ("My cat", "a, b", "Of cats")
    assert kept["headline"].startswith("Likely to beat") and kept["small"].startswith("data:image/webp")
    assert load_image(base64.b64decode(kept["picture"].partition(",")[2])).size == (previews.SIDE, 480)
    # As many as are kept must fit into what a browser grants a page, some five million characters.
    assert history.MOST * sum(map(len, kept.values())) < 5_000_000
    bare = history.entry(Post("My cat"), PagePredictor().predict([Post("My cat")])[0], SCALE)
    assert bare["small"] == bare["picture"] == ""


def brought(**given: str) -> Any:
    empty = dict.fromkeys(("tags", "description", "picture", "context"), "")
    event: Any = SimpleNamespace(**({"title": "My cat"} | empty | given))
    return asyncio.run(history.bring_back(event, gr.Request(session_hash="back")))


def test_a_draft_comes_back_like_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert brought(tags="a, b") == (None, "My cat", "a, b", "", {})
    post = Post("My cat", category="Music", place=(1.0, 2.0), author=(("photo_count", 3.0),))
    kept = history.entry(post, PagePredictor().predict([post])[0], SCALE)
    assert brought(context=kept["context"])[-1] == cells_of(post)
    for wrong in ("[1]", "{", '{"views": 3}', '{"published_at": "soon"}', "[" * 100_000):
        assert brought(context=wrong)[-1] == {}
    path, *_ = brought(picture=previews.copy_of(PICTURE))
    assert UPLOADS.holds(path) and load_image(path).size == (previews.SIDE, 480)
    # It takes the place of what the session had, and goes with it.
    other, *_ = brought(picture=previews.copy_of(PICTURE))
    assert [str(file) for file in tmp_path.iterdir()] == [other]
    UPLOADS.forget(gr.Request(session_hash="back"))
    for wrong in (
        "https://example.org/a.png",
        "/etc/hostname",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,é",
    ):
        assert brought(picture=wrong)[0] is None
    assert not any(tmp_path.iterdir())
