"""A predictor without a model: its answer is read off the post, so that a test can tell rows apart."""

from collections.abc import Sequence

from engine.errors import PostError
from engine.posts import Post
from engine.prediction import Prediction

REFUSED = "refuse me"


class FakePredictor:
    """The level is the title's length modulo 5, the score the picture's width; titles that say REFUSED are refused."""

    context = ()

    def __init__(self) -> None:
        self.batches: list[int] = []

    @classmethod
    def load(cls, path: object = None) -> "FakePredictor":
        return cls()

    def predict(self, posts: Sequence[Post]) -> list[Prediction]:
        self.batches.append(len(posts))
        if any(post.title == REFUSED for post in posts):
            raise PostError("The title is refused; write another.")
        return [self._predict(post) for post in posts]

    def _predict(self, post: Post) -> Prediction:
        assert post.has_text or post.has_image
        level = len(post.title) % 5
        probabilities = [0.1] * 5
        probabilities[level] = 0.6
        return Prediction(
            post_id=post.post_id,
            view="both" if post.has_text and post.has_image else "text" if post.has_text else "image",
            level=level,
            probabilities=tuple(probabilities),
            expected_level=sum(i * p for i, p in enumerate(probabilities)),
            score=float(post.image.width) if post.image is not None else float(len(post.tags)),
            score_low=0.0,
            score_high=float(len(post.description)),
            percentiles=(0.5, 0.1, 0.9),
            level_set=(level,),
            prior=(0.2,) * 5,
            abstain=level == 2,
            reason="",
            note="",
        )
