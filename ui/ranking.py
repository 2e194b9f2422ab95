"""A comparison in words: who is likely to do better, how sure that is, what makes the difference; as table and CSV."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

from PIL import Image

from engine.drafts.compare import MOST, Comparison, Draft, compare
from engine.prediction import Prediction
from engine.previews import data_url
from engine.scoring import LEVELS
from ui.scale import Scale
from ui.verdict import STRANGE, above

LETTERS = "ABCDEF"
assert len(LETTERS) == MOST
# The place that stands for all of them where drafts are taken away.
ALL = -1
THUMBNAIL = (144, 90)
INTRODUCTION = (
    "Put two to six drafts side by side: which is likely to do better, how sure that is, and whether it is the picture "
    "or the title."
)
TOO_SURE = (
    "Chances are those of any two posts; of two of one channel, which are more alike, they say less. What one post "
    "does under two titles was never measured."
)


@dataclass(frozen=True)
class Kept:
    """A draft of a comparison and a small picture of it as an address, "" for none: all that a session keeps of it."""

    draft: Draft
    small: str = ""


def thumbnail(picture: Image.Image | None) -> str:
    """A small copy of a picture as an address that holds it; "" for none."""
    if picture is None:
        return ""
    small = picture.copy()
    small.thumbnail(THUMBNAIL)
    return data_url(small, "WEBP", quality=70)


def empty(told: str = "") -> str:
    """HTML of a comparison without drafts; `told` is what went wrong."""
    return f'<section class="fi-card fi-quiet" tabindex="-1">{_told(told)}<p>{INTRODUCTION}</p></section>'


def panel(kept: Sequence[Kept], scale: Scale, told: str = "") -> str:
    """HTML of the comparison of at least one draft; `told` is a sentence that stands above it."""
    drafts = [one.draft for one in kept]
    found = compare(drafts)
    rows = "".join(_row(kept[place], place, found, drafts, scale) for place in (*found.order, *found.withheld))
    table = _table(found) if len(found.order) > 1 else ""
    note = f'<p class="fi-small">{TOO_SURE}</p>' if len(found.order) > 1 else ""
    return (
        f'<section class="fi-card fi-compare" tabindex="-1">{_told(told)}<h3>{escape(headline(found))}</h3>'
        f'<ol class="fi-ranks">{rows}</ol>{table}<p class="fi-links">{_download(drafts, found)}'
        f'<button type="button" data-remove="{ALL}">Take all away</button></p>{note}</section>'
    )


def headline(found: Comparison) -> str:
    """Which draft is likely to do best, or that this is too close to call."""
    if not found.order:
        return "There is nothing to rank yet"
    first, *others = found.order
    if not others and found.withheld:
        return f"Only {LETTERS[first]} can be ranked: add another draft that the model answers"
    if not others:
        return "One draft so far: add another to compare it with"
    close = [place for place in others if found.too_close(first, place)]
    if close:
        names = [LETTERS[place] for place in sorted([first, *close])]
        return f"Too close to call between {', '.join(names[:-1])} and {names[-1]}"
    chance = _hundred(found.beats[first, others[0]])
    if len(others) == 1:
        return f"{LETTERS[first]} is likely to do better than {LETTERS[others[0]]}, in {chance} of 100 such cases"
    return f"{LETTERS[first]} is ahead: it does better than {LETTERS[others[0]]} in {chance} of 100 such cases"


def difference(first: Draft, other: Draft, names: tuple[str, str], close: bool) -> str:
    """How another draft differs from the first, by the answers to their sides alone; and, where it is not too `close`,
    which side makes the difference."""
    moved = first.whole.percentiles[0] - other.whole.percentiles[0]
    told, gaps = [], {}
    same_words = (first.title, first.more_words) == (other.title, other.more_words)
    for side, unread, same, pair in (
        ("title", "image", same_words, (_words(first), _words(other))),
        ("picture", "text", first.picture == other.picture, (_look(first), _look(other))),
    ):
        # What the model does not read of a draft tells it from no other.
        read = [draft.whole.view != unread for draft in (first, other)]
        if all(read) and same:
            told.append(f"the same {side}")
        elif not any(read) and not same:
            told.append(f"the {side}s were not read")
        elif any(read) and not all(read):
            told.append(f"{names[read.index(False)]} has no {side}")
        elif pair[0] is not None and pair[1] is not None:
            gaps[side] = pair[0].percentiles[0] - pair[1].percentiles[0]
            told.append(f"by the {side} alone above {_share(pair[1])} of 100 instead of {_share(pair[0])}")
    # Sides that pull against the difference do not make it.
    makes = {side: abs(gap) for side, gap in gaps.items() if gap * moved > 0}
    leader = max(makes, key=lambda side: makes[side]) if makes else ""
    sentence = f"Against {names[0]}: {', '.join(told) or 'the same to this model'}."
    if first.context != other.context:
        # Then the answers to either side differ by that too.
        return f"{sentence[:-1]}; what else the model reads differs."
    if close or not leader:
        return sentence
    return f"{sentence} {'Mostly' if len(gaps) > 1 else 'It is'} the {leader}."


def record(drafts: Sequence[Draft]) -> dict[str, Any]:
    """The comparison as plain data: drafts best first, then each two of them that are ranked."""
    found = compare(drafts)
    numbers = {picture: number for number, picture in enumerate(dict.fromkeys(d.picture for d in drafts if d.picture))}
    rows = [
        {
            **{"draft": LETTERS[place], "title": drafts[place].title, "picture": numbers.get(drafts[place].picture)},
            "place": found.order.index(place) + 1 if place in found.order else None,
            "best": float(found.best[place]) if place in found.order else None,
            **_facts(drafts[place].whole),
            "title_alone": _alone(_words(drafts[place])),
            "picture_alone": _alone(_look(drafts[place])),
        }
        for place in (*found.order, *found.withheld)
    ]
    pairs = [
        {
            **{"first": LETTERS[first], "second": LETTERS[second]},
            "chance": float(found.beats[first, second]),
            "too_close": found.too_close(first, second),
            "difference": difference(
                drafts[first], drafts[second], (LETTERS[first], LETTERS[second]), found.too_close(first, second)
            ),
        }
        for number, first in enumerate(found.order)
        for second in found.order[number + 1 :]
    ]
    return {"summary": headline(found), "drafts": rows, "pairs": pairs, "note": TOO_SURE}


def as_csv(drafts: Sequence[Draft], found: Comparison) -> bytes:
    """The comparison as CSV, a row a draft, best first; no cell runs as a formula."""
    import pyarrow as pa

    from engine.batch.table import CsvWriter

    rows: list[dict[str, object]] = []
    for place in (*found.order, *found.withheld):
        ranked = place in found.order
        rows.append(
            {
                **{"draft": LETTERS[place], "place": found.order.index(place) + 1 if ranked else None},
                "title": drafts[place].title,
                "has_picture": bool(drafts[place].picture),
                **_facts(drafts[place].whole),
                "best": float(found.best[place]) if ranked else None,
                **{
                    f"beats_{LETTERS[other].lower()}": float(found.beats[place, other])
                    if ranked and other in found.order and other != place
                    else None
                    for other in range(len(drafts))
                },
            }
        )
    file = BytesIO()
    writer = CsvWriter(file, pa.schema([(name, pa.string()) for name in rows[0]]))
    writer.write(rows)
    return file.getvalue()


def _facts(answer: Prediction) -> dict[str, Any]:
    """What is said of one draft; where a side is strange, that, and no figure."""
    reason = answer.reason
    facts: dict[str, Any] = {
        "level": answer.level_name,
        "expected_level": answer.expected_level,
        **{"score": answer.score, "score_low": answer.score_low, "score_high": answer.score_high},
        **dict(zip(("above", "above_low", "above_high"), answer.percentiles, strict=True)),
    }
    if answer.strange is not None:
        facts, reason = dict.fromkeys(facts), f"{STRANGE[answer.strange]}."
    return {"view": answer.view, **facts, "abstain": answer.abstain, "reason": reason or None}


def _alone(answer: Prediction | None) -> dict[str, Any] | None:
    if answer is None or answer.strange is not None:
        return None
    return {"level": LEVELS[answer.level], "expected_level": answer.expected_level, "above": answer.percentiles[0]}


def _words(draft: Draft) -> Prediction | None:
    """The answer to the words alone; None without them, or where the model has none."""
    return draft.whole if draft.whole.view == "text" else draft.words


def _look(draft: Draft) -> Prediction | None:
    return draft.whole if draft.whole.view == "image" else draft.look


def _row(one: Kept, place: int, found: Comparison, drafts: Sequence[Draft], scale: Scale) -> str:
    draft, letter = one.draft, LETTERS[place]
    picture = f'<img src="{one.small}" alt="">' if one.small else '<i aria-hidden="true">no picture</i>'
    title = escape(draft.title) or "<em>no title</em>"
    if draft.whole.strange is not None:
        body = f'<p class="fi-small">Not ranked: {escape(STRANGE[draft.whole.strange])}.</p>'
    else:
        body = _standing(draft, place, found, scale)
        if place != found.order[0]:
            leader = found.order[0]
            told = difference(drafts[leader], draft, (LETTERS[leader], letter), found.too_close(leader, place))
            body += f'<p class="fi-small">{escape(told)}</p>'
    return (
        f'<li><b class="fi-letter">{letter}</b>{picture}<div><p class="fi-draft">{title}</p>{body}</div>'
        f'<button type="button" data-remove="{place}" aria-label="Take draft {letter} away">×</button></li>'
    )


def _standing(draft: Draft, place: int, found: Comparison, scale: Scale) -> str:
    """Where a draft stands with its interval, in words and on a line of ten, and its chance to do best."""
    middle, low, high = (100 * min(max(share, 0.0), 1.0) for share in draft.whole.percentiles)
    ends = " to ".join(str(above(share)) for share in draft.whole.percentiles[1:])
    if draft.whole.abstain:
        told = f"Hard to call: above {ends} of 10 {scale.crowd}"
    else:
        told = f"Above {above(draft.whole.percentiles[0])} of 10 {scale.crowd}, most likely {ends}"
    best = f"; best of all in {_hundred(found.best[place])} of 100 cases" if len(found.order) > 1 else ""
    return (
        f'<p>{told}{best}</p><div class="fi-reach" aria-hidden="true">'
        f'<i style="left:{low:.0f}%;width:{high - low:.0f}%"></i><b style="left:{middle:.0f}%"></b></div>'
    )


def _table(found: Comparison) -> str:
    """HTML table, folded: how often each draft does better than each other."""
    head = "".join(f'<th scope="col">than {LETTERS[place]}</th>' for place in found.order)
    rows = "".join(
        f'<tr><th scope="row">{LETTERS[first]} does better</th>'
        + "".join("<td>–</td>" if first == second else _chance(found, first, second) for second in found.order)
        + "</tr>"
        for first in found.order
    )
    return (
        '<details class="fi-fine"><summary>Each against each</summary><div class="fi-scroll" tabindex="0"><table>'
        f"<caption>In how many of 100 such cases</caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _chance(found: Comparison, first: int, second: int) -> str:
    close = ' <small class="fi-small">too close</small>' if found.too_close(first, second) else ""
    return f"<td>{_hundred(found.beats[first, second])}{close}</td>"


def _download(drafts: Sequence[Draft], found: Comparison) -> str:
    held = base64.b64encode(as_csv(drafts, found)).decode("ascii")
    return f'<a download="comparison.csv" href="data:text/csv;charset=utf-8;base64,{held}">Download as CSV</a>'


def _hundred(chance: float) -> int:
    """Of a hundred cases, how many; never all or none."""
    return min(max(round(100 * chance), 1), 99)


def _share(prediction: Prediction) -> int:
    """Of a hundred posts, how many the draft is ranked above."""
    return round(100 * prediction.percentiles[0])


def _told(told: str) -> str:
    return f'<p class="fi-told" role="alert">{escape(told)}</p>' if told else ""
