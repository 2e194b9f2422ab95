"""What the study of picture and words comes to, in one sentence for each question, read off its trends."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

# What the verdicts ask of: the name for it, and which way inconsistency, or oddness, grows.
ASKED: Mapping[str, tuple[str, int]] = {
    "similarity": ("the gap between picture and title", -1),
    "caption_consistency": ("the gap between title and caption", -1),
    "log_perplexity": ("the oddness of the wording", 1),
}


def verdicts(trends: pd.DataFrame, *, published: bool = False) -> pd.DataFrame:
    """verdicts.parquet: for each signal asked of, whether it goes with engagement or popularity, in one sentence.

    `published` says that the dataset itself publishes the popularity.
    """
    popularity = "popularity (as it was published)" if published else "popularity (reactions in all)"
    names = {"score": "engagement (reactions for a view)", "popularity": popularity}
    rows = []
    for signal, (what, sign) in ASKED.items():
        for against in ("score", "popularity"):
            own = trends[(trends["signal"] == signal) & (trends["against"] == against)]
            if own.empty:
                continue
            found = {(row.cleaning, row.control): row for row in own.itertuples()}
            raw, strict = found["uncleaned", "raw"], found.get(("cleaned", "controlled"))
            way = _way(raw, sign)
            survives = strict is not None and way != "none" and _way(strict, sign) == way
            sentence = _sentence(what, names[against], sign, way, survives, raw, strict)
            rows.append((signal, against, way, survives, sentence))
    return pd.DataFrame(rows, columns=["signal", "against", "verdict", "survives", "sentence"])


def _way(row: Any, sign: int) -> str:
    low, high = sorted((sign * row.low, sign * row.high))
    return "grows" if low > 0 else "falls" if high < 0 else "none"


def _sentence(what: str, with_what: str, sign: int, way: str, survives: bool, raw: Any, strict: Any) -> str:
    def figure(row: Any) -> str:
        low, high = sorted((sign * row.low, sign * row.high))
        return f"{sign * row.value:+.3f} ({low:+.3f} to {high:+.3f}, n = {row.n:,})"

    verb = {"grows": "grows with", "falls": "falls with", "none": "has no clear trend with"}[way]
    first = f"{what[0].upper()}{what[1:]} {verb} {with_what} here: rank correlation {figure(raw)}."
    if strict is None:
        return first
    after = f"cleaned and controlled for title length, language and category it is {figure(strict)}"
    if way == "none":
        return f"{first} Also {after}."
    return f"{first} This {'survives' if survives else 'is not shown to survive'}: {after}."
