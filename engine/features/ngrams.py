"""Ridge regression on hashed word and character n-grams of a text: a strong, tiny, stateless text model."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, hstack

from engine.errors import BundleError

BUCKETS = 2**16
# Word pairs and character runs; the latter also find parts of words, other spellings and other scripts.
ANALYSERS = ({"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 5)})


class NgramRidge:
    """score = x · weights + bias, x the L2-normalised TF-IDF (log term counts) of hashed n-grams of each analyser.

    `idf` and `weights` have shape (2 · BUCKETS,). Hashing needs no vocabulary, so no word of the training texts ships.
    """

    def __init__(self, idf: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], bias: float) -> None:
        self.idf, self.weights, self.bias = idf, weights, bias

    @staticmethod
    def _counts(texts: Sequence[str]) -> list[csr_matrix]:
        return [vectoriser.transform(texts) for vectoriser in NgramRidge._vectorisers()]

    @staticmethod
    def _vectorisers() -> list:
        # Imported late: scikit-learn's text module takes a third of a second that a page without text need not wait.
        from sklearn.feature_extraction.text import HashingVectorizer

        return [HashingVectorizer(n_features=BUCKETS, alternate_sign=False, norm=None, **how) for how in ANALYSERS]

    @cached_property
    def _ready(self) -> list:
        return self._vectorisers()

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

        counts = cls._counts(texts)
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
        for number, vectoriser in enumerate(self._ready):
            # The arrays of the counts are enough; building the weighted matrix would take longer than the rest.
            found = vectoriser.transform(texts)
            places = found.indices + number * BUCKETS
            rows = np.repeat(np.arange(len(texts)), np.diff(found.indptr))
            values = (1.0 + np.log(found.data)) * self.idf[places]
            length = np.sqrt(np.bincount(rows, values**2, len(texts)))
            score += np.bincount(rows, values * self.weights[places], len(texts)) / np.maximum(length, 1e-12)
            empty &= length == 0
        return np.where(empty, 0.0, score)

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        tensors = {"idf": self.idf.astype(np.float16), "weights": self.weights.astype(np.float16)}
        save_file({**tensors, "bias": np.array([self.bias], dtype=np.float64)}, path)

    @classmethod
    def load(cls, path: Path) -> "NgramRidge":
        """Raises BundleError when the file does not hold an n-gram model of this size."""
        from safetensors.numpy import load_file

        tensors = load_file(path)
        if set(tensors) != {"idf", "weights", "bias"} or tensors["idf"].shape != (len(ANALYSERS) * BUCKETS,):
            raise BundleError(f"{path.name} is no n-gram model of this version; train the bundle again.")
        return cls(tensors["idf"].astype(np.float32), tensors["weights"].astype(np.float32), float(tensors["bias"][0]))
