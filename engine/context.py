"""When, where, by whom and as what a post is published: its names in files and calls, and how it is read.

Bundles may read it. All of it may be left out: an empty cell, or a name that is not there, counts as unknown.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine.errors import PostError
from engine.posts import Post

# The numbers of an account each have a name of their own, such as “author.photo_count”.
AUTHOR = "author."
COLUMNS = ("category", "published_at", "latitude", "longitude")

# By name, as a row of a file has it.
Context = dict[str, str | float]


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
        found["category"] = _text(category)
    return found


def read_context(given: object) -> dict[str, Any]:
    """Fields of a `Post` from a JSON object with the names of a file's columns; None and "" are none.

    Raises PostError for what is no such object, an unknown name, and what cannot be read.
    """
    if given in (None, ""):
        return {}
    if not isinstance(given, Mapping):
        raise PostError('Give the context as an object, as in {"published_at": "2026-11-26T18:30+00:00"}.')
    if odd := sorted(name for name in map(str, given) if not is_context(name)):
        raise PostError(
            f"A context has no {odd[0][:40]}; it has {', '.join(COLUMNS)}, and numbers of the account such as "
            f"{AUTHOR}photo_count."
        )
    return context_of(given)


def cells_of(post: Post) -> Context:
    """The context of a post as a row of a file has it; `context_of` gives it back."""
    cells: Context = {f"{AUTHOR}{name}": value for name, value in post.author}
    if post.category:
        cells["category"] = post.category
    if post.published_at is not None:
        cells["published_at"] = post.published_at.isoformat()
    if post.place is not None:
        cells["latitude"], cells["longitude"] = post.place
    return cells


def _is_there(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value)) and str(value).strip() != ""


def _number(value: object, name: str) -> float | None:
    if not _is_there(value):
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise PostError(f"The {name} is no number; write one, or leave it empty.") from error


def _text(value: object) -> str:
    try:
        if isinstance(value, str | int | float):
            # Half of a character, which JSON may hold, cannot be written anywhere.
            return str(value).encode().decode().strip()
    except UnicodeEncodeError:
        pass
    raise PostError("The category is no text; write it as text, or leave it empty.")


def _time(value: object) -> datetime | None:
    """A time with its zone; one without is taken as UTC."""
    if not _is_there(value):
        return None
    try:
        # A bare number might be a day, or seconds since anything.
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())  # type: ignore[attr-defined]
        zoned = at if at.tzinfo else at.replace(tzinfo=UTC)
        # The first and the last day of the calendar may lie outside of it elsewhere.
        zoned.astimezone(UTC)
        return zoned
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise PostError(
            "The published_at is no time; write it as 2026-11-26T18:30+00:00, or leave it empty."
        ) from error
