"""From posts to features: one walk over what the members name and what that is computed from."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain

from engine import threads
from engine.encoders.base import Encoder, Modality
from engine.features.base import Feature, Features, Values
from engine.features.encoder_vector import EncoderVector
from engine.posts import Post
from engine.prediction import View

# So few posts an encoder computes at once: what is left to do side by side are the sides.
FEW = 16
SIDES: Mapping[View, tuple[Modality, ...]] = {"both": ("image", "text"), "text": ("text",), "image": ("image",)}


class Extractor:
    """Features by name in an order in which each stands behind those that it is computed from."""

    def __init__(self, features: Mapping[str, Feature], read: Collection[str]) -> None:
        self.features = dict(features)
        needed = {*read}
        for name in reversed(self.features):
            needed.update(above.name for above in self.features[name].upstream if name in needed)
        both = {above.name for feature in self.joint if feature.name in needed for above in feature.upstream}
        # What nobody reads once it has served as a step is not kept: tokens of many pictures are large.
        self._kept = {*read, *both}

    @property
    def joint(self) -> list[Feature]:
        """Features that need both sides of a post."""
        return [feature for feature in self.features.values() if len(feature.modalities) > 1]

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders by role."""
        found = (feature for feature in self.features.values() if isinstance(feature, EncoderVector))
        return {feature.role: feature.encoder for feature in found}

    @property
    def context(self) -> dict[str, tuple[str, ...]]:
        """Names of a post's context that what is kept hangs on, each with the values that it knows, () for any."""
        kept = (feature for name, feature in self.features.items() if name in self._kept)
        return {name: known for feature in kept for name, known in feature.context.items()}

    def compute(
        self,
        posts: Sequence[Post],
        view: View,
        known: Mapping[str, Values] | None = None,
        without: Collection[str] = (),
    ) -> Features:
        """Features of n posts that have the sides of `view`.

        Those in `known` are there already, and nobody asks for those named in `without`. Of a few posts what hangs on
        nothing of another is computed side by side.
        """
        modalities = set(SIDES[view])
        features: Features = dict(known or {})
        wanted = self._kept.difference(without)

        def is_missing(name: str) -> bool:
            return name in wanted and name not in features and modalities.issuperset(self.features[name].modalities)

        for name in filter(is_missing, reversed(self.features)):
            wanted.update(above.name for above in self.features[name].upstream)

        def walk(names: Iterable[str]) -> None:
            for name in filter(is_missing, names):
                feature = self.features[name]
                above = {each.name: features[each.name] for each in feature.upstream}
                features[name] = feature.compute(posts, above)

        if len(posts) <= FEW:
            deque(threads.in_order(walk, self._chains(filter(is_missing, self.features))), maxlen=0)
        walk(self.features)
        return {name: values for name, values in features.items() if name in self._kept}

    def _chains(self, names: Iterable[str]) -> list[list[str]]:
        """Features of one side that hang together, each behind those that it is computed from."""
        chains: list[list[str]] = []
        for name in names:
            feature = self.features[name]
            if len(feature.modalities) == 1:
                above = {each.name for each in feature.upstream}
                own = [each for each in chains if above.intersection(each)]
                chains = [*(each for each in chains if each not in own), [*chain(*own), name]]
        return chains

    def compute_once(self, posts: Sequence[Post], view: View, known: Mapping[str, Values] | None = None) -> Features:
        """As `compute`; a picture or words that some of the posts share are read once."""
        features = dict(known or {})
        for side in SIDES[view] if view == "both" else ():
            # What reads no side reads the context, which is each post's own.
            own = [name for name, feature in self.features.items() if feature.modalities == (side,)]
            keys = [id(post.image) if side == "image" else (post.title, post.tags, post.description) for post in posts]
            first = {key: row for row, key in reversed(list(enumerate(keys)))}
            if len(first) < len(posts):
                rows, places = list(first.values()), {key: place for place, key in enumerate(first)}
                there = {name: features[name][rows] for name in own if name in features}
                found = self.compute([posts[row] for row in rows], side, there)
                shared = [places[key] for key in keys]
                features |= {name: found[name][shared] for name in own if name in found and name not in features}
        return self.compute(posts, view, features)
