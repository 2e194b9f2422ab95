"""One's own posts: `posts.parquet` with pictures, `titles.parquet`, if there, without; columns as in `youtube`.

Every count is taken as it is given: whoever writes the table knows what a zero in it means, and leaves null what is not
known. Tags are read as those of a file to score are: a list, or text apart by | or by commas. Columns may have other
usual names, in any case of letters; `prepare` says which ones it did not read.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from engine.batch.rows import read_tags
from engine.errors import DataError, PostError
from training.data.sources.base import fit_tags
from training.data.sources.youtube import NO_TAGS, YouTube


class Own(YouTube):
    """Posts of whoever trains, without what is known of trending lists alone."""

    name = "own"
    description = "one's own posts"
    notes = ()
    image_url_template = None
    post_url_template = None
    columns: ClassVar = {
        **YouTube.columns,
        "category": ("category", "category_id"),
        "group": ("group", "channel_id", "channel_title", "channel", "account"),
        "published_at": ("published_at", "date"),
        "views": ("views", "view_count"),
        "likes": ("likes", "like_count"),
        "comments": ("comments", "comment_count"),
        "shares": ("shares", "share_count"),
        "favorites": ("favorites", "favourites"),
    }
    required = ("post_id", "title", "image", "views", "likes")

    def tables(self, source: Path) -> list[Path]:
        others = sorted(path.name for path in source.glob("posts.*"))
        if others and "posts.parquet" not in others:
            raise DataError(
                f"{source} holds {others[0]} and no posts.parquet; write the table as Parquet, as to_parquet of pandas "
                "does, with the bytes of each post's picture in the column image."
            )
        return super().tables(source)

    @staticmethod
    def _category(given: float | str | None) -> str | None:
        """A category as it stands, a number too: so it is read when posts are scored."""
        return None if pd.isna(given) else str(given)

    @staticmethod
    def _tags(given: object) -> object:
        """A cell of tags as a list, None where there are none; one that holds no tags as it is, which costs its row."""
        cell = given.tolist() if isinstance(given, np.ndarray) else given
        try:
            return None if cell == NO_TAGS else fit_tags(read_tags(cell))
        except PostError:
            return cell

    def _hidden(self, posts: pd.DataFrame) -> pd.DataFrame:
        return posts


DATASET = Own
