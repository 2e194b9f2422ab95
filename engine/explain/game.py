"""The game that explanations play: parts of a post are players, and f of a coalition is the answer for them alone.

f runs through whatever is in the bundle, trees too. Each distinct picture and each distinct text is encoded once,
because an encoder costs far more than the model behind it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine import threads
from engine.encoders.base import Modality
from engine.errors import PostError
from engine.explain import regions, words
from engine.explain.base import NOTHING
from engine.features.base import Features
from engine.members import Member
from engine.posts import Post
from engine.prediction import MemberOutput, View, joined

if TYPE_CHECKING:
    from engine.predictor import Predictor

Key = TypeVar("Key")
Keep = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

FIELDS = ("tags", "description")
FIELDS_REMOVED = "Tags and description are taken away whole."
# Bounds the memory of assembled features: a row may hold a whole token grid.
ROWS_PER_CALL = 128
VARIANTS_PER_CALL = 32


class _Side(Generic[Key]):
    """Of the variants of one side, each computed once, by an order of its own: features, and what members say.

    A member that reads this side alone says the same of a variant whatever stands beside it. Features that only such
    members read are not kept: they may be whole token grids.
    """

    def __init__(self, predictor: "Predictor", side: Modality, view: View) -> None:
        self._extractor, self._side, self._view = predictor.extractor, side, view
        self._row_of: dict[Key, int] = {}
        self._features: Features | None = None
        self._outputs: dict[str, MemberOutput] = {}
        self._keep_posts = bool(predictor.extractor.joint)
        self.posts: list[Post] = []
        reading = [member for member in predictor.members if view in member.reads]
        self._members = [member for member in reading if self._sides(member) == {side}]
        shared = {name for member in reading if member not in self._members for name in member.reads[view]}
        shared |= {above.name for feature in predictor.extractor.joint for above in feature.upstream}
        self.unkept = {name for member in self._members for name in member.reads[view]} - shared

    def _sides(self, member: Member) -> set[Modality]:
        features = self._extractor.features
        return {side for name in member.reads[self._view] for side in features[name].modalities}

    def __len__(self) -> int:
        return len(self._row_of)

    def rows(
        self, keys: Sequence[Key], make: Callable[[list[int]], list[Post]], size: Callable[[Key], int]
    ) -> npt.NDArray[np.intp]:
        """Row number of each key; `make` gives the variants at the positions whose keys are new.

        Variants of like `size` are computed together: little padding.
        """
        new: dict[Key, int] = {}
        for position, key in enumerate(keys):
            if key not in self._row_of:
                new.setdefault(key, position)
        new = dict(sorted(new.items(), key=lambda item: size(item[0])))
        positions = list(new.values())
        parts = [positions[part] for part in threads.shares(len(positions), VARIANTS_PER_CALL)]
        self._append(list(threads.in_order(lambda part: self._computed(make(part)), parts)))
        for key in new:
            self._row_of[key] = len(self._row_of)
        return np.array([self._row_of[key] for key in keys], dtype=np.intp)

    def _computed(self, variants: list[Post]) -> tuple[list[Post], Features, dict[str, MemberOutput]]:
        features = self._extractor.compute(variants, self._side)
        outputs = {member.name: member.predict(self._view, features) for member in self._members}
        kept = {name: values for name, values in features.items() if name not in self.unkept}
        return (variants if self._keep_posts else []), kept, outputs

    def _append(self, parts: list[tuple[list[Post], Features, dict[str, MemberOutput]]]) -> None:
        for variants, _, _ in parts:
            self.posts += variants
        if not parts:
            return
        features, outputs = [part[1] for part in parts], [part[2] for part in parts]
        if self._features is not None:
            features, outputs = [self._features, *features], [self._outputs, *outputs]
        self._features = {name: np.concatenate([part[name] for part in features]) for name in features[0]}
        self._outputs = {name: joined([part[name] for part in outputs]) for name in outputs[0]}

    def take(self, rows: Rows) -> tuple[Features, dict[str, MemberOutput]]:
        """Features of the variants with these row numbers, and what members said of them."""
        assert self._features is not None
        features = {name: values[rows] for name, values in self._features.items()}
        return features, {name: output.take(rows) for name, output in self._outputs.items()}


class Game:
    """f over the parts of one post: regions first, then pieces of the title, then tags and description.

    Only what the bundle reads and the post has takes part, as in its prediction.
    `segments` is about how many regions to cut, or a label map to use (at the size of `regions.shrink`, or any other).
    Variants are made of a reduced copy of the picture; the whole picture is passed on as it is, so that the full
    coalition is exactly the prediction. Raises PostError for an empty post.
    """

    def __init__(
        self, predictor: "Predictor", post: Post, *, segments: int | npt.NDArray[np.integer] = regions.SEGMENTS
    ) -> None:
        read = predictor.text_fields
        if not post.has_image and not post.text(read):
            raise PostError(NOTHING)
        self.post = post
        self._predictor = predictor
        self._values: dict[bytes, float] = {}
        self.segments: npt.NDArray[np.integer] | None = None
        self.region_count = 0
        if post.image is not None:
            self._use_picture(post.image, segments)
        self.fields = tuple(name for name in FIELDS if name in read and post.text([name]))
        self.pieces: tuple[str, ...] = ()
        if "title" in read and post.has_text:
            most = words.MOST_PIECES - len(self.fields)
            self.pieces = words.group_pieces(words.split_title(post.title), most)
        has_words = bool(self.pieces or self.fields)
        self._view: View = "both" if self.region_count and has_words else "text" if has_words else "image"
        self._images: _Side[bytes] = _Side(predictor, "image", self._view)
        self._texts: _Side[tuple[str, tuple[str, ...], str]] = _Side(predictor, "text", self._view)

    def _use_picture(self, image: Image.Image, segments: int | npt.NDArray[np.integer]) -> None:
        self._small = regions.shrink(image)
        self._baseline = regions.baseline_picture(self._small)
        if isinstance(segments, int):
            self.segments = regions.find_regions(self._small, segments)
        else:
            self.segments = regions.fit_labels(segments, self._small.height, self._small.width)
        # A region thinner than a pixel at this size still is a player, though it changes nothing.
        largest = self.segments.max() if isinstance(segments, int) else segments.max()
        self.region_count = int(largest) + 1

    @property
    def players(self) -> int:
        return self.region_count + len(self.pieces) + len(self.fields)

    @property
    def image_passes(self) -> int:
        """Distinct pictures encoded so far."""
        return len(self._images)

    @property
    def text_passes(self) -> int:
        """Distinct texts encoded so far."""
        return len(self._texts)

    @property
    def evaluations(self) -> int:
        """Distinct coalitions answered so far."""
        return len(self._values)

    @property
    def notes(self) -> tuple[str, ...]:
        """What taking a part away means, in sentences for the page."""
        sides = ((self.region_count, regions.REMOVED), (self.pieces, words.REMOVED), (self.fields, FIELDS_REMOVED))
        return tuple(sentence for present, sentence in sides if present)

    def values(self, keep: Keep) -> npt.NDArray[np.float64]:
        """f of n coalitions, in levels, shape (n,). `keep` (n, players) is True for the parts that are there."""
        packed = [row.tobytes() for row in np.packbits(keep, axis=1)]
        new = {key: index for index, key in enumerate(packed) if key not in self._values}
        indices = list(new.values())
        if indices:
            self._answer(list(new), keep[indices])
        return np.array([self._values[key] for key in packed], dtype=np.float64)

    def _answer(self, keys: list[bytes], keep: Keep) -> None:
        image_rows = None if self._view == "text" else self._image_rows(keep[:, : self.region_count])
        text_rows = None if self._view == "image" else self._text_rows(keep[:, self.region_count :])

        def answer(part: slice) -> npt.NDArray[np.float64]:
            features, outputs = self._known(text_rows, image_rows, part)
            return self._predictor.predict_features(self._view, features, outputs).expected_level

        parts = [slice(start, start + ROWS_PER_CALL) for start in range(0, len(keys), ROWS_PER_CALL)]
        found = np.concatenate(list(threads.in_order(answer, parts)))
        self._values.update(zip(keys, found.tolist(), strict=True))

    def _known(
        self, text_rows: Rows | None, image_rows: Rows | None, part: slice
    ) -> tuple[Features, dict[str, MemberOutput]]:
        """Features of some coalitions, and what members of a single side say of them."""
        text, said = ({}, {}) if text_rows is None else self._texts.take(text_rows[part])
        image, seen = ({}, {}) if image_rows is None else self._images.take(image_rows[part])
        features, outputs = {**text, **image}, {**said, **seen}
        if text_rows is None or image_rows is None or not self._texts.posts:
            return features, outputs
        posts = [
            dataclasses.replace(self._texts.posts[words], image=self._images.posts[picture].image)
            for words, picture in zip(text_rows[part], image_rows[part], strict=True)
        ]
        without = self._texts.unkept | self._images.unkept
        return self._predictor.extractor.compute(posts, "both", features, without), outputs

    def _image_rows(self, keep: Keep) -> Rows:
        def make(positions: list[int]) -> list[Post]:
            assert self.segments is not None and self.post.image is not None
            pictures = list(regions.mask_regions(self._small, self.segments, keep[positions], self._baseline))
            for index, position in enumerate(positions):
                if keep[position].all():
                    pictures[index] = self.post.image
            # Its context stays with the post: when and by whom it is published is no part that can be taken away.
            return [
                dataclasses.replace(self.post, image=picture, title="", tags=(), description="") for picture in pictures
            ]

        return self._images.rows([row.tobytes() for row in keep], make, lambda key: 0)

    def _text_rows(self, keep: Keep) -> Rows:
        variants = [self._text(row) for row in keep]
        # Taking away either of two equal words leaves one and the same text, so texts are told apart by their content.
        keys = [(variant.title, variant.tags, variant.description) for variant in variants]
        return self._texts.rows(
            keys, lambda positions: [variants[position] for position in positions], lambda key: len(key[0])
        )

    def _text(self, keep: Keep) -> Post:
        kept = keep[: len(self.pieces)]
        title = self.post.title
        if not kept.all():
            title = "".join(piece for piece, there in zip(self.pieces, kept, strict=True) if there).strip()
        there = dict(zip(self.fields, keep[len(self.pieces) :].tolist(), strict=True))
        return dataclasses.replace(
            self.post,
            image=None,
            title=title,
            tags=self.post.tags if there.get("tags", True) else (),
            description=self.post.description if there.get("description", True) else "",
        )


def ends(predictor: "Predictor", post: Post) -> tuple[float, float]:
    """f(∅) and f(post) of the whole model, in levels. Raises PostError for an empty post."""
    game = Game(predictor, post, segments=1)
    nothing, everything = game.values(np.array([[False], [True]]).repeat(game.players, axis=1))
    return float(nothing), float(everything)
