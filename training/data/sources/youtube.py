"""YouTube's trending lists: covers and titles with their counts, as one folder of Parquet files.

`posts.parquet` holds posts with pictures (`image`, WebP bytes), `titles.parquet`, if there, the same without pictures,
`covers.parquet`, if there, further pictures of which only a class of likes per view is known.
Descriptions, tags, channels and dates are known for a part of the rows only.

How zeros read, checked on 11,049 posts and 6,215 titles of 2020 and 2021. No post there has 1 to 3 likes, yet 108 have
0, at 44,000 to 86 million views, and often next to thousands of comments: their owner hid the likes. Such a post's
likes are set to null and the post is dropped, since its score cannot be known. Of the posts with pictures 209 have 0
comments, at 86,666 views or more, and just 4 have 1 to 10: comments were switched off, as they were for 45 titles whose
count is null already. They are set to null; a true zero among them adds nothing to a score either. 18 posts and 12
titles show neither count.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DataError
from training.data.sources.base import BATCH_ROWS, Dataset, fit_tags, pick_columns

# Below this many views, no like at all may be the truth.
HIDDEN_LIKES_VIEWS = 10_000

CATEGORIES = {
    1: "Film & Animation",
    2: "Autos & Vehicles",
    10: "Music",
    15: "Pets & Animals",
    17: "Sports",
    19: "Travel & Events",
    20: "Gaming",
    22: "People & Blogs",
    23: "Comedy",
    24: "Entertainment",
    25: "News & Politics",
    26: "Howto & Style",
    27: "Education",
    28: "Science & Technology",
    29: "Nonprofits & Activism",
}

# What the lists write where an owner gave no tags.
NO_TAGS = "[None]"


class YouTube(Dataset):
    """Trending covers and titles with views, likes and comments; no shares, no favorites."""

    name = "youtube"
    description = "YouTube's trending lists"
    image = "bytes"
    notes: ClassVar[tuple[str, ...]] = (
        "Posts come from trending lists: only posts that did well somewhere are in it.",
        "Which folds serve as test was settled with the figures of a ridge on title n-grams in view, so that the parts "
        "are alike and as hard.",
    )
    image_url_template: ClassVar[str | None] = "https://i.ytimg.com/vi/{post_id}/mqdefault.jpg"
    post_url_template: ClassVar[str | None] = "https://www.youtube.com/watch?v={post_id}"
    columns: ClassVar = {
        "post_id": ("post_id", "video_id"),
        "title": ("title",),
        "description": ("description",),
        "tags": ("tags",),
        "category": ("category_id",),
        "group": ("channel_id", "channel_title"),
        "published_at": ("published_at",),
        "source": ("source",),
        "image": ("image",),
        "views": ("views",),
        "likes": ("likes",),
        "comments": ("comments",),
    }
    required: ClassVar[tuple[str, ...]] = ("post_id", "title", "image", "views", "likes", "comments")

    def tables(self, source: Path) -> list[Path]:
        posts, titles = source / "posts.parquet", source / "titles.parquet"
        if not posts.is_file():
            raise DataError(f"{source} holds no posts.parquet; give the folder of {self.description}.")
        return [path for path in (posts, titles) if path.is_file()]

    def picture_table(self, source: Path) -> Path | None:
        path = source / "covers.parquet"
        return path if path.is_file() else None

    def count(self, source: Path) -> int | None:
        return int(opened(self.tables(source)[0]).metadata.num_rows)

    def remarks(self, source: Path) -> list[str]:
        found = []
        for number, path in enumerate(self.tables(source)):
            names = self._names(path)
            wanted = _wanted(names, self._picked(names, path, pictures=number == 0))
            if unread := [name for name in names if name not in wanted]:
                found.append(f"columns of {path.name} that are not read: {', '.join(unread)}")
        return found

    def read(self, source: Path) -> Iterator[pd.DataFrame]:
        return self._read(self.tables(source)[0], pictures=True)

    def read_texts(self, source: Path) -> Iterator[pd.DataFrame]:
        for path in self.tables(source)[1:]:
            yield from self._read(path, pictures=False)

    def _names(self, path: Path) -> list[str]:
        """The columns of a table."""
        return list(opened(path).schema_arrow.names)

    def _read(self, path: Path, *, pictures: bool) -> Iterator[pd.DataFrame]:
        file = opened(path)
        names = self._names(path)
        picked = self._picked(names, path, pictures=pictures)
        if pictures and not self._holds_pictures(kind := file.schema_arrow.field(picked["image"]).type):
            raise DataError(f"{path}: {picked['image']} holds {kind}; it must hold the pictures' bytes.")
        wanted = _wanted(names, picked)
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                columns = {name: _decoded(column) for name, column in zip(wanted, batch.columns, strict=True)}
                raw = pa.table(columns).to_pandas(integer_object_nulls=True)
                yield self._posts(raw.astype(object), picked)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is broken or cut off; copy it again.") from error

    def _picked(self, names: list[str], path: Path, *, pictures: bool) -> dict[str, str]:
        """Which of a table's columns holds each of a post's, no picture where none is read."""
        picked = pick_columns(self, names if pictures else [*names, "image"], path)
        if not pictures:
            del picked["image"]
        return picked

    def _posts(self, raw: pd.DataFrame, picked: dict[str, str]) -> pd.DataFrame:
        posts = pd.DataFrame({column: raw[name] for column, name in picked.items()})
        if "category" in posts:
            named = [self._category(cell) for cell in posts["category"]]
            posts["category"] = pd.Series(named, index=posts.index, dtype=object)
        if "tags" in posts:
            posts["tags"] = posts["tags"].map(self._tags).astype(object)
        if "channel_title" in raw and "group" in posts:
            posts["group"] = posts["group"].fillna(raw["channel_title"])
        posts["source"] = posts["source"].fillna(self.name) if "source" in posts else self.name
        return self._hidden(posts)

    @staticmethod
    def _holds_pictures(kind: pa.DataType) -> bool:
        """Whether a column of this type holds pictures' bytes."""
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_null(kind)

    @staticmethod
    def _category(given: float | str | None) -> str | None:
        """Name of a category from its number; a name stays as it is."""
        if given is None or pd.isna(given):
            return None
        try:
            number = int(float(given))
        except (ValueError, OverflowError):
            return str(given)
        return CATEGORIES.get(number, f"category {number}")

    @staticmethod
    def _tags(given: object) -> object:
        """A cell of tags as a list, None where there are none."""
        if not isinstance(given, str) or given == NO_TAGS:
            return None
        return fit_tags(given.split("|"))

    def _hidden(self, posts: pd.DataFrame) -> pd.DataFrame:
        """The posts without the zeros that stand for counts that their owner hid."""
        likes, views, comments = (
            pd.to_numeric(posts[name], errors="coerce").astype("Float64") for name in ("likes", "views", "comments")
        )
        hidden = ((likes == 0) & (views >= HIDDEN_LIKES_VIEWS)).fillna(False).astype(bool)
        posts["likes"] = posts["likes"].astype(object).mask(hidden, None)
        posts["comments"] = posts["comments"].astype(object).mask((comments == 0).fillna(False).astype(bool), None)
        posts["drop_reason"] = pd.Series("likes hidden", index=posts.index, dtype="string").where(hidden)
        return posts


def opened(path: Path) -> pq.ParquetFile:
    """A Parquet table. Raises DataError where it cannot be read."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file that can be read; copy it again.") from error


def _wanted(names: list[str], picked: dict[str, str]) -> list[str]:
    """The columns of a table that are read: a channel's title stands in where its id is missing."""
    return sorted({*picked.values(), *({"channel_title"} & set(names))})


def _decoded(column: pa.Array) -> pa.Array:
    """A column of texts with U+FFFD where bytes are no UTF-8, which Parquet does not forbid; any other as it is."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        texts = column.cast(pa.large_binary()).to_pylist()
        return pa.array([None if text is None else text.decode(errors="replace") for text in texts], pa.string())
    return column


DATASET = YouTube
