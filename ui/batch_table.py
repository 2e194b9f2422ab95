"""A list of posts as it is shown: how far it is, then a row for each answer, and the CSV of all."""

import base64
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, cast

from engine.posts import Post
from engine.previews import data_url
from engine.scoring import LEVELS
from ui.bars import percent, vote_bars
from ui.scale import Scale

if TYPE_CHECKING:
    from engine.batch.rows import Row
    from engine.batch.table import Record

# Rows shown on the page, the best first; the CSV has all of them.
SHOWN = 100
THUMBNAIL = (96, 60)


def shown(draft: Post | str, row: "Row") -> dict[str, object]:
    """What the page shows of a row beside its answer: its title, and its picture as a data URL."""
    if isinstance(draft, str):
        return {"title": row.title, "picture": ""}
    if draft.image is None:
        return {"title": draft.title, "picture": ""}
    small = draft.image.copy()
    small.thumbnail(THUMBNAIL)
    return {"title": draft.title, "picture": data_url(small, "WEBP")}


def progress(done: int, total: int) -> str:
    """HTML of how far it is."""
    return (
        f'<section class="fi-card fi-quiet" aria-busy="true"><p><progress max="{max(total, 1)}" value="{done}" '
        f'aria-label="Rows scored"></progress> {done:,} of {total:,} rows</p></section>'
    )


def answers(records: "list[Record]", scale: Scale, csv: bytes) -> str:
    """HTML of the rows, the highest expected level first, then those without a verdict, then errors; the CSV of all."""
    numbered = list(enumerate(records, start=1))
    failed = [(number, record) for number, record in numbered if record["error"] is not None]
    scored = [(number, record) for number, record in numbered if record["error"] is None]
    scored.sort(key=lambda pair: (_withheld(pair[1]), -cast(float, pair[1]["expected_level"])))
    withheld = sum(_withheld(record) for _, record in scored)
    # Some of what went wrong is seen however many rows there are.
    told = failed[: SHOWN // 5]
    best = scored[: SHOWN - len(told)]
    rows = "".join(_row(number, record, scale) for number, record in best) + "".join(
        _error(number, record) for number, record in told
    )
    errors = f", {withheld:,} without a verdict" if withheld else ""
    errors += f", {len(failed):,} with errors" if failed else ""
    more = "" if len(best) + len(told) == len(records) else f" Shown are {len(best) + len(told)} of them."
    address = f"data:text/csv;charset=utf-8;base64,{base64.b64encode(csv).decode('ascii')}"
    return (
        '<section class="fi-card fi-batch"><h3>How these posts would do</h3>'
        f"<p>{len(scored) - withheld:,} scored{errors}{', the best first' * (len(scored) - withheld > 1)}.{more} "
        f'<a download="predictions.csv" href="{address}">Download all as CSV</a></p>'
        '<div class="fi-scroll" tabindex="0"><table><thead><tr><th scope="col">Row</th><th scope="col">Post</th>'
        '<th scope="col">Level</th><th scope="col">Levels</th>'
        f'<th scope="col">{scale.unit.capitalize()}</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _post(number: int, record: "Mapping[str, object]") -> str:
    from engine.batch.rows import stand_in

    picture = record.get("picture")
    image = f'<img alt="" src="{picture}">' if picture else ""
    identity = str(record["post_id"])
    # What stands in for a missing id is of the row's number, which is there already.
    name = "" if identity == stand_in(number) else f"<small>{escape(identity)}</small>"
    title = escape(str(record.get("title") or "")) or "<em>no title</em>"
    return f'<td>{number}</td><td><span class="fi-row">{image}<span>{title}{name}</span></span></td>'


def _row(number: int, record: "Mapping[str, object]", scale: Scale) -> str:
    from engine.batch.table import PROBABILITIES

    if _withheld(record):
        return f'<tr>{_post(number, record)}<td colspan="3">{escape(str(record["reason"]))}</td></tr>'
    shares = [cast(float, record[name]) for name in PROBABILITIES]
    reason = f"<small>{escape(str(record['reason']))}</small>" if record["reason"] else ""
    level = str(record["level"])
    sure = f"<small>{escape(percent(shares[LEVELS.index(level)]))}</small>"
    score, low, high = (scale.number(cast(float, record[name])) for name in ("score", "score_low", "score_high"))
    return (
        f"<tr>{_post(number, record)}<td>{'Hard to call' if record['abstain'] else level}{reason or sure}</td>"
        f"<td>{vote_bars(shares)}</td><td>{score}<small>{low} to {high}</small></td></tr>"
    )


def _withheld(record: "Mapping[str, object]") -> bool:
    """Whether the model says of a row no more than what is usual."""
    from engine.guard import REASONS

    return record["reason"] in REASONS.values()


def _error(number: int, record: "Mapping[str, object]") -> str:
    post = _post(number, {**record, "title": record.get("title") or "not scored"})
    return f'<tr>{post}<td colspan="3">{escape(str(record["error"]))}</td></tr>'
