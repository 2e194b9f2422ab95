"""When, where, by whom and as what a row's post is published, for bundles that read it; every cell may be left out."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine.errors import PostError

# The numbers of an account each have a column of their own, such as “author.photo_count”.
AUTHOR = "author."
COLUMNS = ("category", "published_at", "latitude", "longitude")


def is_context(column: str) -> bool:
    """Whether a column of a file says something of a post's context."""
    return column in COLUMNS or column.startswith(AUTHOR)


def context_of(cells: Mapping[str, object]) -> dict[str, Any]:
    """Fields of a `Post` for its context, those that the row has. Raises PostError for what cannot be read."""
    found: dict[str, Any] = {}
    if published_at := _time(cells.get("published_at")):
        found["published_at"] = published_at
    place = [_number(cells.get(name), name) for name in ("latitude", "longitude")]
    if place != [None, None]:
        if None in place:
            raise PostError("A place needs both latitude and longitude; give the other one too, or neither.")
        found["place"] = tuple(place)
    author = [(name.removeprefix(AUTHOR), _number(cells[name], name)) for name in cells if name.startswith(AUTHOR)]
    if known := tuple((name, value) for name, value in author if value is not None):
        found["author"] = known
    if _is_there(category := cells.get("category")):
        found["category"] = str(category).strip()
    return found


def _is_there(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value)) and str(value).strip() != ""


def _number(value: object, name: str) -> float | None:
    if not _is_there(value):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise PostError(f"The {name} is no number; write one, or leave the cell empty.") from error


def _time(value: object) -> datetime | None:
    """A time with its zone; one without is taken as UTC."""
    if not _is_there(value):
        return None
    try:
        # A bare number might be a day, or seconds since anything.
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())  # type: ignore[attr-defined]
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except (AttributeError, ValueError, OverflowError) as error:
        raise PostError(
            "The published_at is no time; write it as 2026-11-26T18:30+00:00, or leave it empty."
        ) from error
