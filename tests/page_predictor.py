"""A small deterministic predictor for tests of the creators' page: no weights, yet picture and title both count."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from engine.context import cells_of
from engine.drafts.compare import Draft, answer
from engine.errors import PostError
from engine.guard import REASONS
from engine.posts import Post
from engine.prediction import VIEWS, MemberPrediction, Prediction, View
from engine.scoring import LEVELS, SCORE_FORMULA
from tests.page_signals import TYPICAL

CUTS = (0.012, 0.022, 0.035, 0.06)
PRIOR = (0.2, 0.2, 0.2, 0.2, 0.2)
POPULARITY_FORMULA = (
    "popularity v1: 1 + 0.4321·likes + 0.5678·comments, weights 1 − Cor(views, count) of training posts"
)
NOTES = {
    "both": "",
    "text": "The picture was not seen: this is the title's part alone.",
    "image": "No title: this is the picture's part alone.",
}
EXCITING = ("cat", "rocket", "launch", "secret", "never", "first", "win", "!")
DULL = ("quarterly", "results", "lecture", "part", "meeting")
# A title with this is withheld.
STRANGE = "asdf"
LIGHT = Image.linear_gradient("L").rotate(90).convert("RGB")
DARK = Image.new("RGB", (64, 64), (20, 20, 20))
Features = dict[str, np.ndarray]


@dataclass(frozen=True)
class PageBundle:
    """The fields of a bundle that the page reads."""

    name: str = "made-up"
    recipe: str = "made_up_recipe"
    cuts: tuple[float, ...] = CUTS
    prior: tuple[float, ...] = PRIOR
    text_fields: tuple[str, ...] = ("title",)
    created: str = "2026-01-01"
    score_formula: str = SCORE_FORMULA
    languages: dict = field(default_factory=lambda: {"en": 0.96, "es": 0.017, "fr": 0.001})
    data: dict = field(
        default_factory=lambda: {
            "description": "a made-up dataset",
            "training_posts": 1234,
            "absent_counts": ["shares", "favorites"],
        }
    )
    test_metrics: dict = field(
        default_factory=lambda: {
            "test": {
                "both": {"src": _interval(0.412), "accuracy": _interval(0.333)},
                "text": {"src": _interval(0.301)},
            },
            "test_posts": 567,
        }
    )
    notes: tuple[str, ...] = ("A note about the data.",)
    typical: dict = field(default_factory=lambda: dict(TYPICAL))
    score_quantiles: tuple[float, ...] = tuple(np.log(0.028) + 0.8 * np.linspace(-1.7, 1.7, 201))


@dataclass(frozen=True)
class PageOutcome:
    """Arrays over n posts, as `engine.prediction.BatchPrediction`."""

    probabilities: np.ndarray
    expected_level: np.ndarray
    log_score: np.ndarray


class PagePredictor:
    """Answers from the brightness of a picture's halves, a few words, and how much of a context it knows.

    It is its own extractor.
    """

    has_gradients = False
    members: tuple = ()
    joint: tuple = ()

    def __init__(
        self,
        text_fields: tuple[str, ...] = ("title",),
        score_formula: str = SCORE_FORMULA,
        context: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.bundle = PageBundle(text_fields=text_fields, score_formula=score_formula)
        self.text_fields, self.views = text_fields, VIEWS
        self.extractor, self.context = self, context or {}

    def compute(self, posts: Sequence[Post], view: View, known: Features | None = None) -> Features:
        features = dict(known or {})
        if view != "image" and "text" not in features:
            features["text"] = np.array([[_excitement(post.title)] for post in posts], dtype=np.float32)
        if view != "text" and "image" not in features:
            features["image"] = np.array([[_glow(post.image)] for post in posts if post.image], dtype=np.float32)
        if self.context:
            known_of = [self.context.keys() & cells_of(post).keys() for post in posts]
            features["context"] = 0.3 * np.array([[len(names)] for names in known_of], dtype=np.float32)
        return features

    def predict_features(self, view: View, features: Features, known: object = None) -> PageOutcome:
        total = np.sum(np.stack(list(features.values())), axis=0)[:, 0]
        centres = np.arange(5) - 2.0
        logits = -0.35 * (centres - 2.0 * np.tanh(total)[:, None]) ** 2
        odds = np.exp(logits)
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        return PageOutcome(probabilities, probabilities @ np.arange(5.0), np.log(0.028) + 0.8 * np.tanh(total))

    def view_of(self, post: Post) -> View:
        if not post.has_text and not post.has_image:
            raise PostError("There is nothing here yet: give a picture, a title, or both.")
        return "both" if post.has_text and post.has_image else "text" if post.has_text else "image"

    def predict(self, posts: Sequence[Post]) -> list[Prediction]:
        return [self._predict(post) for post in posts]

    def _predict(self, post: Post) -> Prediction:
        view = self.view_of(post)
        outcome = self.predict_features(view, self.compute([post], view))
        probabilities = tuple(float(p) for p in outcome.probabilities[0])
        level = int(np.argmax(probabilities))
        low, high = max(0, level - 1), min(len(LEVELS) - 1, level + 1)
        log_score = float(outcome.log_score[0])
        strange = STRANGE in post.title.lower()
        return Prediction(
            post_id=post.post_id,
            view=view,
            level=level,
            probabilities=probabilities,
            expected_level=float(outcome.expected_level[0]),
            score=float(np.exp(log_score)),
            score_low=float(np.exp(log_score - 0.7)),
            score_high=float(np.exp(log_score + 0.7)),
            percentiles=tuple(float(_percentile(log_score + step)) for step in (0.0, -0.7, 0.7)),
            level_set=tuple(range(low, high + 1)),
            prior=PRIOR,
            abstain=strange,
            reason=REASONS["text"] if strange else "",
            strange="text" if strange else None,
            note=NOTES[view],
            members=(
                MemberPrediction("words and picture", probabilities, log_score, 0.7),
                MemberPrediction("prior", PRIOR, float(np.log(0.028)), 0.3),
            ),
        )


class Blind(PagePredictor):
    """Answers every post alike."""

    def predict(self, posts: Sequence[Post]) -> list[Prediction]:
        return super().predict([Post("My cat") for _ in posts])


def drafts(*posts: Post) -> list[Draft]:
    return answer(PagePredictor(), posts)  # type: ignore[arg-type]


def _interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def _percentile(log_score: float) -> float:
    return 0.5 + 0.48 * np.tanh(log_score - np.log(0.028))


def _excitement(title: str) -> float:
    lowered = title.lower()
    return 0.6 * sum(word in lowered for word in EXCITING) - 0.6 * sum(word in lowered for word in DULL)


def _glow(image: Image.Image) -> float:
    pixels = np.asarray(image.resize((8, 8)), dtype=np.float64) / 255.0
    return float(pixels[:, :4].mean() - 0.5 * pixels[:, 4:].mean() + pixels.std() - 0.3)
