"""One's own posts: `posts.parquet` with pictures, `titles.parquet`, if there, without; columns as in `youtube`.

Every count is taken as it is given: whoever writes the table knows what a zero in it means, and leaves null what is not
known.
"""

from typing import ClassVar

import pandas as pd

from training.data.sources.youtube import YouTube


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
        "group": ("group", "channel_id", "channel_title"),
        "shares": ("shares",),
        "favorites": ("favorites",),
    }
    required = ("post_id", "title", "image", "views", "likes")

    def _hidden(self, posts: pd.DataFrame) -> pd.DataFrame:
        return posts


DATASET = Own
