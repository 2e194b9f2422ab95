"""Where a draft's signal lies among the dataset's posts of each level: five thin distributions with one mark across."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from engine.scoring import LEVELS

# Shares of a level's posts below each of its five quantiles.
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Room at both ends, as a share of what the distributions span.
MARGIN = 0.08

Rows = Sequence[Sequence[float]]


def share_below(value: float, rows: Rows, prior: Sequence[float]) -> float:
    """Share of all posts below a value, 0.05..0.95, from the quantiles of each level; of equals, half."""

    def below(row: Sequence[float]) -> float:
        up, down = np.interp(value, row, SHARES), np.interp(-value, [-edge for edge in reversed(row)], SHARES)
        return float(0.5 + (up - down) / 2)

    return sum(share * below(row) for share, row in zip(prior, rows, strict=True)) / sum(prior)


def strip(value: float, rows: Rows, ends: tuple[str, str], number: Callable[[float], str]) -> str:
    """HTML of one row a level, Very Low first: a line over 9 of 10 posts, a bar over the middle half, the median.

    `ends` say what little and much mean, `number` how a value is written.
    """
    low, high = min(row[0] for row in rows), max(row[-1] for row in rows)
    span = (high - low) or 1.0

    def place(at: float) -> float:
        return min(max(100 * ((at - low) / span + MARGIN) / (1 + 2 * MARGIN), 0.0), 100.0)

    mark = f'<b style="left:{place(value):.1f}%"></b>'
    body = "".join(
        f"<span>{name}</span><div>{_part('fi-most', place(row[0]), place(row[4]))}"
        f"{_part(f'fi-half fi-level-{level}', place(row[1]), place(row[3]))}"
        f'<u style="left:{place(row[2]):.1f}%"></u>{mark}</div>'
        for level, (name, row) in enumerate(zip(LEVELS, rows, strict=True))
    )
    medians = ", ".join(f"{name} {number(row[2])}" for name, row in zip(LEVELS, rows, strict=True))
    spoken = f"This draft: {number(value)}. In the middle of each level: {medians}."
    return (
        f'<div class="fi-strip" role="img" aria-label="{escape(spoken)}">{body}'
        f'<span></span><div class="fi-ends"><i>{escape(ends[0])}</i><i>{escape(ends[1])}</i></div></div>'
    )


def legend() -> str:
    """HTML of what the parts of a strip mean."""
    return (
        '<p class="fi-legend" aria-hidden="true"><span><i class="fi-key-draft"></i>this draft</span>'
        '<span><i class="fi-key-half"></i>middle half of the posts of a level</span>'
        '<span><i class="fi-key-most"></i>9 in 10 of them</span></p>'
    )


def _part(kind: str, start: float, end: float) -> str:
    return f'<i class="{kind}" style="left:{start:.1f}%;width:{end - start:.1f}%"></i>'
