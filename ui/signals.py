"""The card "Picture and words": what was seen in a draft, in sentences, and where it lies among the dataset's posts.

It says what is usual, never what is good: these are associations, and the verdict stands above it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from engine.language import LANGUAGES
from ui.bars import percent
from ui.scale import scale_of
from ui.strip import Rows, legend, share_below, strip

if TYPE_CHECKING:
    from engine.bundle import Bundle
    from engine.signals import Signal

WORKING = (
    '<section class="fi-card fi-quiet" aria-busy="true"><h2>Picture and words</h2>'
    "<p>Looking at what is in them …</p></section>"
)
# Shares of the dataset's posts below and above which something is said to be unusual.
LITTLE, MUCH = 0.2, 0.8
# At this share, the least that is known, two sides hardly belong together: one post in twenty.
HARDLY = 0.06
# Half of all shorter titles would have an unusual wording: what comes first can hardly be guessed by anyone.
FEW_WORDS = 5
LINES, LINE = 3, 40
NUMBERS = ("No", "One", "Two", "Three", "Four", "Five")


@dataclass(frozen=True)
class Seen:
    """A signal that has a value, with the share of the dataset's posts below it where the bundle knows that."""

    signal: "Signal"
    value: float
    below: float | None
    crowd: str

    def word(self, little: str, usual: str, much: str) -> str:
        """Which of three words fits where this lies among the dataset's posts."""
        if self.below is None:
            return ""
        return little if self.below <= LITTLE else much if self.below >= MUCH else usual


def _alike(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _similarity(seen: Seen) -> str:
    if seen.below is not None and seen.below <= HARDLY:
        return (
            "The title and the picture hardly seem to belong together; in about 19 of 20 "
            f"{seen.crowd} they have more to do with each other. Are they of the same post?"
        )
    return (
        seen.word(
            "The title and the picture seem to be about different things.",
            f"The title and the picture have about as much to do with each other as in most {seen.crowd}.",
            "The title and the picture seem to be about the same thing.",
        )
        or f"How alike title and picture are: {_alike(seen.value)}, where 1 is the same and 0 has nothing in common."
    )


def _caption(seen: Seen) -> str:
    how = (
        seen.word("speaks of something else", "is about as close to that as usual", "says something similar")
        or f"is close to that by {_alike(seen.value)}, where 1 is the same"
    )
    return f"A small captioner, which often errs on covers, sees: {' '.join(seen.signal.detail)}. The title {how}."


def _wording(seen: Seen) -> str:
    how = seen.word("familiar", f"about as usual as in most {seen.crowd}", "unusual")
    if how == "unusual" and (seen.signal.total or FEW_WORDS) < FEW_WORDS:
        return f"The title is too short to tell how usual its wording is beside that of other {seen.crowd}."
    first = (
        f"The wording is {how}" if how else f"How unusual the wording is: {seen.value:.1f} (the higher, the more so)"
    )
    language = LANGUAGES.get("".join(seen.signal.detail), "English")
    if language == "English":
        return f"{first}."
    return f"{first}, judged by what has read mostly English; the title seems to be {language}."


def _written(seen: Seen) -> str:
    total = seen.signal.total or 1
    count = round(seen.value * total)
    if total == 1:
        return f"The title's only word is {'also' if count else 'not'} written in the picture."
    if not count:
        return f"None of the title's {total} words is written in the picture."
    how = "All" if count == total else f"{count} of"
    return f"{how} the title's {total} words {'is' if count == 1 else 'are'} also written in the picture."


def _faces(seen: Seen) -> str:
    count = round(seen.value)
    told = NUMBERS[count] if count < len(NUMBERS) else str(count)
    smile = (", and it smiles" if count == 1 else "; the largest smiles") if seen.signal.detail else ""
    return f"{told} face{'s look' if count > 1 else ' looks'} out of the picture{smile}."


@dataclass(frozen=True)
class Telling:
    """How one signal is told: its heading, its sentence, what the ends of its strip mean, how its value is written."""

    heading: str
    sentence: Callable[[Seen], str]
    ends: tuple[str, str]
    number: Callable[[float], str]


TELLINGS: Mapping[str, Telling] = {
    "similarity": Telling("Title and picture", _similarity, ("far apart", "alike"), _alike),
    "caption_consistency": Telling("In the picture", _caption, ("far apart", "close"), _alike),
    "log_perplexity": Telling("Wording", _wording, ("familiar", "unusual"), "{:.1f}".format),
    "title_written": Telling("Lettering", _written, ("no word", "all words"), percent),
    "faces": Telling("Faces", _faces, ("few", "many"), "{:.0f}".format),
}


def card(found: Sequence["Signal"], bundle: "Bundle", *, done: bool = True) -> str:
    """HTML of the card; "" where no signal has a value. Where it is not `done`, more signals are on their way."""
    if done and all(signal.value is None for signal in found):
        return ""
    items = "".join(_item(signal, bundle) for signal in found)
    marked = any(signal.value is not None and signal.name in bundle.typical for signal in found)
    rest = "" if done else '<p class="fi-small">Looking further …</p>'
    return (
        f'<section class="fi-card fi-signals" aria-busy="{"false" if done else "true"}"><h2>Picture and words</h2>'
        f"<ul>{items}</ul>{rest}{legend() if marked else ''}"
        f'<p class="fi-small">{escape(caveat(bundle))}</p></section>'
    )


def caveat(bundle: "Bundle") -> str:
    """What must not be concluded from the card."""
    return (
        f"This is what goes together among {scale_of(bundle).crowd}, not what causes what: changing it need not change "
        "how a post does."
    )


def record(found: Sequence["Signal"], bundle: "Bundle") -> dict[str, Any]:
    """The signals as plain data, each with its sentence, which is the reason where there is no value."""
    signals = [
        {
            "name": signal.name,
            "value": signal.value,
            "percentile": _below(signal, bundle),
            "sentence": sentence(signal, bundle),
            "detail": list(signal.detail),
        }
        for signal in found
    ]
    return {"signals": signals, "note": caveat(bundle)}


def sentence(signal: "Signal", bundle: "Bundle") -> str:
    """What a signal says of the draft, in plain words; the reason where it says nothing."""
    if signal.value is None:
        return signal.why
    seen = Seen(signal, signal.value, _below(signal, bundle), scale_of(bundle).crowd)
    return TELLINGS[signal.name].sentence(seen)


def _below(signal: "Signal", bundle: "Bundle") -> float | None:
    rows = bundle.typical.get(signal.name)
    return None if rows is None or signal.value is None else share_below(signal.value, rows, bundle.prior)


def _item(signal: "Signal", bundle: "Bundle") -> str:
    telling = TELLINGS[signal.name]
    rows: Rows | None = bundle.typical.get(signal.name)
    drawn = strip(signal.value, rows, telling.ends, telling.number) if rows and signal.value is not None else ""
    quiet = ' class="fi-quiet"' if signal.value is None else ""
    return f"<li{quiet}><h3>{telling.heading}</h3><p>{escape(sentence(signal, bundle))}</p>{_lines(signal)}{drawn}</li>"


def _lines(signal: "Signal") -> str:
    if signal.name != "title_written" or not signal.detail:
        return ""
    return f'<p class="fi-small">Read there: {escape(quoted(signal.detail))}</p>'


def quoted(lines: Sequence[str]) -> str:
    """The first lines of lettering, cut short."""
    told = ", ".join(f"“{line[:LINE]}{'…' * (len(line) > LINE)}”" for line in lines[:LINES])
    return f"{told} and {len(lines) - LINES} more" if len(lines) > LINES else told
