"""The one front door: a bundle in, posts in, predictions out."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.bundle import Bundle, ViewFit, read_bundle
from engine.calibration import Abstention, LevelSets, ScoreInterval, Temperature
from engine.encoders import Tower, load_encoder
from engine.errors import PostError
from engine.features.extractor import Extractor, Features
from engine.features.ngrams import NgramRidge
from engine.features.similarity import Alignment
from engine.members import Member, MemberOutput, NetworkMember, load_member
from engine.outcome import BatchPrediction
from engine.posts import Post
from engine.prediction import MemberPrediction, Prediction, View
from engine.settings import Settings

SMALLEST = 1e-6
NOTES = {
    "both": "",
    "text": "The model saw no picture: this is what the words alone suggest.",
    "image": "The model read no title: this is what the picture alone suggests.",
}


def blend(answers: Mapping[str, MemberOutput], fit: ViewFit) -> MemberOutput:
    """Members' answers pooled with the weights of a view: log-linear for probabilities, linear for scores."""
    logs = sum(
        weight * np.log(np.maximum(answers[name].probabilities, SMALLEST))
        for name, weight in fit.probability_weights.items()
    )
    raw = np.exp(logs - np.max(logs, axis=1, keepdims=True))
    score = sum(weight * answers[name].score for name, weight in fit.score_weights.items())
    return MemberOutput(raw / raw.sum(axis=1, keepdims=True), np.asarray(score))


class Calibration:
    """The calibrators of one view, ready to apply."""

    def __init__(self, fit: ViewFit) -> None:
        self.fit = fit
        self.temperature = Temperature.from_dict(fit.temperature)
        self.level_sets = LevelSets.from_dict(fit.level_sets)
        self.interval = ScoreInterval.from_dict(fit.interval)
        self.abstention = Abstention.from_dict(fit.abstention)

    def outcome(self, view: View, answers: Mapping[str, MemberOutput]) -> BatchPrediction:
        pooled = blend(answers, self.fit)
        probabilities = self.temperature.apply(pooled.probabilities)
        log_score = self.fit.intercept + self.fit.slope * pooled.score
        sets = self.level_sets.apply(probabilities)
        return BatchPrediction(
            view=view,
            probabilities=probabilities,
            log_score=log_score,
            interval=self.interval.apply(probabilities, log_score),
            level_sets=sets,
            abstain=self.abstention.apply(probabilities, sets),
            answers=dict(answers),
        )


class Predictor:
    """Members, encoders and calibration of one bundle. Not bound to a post: it may be shared between visitors."""

    def __init__(self, bundle: Bundle, members: Sequence[Member], extractor: Extractor) -> None:
        self.bundle = bundle
        self.members = tuple(members)
        self.extractor = extractor
        self._calibrations = {view: Calibration(fit) for view, fit in bundle.views.items()}

    @classmethod
    def load(cls, path: str | Path | None = None, *, device: str = "auto") -> "Predictor":
        """The predictor of a bundle folder; None takes the setting FIRST_IMPRESSIONS_BUNDLE, else the shipped one.

        Raises BundleError when the bundle is missing or changed, EncoderError when a tower's weights are not here.
        """
        folder = Path(path) if path is not None else Settings().bundle
        bundle = read_bundle(folder)
        members = [load_member(folder / "members", entry.kind, entry.facts) for entry in bundle.members]
        encoders = {
            role: load_encoder(entry.spec, device=device, weights=folder / entry.weights if entry.weights else None)
            for role, entry in bundle.encoders.items()
        }
        extractor = Extractor(
            encoders,
            members,
            text_fields=bundle.text_fields,
            ngrams=NgramRidge.load(folder / bundle.ngrams) if bundle.ngrams else None,
            alignment=Alignment.load(folder / bundle.alignment) if bundle.alignment else None,
        )
        return cls(bundle, members, extractor)

    @property
    def encoders(self) -> Mapping[str, Tower]:
        """The towers by role."""
        return self.extractor.encoders

    def text_features(self, posts: Sequence[Post]) -> Features:
        """Features of the words of n posts: every array has n rows. Reads `bundle.text_fields` only."""
        return self.extractor.text(posts)

    def image_features(self, images: Sequence[Image.Image]) -> Features:
        """Features of n pictures: every array has n rows."""
        return self.extractor.image(images)

    def outcome(self, text: Features | None, image: Features | None) -> BatchPrediction:
        """Calibrated answer for n posts from the features of their sides; None where that side is absent.

        Raises PostError when both are.
        """
        if text is None and image is None:
            raise PostError("Give the post a picture, a title, or both.")
        view: View = "both" if text is not None and image is not None else "text" if text is not None else "image"
        features = self.extractor.joined(text, image)
        fit = self.bundle.views[view]
        wanted = {*fit.probability_weights, *fit.score_weights}
        answers = {member.name: member.answer(view, features) for member in self.members if member.name in wanted}
        return self._calibrations[view].outcome(view, answers)

    def predict(self, posts: Sequence[Post]) -> list[Prediction]:
        """One prediction a post, in order; posts of the same view are computed together.

        Raises PostError when a post has neither a picture nor a title that the model reads.
        """
        views = [self._view(post) for post in posts]
        predictions: dict[int, Prediction] = {}
        for view in set(views):
            rows = [row for row, found in enumerate(views) if found == view]
            chosen = [posts[row] for row in rows]
            text = self.text_features(chosen) if view != "image" else None
            image = self.image_features(_pictures(chosen)) if view != "text" else None
            outcome = self.outcome(text, image)
            for place, row in enumerate(rows):
                predictions[row] = self._prediction(posts[row], outcome, place)
        return [predictions[row] for row in range(len(posts))]

    def _view(self, post: Post) -> View:
        has_text = bool(post.text(self.bundle.text_fields))
        if not has_text and not post.has_image:
            raise PostError("Give the post a picture, a title, or both.")
        return "both" if has_text and post.has_image else "text" if has_text else "image"

    def _prediction(self, post: Post, outcome: BatchPrediction, row: int) -> Prediction:
        view = outcome.view
        probabilities = tuple(outcome.probabilities[row].tolist())
        low, high = np.exp(outcome.interval[row]).tolist()
        first, last = outcome.level_sets[row].tolist()
        abstain = bool(outcome.abstain[row])
        fit = self.bundle.views[view]
        return Prediction(
            post_id=post.post_id,
            view=view,
            level=int(np.argmax(probabilities)),
            probabilities=probabilities,
            expected_level=float(outcome.expected_level[row]),
            score=float(np.exp(outcome.log_score[row])),
            score_low=low,
            score_high=high,
            level_set=tuple(range(first, last + 1)),
            prior=self.bundle.prior,
            abstain=abstain,
            reason=Abstention.reason(first, last) if abstain else "",
            note=self._note(post, view),
            members=tuple(
                MemberPrediction(
                    name,
                    tuple(answer.probabilities[row].tolist()),
                    float(fit.intercept + fit.slope * answer.score[row]),
                    fit.probability_weights.get(name, 0.0),
                )
                for name, answer in outcome.answers.items()
            ),
        )

    def _note(self, post: Post, view: View) -> str:
        given = {"tags": bool(post.tags), "description": bool(post.description.strip())}
        unread = [name for name, there in given.items() if there and name not in self.bundle.text_fields]
        ignored = f"This model was not trained on {' and '.join(unread)}, so it left them out." if unread else ""
        return " ".join(sentence for sentence in (NOTES[view], ignored) if sentence)

    def differentiable(self) -> Any:
        """The members that have gradients as one function of pixels and word embeddings, or None."""
        from engine.explain.differentiable import DifferentiableNetworks

        heads = [member for member in self.members if isinstance(member, NetworkMember)]
        return DifferentiableNetworks(self, heads) if heads else None


def _pictures(posts: Iterable[Post]) -> list[Image.Image]:
    return [post.image for post in posts if post.image is not None]
