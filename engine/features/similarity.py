"""Image–text similarity: the cosine of a post's picture and text vectors in a shared space.

Towers that were trained together (CLIP, SigLIP) share one already. For towers that were not, `Alignment` fits one: the
canonical correlation directions of the training pairs, shrunk so that few pairs give no spurious match.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


def cosine(left: Array, right: Array) -> Array:
    """Cosine of matching rows, (n, d) and (n, d) → (n,); 0 where a row is all zeros."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.where(norms > 0, (left * right).sum(axis=1) / np.maximum(norms, 1e-12), 0.0).astype(np.float32)


def _whitener(centred: npt.NDArray[np.float64], shrinkage: float) -> npt.NDArray[np.float64]:
    covariance = centred.T @ centred / len(centred)
    covariance += shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(np.maximum(values, 1e-12))


@dataclass(frozen=True)
class Alignment:
    """Linear maps of both sides into one space: (x − mean) · map, shapes (d_side,) and (d_side, k)."""

    image_mean: Array
    image_map: Array
    text_mean: Array
    text_map: Array

    @classmethod
    def fit(cls, image: Array, text: Array, *, width: int = 64, shrinkage: float = 0.1) -> "Alignment":
        """Regularised canonical correlation (Vinod 1976) of n training pairs, scaled by the correlations found."""
        means = [side.mean(axis=0, dtype=np.float64) for side in (image, text)]
        left, right = image - means[0], text - means[1]
        left_white, right_white = _whitener(left, shrinkage), _whitener(right, shrinkage)
        cross = (left @ left_white).T @ (right @ right_white) / len(left)
        u, correlations, v = np.linalg.svd(cross, full_matrices=False)
        scale = np.sqrt(correlations[:width])
        maps = left_white @ u[:, :width] * scale, right_white @ v[:width].T * scale
        values = (means[0], maps[0], means[1], maps[1])
        return cls(*(np.ascontiguousarray(value, dtype=np.float32) for value in values))

    def similarity(self, image: Array, text: Array) -> Array:
        """Cosine (n,) of n posts' vectors, (n, d_image) and (n, d_text)."""
        return cosine((image - self.image_mean) @ self.image_map, (text - self.text_mean) @ self.text_map)

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file(dict(vars(self)), path)

    @classmethod
    def load(cls, path: Path) -> "Alignment":
        from safetensors.numpy import load_file

        return cls(**load_file(path))
