"""Plain statistics of a title: cheap, readable columns that need no network."""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from engine.encoders.base import Modality
from engine.features.base import Feature, Values
from engine.posts import Post

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_HASHTAG = re.compile(r"#\w*[^\W\d_]\w*")
_DASH = re.compile(r"(?:^|\s)[-–—]+(?:\s|$)|[–—]")
_ELLIPSIS = re.compile(r"\.{2,}|…")
_QUOTES = re.compile(r"[\"“”„«»「」『』]|(?<!\w)['‘][^'’]+['’](?!\w)")
_BRACKETS = re.compile(r"[(\[{（［【「《]")
_MONEY = re.compile(r"[$€£¥₹₩]")
_RANKING = re.compile(r"\btop\s+\d+|^\W*\d+\s+[^\W\d]", re.IGNORECASE)
_PICTOGRAM = (
    "[\U0001f300-\U0001f3fa\U0001f400-\U0001faff\u2600-\u27bf\u2b50\u2b55\u231a\u231b\u23e9-\u23fa\u203c\u2049]"
)
_JOINED = "[\ufe0f\U0001f3fb-\U0001f3ff]*"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|{_PICTOGRAM}{_JOINED}(?:\u200d(?:{_PICTOGRAM}|[\u2640\u2642\u2695]){_JOINED})*"
)
_SCRIPTS = {
    "latin": re.compile("[A-Za-zªº\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0620-\u064a\u066e-\u06d3\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc]"),
    "devanagari": re.compile("[\u0904-\u0939\u0958-\u0961]"),
    "hangul": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]"),
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_QUESTION_WORDS = _words("who what when where why how which whose is are can could do does did should will would")
_VOCABULARIES = {
    "first_person": _words("i me my mine myself we us our ours i'm i've i'll i'd we're we've we'll"),
    "second_person": _words("you your yours yourself you're you've you'll u ur"),
    "third_person": _words("he him his she her hers they them their he's she's they're"),
    "superlatives": _words(
        "best worst most least biggest largest smallest greatest longest shortest fastest slowest strongest hardest "
        "easiest craziest scariest funniest weirdest rarest cheapest richest tallest deadliest ultimate ever top"
    ),
    "negations": _words("no not never nothing nobody without don't can't won't didn't isn't stop"),
    "strong_words": _words(
        "insane crazy shocking shocked amazing incredible unbelievable epic extreme secret exposed scary terrifying "
        "emotional heartbreaking worst destroyed gone wrong finally surprise surprised surprising impossible dead die "
        "killed love hate cry crying perfect wow omg"
    ),
    "news_words": _words("new news today now live breaking update latest first last finally reveal revealed official"),
    "release_words": _words(
        "official trailer teaser video audio lyrics lyric mv album song clip music visualizer film"
    ),
    "series_words": _words("episode ep part pt season series chapter vol volume day week round game highlights"),
    "with_words": _words("ft feat featuring with x prod"),
    "versus_words": _words("vs versus v against"),
    "tutorial_words": _words("how tutorial guide tips tricks diy learn explained review recipe make making build"),
    "function_words": _words(
        "a an the and or but of to in on at for from by with as is are was were be been it its this that these those "
        "i you he she we they my your his her our their so if then than not"
    ),
}

COLUMNS: tuple[str, ...] = (
    *("characters", "words", "mean_word_length", "longest_word", "distinct_word_share"),
    *("upper_share", "capital_words", "capital_word_share", "capitalised_word_share"),
    *("digit_share", "numbers", "has_number", "has_year", "money", "ranking"),
    *("question_marks", "exclamation_marks", "ellipses", "quotes", "hashtags", "mentions", "emoji"),
    *("bars", "dashes", "colons", "commas", "ampersands", "brackets", "punctuation_share", "non_ascii_share"),
    "question_word_first",
    *_VOCABULARIES,
    *(f"{script}_share" for script in _SCRIPTS),
)


def _text_row(text: str) -> list[float]:
    length = len(text)
    raw_words = _WORD.findall(text)
    words = [word.lower().replace("’", "'") for word in raw_words]
    count = len(words)
    lengths = [len(word) for word in words]
    per_word = 1.0 / max(count, 1)
    per_character = 1.0 / max(length, 1)
    ascii_only = text.isascii()
    letters = sum(map(str.isalpha, text))
    per_letter = 1.0 / max(letters, 1)
    capitals = sum(len(word) > 1 and word.isupper() for word in raw_words)
    numbers = len(_NUMBER.findall(text))
    digits = sum(map(str.isdigit, text))
    plain = sum(map(str.isalnum, text)) + sum(map(str.isspace, text))
    row = [
        *(length, count, sum(lengths) * per_word, max(lengths, default=0), len(set(words)) * per_word),
        *(sum(map(str.isupper, text)) * per_letter, capitals, capitals * per_word),
        sum(word[0].isupper() for word in raw_words) * per_word,
        *(digits * per_character, numbers, numbers > 0, numbers > 0 and _YEAR.search(text) is not None),
        *(len(_MONEY.findall(text)), numbers > 0 and _RANKING.search(text) is not None),
        *(text.count("?") + text.count("？"), text.count("!") + text.count("！"), len(_ELLIPSIS.findall(text))),
        *(len(_QUOTES.findall(text)), len(_HASHTAG.findall(text)), text.count("@")),
        0 if ascii_only else len(_EMOJI.findall(text)),
        *(text.count("|") + text.count("｜"), len(_DASH.findall(text)), text.count(":") + text.count("：")),
        *(text.count(","), text.count("&"), len(_BRACKETS.findall(text))),
        (length - plain) * per_character,
        0.0 if ascii_only else sum(character > "\x7f" for character in text) * per_character,
        bool(words) and words[0] in _QUESTION_WORDS,
        *(sum(word in vocabulary for word in words) for vocabulary in _VOCABULARIES.values()),
    ]
    if ascii_only:
        return [*row, float(letters > 0), *[0.0] * (len(_SCRIPTS) - 1)]
    return [*row, *(len(script.findall(text)) * per_letter for script in _SCRIPTS.values())]


class TextStatistics(Feature):
    """Statistics of a title, (n, len(COLUMNS)).

    Shares are of characters, of words, or (case and scripts) of letters; the rest are counts or 0/1. Capitals that are
    no letters, such as Ⅷ, count as capitals all the same. The word lists are English. An empty title gives a row of
    zeros.
    """

    kind: ClassVar[str] = "text_statistics"
    modalities: tuple[Modality, ...] = ("text",)
    columns = COLUMNS

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        rows = [_text_row(post.title) for post in posts]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(COLUMNS))


FEATURE = TextStatistics
