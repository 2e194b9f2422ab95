"""What happens on the page: a draft comes in, panels go out. No handler raises, whatever the draft holds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.context import cells_of
from engine.errors import PostError
from engine.explain.base import Explanation
from engine.explain.render import heat_layer
from engine.memory import release, released
from engine.posts import Post
from engine.prediction import Prediction
from ui import details, explanation, history, languages, signals, verdict
from ui.chooser import Choice, Models
from ui.context import fields
from ui.examples import available
from ui.model import Model, load_shipped, load_signals, on_gpu, sentence, zero_gpu
from ui.newest import Newest
from ui.prepared import Prepared, load_prepared
from ui.scale import scale_of
from ui.uploads import UPLOADS, read_draft

if TYPE_CHECKING:
    from engine.bundle import Bundle
    from engine.predictor import Predictor
    from engine.signals import Signal, Signals

# Gradio shows what a stream gave last once more when that ends.
LEFT = gr.skip()
# Outputs of an answer: of these the last are of what comes after it, and are empty until then.
OUTCOME, LATER = 11, 3
# The place of what the browser is to remember, which it would be told of again.
TRIED = OUTCOME - LATER - 1
# Share of the work done, the explanation, and base value and value of the whole model where it is of a part of it.
Explained = tuple[float, Explanation, tuple[float, float] | None]


class Page:
    """The handlers of one app. Nothing of a draft outlives its visitor's session."""

    def __init__(
        self,
        loader: Callable[[], "Predictor"],
        signals_loader: Callable[[], "Signals"] = load_signals,
        offered: Sequence[Choice] = (),
    ) -> None:
        self.model = Model(loader)
        self.models = Models(self.model, offered)
        self._signals = cache(signals_loader)
        self.uploads = UPLOADS
        self.examples = available()
        # What is shipped is of the model that is shipped.
        self.prepared = load_prepared() if loader is load_shipped else Prepared()
        # The predictions of some posts by the model of a name.
        self.predictions = on_gpu(released()(self._predict_here))
        self._explain = on_gpu(released()(self._explain_here))

    def describe(self, model: str = "") -> tuple[Any, ...]:
        """When the page opens, or another model is chosen: tags and description if it reads them, methods if it has
        gradients, its facts, and the fields of the context that it reads."""
        try:
            predictor = self.models.get(model)
            bundle = predictor.bundle
            has_gradients, reads = predictor.has_gradients, predictor.extractor.context
        except Exception as error:
            return *(gr.skip() for _ in range(3)), "", verdict.error_panel(sentence(error)), gr.skip()
        shown = [gr.update(visible=field in predictor.text_fields) for field in ("tags", "description")]
        # A method that is not seen cannot be changed.
        shown.append(gr.update(visible=True) if has_gradients else gr.update(visible=False, value=explanation.OWEN))
        facts = details.model_facts(bundle, predictor.views, sees_more=bool(reads))
        return *shown, facts, gr.skip(), gr.update(shown=fields(reads))

    def ask(self, *asked: Any) -> Any:
        """What `predict` makes of the draft, and empty panels for what comes after it; nothing where the page has asked
        again since, or was emptied.

        The last two of `asked` are the session's `Newest` and the moment of asking.
        """
        *given, newest, moment = asked
        found = () if newest.overtakes(moment) else self.predict(*given)
        if newest.overtakes(moment):
            return tuple(None if place == TRIED else gr.skip() for place in range(OUTCOME))
        *_, draft, _, _ = found
        newest.show(draft)
        return *found, *[""] * LATER

    def ask_another(self, *asked: Any) -> Any:
        """What `ask` gives once another model is chosen; without a draft what `start_over` does, if there was one."""
        path, title, tags, description, *_, newest, moment = asked
        if path or title or tags or description:
            return self.ask(*asked)
        return self.start_over(newest, moment) if newest.asked else (gr.skip(),) * OUTCOME

    def predict(
        self, path: str | None, title: str, tags: str, description: str, given: Any = None, model: str = ""
    ) -> tuple[Any, ...]:
        """Verdict, votes, record, explanation and signals reset, the draft that these will be of, the draft that the
        verdict is of, and what the browser remembers of it. `given` is the draft's context.

        What is withheld has no explanation and no signals.
        """
        try:
            post = read_draft(path, title, tags, description, self.context_for(given, model))
            prediction, bundle = self.answer(post, model)
            scale = scale_of(bundle)
        except Exception as error:
            panel = verdict.error_panel(sentence(error), another=not self.models.is_first(model))
            return panel, "", None, "", "", None, None, None
        tried = history.entry(post, prediction, scale)
        language = "" if prediction.view == "image" else languages.remark(post.title, bundle.languages)
        panel = verdict.verdict_panel(prediction, bundle.cuts, scale, post.image, language)
        votes = details.members_table(prediction, scale)
        record = details.record(prediction, scale, cells_of(post))
        if prediction.strange is not None:
            return panel, votes, record, verdict.unexplained(prediction), "", None, post, tried
        return panel, votes, record, explanation.HINT, signals.WORKING, post, post, tried

    def signals(self, post: Post | None, model: str = "", newest: Newest | None = None) -> Iterator[Any]:
        """The card on picture and words of the draft that was predicted last, one signal after another.

        Nothing more once `newest` shows another one.
        """
        if post is None:
            return
        try:
            bundle = self.models.get(model).bundle
            found: list[Signal] = []
            with released():
                for signal in self._signals().stream(post):
                    if newest and newest.left(post):
                        break
                    found.append(signal)
                    yield signals.card(found, bundle, done=False)
            yield LEFT if newest and newest.left(post) else signals.card(found, bundle)
        except Exception as error:
            # The verdict stands without it.
            sentence(error)
            yield ""

    def explain(self, post: Post | None, method: str, model: str = "", newest: Newest | None = None) -> Iterator[Any]:
        """The explanation of the draft that was predicted last, ever sharper; no more once `newest` shows another."""
        if post is None:
            yield verdict.error_panel(verdict.GONE, "No explanation")
            return
        if newest and newest.left(post):
            return
        yield explanation.WORKING
        try:
            with released():
                for share, reasons, whole in self._explanations(post, method, model):
                    if newest and newest.left(post):
                        yield LEFT
                        return
                    yield explanation.explanation_panel(reasons, post.image, heat_layer(reasons), share, whole)
        except Exception as error:
            yield verdict.error_panel(sentence(error), "No explanation")

    def start_over(self, newest: Newest, moment: float) -> tuple[Any, ...]:
        """Empty panels, those of `ask`. No answer asked for before comes after."""
        newest.overtakes(moment)
        newest.show(None)
        return verdict.EMPTY, "", None, "", "", None, None, None, *[""] * LATER

    def api_predict(
        self,
        picture: str | None = None,
        title: str = "",
        tags: str = "",
        description: str = "",
        model: str = "",
        context: Any = None,
    ) -> dict[str, Any]:
        """Predict the engagement level of an unpublished post.

        A title or a picture is enough. Tags (separated by commas, or a list) and description count only where the model
        reads them; model names another one where there are several. context says when, where, by whom and as what it is
        published, with the names that a file's columns have (published_at, latitude, longitude, category,
        author.photo_count and the like), as far as known; it counts only where the model reads it. Returns level,
        confidence, five probabilities, the 9-in-10 level set, the estimated score with its 80 % interval and formula,
        the members' votes and notes, and the context where there is one. The picture is deleted before the answer is
        sent.
        """
        with self.used_once([picture]):
            post = read_draft(picture, title, tags, description, context)
            prediction, bundle = self.answer(post, model)
            return details.record(prediction, scale_of(bundle), cells_of(post))

    def api_explain(
        self,
        picture: str | None = None,
        title: str = "",
        tags: str = "",
        description: str = "",
        method: str = explanation.OWEN,
        model: str = "",
        context: Any = None,
    ) -> dict[str, Any]:
        """Explain a prediction: what each word and each region of the picture added to the expected level (0-4).

        Takes what the prediction takes, and a method: "owen" asks the whole model, "integrated_gradients" those of
        its members that have gradients. Returns base value, value, signed words, regions (box in 0..1 of width and
        height, and value), shares of both sides, the completeness error, and notes on what was attributed.
        """
        with self.used_once([picture]), released():
            # Anything may have been given, also what is no key.
            if method not in list(explanation.METHODS):
                raise PostError(f"There is no such method; take one of {', '.join(explanation.METHODS)}.")
            post = read_draft(picture, title, tags, description, context)
            prediction, _ = self.answer(post, model)
            if prediction.strange is not None:
                raise PostError(verdict.not_explained(prediction))
            *_, (_, reasons, _) = self._explanations(post, method, model)
            return explanation.record(reasons)

    def api_signals(
        self, picture: str | None = None, title: str = "", tags: str = "", description: str = "", model: str = ""
    ) -> dict[str, Any]:
        """Read what picture and words of an unpublished post say to each other.

        Takes what the prediction takes. Returns for each signal its value, its percentile among the dataset's posts
        (0-1, null where that is not known), one sentence, which is the reason where the value is null, and what was
        read on the way, such as the caption. These are associations, not causes.
        """
        with self.used_once([picture]):
            post = read_draft(picture, title, tags, description)
            predictor = self.models.get(model)
            predictor.view_of(post)
            with released():
                return signals.record(list(self._signals().read(post).values()), predictor.bundle)

    @contextmanager
    def used_once(self, paths: Iterable[str | None]) -> Iterator[None]:
        """Delete a program's files after the block, and say in a sentence what went wrong in it."""
        try:
            yield
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from None
        finally:
            for path in paths:
                self.uploads.drop(path)

    def context_for(self, given: Any, model: str) -> Any:
        """Of what the page's fields hold what the model reads: for the rest there is no field any more to mend it."""
        if not given or not isinstance(given, dict):
            return given
        reads = self.models.get(model).extractor.context
        return {name: value for name, value in given.items() if name in reads}

    def answer(self, post: Post, model: str) -> tuple[Prediction, "Bundle"]:
        """The prediction and the bundle it comes from; of an example before the model is there."""
        known = self.prepared.find(post) if self.models.is_first(model) else None
        if known is not None:
            return known.prediction, known.bundle
        # Loaded here, where it stays, and not in a lent worker.
        bundle = self.models.get(model).bundle
        return self.predictions([post], model)[0], bundle

    def _explanations(self, post: Post, method: str, model: str) -> Iterable[Explained]:
        """The explanation, ever sharper; at once where it is known."""
        known = self.prepared.find(post) if self.models.is_first(model) else None
        if known is not None and known.explanation is not None and method == explanation.OWEN:
            return [(1.0, known.explanation, None)]
        self.models.get(model)
        # A lent worker hands its answer over when it is done.
        return [self._explain(post, method, model)] if zero_gpu() else self._stream(post, method, model)

    def _predict_here(self, posts: Sequence[Post], model: str) -> list[Prediction]:
        return self.models.get(model).predict(posts)

    def _explain_here(self, post: Post, method: str, model: str) -> Explained:
        *_, last = self._stream(post, method, model)
        return last

    def _stream(self, post: Post, method: str, model: str) -> Iterator[Explained]:
        # These pull in torch, which the page does not wait for.
        from engine.explain import gradients, owen
        from engine.explain.game import ends

        predictor = self.models.get(model)
        # Not on top of what the last one has left, which goes back in a moment.
        release()
        if method == explanation.GRADIENTS:
            yield 1.0, gradients.explain(predictor, post), ends(predictor, post)
            return
        for share, reasons in owen.stream(predictor, post):
            yield share, reasons, None
