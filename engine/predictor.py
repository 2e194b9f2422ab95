"""The one front door: a bundle in, posts in, predictions out.

A post's way: features (`extractor`) → outputs of the members → blend and calibration → guard → its prediction. A side
that a guard turns away is left out, and the other one answered; where there is none, the answer is what is usual.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import threads
from engine.abstention import Abstention
from engine.addresses import Address, located
from engine.blending import Calibration
from engine.bundle import FEATURES, GUARDS, MEMBERS, Bundle, FeatureEntry, Side, fingerprint, folder_of, read_bundle
from engine.context import cells_of
from engine.encoders.base import Encoder
from engine.errors import BundleError, EncoderError, FirstImpressionsError, PostError
from engine.features import find_kind
from engine.features.base import Feature, Features, Values
from engine.features.encoder_vector import EncoderVector
from engine.features.extractor import SIDES, Extractor
from engine.guard import BESIDE, REASONS, Guard, left_over
from engine.members import Member, NetworkMember, load_member
from engine.posts import EMPTY_POST, Post
from engine.prediction import BatchPrediction, MemberOutput, MemberPrediction, Prediction, View
from engine.settings import SHIPPED_BUNDLE, Settings

NOTES = {
    "both": "",
    "text": "The model saw no picture: this is what the words alone suggest.",
    "image": "The model read no title: this is what the picture alone suggests.",
}
# Of a context that is not read, how many names are shown, and how many characters of each.
MOST_NAMED, NAMED = 3, 40
CALLED = {"title": "titles", "tags": "tags", "description": "descriptions"}
UNANSWERED = "This model answers nothing to a {} alone; give the post a {} too."


class Predictor:
    """Features, members, calibration and guards of one bundle. Not bound to a post: visitors may share it."""

    def __init__(
        self,
        bundle: Bundle,
        features: Mapping[str, Feature],
        members: Sequence[Member],
        guards: Mapping[Side, Guard] | None = None,
    ) -> None:
        self.bundle = bundle
        self.members = tuple(members)
        self.guards = dict(guards or {})
        guarding = {guard.fit.feature for guard in self.guards.values()}
        # Names of the features that members read; guards read others.
        self.reads = {name for member in members for names in member.reads.values() for name in names}
        self.extractor = Extractor(features, self.reads)
        self._with_guards = Extractor(features, self.reads | guarding)
        # A recipe's texts may be read by none of its members.
        reads_text = any("text" in feature.modalities for feature in self.extractor.features.values())
        self.text_fields = bundle.text_fields if reads_text else ()
        self.views = tuple(view for view in bundle.views if reads_text or view == "image")
        self._calibrations = {view: Calibration(fit) for view, fit in bundle.views.items()}
        self._place: Path | Address | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets the address of the bundle and loads it there; only where it came from a folder."""
        if self._place is None:
            raise TypeError("a predictor that was not loaded from a bundle cannot be sent to another process")
        # The shipped one lies wherever the code does.
        place = None if self._place == SHIPPED_BUNDLE else self._place.absolute()
        return _load_same, (place, fingerprint(self.bundle))

    @classmethod
    def load(cls, path: str | Path | Address | None = None, *, device: str = "auto") -> "Predictor":
        """The predictor of a bundle folder; None takes the setting FIRST_IMPRESSIONS_BUNDLE, else the shipped one.

        At an address, such as hf://owner/name, the bundle is fetched once and kept in the cache.
        Raises BundleError when the bundle is missing, changed, broken, or was made with other encoders or features
        than those here; EncoderError when an encoder's weights are not here; DataError when it cannot be fetched.
        """
        threads.configure()
        place = located(path) if path is not None else Settings().bundle
        folder = folder_of(place)
        bundle = read_bundle(folder)
        try:
            features: dict[str, Feature] = {}
            for entry in bundle.features:
                features[entry.name] = _load_feature(entry, features, folder / FEATURES, device)
            members = [
                load_member(folder / MEMBERS, entry.kind, entry.name, entry.config, device) for entry in bundle.members
            ]
            guards = {
                side: Guard.load(folder / GUARDS, side, fit, features[fit.feature])
                for side, fit in bundle.guards.items()
            }
            predictor = cls(bundle, features, members, guards)
            predictor._place = place
            return predictor
        except (BundleError, EncoderError):
            raise
        # Whoever sealed a bundle may have put anything into it, and the libraries that read it raise as they please.
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            detail = f"{type(error).__name__}: {reason}".rstrip(": .")
            raise BundleError(f"The bundle {folder} is broken ({detail}); fetch or train it again.") from error

    @property
    def encoders(self) -> Mapping[str, Encoder]:
        """The encoders by role."""
        return self.extractor.encoders

    @property
    def context(self) -> frozenset[str]:
        """What it reads of a post besides picture and words, by the names of a file's columns."""
        return frozenset(self.extractor.context)

    @property
    def has_gradients(self) -> bool:
        """Whether some member is a network, which Integrated Gradients can explain."""
        return any(isinstance(member, NetworkMember) for member in self.members)

    def predict(self, posts: Sequence[Post]) -> list[Prediction]:
        """One prediction a post, in order; posts of the same view are computed together.

        Raises PostError when a post has neither a picture nor a title that the model reads.
        """
        views = [self.view_of(post) for post in posts]
        predictions: dict[int, Prediction] = {}
        for view in set(views):
            rows = [row for row, found in enumerate(views) if found == view]
            chosen = [posts[row] for row in rows]
            features = self._with_guards.compute_once(chosen, view)
            batch, strange = self.predict_features(view, features), self.strange(view, features)
            beside = self._beside(chosen, view, features, strange)
            for place, row in enumerate(rows):
                side = next((side for side, found in strange.items() if found[place]), None)
                answer = (batch, place) if side is None else beside.get(place, (self.usual(view), 0))
                predictions[row] = self._prediction(posts[row], *answer, side)
        return [predictions[row] for row in range(len(posts))]

    def strange(self, view: View, features: Mapping[str, Values]) -> dict[Side, npt.NDArray[np.bool_]]:
        """Of n posts, by side, whether the guard keeps the model from answering to it, (n,), from their features."""
        guards = {side: self.guards[side] for side in SIDES[view] if side in self.guards}
        return {side: guard.is_strange(features[guard.fit.feature]) for side, guard in guards.items()}

    def percentile(self, log_scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Share of the training posts whose score lies below each of the given log scores, 0..1."""
        quantiles = np.array(self.bundle.score_quantiles)
        return np.interp(np.asarray(log_scores, dtype=np.float64), quantiles, np.linspace(0, 1, len(quantiles)))

    def predict_features(
        self, view: View, features: Mapping[str, Values], known: Mapping[str, MemberOutput] | None = None
    ) -> BatchPrediction:
        """The calibrated answer for n posts from their features; members in `known` have said theirs already."""
        fit, known = self.bundle.views[view], known or {}
        weighed = {*fit.probability_weights, *fit.score_weights}
        outputs = {
            member.name: known[member.name] if member.name in known else member.predict(view, features)
            for member in self.members
            if member.name in weighed
        }
        return self._calibrations[view].apply(view, outputs)

    def usual(self, view: View) -> BatchPrediction:
        """What is said of one post instead of an answer that the guard withholds: how all posts are spread."""
        quantiles = np.array(self.bundle.score_quantiles)
        low, middle, high = np.interp([0.1, 0.5, 0.9], np.linspace(0, 1, len(quantiles)), quantiles)
        return BatchPrediction(
            view=view,
            probabilities=np.array([self.bundle.prior]),
            log_score=np.array([middle]),
            interval=np.array([[low, high]]),
            level_sets=np.array([[0, len(self.bundle.prior) - 1]]),
            abstain=np.array([True]),
        )

    def view_of(self, post: Post) -> View:
        """The sides of a post that the model can read. Raises PostError when it has none or cannot answer them."""
        has_text = bool(post.text(self.text_fields))
        if not has_text and not post.has_image:
            raise PostError(UNANSWERED.format("title", "picture") if post.has_text else EMPTY_POST)
        view: View = "both" if has_text and post.has_image else "text" if has_text else "image"
        if view not in self.views:
            raise PostError(UNANSWERED.format(*(("title", "picture") if has_text else ("picture", "title"))))
        return view

    def _beside(
        self, posts: Sequence[Post], view: View, features: Features, strange: Mapping[Side, npt.NDArray[np.bool_]]
    ) -> dict[int, tuple[BatchPrediction, int]]:
        """Of n posts, the answer to the other side of those that have one strange side, by place, and its row there."""
        found: dict[int, tuple[BatchPrediction, int]] = {}
        for side, left in left_over(strange).items() if view == "both" else ():
            places = np.flatnonzero(left).tolist()
            if places and side in self.bundle.views:
                own = (name for name in features if {side}.issuperset(self.extractor.features[name].modalities))
                known = {name: features[name][places] for name in own}
                chosen = self.extractor.compute([posts[place] for place in places], side, known)
                batch = self.predict_features(side, chosen)
                found |= {place: (batch, row) for row, place in enumerate(places)}
        return found

    def _prediction(self, post: Post, batch: BatchPrediction, row: int, strange: Side | None) -> Prediction:
        """The prediction of one row; where a side is `strange`, of the other side or of what is usual."""
        view, fit = batch.view, self.bundle.views[batch.view]
        probabilities = tuple(batch.probabilities[row].tolist())
        logs = (float(batch.log_score[row]), *batch.interval[row].tolist())
        score, low, high = np.exp(logs).tolist()
        first, last = batch.level_sets[row].tolist()
        categories: list[tuple[str, float]] = []
        if batch.category is not None:
            shares = batch.category.probabilities[row].tolist()
            categories = sorted(zip(batch.category.names, shares, strict=True), key=lambda found: -found[1])
        abstain = bool(batch.abstain[row])
        reason = Abstention.reason(first, last) if abstain else ""
        withheld = strange is not None and strange in SIDES[view]
        if strange is not None:
            abstain, reason = True, (REASONS if withheld else BESIDE)[strange]
        return Prediction(
            post_id=post.post_id,
            view=view,
            level=round(float(batch.expected_level[row])) if withheld else int(np.argmax(probabilities)),
            probabilities=probabilities,
            expected_level=float(batch.expected_level[row]),
            score=score,
            score_low=low,
            score_high=high,
            percentiles=tuple(self.percentile(logs).tolist()),
            level_set=tuple(range(first, last + 1)),
            prior=self.bundle.prior,
            abstain=abstain,
            reason=reason,
            strange=strange,
            note=self._note(post, view) if strange is None else "",
            members=tuple(
                MemberPrediction(
                    name,
                    tuple(output.probabilities[row].tolist()),
                    float(fit.intercept + fit.slope * output.score[row]),
                    fit.probability_weights.get(name, 0.0),
                )
                for name, output in batch.members.items()
            ),
            categories=tuple(categories),
        )

    def _note(self, post: Post, view: View) -> str:
        given = {"title": post.has_text, "tags": bool(post.tags), "description": bool(post.description.strip())}
        unread = [CALLED[name] for name, there in given.items() if there and name not in self.text_fields]
        more = [name[:NAMED] for name in cells_of(post) if name not in self.extractor.context]
        unread += more[:MOST_NAMED]
        ignored = f"This model was not trained on {' and '.join(unread)}, so it left them out." if unread else ""
        return " ".join(sentence for sentence in (NOTES[view], ignored) if sentence)


def _load_same(place: Path | Address | None, expected: str) -> Predictor:
    """The predictor of another process, once more. Raises BundleError when the bundle here is another one."""
    predictor = Predictor.load(place or SHIPPED_BUNDLE)
    if fingerprint(predictor.bundle) != expected:
        raise BundleError(f"The bundle {place or SHIPPED_BUNDLE} is another one on a worker; give all the same.")
    return predictor


def _load_feature(entry: FeatureEntry, features: Mapping[str, Feature], folder: Path, device: str) -> Feature:
    """One feature of a bundle. Raises BundleError when what it comes to here is not what the bundle was made with."""
    try:
        kind = find_kind(entry.kind)
    except FirstImpressionsError as error:
        raise BundleError(f"The bundle reads the feature {entry.kind}, which this version lacks; update it.") from error
    upstream = tuple(features[name] for name in entry.upstream)
    feature = kind.load(folder, entry.name, entry.config, upstream, device)
    feature.fitted_on = entry.fitted_on
    if feature.fingerprint != entry.fingerprint:
        what = f"the encoder {feature.spec}" if isinstance(feature, EncoderVector) else f"the feature {entry.name}"
        raise BundleError(
            f"Here {what} is not the one that the bundle was made with, so its answers would be others; install the "
            "same packages or the same revision, or train the bundle again."
        )
    return feature
