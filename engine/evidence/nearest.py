"""Which real posts lie nearest to a draft, and how they did: evidence beside a prediction, not one.

The search is an exact product with all vectors: at some ten thousand posts that takes about a millisecond, and an
approximate index (faiss) would save nothing that anybody could notice.
"""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from engine.bundle import Bundle, Side
from engine.encoders.base import Modality
from engine.errors import BundleError, EncoderError, PostError
from engine.evidence.index import AGAIN, Index, Manifest, read_index, read_manifest
from engine.features import make_features
from engine.features.base import Feature, FeatureSettings
from engine.features.extractor import SIDES
from engine.posts import EMPTY_POST, Post
from engine.prediction import View
from engine.scoring import LEVELS, to_level

# How many of the nearest are shown one by one.
SHOWN = 8
# Likeness (cosine in a `Space`, on every side of the draft) from which on a post is the draft itself, or its twin.
SAME = 0.95
Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbour:
    """A real post near a draft. `score` is an engagement score, the rates are counts a view, None where not known.

    `closeness` is the share of real posts, 0..1, that have no post of another group as near to them as this one is to
    the draft. Addresses are "" where the source has none.
    """

    post_id: str
    level: int
    score: float
    likes_per_view: float | None
    comments_per_view: float | None
    closeness: float
    thumbhash: bytes
    post_address: str
    picture_address: str


@dataclass(frozen=True)
class Nearest:
    """The real posts nearest to a draft by its words (`text`), its picture (`image`), or both.

    `shown` are the nearest ones, nearest first. `levels` counts the levels of the `manifest.neighbours` nearest, Very
    Low first, and `middle` are the scores between which the middle half of those lies. `left_out` posts were the draft
    itself.
    """

    by: View
    shown: tuple[Neighbour, ...]
    levels: tuple[int, ...]
    middle: tuple[float, float]
    left_out: int


def likeness_of(manifest: Manifest, cosines: dict[Side, Numbers], by: View) -> Numbers:
    """How alike posts are: the cosine of one side, or the mean of both in units of how far posts usually spread."""
    sides = SIDES[by]
    if len(sides) == 1:
        return cosines[sides[0]]
    mean: Numbers = np.mean([cosines[side] / manifest.spread[side] for side in sides], axis=0, dtype=np.float32)
    return mean


class Evidence:
    """The real posts that a bundle's drafts may be set beside. May be shared by threads.

    Its encoders are loaded with the first draft, those of a process shared.
    """

    def __init__(self, index: Index, cuts: npt.ArrayLike, device: str = "auto") -> None:
        self.manifest, self._spaces = index.manifest, index.spaces
        self._columns = {name: index.posts.column(name).to_pylist() for name in index.posts.column_names}
        self._scores = index.posts.column("score").to_numpy().astype(np.float64)
        self._levels = to_level(self._scores, cuts)
        self._device = device
        self._features: dict[Side, Feature] = {}
        self._loading = Lock()

    @classmethod
    def load(cls, folder: Path, bundle: Bundle, device: str = "auto") -> Self:
        """The index in `folder`, with the levels of a bundle.

        Raises BundleError when it is broken, or was made of other posts or another score than the bundle.
        """
        manifest = read_manifest(folder)
        if manifest.data != bundle.data.get("fingerprint") or manifest.score_formula != bundle.score_formula:
            raise BundleError(f"{folder} is of other posts, or of another score, than the bundle beside it; {AGAIN}.")
        return cls(read_index(folder), bundle.cuts, device)

    def nearest(self, post: Post) -> list[Nearest]:
        """The nearest posts by all that the draft has: by both sides first, then by each.

        Raises PostError when it has none, BundleError or EncoderError when the encoders here are not the index's.
        """
        cosines: dict[Side, Numbers] = {}
        given: dict[Side, bool] = {"text": post.has_text, "image": post.has_image}
        for side, there in given.items():
            if there:
                vector = self._feature(side).compute([post], {})
                cosines[side] = self._spaces[side].rows @ self._spaces[side].place(vector)[0]
        if not cosines:
            raise PostError(EMPTY_POST)
        same = np.logical_and.reduce([cosine >= SAME for cosine in cosines.values()])
        views: list[View] = [view for view, sides in SIDES.items() if set(sides) <= set(cosines)]
        return [self._ranked(view, likeness_of(self.manifest, cosines, view), same) for view in views]

    def _ranked(self, by: View, likeness: Numbers, same: npt.NDArray[np.bool_]) -> Nearest:
        order = np.argsort(np.where(same, np.inf, -likeness), kind="stable")[: len(same) - int(same.sum())]
        counted = order[: self.manifest.neighbours]
        low, high = np.quantile(self._scores[counted], (0.25, 0.75)).tolist() if len(counted) else (0.0, 0.0)
        return Nearest(
            by=by,
            shown=tuple(self._neighbour(by, int(row), float(likeness[row])) for row in counted[:SHOWN]),
            levels=tuple(np.bincount(self._levels[counted], minlength=len(LEVELS)).tolist()),
            middle=(low, high),
            left_out=int(same.sum()),
        )

    def _neighbour(self, by: View, row: int, likeness: float) -> Neighbour:
        cells = {name: column[row] for name, column in self._columns.items()}
        quantiles = self.manifest.nearest[by]
        # In an address an id is a name, whatever stands in it.
        name = quote(cells["post_id"], safe="")
        return Neighbour(
            **cells,
            level=int(self._levels[row]),
            closeness=float(np.interp(likeness, quantiles, np.linspace(0, 1, len(quantiles)))),
            post_address=self.manifest.post_address.format(post_id=name),
            picture_address=self.manifest.picture_address.format(post_id=name),
        )

    def _feature(self, side: Modality) -> Feature:
        """The encoder's vectors of a side, as the index has them."""
        with self._loading:
            if side not in self._features:
                entry = self.manifest.encoders[side]
                settings = FeatureSettings(encoders={side: entry.spec}, device=self._device)
                feature = make_features([side], settings)[side]
                if feature.fingerprint != entry.fingerprint:
                    raise EncoderError(
                        f"Here the encoder {entry.spec} is not the one that the index of real posts was made with; "
                        f"install the same packages, or {AGAIN}."
                    )
                self._features[side] = feature
            return self._features[side]
