"""Train, validation and test splits: grouped, so that nothing a model could recognise stands on both sides, and random.

Posts belong to one group when they share a channel, a near-duplicate picture (perceptual hash), a near-duplicate
title, or a title series: a name that recurs around a separator, as a show or an artist does. A title with several
such names belongs to the series of the most frequent one (the show, not its guest): were it to join them all, a third
of the posts would chain into one group. Groups are closed under "shares with".
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from engine.scoring import fit_cuts, to_level

FOLDS = 20
VALIDATION_FOLDS = 3
TEST_FOLDS = 3
PHASH_DISTANCE = 6
TITLE_SIMILARITY = 0.75

SEPARATOR = re.compile(r"\s*(?:[|｜•·/\\~]|\s[-–—]+\s|[–—]|:\s|\(|\)|\[|\]|【|】|「|」|\"|“|”)\s*")
TRAILING_HANDLE = re.compile(r"[@#]\w+")

# Words that many unrelated channels put around a separator: a segment made only of these names no series.
GENERIC = frozenset(
    """a an the of and in on at to for with by from my your our his her vs x ft feat featuring prod official officiel
    oficial video videoclip music musicvideo lyric lyrics lyrical audio visualizer visualiser trailer teaser live
    performance cover remix clip mv m/v hd hq uhd 4k 8k full extended version edit episode ep eps part pt season series
    chapter vol volume day week year highlights highlight shorts short vlog stream livestream reaction reacts react
    challenge tutorial review interview documentary movie film scene first last new final finale special premiere
    announcement reveal launch gameplay game update news today now finally best top worst funny moments compilation
    explained story behind scenes bts making ever world world's how what why who i we you it is are was not no all
    one two three four five emotional gone wrong must watch sub english eng dance practice choreography session acoustic
    free download out coming soon netflix january february march april may june july august september october november
    december monday tuesday wednesday thursday friday saturday sunday""".split()
)


def normalise_title(title: str) -> str:
    """Case, accents, emoji, punctuation and digits removed; words single-spaced."""
    plain = unicodedata.normalize("NFKD", title).casefold()
    return " ".join(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", plain))


def series_keys(title: str) -> Iterator[str]:
    """Names in a title that may recur across a series: segments around separators, and @ or # handles."""
    segments = SEPARATOR.split(title)
    names = [normalise_title(segment) for segment in segments] if len(segments) > 1 else []
    names += [normalise_title(handle) for handle in TRAILING_HANDLE.findall(title)]
    for name in names:
        words = [word for word in name.split() if word not in GENERIC]
        if words and len(" ".join(words)) > 2:
            yield " ".join(words)


def _linked_by_key(keys: Iterable[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    members = defaultdict(list)
    for row, key in keys:
        members[key].append(row)
    for rows in members.values():
        yield from ((rows[0], row) for row in rows[1:])


def _linked_pictures(hashes: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    rows = np.array([row for row, value in enumerate(hashes) if value])
    if not len(rows):
        return
    bits = np.array([int(hashes[row] or "0", 16) for row in rows], dtype=np.uint64)
    for index in range(len(bits) - 1):
        near = np.flatnonzero(np.bitwise_count(bits[index + 1 :] ^ bits[index]) <= PHASH_DISTANCE)
        yield from ((int(rows[index]), int(rows[index + 1 + other])) for other in near)


def _linked_titles(titles: Sequence[str]) -> Iterator[tuple[int, int]]:
    rows = [row for row, title in enumerate(titles) if len(title) > 3]
    if len(rows) < 2:
        return
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), dtype=np.float32).fit_transform(
        [titles[row] for row in rows]
    )
    for start in range(0, len(rows), 1000):
        similar = (grams[start : start + 1000] @ grams.T).tocoo()
        close = (similar.data >= TITLE_SIMILARITY) & (similar.row + start < similar.col)
        for left, right in zip(similar.row[close] + start, similar.col[close], strict=True):
            yield rows[left], rows[right]


def group_posts(posts: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Group number of each of n posts, shape (n,).

    `posts` has title, group (channel; null where unknown) and phash (16 hex digits; null where there is no picture).
    """
    titles = [normalise_title(title) for title in posts["title"].fillna("")]
    channels = [(row, channel) for row, channel in enumerate(posts["group"]) if isinstance(channel, str) and channel]
    keys = [sorted(set(series_keys(title))) for title in posts["title"].fillna("")]
    frequency = Counter(key for row_keys in keys for key in row_keys)
    series = [(row, max(row_keys, key=frequency.__getitem__)) for row, row_keys in enumerate(keys) if row_keys]
    links = [
        *_linked_by_key(channels),
        *_linked_by_key((row, title) for row, title in enumerate(titles) if title),
        *_linked_by_key(series),
        *_linked_pictures(posts["phash"].where(posts["phash"].notna(), None).tolist()),
        *_linked_titles(titles),
    ]
    pairs = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(posts), len(posts)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


@dataclass(frozen=True)
class SplitSummary:
    """What the split did, for printing."""

    posts: int
    groups: int
    largest_group: int
    sizes: dict[str, int]


def _name_folds(folds: npt.NDArray[np.int64]) -> npt.NDArray[np.str_]:
    names = np.full(len(folds), "train", dtype="<U10")
    names[folds < VALIDATION_FOLDS + TEST_FOLDS] = "validation"
    names[folds < TEST_FOLDS] = "test"
    return names


def split_posts(posts: pd.DataFrame, score: npt.ArrayLike, *, seed: int = 0) -> pd.DataFrame:
    """Both splits of n posts: post_id, group, grouped, random; 70 % train, 15 % validation, 15 % test.

    Both are stratified by quintile of `score` (n,), which serves nothing but the balance of the parts: levels are cut
    later, on the training part alone. Posts without a picture take their group's part and are left out of the balance.
    """
    groups = group_posts(posts)
    strata = to_level(score, fit_cuts(score))
    pictured = posts["phash"].notna().to_numpy()
    rows = np.flatnonzero(pictured)
    grouped_folds = np.full(len(posts), FOLDS, dtype=np.int64)
    random_folds = np.full(len(posts), FOLDS, dtype=np.int64)
    grouped = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(grouped.split(rows, strata[rows], groups[rows])):
        grouped_folds[rows[held]] = fold
    for fold, (_, held) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(rows, strata[rows])):
        random_folds[rows[held]] = fold
    part_of_group = dict(zip(groups[rows], grouped_folds[rows], strict=True))
    for row in np.flatnonzero(~pictured):
        grouped_folds[row] = part_of_group.get(groups[row], FOLDS)
    return pd.DataFrame(
        {
            "post_id": posts["post_id"].to_numpy(),
            "group": groups,
            "grouped": _name_folds(grouped_folds),
            "random": _name_folds(random_folds),
        }
    )


def summarise(splits: pd.DataFrame) -> SplitSummary:
    """Sizes of a split table, for printing."""
    return SplitSummary(
        posts=len(splits),
        groups=splits["group"].nunique(),
        largest_group=int(splits["group"].value_counts().iloc[0]),
        sizes={str(name): int(size) for name, size in splits["grouped"].value_counts().items()},
    )
