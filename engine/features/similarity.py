"""Image–text similarity: the cosine of a post's picture and text vectors in a shared space.

Encoders that were trained together (CLIP, SigLIP) share one already. For those that were not, `Alignment` fits one:
the canonical correlation directions of the training pairs, shrunk so that few pairs give no spurious match.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from engine.encoders.base import Modality
from engine.features.base import Feature, FeatureSettings, FittedFeature, Values, sides_of
from engine.features.encoder_vector import EncoderVector
from engine.posts import Post

Array = npt.NDArray[np.floating]

# Directions of the space, and the share of a side's mean variance that is added to that of every direction.
WIDTH, SHRINKAGE = 64, 0.1


def cosine(left: Array, right: Array) -> Array:
    """Cosine of matching rows, (n, d) and (n, d) → (n,); 0 where a row is all zeros."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.where(norms > 0, (left * right).sum(axis=1) / np.maximum(norms, 1e-12), 0.0).astype(np.float32)


def _whitener(centred: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    covariance = centred.T @ centred / len(centred)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    whitener: npt.NDArray[np.float64] = vectors / np.sqrt(np.maximum(values, 1e-12))
    return whitener


@dataclass(frozen=True)
class Alignment:
    """Linear maps of both sides into one space: (x − mean) · map, shapes (d_side,) and (d_side, k)."""

    image_mean: Array
    image_map: Array
    text_mean: Array
    text_map: Array

    @classmethod
    def fit(cls, image: Array, text: Array) -> "Alignment":
        """Regularised canonical correlation (Vinod 1976) of n training pairs, scaled by the correlations found."""
        means = [side.mean(axis=0, dtype=np.float64) for side in (image, text)]
        left, right = image - means[0], text - means[1]
        left_white, right_white = _whitener(left), _whitener(right)
        cross = (left @ left_white).T @ (right @ right_white) / len(left)
        u, correlations, v = np.linalg.svd(cross, full_matrices=False)
        scale = np.sqrt(correlations[:WIDTH])
        maps = left_white @ u[:, :WIDTH] * scale, right_white @ v[:WIDTH].T * scale
        values = (means[0], maps[0], means[1], maps[1])
        return cls(*(np.ascontiguousarray(value, dtype=np.float32) for value in values))

    def similarity(self, image: Array, text: Array) -> Array:
        """Cosine (n,) of n posts' vectors, (n, d_image) and (n, d_text)."""
        return cosine((image - self.image_mean) @ self.image_map, (text - self.text_mean) @ self.text_map)


class Similarity(FittedFeature):
    """Values (n, 1): the cosine of the vectors of the first encoder of each side."""

    kind: ClassVar[str] = "similarity"
    by_default: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ("image", "text")
    columns: tuple[str, ...] = ("cosine",)

    def __init__(self, name: str | None, image: Feature, text: Feature, alignment: Alignment | None = None) -> None:
        super().__init__(name)
        self.upstream = (image, text)
        self.alignment = alignment

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, *sides_of("Similarity needs", settings, need))

    @property
    def aligned(self) -> bool:
        """Whether the two encoders share a space already."""
        spaces = {feature.encoder.aligned for feature in self.upstream if isinstance(feature, EncoderVector)}
        return len(spaces) == 1 and None not in spaces

    def fitted(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        image, text = (upstream[feature.name] for feature in self.upstream)
        return type(self)(
            self.name, self.upstream[0], self.upstream[1], None if self.aligned else Alignment.fit(image, text)
        )

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        image, text = (upstream[feature.name] for feature in self.upstream)
        return (self.alignment.similarity(image, text) if self.alignment else cosine(image, text))[:, None]

    def blank(self) -> Values:
        return np.zeros((1, 1), dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        return {"fitted": self.alignment is not None}

    @property
    def weights(self) -> str:
        if self.alignment is None:
            return ""
        return hashlib.sha256(b"".join(part.tobytes() for part in vars(self.alignment).values())).hexdigest()

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        if self.alignment is not None:
            save_file(dict(vars(self.alignment)), folder / f"{self.name}.safetensors")

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        from safetensors.numpy import load_file

        alignment = Alignment(**load_file(folder / f"{name}.safetensors")) if config["fitted"] else None
        return cls(name, upstream[0], upstream[1], alignment)


FEATURE = Similarity
