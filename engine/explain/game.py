"""The game that explanations play: parts of a post are players, and f of a coalition is the answer for them alone.

f runs through whatever is in the bundle, trees too. Each distinct picture and each distinct text is encoded once,
because an encoder costs far more than the model behind it.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine import threads
from engine.errors import PostError
from engine.explain import regions, words
from engine.features.base import Features
from engine.posts import Post
from engine.prediction import View

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
    """Features of the variants of one side, each computed once, by an order of its own."""

    def __init__(self, predictor: "Predictor", view: View) -> None:
        self._extractor, self._view = predictor.extractor, view
        self._row_of: dict[Key, int] = {}
        self._features: Features | None = None
        self._keep_posts = bool(predictor.extractor.joint)
        self.posts: list[Post] = []

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
        parts = [positions[start : start + VARIANTS_PER_CALL] for start in range(0, len(positions), VARIANTS_PER_CALL)]
        self._append(list(threads.in_order(lambda part: self._computed(make(part)), parts)))
        for key in new:
            self._row_of[key] = len(self._row_of)
        return np.array([self._row_of[key] for key in keys], dtype=np.intp)

    def _computed(self, variants: list[Post]) -> tuple[list[Post], Features]:
        return (variants if self._keep_posts else []), self._extractor.compute(variants, self._view)

    def _append(self, parts: list[tuple[list[Post], Features]]) -> None:
        for variants, _ in parts:
            self.posts += variants
        known = [] if self._features is None else [self._features]
        found = [*known, *(features for _, features in parts)]
        if found:
            self._features = {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def take(self, rows: npt.NDArray[np.intp]) -> Features:
        """Features of the variants with these row numbers."""
        assert self._features is not None
        return {name: values[rows] for name, values in self._features.items()}


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
        read = predictor.bundle.text_fields
        if not post.has_image and not post.text(read):
            raise PostError("There is nothing to explain: give the post a picture or a title.")
        self.post = post
        self._predictor = predictor
        self._images: _Side[bytes] = _Side(predictor, "image")
        self._texts: _Side[tuple[str, tuple[str, ...], str]] = _Side(predictor, "text")
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

    def title_values(self, values: Iterable[float]) -> tuple[tuple[str, float], ...]:
        """Pieces with their values; a title that takes no part (only spaces) is one piece worth nothing."""
        if not self.pieces:
            return ((self.post.title, 0.0),) if self.post.title else ()
        return tuple(zip(self.pieces, map(float, values), strict=True))

    def values(self, keep: Keep) -> npt.NDArray[np.float64]:
        """f of n coalitions, in levels, shape (n,). `keep` (n, players) is True for the parts that are there."""
        packed = [row.tobytes() for row in np.packbits(keep, axis=1)]
        new = {key: index for index, key in enumerate(packed) if key not in self._values}
        indices = list(new.values())
        if indices:
            self._answer(list(new), keep[indices])
        return np.array([self._values[key] for key in packed], dtype=np.float64)

    def _answer(self, keys: list[bytes], keep: Keep) -> None:
        image_rows = self._image_rows(keep[:, : self.region_count]) if self.region_count else None
        text_rows = self._text_rows(keep[:, self.region_count :]) if self.pieces or self.fields else None

        def answer(part: slice) -> npt.NDArray[np.float64]:
            return self._predictor.predict_features(*self._features(text_rows, image_rows, part)).expected_level

        parts = [slice(start, start + ROWS_PER_CALL) for start in range(0, len(keys), ROWS_PER_CALL)]
        found = np.concatenate(list(threads.in_order(answer, parts)))
        self._values.update(zip(keys, found.tolist(), strict=True))

    def _features(self, text_rows: Rows | None, image_rows: Rows | None, part: slice) -> tuple[View, Features]:
        """The view and the features of some coalitions."""
        text = {} if text_rows is None else self._texts.take(text_rows[part])
        image = {} if image_rows is None else self._images.take(image_rows[part])
        if text_rows is None or image_rows is None:
            return ("image" if text_rows is None else "text"), {**text, **image}
        posts = [
            dataclasses.replace(self._texts.posts[words], image=self._images.posts[picture].image)
            for words, picture in zip(text_rows[part], image_rows[part], strict=True)
            if self._texts.posts
        ]
        return "both", self._predictor.extractor.compute(posts, "both", known={**text, **image})

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
