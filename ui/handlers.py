"""What happens on the page: a draft comes in, panels go out. No handler raises, whatever the draft holds."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.explain.base import Explanation
from engine.posts import Post
from engine.prediction import Prediction
from ui import details, explanation, verdict
from ui.examples import available
from ui.model import Model, on_gpu, sentence, zero_gpu
from ui.scale import scale_of
from ui.uploads import Uploads, read_draft

if TYPE_CHECKING:
    from PIL import Image

    from engine.predictor import Predictor


class Page:
    """The handlers of one app. Nothing of a draft outlives its visitor's session."""

    def __init__(self, loader: Callable[[], "Predictor"]) -> None:
        self.model = Model(loader)
        self.uploads = Uploads()
        self.examples = available()
        self._predict = on_gpu(self._predict_here)
        self._explain = on_gpu(self._explain_here)

    def describe(self) -> tuple[Any, ...]:
        """When the page opens: tags and description if the model reads them, methods if it has gradients, its facts."""
        try:
            predictor = self.model.get()
            bundle = predictor.bundle
            has_gradients = predictor.has_gradients
        except Exception as error:
            return *(gr.skip() for _ in range(3)), "", verdict.error_panel(sentence(error))
        shown = (*(field in bundle.text_fields for field in ("tags", "description")), has_gradients)
        return *(gr.update(visible=is_shown) for is_shown in shown), details.model_facts(bundle), gr.skip()

    def predict(self, path: str | None, title: str, tags: str, description: str) -> tuple[Any, ...]:
        """Verdict, votes, record, explanation reset, and the draft kept for explaining this very answer."""
        try:
            post = read_draft(path, title, tags, description)
            prediction = self._predict(post)
            bundle = self.model.get().bundle
            scale = scale_of(bundle)
        except Exception as error:
            return verdict.error_panel(sentence(error)), "", None, *self._unexplained(explanation.FIRST), None
        panel = verdict.verdict_panel(prediction, bundle.cuts, scale)
        votes, record = details.members_table(prediction, scale), details.record(prediction, scale)
        return panel, votes, record, *self._unexplained(explanation.HINT), post

    def explain(self, post: Post | None, method: str, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        """Explanation panel, signed words and fine print for the draft that was predicted last."""
        if post is None:
            return self._unexplained(explanation.FIRST)
        try:
            # What goes to a lent worker is pickled, and a progress bar cannot be.
            reasons, overlay = self._explain(post, method, None if zero_gpu() else progress)
        except Exception as error:
            return self._unexplained(verdict.error_panel(sentence(error), "No explanation"))
        words = explanation.signed_words(reasons)
        return (
            explanation.explanation_panel(reasons, overlay),
            gr.update(value=words, visible=bool(words)),
            explanation.fine_print(reasons),
        )

    def load_example(self, event: gr.EventData) -> tuple[str | None, str, str, str]:
        """Picture, title, no tags and no description of the example that was clicked."""
        example = self.examples[int(event.example) % len(self.examples)]
        return str(example.path) if example.path else None, example.title, "", ""

    def start_over(self) -> tuple[Any, ...]:
        """An empty draft and empty panels."""
        return None, "", "", "", verdict.EMPTY, "", None, *self._unexplained(explanation.FIRST), None

    def api_predict(
        self, picture: str | None, title: str, tags: str, description: str, request: gr.Request
    ) -> dict[str, Any]:
        """Predict the engagement level of an unpublished post.

        Give a picture file, a title, or both; tags (separated by commas) and description count only where the model
        reads them. Returns level, confidence, five probabilities, the 9-in-10 level set, the estimated score with its
        80 % interval and formula, the members' votes and notes. Files are deleted when the session ends, in an hour at
        most.
        """
        self.uploads.remember(picture, request)
        try:
            prediction = self._predict(read_draft(picture, title, tags, description))
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from None
        return details.record(prediction, scale_of(self.model.get().bundle))

    def api_explain(
        self, picture: str | None, title: str, tags: str, description: str, method: str, request: gr.Request
    ) -> dict[str, Any]:
        """Explain a prediction: what each word and each region of the picture added to the expected level (0-4).

        Returns base value, value, signed words, regions (box in 0..1 of width and height, and value), shares of both
        sides, the completeness error, and notes on what was attributed.
        """
        self.uploads.remember(picture, request)
        try:
            reasons, _ = self._explain(read_draft(picture, title, tags, description), method, None)
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from None
        return explanation.record(reasons)

    def _predict_here(self, post: Post) -> Prediction:
        return self.model.get().predict([post])[0]

    def _explain_here(
        self, post: Post, method: str, progress: gr.Progress | None
    ) -> "tuple[Explanation, Image.Image | None]":
        # Both pull in torch, which the page does not wait for.
        from engine.explain import gradients, render, shapley

        predictor = self.model.get()
        if method == explanation.GRADIENTS:
            reasons = gradients.explain(predictor, post)
        else:
            reasons = shapley.explain(predictor, post, progress=progress)
        return reasons, render.heat_overlay(post.image, reasons) if post.image is not None else None

    @staticmethod
    def _unexplained(panel: str) -> tuple[Any, ...]:
        """Reasons, words, fine print while there are none."""
        return panel, gr.update(value=None, visible=False), ""
