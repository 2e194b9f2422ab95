"""How unlike the training titles a title is: the surprise of its letters and words, and what it is made of."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from engine.encoders.base import Modality
from engine.errors import BundleError
from engine.features.base import Feature, FeatureSettings, FittedFeature, Values
from engine.posts import Post
from engine.word_pieces import COLUMNS as PIECES
from engine.word_pieces import make_up, vocabulary_hash

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.float64]

ORDER = 5
# What a character that was never seen gets at least.
ALPHABET = 3000
# Titles among which a word that nobody used is counted as one.
REFERENCE = 10_000
# Characters in the window whose mean surprise is the largest.
WINDOW = 6
# Longer titles are rare, and their ends say nothing new.
MOST_CHARACTERS = 300
_START, _END = "\x02", "\x03"
_WORD = re.compile(r"\w+")
# What programs and addresses are full of, a stop or slash between letters, and a letter beside a digit.
_SYMBOLS = frozenset("{}<>=;[]\\_$^~`|")
_JOINED = re.compile(r"\w[._/\\:]\w")
_MIXED = re.compile(r"[^\W\d_]\d|\d[^\W\d_]")
KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")
_NEIGHBOURS = {pair for row in KEY_ROWS for keys in (row, row[::-1]) for pair in pairwise(keys)}
_FACTOR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD)
_POWERS = np.array([pow(int(_FACTOR), number, 2**64) for number in range(ORDER)], dtype=np.uint64)
_ORDERS = np.arange(1, ORDER + 1, dtype=np.uint64)


def _mixed(values: Hashes) -> Hashes:
    """Hashes whose bits all depend on all bits of `values`; overflow is meant."""
    found: Hashes = (values ^ (values >> np.uint64(33))) * _MIX
    return found ^ (found >> np.uint64(29))


def _hashes(text: str) -> tuple[Hashes, Hashes]:
    """Of every character of a text and its end: hashes (ORDER, n) of the runs that end there, and of what precedes."""
    padded = _START * (ORDER - 1) + text.lower()[:MOST_CHARACTERS] + _END
    codes = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = len(codes) - ORDER + 1
    rolling = np.zeros(count, dtype=np.uint64)
    before = np.zeros(count, dtype=np.uint64)
    runs, contexts = np.empty((2, ORDER, count), dtype=np.uint64)
    for number in range(ORDER):
        start = ORDER - 1 - number
        contexts[number] = _mixed(before * _FACTOR + _ORDERS[number])
        rolling = rolling + codes[start : start + count] * _POWERS[number]
        runs[number] = _mixed(rolling * _FACTOR + _ORDERS[number])
        if start:
            before = before + codes[start - 1 : start - 1 + count] * _POWERS[number]
    return runs, contexts


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _word_hashes(words: Iterable[str]) -> Hashes:
    digests = (hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest() for word in words)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _key_run(text: str) -> int:
    """Characters of the longest run over neighbouring keys of a keyboard, in either direction."""
    longest = run = 1
    for pair in pairwise(text):
        run = run + 1 if pair in _NEIGHBOURS else 1
        longest = max(longest, run)
    return longest


def _counted(hashes: Hashes, least: int) -> tuple[Hashes, npt.NDArray[np.int32]]:
    """The distinct hashes, sorted, that occur at least so often, and how often."""
    found, counts = np.unique(hashes, return_counts=True)
    kept = counts >= least
    return found[kept], counts[kept].astype(np.int32)


class SurpriseModel:
    """Counts of the character runs and words of many titles, under hashes: no title can be read off them.

    `tensors` holds sorted hashes with their counts. Runs of three characters and more, and words, that occur once are
    left out. The probability of a character after those before it is interpolated over runs of 1 to `ORDER` characters
    (Witten & Bell 1991): p_n = (c_n + d_n · p_{n−1}) / (N_n + d_n), with N_n occurrences and d_n distinct followers of
    the n − 1 characters before, and p_0 = 1 / `ALPHABET`.
    """

    NAMES: ClassVar = (
        "runs",
        "run_counts",
        "contexts",
        "context_counts",
        "followers",
        "words",
        "word_counts",
        "titles",
    )

    def __init__(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        self.tensors = dict(tensors)

    @classmethod
    def fit(cls, titles: Sequence[str]) -> "SurpriseModel":
        """From n titles; raises ValueError without any."""
        if not titles:
            raise ValueError("no titles to be surprised against")
        runs, contexts = (np.concatenate(parts, axis=1) for parts in zip(*map(_hashes, titles), strict=True))
        run_parts, context_parts = [], []
        for number in range(ORDER):
            kept, counts = _counted(runs[number], 1 if number < 2 else 2)
            run_parts.append((kept, counts))
            # The context of each kept run; every run has one.
            first = np.unique(runs[number], return_index=True)
            places = first[1][np.isin(first[0], kept)]
            above, inverse = np.unique(contexts[number][places], return_inverse=True)
            totals = np.bincount(inverse, counts, len(above)).astype(np.int32)
            context_parts.append((above, totals, np.bincount(inverse, minlength=len(above)).astype(np.int32)))
        words, word_counts = _counted(np.concatenate([_word_hashes(set(_words(title))) for title in titles]), 2)
        columns = (*zip(*run_parts, strict=True), *zip(*context_parts, strict=True))
        tables = [np.concatenate(column) for column in columns]
        orders = [np.argsort(tables[0]), np.argsort(tables[2])]
        tables = [table[orders[place >= 2]] for place, table in enumerate(tables)]
        return cls(dict(zip(cls.NAMES, (*tables, words, word_counts, np.array([len(titles)])), strict=True)))

    def _looked_up(self, keys: str, hashes: Hashes, *columns: str) -> list[Numbers]:
        known = self.tensors[keys]
        places = np.minimum(np.searchsorted(known, hashes), max(len(known) - 1, 0))
        there = known[places] == hashes if len(known) else np.zeros(hashes.shape, dtype=bool)
        return [np.where(there, self.tensors[column][places] if len(known) else 0, 0.0) for column in columns]

    def bits(self, title: str) -> Numbers:
        """Surprise of each character of a title, and of its end, in bits."""
        runs, contexts = _hashes(title)
        counts = self._looked_up("runs", runs, "run_counts")[0]
        totals, followers = self._looked_up("contexts", contexts, "context_counts", "followers")
        probability = np.full(runs.shape[1], 1 / ALPHABET)
        for number in range(ORDER):
            below = totals[number] + followers[number]
            longer = (counts[number] + followers[number] * probability) / np.maximum(below, 1)
            probability = np.where(below > 0, longer, probability)
        surprise: Numbers = -np.log2(probability)
        return surprise

    def word_bits(self, words: Sequence[str]) -> tuple[npt.NDArray[np.bool_], Numbers]:
        """Of n words: whether training titles held it more than once, and about −log₂ of the share of titles that did.

        The share is that of `REFERENCE` titles and one, so that a word nobody used does not tell how many titles the
        model was fitted on: fewer than all where values are out of fold.
        """
        found = self._looked_up("words", _word_hashes(words), "word_counts")[0]
        return found > 0, np.log2(REFERENCE / (1 + found * REFERENCE / float(self.tensors["titles"][0])))


COLUMNS = (
    "bits_mean",
    "bits_median",
    "bits_window",
    "bits_most",
    "known_word_share",
    "known_words",
    "words",
    "characters",
    "letter_share",
    "space_share",
    "word_bits_mean",
    "word_bits_most",
    "digit_share",
    "mark_share",
    "symbol_share",
    "joined_share",
    "mixed_share",
    "longest_word",
    "key_run",
    *PIECES,
)


class TitleSurprise(FittedFeature):
    """Values (n, len(COLUMNS)): surprise in bits a character and a word under training titles, and what it is made of.

    Upper and lower case are one: drafts are often typed without capitals. An empty title gives zeros. No member reads
    it: it is what the guard judges titles by (`engine.guard`).
    """

    kind: ClassVar[str] = "title_surprise"
    version: ClassVar[int] = 3
    by_default: ClassVar[bool] = False
    supervised: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ("text",)
    columns = COLUMNS

    def __init__(
        self, name: str | None = None, text_fields: Sequence[str] = ("title",), model: SurpriseModel | None = None
    ) -> None:
        super().__init__(name)
        self.text_fields, self.model = tuple(text_fields), model

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, settings.text_fields)

    def fitted(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        model = SurpriseModel.fit(self._titles(posts))
        return type(self)(self.name, self.text_fields, model)

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        rows = [self._row(title) for title in self._titles(posts)]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(COLUMNS))

    def _titles(self, posts: Sequence[Post]) -> list[str]:
        """The texts of n posts, single-spaced: two spaces make no title a stranger."""
        return [" ".join(post.text(self.text_fields).split()) for post in posts]

    def _row(self, title: str) -> list[float]:
        if self.model is None:
            raise BundleError("The surprise of titles was not fitted; train the bundle again.")
        if not title.strip():
            return [0.0] * len(COLUMNS)
        bits, words, length = self.model.bits(title), _words(title), len(title)
        window = min(WINDOW, len(bits))
        # Without any word it is as if there were one that nobody has used.
        known, word_bits = self.model.word_bits(words or [""])
        parts = title.split()
        return [
            *(float(bits.mean()), float(np.median(bits))),
            *(float(np.convolve(bits, np.full(window, 1 / window), "valid").max()), float(bits.max())),
            *(float(known.mean()), float(known.sum()), len(words), length),
            *(sum(map(str.isalpha, title)) / length, sum(map(str.isspace, title)) / length),
            *(float(word_bits.mean()), float(word_bits.max()), sum(map(str.isdigit, title)) / length),
            sum(not (character.isalnum() or character.isspace()) for character in title) / length,
            sum(character in _SYMBOLS for character in title) / length,
            *(sum(map(bool, map(odd.search, parts))) / len(parts) for odd in (_JOINED, _MIXED)),
            *(max(map(len, parts)), _key_run(title.lower()), *make_up(title)),
        ]

    def blank(self) -> Values:
        return np.zeros((1, len(COLUMNS)), dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        return {"text_fields": list(self.text_fields)}

    @property
    def weights(self) -> str:
        if self.model is None:
            return ""
        counts = b"".join(self.model.tensors[name].tobytes() for name in SurpriseModel.NAMES)
        return hashlib.sha256(vocabulary_hash().encode() + counts).hexdigest()

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        if self.model is not None:
            save_file(self.model.tensors, folder / f"{self.name}.safetensors")

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        from safetensors.numpy import load_file

        tensors = load_file(folder / f"{name}.safetensors")
        if set(tensors) != set(SurpriseModel.NAMES):
            raise BundleError("The surprise of titles is no model of this version; train the bundle again.")
        return cls(name, **config, model=SurpriseModel(tensors))


FEATURE = TitleSurprise
