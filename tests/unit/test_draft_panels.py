"""Comparisons and edits in words: right sentences, right order, nothing unescaped, and handlers that keep nothing."""

import asyncio
import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from engine.drafts.compare import MOST, Draft, compare
from engine.drafts.edits import attempt, edits_of
from engine.images import load_image, pixel_hash
from engine.posts import Post
from tests.page_predictor import DARK, LIGHT, STRANGE, Blind, PageBundle, PagePredictor, drafts
from ui import edits, ranking
from ui.compare import GONE, Comparing
from ui.drafts import unless_emptied
from ui.edits import Editing
from ui.handlers import Page
from ui.newest import Newest
from ui.ranking import ALL, LETTERS, Kept
from ui.scale import scale_of

SCALE = scale_of(PageBundle())  # type: ignore[arg-type]
HOSTILE = "<img src=x onerror=alert(1)> & {{this}} cat"


def page() -> Page:
    return Page(PagePredictor, list)  # type: ignore[arg-type]


def told(html: str) -> str:
    found = re.search(r'role="alert">(.*?)</p>', html)
    return found.group(1) if found else ""


def test_the_headline_says_who_wins_or_that_nobody_does() -> None:
    cat, dull, strange = drafts(Post("My cat and the rocket"), Post("Quarterly results"), Post(STRANGE))
    assert re.fullmatch(
        r"B is likely to do better than A, in \d\d of 100 such cases", ranking.headline(compare([dull, cat]))
    )
    three = ranking.headline(compare([dull, cat, drafts(Post("Quarterly"))[0]]))
    assert re.fullmatch(r"B is ahead: it does better than C in \d\d of 100 such cases", three)
    assert ranking.headline(compare([cat, dull, cat])) == "Too close to call between A and C"
    assert ranking.headline(compare([cat])) == "One draft so far: add another to compare it with"
    assert ranking.headline(compare([strange])) == "There is nothing to rank yet"
    assert ranking.headline(compare([strange, cat])).startswith("Only B can be ranked")


def test_what_makes_the_difference_comes_from_the_sides_alone() -> None:
    best, words, look, both, bare = drafts(
        Post("My cat", LIGHT),
        Post("Quarterly", LIGHT),
        Post("My cat", DARK),
        Post("Quarterly", DARK),
        Post("Quarterly"),
    )

    def of(other: Draft, close: bool = False) -> str:
        return ranking.difference(best, other, ("A", "B"), close)

    assert re.fullmatch(
        r"Against A: by the title alone above \d+ of 100 instead of \d+, the same picture. It is the title.", of(words)
    )
    assert of(look).startswith("Against A: the same title, by the picture alone above ")
    assert of(look).endswith("It is the picture.")
    assert of(both).endswith("Mostly the title.")
    # A side that speaks for the other draft, however loudly, is not what makes the first one better.
    assert both.look and both.words and best.words
    loud, alike = (0.999, 0.99, 1.0), (best.words.percentiles[0] - 0.01, 0.0, 1.0)
    pulled = replace(both, look=replace(both.look, percentiles=loud), words=replace(both.words, percentiles=alike))
    assert of(pulled).endswith("Mostly the title.")
    assert "B has no picture" in of(bare)
    # What cannot be called has no reason.
    assert of(words) == f"{of(words, close=True)} It is the title."


def test_a_title_that_the_model_does_not_read_makes_no_difference() -> None:
    unread = replace(drafts(Post(image=LIGHT))[0], title="My cat")
    titled = replace(unread, title="Quarterly")
    darker = replace(drafts(Post(image=DARK))[0], title="My cat")
    told = ranking.difference(unread, titled, ("A", "B"), close=True)
    assert told == "Against A: the titles were not read, the same picture."
    assert "title" not in ranking.difference(unread, darker, ("A", "B"), close=False)


def test_the_panel_ranks_escapes_and_names_what_is_withheld() -> None:
    found = drafts(Post("Quarterly results"), Post(HOSTILE, LIGHT), Post(f"{STRANGE} cat"))
    html = ranking.panel([Kept(draft) for draft in found], SCALE)
    letters = re.findall(r'fi-letter">(\w)<', html)
    assert letters == ["B", "A", "C"] and html.count("<li>") == 3
    assert "Not ranked: This does not look like a title" in html and "<td>" in html
    assert HOSTILE not in html and "&lt;img src=x" in html
    single = ranking.panel([Kept(found[0])], SCALE)
    assert "best of all" not in single and "<table>" not in single


def test_the_csv_holds_the_ranking_and_no_formula() -> None:
    found = drafts(Post('=HYPERLINK("http://x")'), Post("My cat, “the” first\nof all", LIGHT), Post(STRANGE))
    rows = list(csv.DictReader(io.StringIO(ranking.as_csv(found, compare(found)).decode())))
    assert [row["draft"] for row in rows] == ["B", "A", "C"] and [row["place"] for row in rows] == ["1", "2", ""]
    assert rows[1]["title"] == '\'=HYPERLINK("http://x")' and rows[0]["title"] == "My cat, “the” first\nof all"
    assert [row["has_picture"] for row in rows] == ["true", "false", "false"]
    assert float(rows[0]["beats_a"]) + float(rows[1]["beats_b"]) == pytest.approx(1)
    assert rows[0]["beats_b"] == "" and rows[2]["score"] == "" and rows[2]["reason"]


def test_drafts_are_added_once_and_taken_away() -> None:
    comparing = Comparing(page())
    kept, html = comparing.add((), None, "My cat", "", "")
    assert len(kept) == 1 and not told(html)
    again, html = comparing.add(kept, None, " My cat ", "", "")
    assert again is kept and told(html) == "The comparison has that already."
    kept, html, left = comparing.add_titles(kept, "My dog\n\n My cat\nQuarterly results\n", None, "", "")
    assert [one.draft.title for one in kept] == ["My cat", "My dog", "Quarterly results"]
    assert left == "" and not told(html)
    fewer, html = comparing.remove(kept, "", SimpleNamespace(remove=1))  # type: ignore[arg-type]
    assert [one.draft.title for one in fewer] == ["My cat", "Quarterly results"] and html.count("<li>") == 2
    none, html = comparing.remove(kept, "", SimpleNamespace(remove=ALL))  # type: ignore[arg-type]
    assert none == () and html == ranking.empty()


def test_each_draft_is_compared_with_what_stood_there_when_it_was_added() -> None:
    reads: dict[str, Any] = {"category": ("Music",), "published_at": ()}
    comparing = Comparing(Page(lambda: PagePredictor(context=reads), list))  # type: ignore[arg-type, return-value]
    kept, html = comparing.add((), None, "My cat", "", "", {})
    kept, html, _ = comparing.add_titles(kept, "My cat\nMy dog", None, "", "", {"category": "Music"})
    assert [dict(one.draft.context) for one in kept] == [{}, {"category": "Music"}, {"category": "Music"}]
    assert len({one.draft.whole.score for one in kept[:2]}) == 2
    assert "the same title; what else the model reads differs." in html and "Mostly" not in html
    now, html = comparing.add(kept, None, "My cat", "", "", {"published_at": "soon"})
    assert now is kept and "is no time" in told(html)
    # The fields of another model, which are no longer there.
    comparing = Comparing(page())
    kept, html = comparing.add((), None, "My cat", "", "", {"published_at": "soon"})
    assert len(kept) == 1 and not told(html) and not kept[0].draft.context
    assert "no time" not in page().predict(None, "My cat", "", "", {"published_at": "soon"})[0]


@pytest.mark.parametrize(
    ("titles", "sentence"),
    [
        ("\n".join(f"Title {number}" for number in range(MOST + 1)), "That would be 8 drafts, and at most 6"),
        ("\n".join(f"Title {number}" for number in range(MOST)), "That would be 7 drafts, and at most 6"),
        ("c" * 10_000, "10,000 characters; shorten it"),
        (" \n ", "Write at least one title"),
    ],
)
def test_what_cannot_be_added_leaves_everything_as_it_was(titles: str, sentence: str) -> None:
    comparing = Comparing(page())
    kept, _ = comparing.add((), None, HOSTILE, "", "")
    now, html, left = comparing.add_titles(kept, titles, None, "", "")
    assert now is kept and left == titles
    assert sentence in told(html) and html.count("<li>") == 1
    now, html = comparing.add(kept, None, " ", "", "")
    assert now is kept and "give a picture, a title, or both" in told(html)


def test_what_is_no_longer_kept_is_said_to_be_gone() -> None:
    comparing = Comparing(page())
    kept, html = comparing.add(None, None, "My cat", "", "")
    assert len(kept) == 1 and told(html) == GONE
    for titles, why in ((" \n", "at least one title"), ("\n".join(map(str, range(MOST + 1))), "at most 6")):
        kept, html, left = comparing.add_titles(None, titles, None, "", "")
        assert kept == () and told(html).startswith(GONE) and why in told(html) and left == titles
    _, html = comparing.remove((), "", SimpleNamespace(remove=1))  # type: ignore[arg-type]
    assert told(html) == GONE


def test_the_page_says_what_it_shows_and_all_of_it_may_be_gone_but_not_a_part() -> None:
    added = unless_emptied(lambda kept, title: (kept, title))
    assert added(("a", "b"), "c", Newest(), 2, 1.0) == (("a", "b"), "c")
    assert added((), "c", Newest(), 0, 1.0) == ((), "c")
    assert added((), "c", Newest(), 2, 1.0) == (None, "c")
    # One of them was taken away, and the page does not show that yet.
    assert added(("a",), "c", Newest(), 2, 1.0) == (("a",), "c")


def test_pictures_are_compared_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    shared = page()
    paths = []
    for image in (LIGHT, DARK, LIGHT):
        data = io.BytesIO()
        image.save(data, "PNG")
        path, ready = shared.uploads.keep(data.getvalue())
        ready.result()
        paths.append(path)
    broken, _ = shared.uploads.keep(b"just words")
    kept, html = Comparing(shared).add_pictures((), paths, "My cat", "", "")
    assert len(kept) == 2 and all(one.small.startswith("data:image/webp") for one in kept)
    assert html.count("<img") == 2 and not any(tmp_path.iterdir())
    now, html = Comparing(shared).add_pictures(kept, [broken], "My cat", "", "")
    assert now is kept and "no picture that can be read" in told(html)


def test_a_broken_picture_of_several_is_named_and_the_others_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    shared = page()
    data = io.BytesIO()
    LIGHT.save(data, "PNG")
    paths = [shared.uploads.keep(held)[0] for held in (data.getvalue(), b"just words")]
    kept, html = Comparing(shared).add_pictures((), paths, "My cat", "", "")
    assert len(kept) == 1 and "Picture 2 was left out: " in told(html)
    now, html = Comparing(shared).add_pictures(kept, (), "My cat", "", "")
    assert now is kept and "at least one picture" in told(html)


def test_a_session_keeps_no_picture() -> None:
    [kept] = Comparing(page())._answer([Post("My cat", Image.effect_noise((1024, 1024), 90).convert("RGB"))], "")
    assert len(kept.small) < 20_000
    assert not [value for value in vars(kept.draft).values() if isinstance(value, Image.Image)]


def tried(post: Post) -> str:
    *_, html = Editing(page()).attempt(post)
    return html


def test_edits_are_told_as_the_models_opinion() -> None:
    html = tried(Post("My cat: quarterly results, part 2"))
    assert "Keep only “My cat”" in html and re.search(r"Expected above <b>\d+</b> instead of \d+ of 100", html)
    assert "This is what the model makes of it" in html and re.search(r"up to \d+\.\d of 100 for its title", html)
    assert html.count("data-edit=") == html.count("<li>") <= edits.SHOWN
    assert HOSTILE not in tried(Post(f"{HOSTILE}: quarterly results, part 2"))


def test_one_sentence_where_no_edit_stands_out() -> None:
    html = edits.panel(attempt(Blind(), Post("My dog")), Post("My dog"), SCALE)  # type: ignore[arg-type]
    assert edits.NOTHING in html and "data-edit" not in html and "Would lower" not in html


def test_without_a_draft_or_with_a_withheld_one_nothing_is_tried() -> None:
    [told] = Editing(page()).attempt(None)
    assert "no longer kept here; press Predict again" in told
    assert "change it first" in tried(Post(STRANGE))


def apply(post: Post | None, number: int, label: str) -> tuple[Any, Any]:
    event: Any = SimpleNamespace(edit=number, label=label)
    return asyncio.run(Editing(page()).apply(post, event, gr.Request(session_hash="editor")))


def test_an_edit_goes_into_the_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    post = Post("My cat eats", LIGHT)
    numbered = {edit.label: (number, edit.post) for number, edit in enumerate(edits_of(post))}
    _, title = apply(post, numbered["Drop “eats”"][0], "Drop “eats”")
    assert title == "My cat" and not any(tmp_path.iterdir())
    number, edited = numbered["Crop the top"]
    path, _ = apply(post, number, "Crop the top")
    assert edited.image is not None and pixel_hash(load_image(path)) == pixel_hash(edited.image)
    assert [str(file) for file in tmp_path.iterdir()] == [path]
    page().uploads.forget(gr.Request(session_hash="editor"))
    assert not any(tmp_path.iterdir())


def test_an_edit_of_another_draft_changes_nothing() -> None:
    number = next(place for place, edit in enumerate(edits_of(Post("My cat eats"))) if edit.label == "Drop “eats”")
    for post, place in ((Post("My dog sleeps"), number), (Post("My cat eats"), number + 1), (None, number)):
        assert apply(post, place, "Drop “eats”") == (gr.skip(), gr.skip())


def test_there_is_a_letter_for_every_draft() -> None:
    assert len(set(LETTERS)) == MOST
