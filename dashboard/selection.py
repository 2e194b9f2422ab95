"""The one selection of posts that the pages share, and its form in the URL.

`?selection=true:3,pred:1,language:en|es` is: true level 3, predicted level 1, English or Spanish. Values are
percent-encoded, so a source named "a,b" survives; a plus would not do between values, since URLs read it as a space.
`post:…` names single posts, picked in a figure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import quote, unquote
from zlib import crc32

from dashboard.text import language
from engine.scoring import LEVELS

NUMBERS = {"true": range(0, 5), "pred": range(0, 5), "off": range(-4, 5), "set": range(1, 6)}
TEXTS = ("source", "language", "title", "picture", "abstain", "post")
# Filters on how a post was predicted; the others are facts known before publication.
OUTCOMES = ("true", "pred", "off")
LABELS = {
    "true": "True level",
    "pred": "Predicted",
    "off": "Off by",
    "set": "Levels in the set",
    "source": "Source",
    "language": "Language",
    "title": "Title length",
    "picture": "Picture size",
    "abstain": "Model abstains",
    "post": "Post",
}
MAX_VALUES = 40
# Of all picked posts in the URL: servers refuse one that is longer than about eight thousand.
MAX_CHARACTERS = 6000

# The SQL behind each field, over the answers of a scope.
EXPRESSIONS = {
    "true": "level",
    "pred": "predicted_level",
    "off": "predicted_level - level",
    "set": "set_high - set_low + 1",
    "source": "coalesce(source, 'unknown')",
    "language": "coalesce(language, 'unknown')",
    "title": """CASE WHEN coalesce(title_characters, 0) = 0 THEN 'no title'
        WHEN title_characters <= 20 THEN '1 to 20' WHEN title_characters <= 40 THEN '21 to 40'
        WHEN title_characters <= 60 THEN '41 to 60' WHEN title_characters <= 80 THEN '61 to 80'
        ELSE 'over 80' END""",
    "picture": "coalesce(image_width || '×' || image_height, 'no picture')",
    "abstain": "CASE WHEN abstain THEN 'yes' ELSE 'no' END",
    "post": "post_id",
}


@dataclass(frozen=True)
class Selection:
    """Fields with the values allowed for each; an empty selection allows every post."""

    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Selection":
        """Read the URL's form; what is unknown or malformed is left out, because anybody can write a URL."""
        filters: dict[str, tuple[str, ...]] = {}
        for part in text.split(","):
            name, _, values = part.partition(":")
            if kept := _kept(name, (unquote(value) for value in values.split("|"))):
                filters[name] = kept
        return cls(tuple(filters.items()))

    def __str__(self) -> str:
        return ",".join(f"{name}:{'|'.join(quote(v, safe='-') for v in values)}" for name, values in self.filters)

    def __bool__(self) -> bool:
        return bool(self.filters)

    def values(self, name: str) -> tuple[str, ...]:
        return dict(self.filters).get(name, ())

    def put(self, name: str, values: Iterable[str]) -> "Selection":
        """The selection with one field's values replaced, by as many as fit; without values the field is dropped."""
        filters = dict(self.filters)
        if kept := _kept(name, values):
            filters[name] = kept
        else:
            filters.pop(name, None)
        return Selection(tuple(filters.items()))

    def toggle(self, **fields: str) -> "Selection":
        """Set each field to one value, or drop them all when they are exactly that already."""
        same = all(self.values(name) == (value,) for name, value in fields.items())
        chosen = self
        for name, value in fields.items():
            chosen = chosen.put(name, () if same else (value,))
        return chosen

    def pick(self, posts: Iterable[str]) -> "Selection":
        """These posts, as many as fit, beside the other filters; no longer these where they are picked already."""
        # In an order that has nothing to do with them, so that those that fit are like those that do not.
        picked = self.put("post", sorted(posts, key=lambda post: crc32(post.encode())))
        return self.without("post") if picked == self else picked

    def remove(self, name: str, value: str) -> "Selection":
        return self.put(name, tuple(kept for kept in self.values(name) if kept != value))

    def without(self, *names: str) -> "Selection":
        return Selection(tuple((name, values) for name, values in self.filters if name not in names))

    def only(self, *names: str) -> "Selection":
        return Selection(tuple((name, values) for name, values in self.filters if name in names))

    def where(self) -> tuple[str, tuple[object, ...]]:
        """The selection as an SQL condition and its parameters."""
        conditions = ["true"]
        parameters: list[object] = []
        for name, values in self.filters:
            conditions.append(f"({EXPRESSIONS[name]}) IN ({', '.join('?' for _ in values)})")
            parameters += [int(value) if name in NUMBERS else value for value in values]
        return " AND ".join(conditions), tuple(parameters)


def _kept(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Distinct allowed values, as many as fit into a URL."""
    allowed = tuple(dict.fromkeys(value for value in values if _allowed(name, value)))
    if name != "post":
        return allowed[:MAX_VALUES]
    # The mark between two is encoded by browsers, as three characters.
    lengths = accumulate(len(quote(post, safe="-")) + 3 for post in allowed)
    return tuple(post for post, length in zip(allowed, lengths, strict=True) if length <= MAX_CHARACTERS)


def _allowed(name: str, value: str) -> bool:
    if name in NUMBERS:
        try:
            return int(value) in NUMBERS[name] and str(int(value)) == value
        except ValueError:
            return False
    return name in TEXTS and 0 < len(value) <= 200


def describe(name: str, value: str) -> str:
    """One filter value in words: "True level: High"."""
    if name in ("true", "pred"):
        return f"{LABELS[name]}: {LEVELS[int(value)]}"
    if name == "off":
        return off_by(int(value))
    return f"{LABELS[name]}: {language(value) if name == 'language' else value}"


def off_by(levels: int) -> str:
    if levels == 0:
        return "Exact level"
    return f"{abs(levels)} level{'s' if abs(levels) > 1 else ''} too {'high' if levels > 0 else 'low'}"
