"""When and where a post is published: the hour and the weekday as they go round, the month, the year and the place."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from math import cos, nan, pi, sin
from typing import ClassVar

import numpy as np

from engine.encoders.base import Modality
from engine.features.base import Feature, Values
from engine.posts import Post

PLACE = ("latitude", "longitude")
COLUMNS = (
    *("hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine", "month", "year"),
    *(*PLACE, "has_place"),
)


def _around(value: float, length: float) -> tuple[float, float]:
    """Sine and cosine of a place on a circle of that length: the end of a day is beside the start of the next."""
    turn = 2 * pi * value / length
    return sin(turn), cos(turn)


def _row(post: Post) -> tuple[float, ...]:
    if post.published_at is None and post.place is None:
        return (nan,) * len(COLUMNS)
    time: tuple[float, ...] = (nan,) * 6
    if post.published_at is not None:
        at = post.published_at.astimezone(UTC)
        time = (*_around(at.hour + at.minute / 60, 24), *_around(at.weekday(), 7), at.month, at.year)
    return (*time, *(post.place or (nan, nan)), float(post.place is not None))


class TimeAndPlace(Feature):
    """Values (n, len(COLUMNS)): hour and weekday in UTC, month 1 to 12, year, degrees, and whether there is a place.

    What is not known is NaN.
    """

    kind: ClassVar[str] = "time_and_place"
    by_default: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ()
    columns = COLUMNS

    @property
    def context(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(("published_at", *PLACE), ())

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        return np.array([_row(post) for post in posts], dtype=np.float32).reshape(-1, len(COLUMNS))

    def why_null(self, post: Post) -> str:
        known = post.published_at is not None or post.place is not None
        return "" if known else "The post says neither when nor where it is published."


FEATURE = TimeAndPlace
