"""The one selection of posts shared by the confusion matrix, the slices and the previews, and its form in the URL.

`?selection=true:3,pred:1,language:en|es` is: true level 3, predicted level 1, English or Spanish. Values are
percent-encoded, so a source named "a,b" survives; a plus would not do between values, since URLs read it as a space.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

from dashboard.text import language
from engine.scoring import LEVELS

NUMBERS = {"true": range(0, 5), "pred": range(0, 5), "off": range(-4, 5), "set": range(1, 6)}
TEXTS = ("source", "language", "title", "picture", "abstain")
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
}
MAX_VALUES = 40

# The SQL behind each field, over `predictions p JOIN posts q`.
EXPRESSIONS = {
    "true": "p.level",
    "pred": "p.predicted_level",
    "off": "p.predicted_level - p.level",
    "set": "p.set_high - p.set_low + 1",
    "source": "coalesce(q.source, 'unknown')",
    "language": "coalesce(q.language, 'unknown')",
    "title": """CASE WHEN coalesce(q.title_characters, 0) = 0 THEN 'no title'
        WHEN q.title_characters <= 20 THEN '1 to 20' WHEN q.title_characters <= 40 THEN '21 to 40'
        WHEN q.title_characters <= 60 THEN '41 to 60' WHEN q.title_characters <= 80 THEN '61 to 80'
        ELSE 'over 80' END""",
    "picture": "coalesce(q.image_width || '×' || q.image_height, 'no picture')",
    "abstain": "CASE WHEN p.abstain THEN 'yes' ELSE 'no' END",
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
            kept = tuple(dict.fromkeys(v for v in (unquote(v) for v in values.split("|")) if _allowed(name, v)))
            if kept:
                filters[name] = kept[:MAX_VALUES]
        return cls(tuple(filters.items()))

    def __str__(self) -> str:
        return ",".join(f"{name}:{'|'.join(quote(v, safe='-') for v in values)}" for name, values in self.filters)

    def __bool__(self) -> bool:
        return bool(self.filters)

    def values(self, name: str) -> tuple[str, ...]:
        return dict(self.filters).get(name, ())

    def put(self, name: str, values: Iterable[str]) -> "Selection":
        """The selection with one field's values replaced; without values the field is dropped."""
        kept = tuple(dict.fromkeys(value for value in values if _allowed(name, value)))
        filters = dict(self.filters)
        if kept:
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
