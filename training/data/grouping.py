"""Groups of posts that must not be parted by a split: same channel, series, picture or title, or the same subject.

Two steps. First, posts are bound when they share a channel, a near-duplicate picture (perceptual hash) or title, or a
title series: a name that recurs around a separator, as a show or an artist does (of several such names the most
frequent counts). Then bound sets that share rare words or names are gathered into communities (Louvain): a name needs
no separator, and guests, games and teams that recur all over the titles tell a word model their audience.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from training.data.alike import near_pictures, near_titles
from training.data.communities import communities

# A word or name found in more bound sets than this says little about who made the post.
RARE_WORD_SETS = 30
RARE_NAME_SETS = 60
# High enough that the largest community stays near 2 % of the posts.
RESOLUTION = 10.0
# Share of the posts up to which all that is tied stays together.
WHOLE = 0.1

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
    explained story behind scenes making ever world world's how what why who i we you it is are was not no all
    one two three four five emotional gone wrong must watch sub english eng dance practice choreography session acoustic
    free download out coming soon netflix january february march april may june july august september october november
    december monday tuesday wednesday thursday friday saturday sunday""".split()
)


def normalise_title(title: str) -> str:
    """Case, accents, emoji, punctuation and digits removed; words single-spaced.

    An accent parts its word in two (“Pokémon” → “poke mon”), of which pieces of two letters tie nothing: the parts that
    the shipped report is of hang on it, so this is to be mended with the next model.
    """
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


def bind_posts(posts: pd.DataFrame) -> npt.NDArray[np.int64]:
    """First step: number of the bound set of each of n posts, shape (n,).

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
        *near_pictures([value if isinstance(value, str) else None for value in posts["phash"]]),
        *near_titles(titles),
    ]
    pairs = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(posts), len(posts)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _names_and_words(title: str) -> Iterator[tuple[str, int]]:
    """What may tie a title to others of its subject, each with the number of sets beyond which it ties nothing."""
    yield from ((f"name {key}", RARE_NAME_SETS) for key in set(series_keys(title)))
    words = [word for word in normalise_title(title).split() if len(word) > 2 and word not in GENERIC]
    yield from ((term, RARE_WORD_SETS) for term in {*words, *map(" ".join, pairwise(words))})


def group_posts(posts: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Group number of each of n posts, shape (n,): communities of the bound sets of `bind_posts`.

    Two sets are tied by each rare term they share, with weight 1 / (sets that have it − 1).
    """
    bound = bind_posts(posts)
    holders: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for number, title in zip(bound, posts["title"].fillna(""), strict=True):
        for term in _names_and_words(title):
            holders[term].add(int(number))
    ties: defaultdict[tuple[int, int], float] = defaultdict(float)
    for (_, most), sets in sorted(holders.items()):
        if 2 <= len(sets) <= most:
            for pair in combinations(sorted(sets), 2):
                ties[pair] += 1 / (len(sets) - 1)
    community = np.zeros(int(bound.max()) + 1, dtype=np.int64)
    for number, members in enumerate(communities(len(community), ties, RESOLUTION)):
        community[list(members)] = number
    # Among few posts Louvain parts even what is tied to nothing else: up to a share of them that stays together.
    ends = np.array(list(ties), dtype=np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(ends.shape[1]), tuple(ends)), shape=(len(community), len(community)))
    part = connected_components(graph, directed=False)[1]
    small = np.bincount(part[bound]) <= WHOLE * len(posts)
    first = community[np.unique(part, return_index=True)[1]]
    return np.where(small[part], first[part], community)[bound]
