"""The page's sentences and panels: right words, right order, nothing unescaped."""

import dataclasses
import re
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from engine.errors import BundleError, EncoderError, ImageError, PostError
from engine.explain.base import Explanation
from engine.explain.render import heat_layer
from engine.posts import Post
from engine.prediction import Prediction
from engine.scoring import LEVELS
from tests.page_predictor import CUTS, POPULARITY_FORMULA, PageBundle, PagePredictor
from ui import bars, details, examples, explanation, handlers, model, uploads, verdict
from ui.newest import Newest
from ui.scale import Scale, scale_of

RATE = scale_of(PageBundle())  # type: ignore[arg-type]
HOSTILE = "<img src=x onerror=alert(1)> & {{this}} ${value}"


@pytest.fixture
def prediction() -> Prediction:
    return PagePredictor().predict([Post(title="My cat never sleeps!")])[0]


def popularity() -> Scale:
    return scale_of(PageBundle(score_formula=POPULARITY_FORMULA))  # type: ignore[arg-type]


def changed(prediction: Prediction, **changes: Any) -> Prediction:
    return dataclasses.replace(prediction, **changes)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.68, "Likely to beat about 7 of 10 posts"),
        (0.12, "Likely to beat about 1 of 10 posts"),
        (0.97, "Likely among the top tenth of posts"),
        (0.02, "Likely among the lowest tenth of posts"),
    ],
)
def test_headline_says_how_many_of_ten_are_beaten(prediction: Prediction, share: float, words: str) -> None:
    assert verdict.headline(changed(prediction, percentiles=(share, 0.1, 0.99)), RATE) == words


def test_the_crowd_is_named_as_the_data_are() -> None:
    described = PageBundle(data={"description": "the YouTube Trending Video Dataset"})
    assert scale_of(described).crowd == "trending posts"  # type: ignore[arg-type]


def test_certainty_is_one_sentence_with_the_range(prediction: Prediction) -> None:
    sure = changed(prediction, percentiles=(0.5, 0.22, 0.81), level_set=(2, 3))
    assert (
        verdict.certainty(sure, RATE)
        == "Fairly unsure: 8 times in 10, a draft like this beats between 2 and 8 of 10 posts."
    )
    # One range, one word, whatever the level set.
    assert verdict.certainty(changed(sure, level_set=(3,)), RATE) == verdict.certainty(sure, RATE)
    for high, word in ((0.22, "Quite sure"), (0.5, "Fairly sure"), (0.9, "Very unsure"), (1.0, "Very unsure")):
        assert verdict.certainty(changed(sure, percentiles=(0.2, 0.2, high)), RATE).startswith(word)
    wide = changed(prediction, percentiles=(0.5, 0.01, 0.99), level_set=(0, 1, 2, 3, 4))
    assert verdict.certainty(wide, RATE) == (
        "Not sure at all: 8 times in 10, a draft like this beats between almost none and nearly all of 10 posts."
    )


def test_what_cannot_be_told_is_not_praised(prediction: Prediction) -> None:
    unclear = changed(prediction, abstain=True, percentiles=(0.9, 0.2, 0.95))
    html = verdict.verdict_panel(unclear, CUTS, RATE)
    assert "Hard to call" in html and "could go almost anywhere" in html
    for praise in ("Likely to beat", "Likeliest level", "top tenth"):
        assert praise not in html


@pytest.mark.parametrize(("side", "what"), [("text", "title"), ("image", "picture")])
def test_a_strange_side_is_named_and_nothing_is_estimated(prediction: Prediction, side: Any, what: str) -> None:
    html = verdict.verdict_panel(changed(prediction, abstain=True, strange=side, view="both"), CUTS, RATE)
    assert f"This does not look like a {what} the model has learned from" in html
    for wrong in ("Likely to beat", "points per 100 views", "8 times in 10"):
        assert wrong not in html
    assert details.members_table(changed(prediction, strange=side), RATE) == ""


@pytest.mark.parametrize(("side", "view", "what"), [("text", "image", "picture"), ("image", "text", "title")])
def test_beside_a_strange_side_the_other_one_counts(prediction: Prediction, side: Any, view: Any, what: str) -> None:
    left = changed(prediction, abstain=True, strange=side, view=view, percentiles=(0.6, 0.2, 0.8))
    html = verdict.verdict_panel(left, CUTS, RATE)
    assert html.index(verdict.STRANGE[side]) < html.index(
        f"So only the {what} counts: 8 times in 10, a draft like this beats"
    )
    assert "between 2 and 8 of 10 posts" in html and "fi-bar" in html
    for praise in ("Likely to beat", "Likeliest level", "points per 100 views"):
        assert praise not in html
    other = {"title": "picture", "picture": "title"}[what]
    assert f"Clear the {other} and predict again" in verdict.unexplained(left)
    assert "nothing to explain" in verdict.unexplained(changed(left, view="both"))


def test_shares_of_the_members_add_up(prediction: Prediction) -> None:
    votes = [dataclasses.replace(prediction.members[0], weight=weight) for weight in (0.9, 0.6)]
    html = details.members_table(changed(prediction, members=tuple(votes)), RATE).replace("\u00a0", " ")
    assert "<td>60 %</td>" in html and "<td>40 %</td>" in html


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.061, "6.1"), (0.114, "11"), (0.0043, "0.43"), (0.000012, "0.0012"), (0.0, "0"), (12.0, "1,200")],
)
def test_points_per_hundred_views(score: float, text: str) -> None:
    assert RATE.number(score) == text


@pytest.mark.parametrize(
    ("score", "text", "mark"),
    [
        (1.0, "1.0", "1.0"),
        (37.4, "37", "37"),
        (99.6, "100", "100"),
        (9949.0, "9,900", "9,900"),
        (9951.0, "10,000", "10k"),
        (12345.6, "12,000", "12k"),
        (2.96e6, "3,000,000", "3,000k"),
    ],
)
def test_popularity_is_not_per_view(score: float, text: str, mark: str) -> None:
    assert (popularity().number(score), popularity().mark(score)) == (text, mark)


def test_estimate_gives_its_interval(prediction: Prediction) -> None:
    rated = changed(prediction, score=0.061, score_low=0.029, score_high=0.114)
    assert verdict.estimate(rated, RATE) == "About 6.1 points per 100 views, most likely between 2.9 and 11."
    reached = changed(prediction, score=5230.0, score_low=812.0, score_high=33600.0)
    assert verdict.estimate(reached, popularity()) == (
        "About 5,200 popularity points, most likely between 810 and 34,000."
    )


def test_points_leave_out_counts_that_the_data_lack(prediction: Prediction) -> None:
    complete = scale_of(PageBundle(data={}))  # type: ignore[arg-type]
    assert "a like counts 1, a comment counts 2, a share counts 3." in verdict.verdict_panel(prediction, CUTS, complete)
    assert "a like counts 1, a comment counts 2. " in verdict.verdict_panel(prediction, CUTS, RATE)


def test_a_method_that_the_model_lacks_is_not_left_chosen_out_of_sight() -> None:
    predictor = PagePredictor()
    page = handlers.Page(lambda: predictor)  # type: ignore[arg-type, return-value]
    assert page.describe()[2] == gr.update(visible=False, value=explanation.OWEN)
    predictor.has_gradients = True
    assert page.describe()[2] == gr.update(visible=True)


def test_a_popularity_bundle_speaks_of_no_rate() -> None:
    page = handlers.Page(lambda: PagePredictor(score_formula=POPULARITY_FORMULA))  # type: ignore[arg-type, return-value]
    *_, facts, _, _ = page.describe()
    panel, votes, record, *_ = page.predict(None, "My cat never sleeps!", "", "")
    for html in (facts, panel, votes):
        assert "opularity" in html
        for wrong in ("per 100", "ngagement", "like counts", "max(views"):
            assert wrong not in html, wrong
    assert "Popularity score v1: 1 + 0.4321·likes" in facts
    assert (record["score_name"], record["score_formula"]) == ("popularity", POPULARITY_FORMULA)


# What the browser remembers would be remembered again.
SKIPPED = tuple(None if place == handlers.TRIED else gr.skip() for place in range(handlers.OUTCOME))


@pytest.mark.parametrize("later", ["nothing", "asked again", "emptied before", "emptied meanwhile"])
def test_an_answer_lands_unless_the_page_moved_on(later: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page, newest = handlers.Page(PagePredictor), Newest()  # type: ignore[arg-type]
    answer = page.answer
    if later == "emptied before":
        page.start_over(newest, 2.0)
    if later == "emptied meanwhile":
        monkeypatch.setattr(page, "answer", lambda *asked: (page.start_over(newest, 2.0), answer(*asked))[1])
    found = page.ask(None, "My cat", "", "", {}, "", newest, 1.0)
    assert len(found) == handlers.OUTCOME == len(page.start_over(Newest(), 0.0))
    assert (found == SKIPPED) == later.startswith("emptied")
    if later == "asked again":
        assert "fi-verdict" in page.ask(None, "My other cat", "", "", {}, "", newest, 2.0)[0]
        assert page.ask(None, "My cat", "", "", {}, "", newest, 1.0) == SKIPPED


def test_another_model_is_asked_where_there_is_a_draft() -> None:
    page, newest = handlers.Page(PagePredictor), Newest()  # type: ignore[arg-type]
    # As when a link names the model: what is shown stays, such as why the model cannot be had.
    assert page.ask_another(None, "", "", "", {}, "", newest, 1.0) == (gr.skip(),) * handlers.OUTCOME
    assert "fi-verdict" in page.ask_another(None, "My cat", "", "", {}, "", newest, 2.0)[0]
    assert "fi-error" in page.ask_another(None, "", "", "Words alone", {}, "", newest, 3.0)[0]
    # The former model's verdict does not stand under the other's name once its draft is emptied by hand.
    assert page.ask_another(None, "", "", "", {}, "", newest, 4.0) == page.start_over(newest, 4.0)


def test_an_explanation_ends_when_another_verdict_is_shown() -> None:
    page, newest, post = handlers.Page(PagePredictor), Newest(), Post("My cat")  # type: ignore[arg-type]
    assert not list(page.explain(post, "owen", "", newest))
    newest.show(post)
    assert "fi-" in list(page.explain(post, "owen", "", newest))[-1]
    begun = page.explain(post, "owen", "", newest)
    next(begun)
    # Equal, and yet another one: it may have been asked for again.
    newest.show(dataclasses.replace(post))
    assert list(begun) == [gr.skip()]


@pytest.mark.parametrize(("title", "reads"), [("My cat", ()), ("  ", ("title",))])
def test_a_picture_is_explained_beside_a_title_that_takes_no_part(title: str, reads: tuple[str, ...]) -> None:
    page = handlers.Page(lambda: PagePredictor(text_fields=reads))  # type: ignore[arg-type,return-value]
    draft = Post(title, Image.new("RGB", (64, 48), "orange"))
    shown = list(page.explain(draft, "owen"))[-1]
    assert "fi-why" in shown and 'id="words"' not in shown


def test_an_engagement_bundle_prints_its_own_formula() -> None:
    formula = "v9: (2·likes) / max(views, 1)"
    page = handlers.Page(lambda: PagePredictor(score_formula=formula))  # type: ignore[arg-type, return-value]
    panel, votes, record, *_ = page.predict(None, "My cat never sleeps!", "", "")
    assert "points per 100 views" in panel and "Points per 100 views" in votes and "Likely engagement" in panel
    assert (record["score_name"], record["score_formula"]) == ("engagement", formula)
    assert f"Engagement score {formula}" in page.describe()[3]


def test_bars_keep_the_order_of_levels_whatever_the_probabilities(prediction: Prediction) -> None:
    html = bars.probability_bars(changed(prediction, probabilities=(0.1, 0.5, 0.002, 0.3, 0.098)))
    assert re.findall(r'fi-name">([^<]+)<', html) == list(LEVELS)
    shares = [share.replace("\u00a0", " ") for share in re.findall(r'fi-share">([^/]+)</span>', html)]
    assert shares == ["10 %", "50 %", "&lt; 1 %", "30 %", "10 %"]
    assert re.findall(r'fi-fill fi-level-(\d)" style="width:([\d.]+)%', html) == [
        ("0", "10.0"),
        ("1", "50.0"),
        ("2", "0.2"),
        ("3", "30.0"),
        ("4", "9.8"),
    ]
    assert html.count("fi-prior") == 5 and "left:20.0%" in html


def test_bars_mark_the_level_set_and_the_verdict(prediction: Prediction) -> None:
    html = bars.probability_bars(changed(prediction, level=3, level_set=(2, 3)))
    rows = re.findall(r'<li class="([^"]+)"', html)
    assert rows == ["fi-bar", "fi-bar", "fi-bar fi-possible", "fi-bar fi-chosen fi-possible", "fi-bar"]
    assert "fi-chosen" not in bars.probability_bars(changed(prediction, abstain=True))


def test_ruler_stays_inside_the_card_for_extreme_scores(prediction: Prediction) -> None:
    html = verdict.verdict_panel(changed(prediction, score=1e-9, score_low=0.0, score_high=3.0), CUTS, RATE)
    places = [float(place) for place in re.findall(r"left:(-?[\d.]+)%", html)]
    assert places and all(0 <= place <= 100 for place in places)


def test_panels_escape_what_they_show(prediction: Prediction) -> None:
    vote = dataclasses.replace(prediction.members[0], member=HOSTILE)
    hostile = changed(prediction, note=HOSTILE, reason=HOSTILE, abstain=True, members=(vote,))
    panels = [
        verdict.verdict_panel(hostile, CUTS, scale_of(PageBundle(score_formula=HOSTILE))),  # type: ignore[arg-type]
        details.model_facts(PageBundle(score_formula=f"popularity {HOSTILE}")),  # type: ignore[arg-type]
        verdict.error_panel(HOSTILE),
        details.members_table(hostile, RATE),
        examples.example_cards([examples.Example(HOSTILE)]),
        explanation.fine_print(explained(notes=(HOSTILE,), words=((HOSTILE, 0.4),))),
    ]
    for panel in panels:
        assert "<img src=x" not in panel and "&lt;img" in panel


def test_model_facts_come_from_the_bundle_alone() -> None:
    html = details.model_facts(PagePredictor().bundle)
    for part in ("1,234 posts of a made-up dataset", "567 test posts", "0.41", "0.36 to 0.46", "guessing: 20\u00a0%"):
        assert part in html
    assert "picture only" not in html
    bare = dataclasses.replace(PagePredictor().bundle, test_metrics={}, data={}, notes=())
    assert "<table" not in details.model_facts(bare) and "not who publishes it" in details.model_facts(bare)


def test_record_names_levels_in_order(prediction: Prediction) -> None:
    record = details.record(prediction, RATE)
    assert list(record["probabilities"]) == list(LEVELS)
    assert record["level"] in LEVELS and "post_id" not in record


def explained(**changes: Any) -> Explanation:
    facts: dict = {
        "method": "Owen values",
        "base_value": 2.0,
        "value": 3.0,
        "words": (("cat ", 0.8), ("sleeps", -0.2)),
        "notes": ("Words are deleted.",),
        "segments": np.array([[0, 1], [0, 1]]),
        "segment_values": np.array([0.5, -0.1]),
        "seconds": 1.5,
        "evaluations": 40,
    }
    return Explanation(**{**facts, **changes})


def test_words_are_coloured_by_what_they_did_and_told_in_numbers() -> None:
    html = explanation.explanation_panel(explained(words=(("cat ", 0.8), ("the ", 0.0), ("sleeps", -0.2))), None, None)
    found = re.findall(r'<span class="(fi-\w+)" style="--strength:([\d.]+)" title="([^"]+)">([^<]+)</span>', html)
    assert [(kind, text) for kind, _, _, text in found] == [
        ("fi-raises", "cat "), ("fi-plain", "the "), ("fi-lowers", "sleeps")
    ]  # fmt: skip
    assert [float(strength) for _, strength, _, _ in found] == pytest.approx(
        [explanation.STRONGEST, 0, explanation.STRONGEST / 4]
    )
    assert "“cat” +0.80, “sleeps” −0.20 levels." in html


def test_what_lies_within_its_noise_is_shown_as_such() -> None:
    noisy = explained(half_widths=np.array([0.05, 0.2, 0.0, 0.0]))
    picture = Image.new("RGB", (20, 10), "red")
    html = explanation.explanation_panel(noisy, picture, heat_layer(noisy))
    assert "1 of 2 parts are left clear" in html and "±0.20 levels" in html
    assert "left clear" not in explanation.explanation_panel(explained(), picture, heat_layer(explained()))


def test_while_it_gets_sharper_it_says_so() -> None:
    assert "<progress" in explanation.explanation_panel(explained(), None, None, share=0.3)
    assert "<progress" not in explanation.explanation_panel(explained(), None, None)


def test_the_network_alone_is_named_and_a_contradiction_explained() -> None:
    alone = explanation.explanation_panel(explained(), None, None, whole=(2.0, 2.4))
    assert "The network alone" in alone and "other way" not in alone
    against = explanation.explanation_panel(explained(), None, None, whole=(2.0, 1.4))
    assert "The whole model goes the other way, down by 0.6 levels" in against and "no gradients" in against
    assert "other way" not in explanation.explanation_panel(explained(), None, None, whole=(2.0, 1.99))
    assert not any(fast in label for label in explanation.METHODS.values() for fast in ("fast", "Fast"))


def test_summary_tells_direction_and_side() -> None:
    assert explanation.summary(explained()) == (
        "This draft is expected 1.0 levels above an empty one, mostly through the words."
    )
    alone = explained(words=(), value=1.0)
    assert explanation.summary(alone).endswith("1.0 levels below an empty one, by its picture alone.")
    blind = explained(segments=None, segment_values=None)
    assert explanation.summary(blind).endswith("by its words alone.")
    # Where the sum is nothing there is no side that it comes from.
    level = explanation.summary(explained(value=2.01))
    assert "as well as an empty one: what raises it and what lowers it weigh the same" in level


def test_fine_print_says_what_is_attributed_and_how_exactly() -> None:
    html = explanation.fine_print(explained())
    for part in ("Owen values", "expected level", "2.00", "3.00", "1.5 seconds", "40 variants"):
        assert part in html


def test_the_picture_stands_beside_itself_under_the_heat_map() -> None:
    html = explanation.explanation_panel(explained(), Image.new("RGB", (2000, 1000), "red"), heat_layer(explained()))
    assert html.count('src="data:image/jpeg;base64,') == 2 and html.count('src="data:image/png;base64,') == 1
    assert 'alt="Heat map' in html and 'type="range"' in html and "+0.50 levels" in html
    assert "<img" not in explanation.explanation_panel(explained(segments=None, segment_values=None), None, None)


def test_explanation_record_has_boxes_of_regions() -> None:
    regions = explanation.record(explained())["regions"]
    assert regions == [{"box": [0.0, 0.0, 0.5, 1.0], "value": 0.5}, {"box": [0.5, 0.0, 1.0, 1.0], "value": -0.1}]


def test_sentence_shows_our_errors_and_hides_the_others(caplog: pytest.LogCaptureFixture) -> None:
    assert model.sentence(PostError("Shorten the title.")) == "Shorten the title."
    try:
        raise ValueError("the secret draft")
    except ValueError as error:
        assert model.sentence(error) == model.UNEXPECTED
    assert "ValueError" in caplog.text and "secret" not in caplog.text


@pytest.mark.parametrize("kind", [BundleError, EncoderError])
def test_the_servers_folders_are_for_its_log(kind: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> PagePredictor:
        raise kind("There is no bundle at /srv/models/youtube/bundle; train one.")

    page = handlers.Page(broken)  # type: ignore[arg-type]
    shown = f"{page.describe()} {page.predict(None, 'My cat', '', '')} {[*page.explain(Post('My cat'), '')]}"
    assert "/srv" not in shown and shown.count(model.UNAVAILABLE) == 3
    assert caplog.text.count("/srv/models/youtube/bundle") == 3


def test_a_failed_load_is_tried_again() -> None:
    attempts: list[int] = []

    def load() -> PagePredictor:
        attempts.append(1)
        if len(attempts) == 1:
            raise BundleError("There is no bundle.")
        return PagePredictor()

    held = model.Model(load)  # type: ignore[arg-type]
    with pytest.raises(BundleError):
        held.get()
    assert isinstance(held.get(), PagePredictor)
    assert held.get() is held.get() and len(attempts) == 2


def test_a_lent_gpu_keeps_our_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ZeroGPU worker replaces exceptions by one of its own; ours cross as values."""

    class Spaces:
        @staticmethod
        def GPU(duration: int):  # noqa: N802
            def lend(function):
                def worker(*args):
                    try:
                        return function(*args)
                    except Exception:
                        raise RuntimeError("GPU task aborted") from None

                return worker

            return lend

    def refuse(_: object) -> None:
        raise PostError("Shorten the title.")

    monkeypatch.setitem(model.sys.modules, "spaces", Spaces)  # type: ignore[arg-type]
    with pytest.raises(PostError, match="Shorten"):
        model.on_gpu(refuse)("x")
    assert model.on_gpu(len)("four") == 4


def test_drafts_are_read_with_their_limits(tmp_path) -> None:
    post = uploads.read_draft(None, "  A title ", "one, two ,,", None)
    assert (post.title, post.tags, post.description) == ("A title", ("one", "two"), "")
    assert uploads.read_draft(None, "A title", [" one, two ", ""]).tags == ("one, two",)
    for odd in ({"a": 1}, 5, True, [1], ["a"]):
        with pytest.raises(PostError, match=r"The title is no text; write it in quotes\."):
            uploads.read_draft(None, odd)
        with pytest.raises(PostError, match="The description is no text"):
            uploads.read_draft(None, "A title", "", odd)
        if odd != ["a"]:
            with pytest.raises(PostError, match="The tags are no text and no list of texts"):
                uploads.read_draft(None, "A title", odd)
    with pytest.raises(PostError, match="characters"):
        uploads.read_draft(None, "a" * 1_000_000)
    with pytest.raises(ImageError, match="choose it again"):
        uploads.read_draft(str(tmp_path / "gone.png"), "")


def test_paths_outside_the_upload_folder_are_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    inside = tmp_path / "a.png"
    assert uploads.uploaded_path({"path": str(inside)}) == str(inside)
    for path in ("/etc/hostname", str(tmp_path / ".." / "a.png")):
        with pytest.raises(gr.Error, match="not among the uploads"):
            uploads.uploaded_path({"path": path})


def test_every_example_is_installed_and_carries_a_thumbnail() -> None:
    assert examples.available() == list(examples.EXAMPLES)
    assert examples.example_cards().count("data:image/webp;base64,") == sum(bool(e.picture) for e in examples.EXAMPLES)


def test_a_category_is_told_and_written_on_the_picture(prediction: Prediction) -> None:
    likes = scale_of(PageBundle(score_formula="likes as the table gives them: 1 + likes"))  # type: ignore[arg-type]
    assert (likes.name, likes.number(1234.0)) == ("likes", "1,200")
    said = changed(
        prediction, categories=(("<b>", 0.5), ("Music", 0.3), ("Sports", 0.15), ("Gaming", 0.05)), score=900.0
    )
    html = verdict.verdict_panel(said, CUTS, likes, Image.new("RGB", (900, 500))).replace("\u00a0", " ")
    assert "Likeliest category: &lt;b&gt; 50 %, then Music 30 %, Sports 15 %." in html and "Gaming" not in html
    assert "<figcaption><b>&lt;b&gt; 50 %</b><span>900 likes (" in html and "data:image/jpeg;base64," in html
    assert "<figure" not in verdict.verdict_panel(said, CUTS, likes)
    assert "category" not in verdict.verdict_panel(prediction, CUTS, likes, Image.new("RGB", (9, 9)))
    assert details.record(said, likes)["categories"]["Music"] == 0.3
    assert "categories" not in details.record(prediction, likes)
