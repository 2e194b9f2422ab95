"""Ridge regression on hashed word and character n-grams of a text: a strong, tiny, stateless text model."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack

from engine.encoders.base import Modality
from engine.errors import BundleError
from engine.features.base import Feature, FeatureSettings, FittedFeature, Values
from engine.posts import Post

BUCKETS = 2**16
# Word pairs and character runs; the latter also find parts of words, other spellings and other scripts.
ANALYSERS = ({"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 5)})


@cache
def _vectorisers() -> list[Any]:
    # Imported late: scikit-learn's text module takes a third of a second that a page without text need not wait.
    from sklearn.feature_extraction.text import HashingVectorizer

    return [HashingVectorizer(n_features=BUCKETS, alternate_sign=False, norm=None, **how) for how in ANALYSERS]


class NgramRidge:
    """score = x · weights + bias, x the L2-normalised TF-IDF (log term counts) of hashed n-grams of each analyser.

    `idf` and `weights` have shape (2 · BUCKETS,). Hashing needs no vocabulary, so no word of the training texts ships.
    """

    def __init__(self, idf: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], bias: float) -> None:
        self.idf, self.weights, self.bias = idf, weights, bias

    @staticmethod
    def _weighted(counts: Sequence[csr_matrix], idf: npt.NDArray[np.float32]) -> csr_matrix:
        from sklearn.preprocessing import normalize

        parts = []
        for number, part in enumerate(counts):
            part = part.copy()
            part.data = 1.0 + np.log(part.data)
            scaled = part.multiply(idf[number * BUCKETS : (number + 1) * BUCKETS]).tocsr()
            parts.append(normalize(scaled, copy=False))
        return hstack(parts).tocsr()

    @classmethod
    def fit(cls, texts: Sequence[str], target: npt.ArrayLike, *, alpha: float = 3.0) -> "NgramRidge":
        """Fits on n texts and their target (n,), centred on 0; inverse document frequencies as in scikit-learn."""
        from sklearn.linear_model import Ridge

        counts = [vectoriser.transform(texts) for vectoriser in _vectorisers()]
        found = np.concatenate([np.bincount(part.indices, minlength=BUCKETS) for part in counts])
        idf = (np.log((1 + len(texts)) / (1 + found)) + 1).astype(np.float32)
        model = Ridge(alpha=alpha, solver="sparse_cg", tol=1e-3).fit(cls._weighted(counts, idf), np.asarray(target))
        return cls(idf, model.coef_.astype(np.float32), float(model.intercept_))

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Scores (n,) of n texts; one without n-grams, of which the ridge knows nothing, gets 0, the mean target."""
        if not texts:
            return np.zeros(0)
        score = np.full(len(texts), self.bias)
        empty = np.ones(len(texts), dtype=bool)
        for number, vectoriser in enumerate(_vectorisers()):
            # The arrays of the counts are enough; building the weighted matrix would take longer than the rest.
            found = vectoriser.transform(texts)
            places = found.indices + number * BUCKETS
            rows = np.repeat(np.arange(len(texts)), np.diff(found.indptr))
            values = (1.0 + np.log(found.data)) * self.idf[places]
            length = np.sqrt(np.bincount(rows, values**2, len(texts)))
            score += np.bincount(rows, values * self.weights[places], len(texts)) / np.maximum(length, 1e-12)
            empty &= length == 0
        return np.where(empty, 0.0, score)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays, for a file."""
        return {
            "idf": self.idf.astype(np.float16),
            "weights": self.weights.astype(np.float16),
            "bias": np.array([self.bias], dtype=np.float64),
        }

    @classmethod
    def of(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> "NgramRidge":
        """The inverse of `tensors`. Raises BundleError when they are no n-gram model of this size."""
        shapes = {"idf": (len(ANALYSERS) * BUCKETS,), "weights": (len(ANALYSERS) * BUCKETS,), "bias": (1,)}
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise BundleError("The n-grams are no model of this version; train the bundle again.")
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise BundleError("The n-grams are not finite numbers; fetch or train the bundle again.")
        return cls(tensors["idf"].astype(np.float32), tensors["weights"].astype(np.float32), float(tensors["bias"][0]))


class Ngrams(FittedFeature):
    """Values (n, 1): the ridge's score of the texts made of `text_fields`, on the scale of its target."""

    kind: ClassVar[str] = "ngrams"
    modalities: tuple[Modality, ...] = ("text",)
    columns: tuple[str, ...] = ("score",)

    def __init__(
        self,
        name: str | None = None,
        text_fields: Sequence[str] = ("title",),
        alpha: float = 3.0,
        ridge: NgramRidge | None = None,
    ) -> None:
        super().__init__(name)
        self.text_fields, self.alpha, self.ridge = tuple(text_fields), alpha, ridge

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, settings.text_fields, **settings.options.get(name, {}))

    def _texts(self, posts: Sequence[Post]) -> list[str]:
        return [post.text(self.text_fields) for post in posts]

    def fitted(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        # Rounded as it will be stored, so that training and serving read the same numbers.
        ridge = NgramRidge.of(NgramRidge.fit(self._texts(posts), target, alpha=self.alpha).tensors())
        return type(self)(self.name, self.text_fields, self.alpha, ridge)

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        if self.ridge is None:
            raise BundleError("The n-grams were not fitted; train the bundle again.")
        return self.ridge.predict(self._texts(posts)).astype(np.float32)[:, None]

    def blank(self) -> Values:
        return np.zeros((1, 1), dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        return {"text_fields": list(self.text_fields), "alpha": self.alpha}

    @property
    def weights(self) -> str:
        if self.ridge is None:
            return ""
        parts = (self.ridge.idf, self.ridge.weights, np.array([self.ridge.bias]))
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        if self.ridge is not None:
            save_file(self.ridge.tensors(), folder / f"{self.name}.safetensors")

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        from safetensors.numpy import load_file

        return cls(name, **config, ridge=NgramRidge.of(load_file(folder / f"{name}.safetensors")))


FEATURE = Ngrams
