"""One's own posts: a table `posts` with pictures, a table `titles`, if there, without; columns as in `youtube`.

A table is Parquet, CSV, or JSON with one object a line. A picture is its file's bytes, or a path, which starts at the
table's folder where it is relative; Parquet may hold both, as {bytes, path}.

Every count is taken as it is given: whoever writes the table knows what a zero in it means, and leaves null what is not
known. Tags are read as those of a file to score are: a list, or text apart by | or by commas. Columns may have other
usual names, in any case of letters; `prepare` says which ones it did not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.batch.rows import INPUT_ENDINGS, read_image, read_tags
from engine.batch.text import TWICE, known_names, repeated
from engine.errors import DataError, PostError
from engine.images import read_file
from training.data.rows import FLAGS, names_of, read_rows
from training.data.sources.base import BATCH_ROWS, fit_tags
from training.data.sources.youtube import NO_TAGS, YouTube, opened

# Whose files are in memory at once.
FILES = 64


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
        "image": ("image", "picture"),
        "views": ("views", "view_count"),
        "likes": ("likes", "like_count"),
        "comments": ("comments", "comment_count"),
        "shares": ("shares", "share_count"),
        "favorites": ("favorites", "favourites"),
    }
    required = ("post_id", "title", "image", "views", "likes")
    _wanted: ClassVar = [name for spellings in columns.values() for name in spellings]

    def tables(self, source: Path) -> list[Path]:
        found = [path for name in ("posts", "titles") if (path := _table(source, name))]
        if not found or found[0].stem != "posts":
            names = ", ".join(f"posts{ending}" for ending in INPUT_ENDINGS)
            raise DataError(f"{source} holds none of {names}; give the folder of {self.description}.")
        return found

    def pictures_apart(self, source: Path) -> bool:
        path = self.tables(source)[0]
        if not _is_parquet(path):
            return True
        schema = opened(path).schema_arrow
        return not super()._holds_pictures(schema.field(self._picked(schema.names, path, pictures=True)["image"]).type)

    def count(self, source: Path) -> int | None:
        return super().count(source) if _is_parquet(self.tables(source)[0]) else None

    def _names(self, path: Path) -> list[str]:
        """The columns of a table. Raises DataError where two that are read have one name."""
        names = super()._names(path) if _is_parquet(path) else names_of(path, self._wanted)
        if name := repeated(known_names(names, self._wanted), self._wanted.__contains__):
            raise DataError(TWICE.format(path, name))
        return names

    def _read(self, path: Path, *, pictures: bool) -> Iterator[pd.DataFrame]:
        if _is_parquet(path):
            batches = super()._read(path, pictures=pictures)
        else:
            batches = self._read_rows(path, pictures=pictures)
        for posts in batches:
            for start in range(0, len(posts), FILES):
                part = posts.iloc[start : start + FILES].reset_index(drop=True)
                yield _with_bytes(part, path.parent) if pictures else part

    def _read_rows(self, path: Path, *, pictures: bool) -> Iterator[pd.DataFrame]:
        names = self._names(path)
        picked = self._picked(names, path, pictures=pictures)
        for raw in read_rows(path, self._wanted, names, BATCH_ROWS):
            yield pd.concat([self._posts(raw, picked), raw[FLAGS]], axis=1)

    @staticmethod
    def _holds_pictures(kind: pa.DataType) -> bool:
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        others = pa.types.is_string, pa.types.is_large_string, pa.types.is_struct
        return YouTube._holds_pictures(kind) or any(is_of(kind) for is_of in others)

    @staticmethod
    def _category(given: Any) -> str | None:
        """A category as it stands, a number too: so it is read when posts are scored."""
        return None if pd.api.types.is_scalar(given) and pd.isna(given) else str(given)

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


def _table(source: Path, name: str) -> Path | None:
    """The table of this name, None where there is none. Raises DataError where there are several."""
    found = [path for ending in INPUT_ENDINGS if (path := source / f"{name}{ending}").is_file()]
    if len(found) > 1:
        raise DataError(f"{source} holds {' and '.join(path.name for path in found)}; keep one of them.")
    return found[0] if found else None


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"


def _with_bytes(posts: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Posts with their pictures' bytes where paths are given; one whose file cannot be read is flagged."""
    flags = posts.reindex(columns=FLAGS).astype(object)
    images: list[bytes | None] = []
    for row, cell in enumerate(posts["image"]):
        try:
            given = read_image(cell)
            images.append(read_file(given, folder) if isinstance(given, str) else given)
        except PostError as error:
            images.append(None)
            flags.loc[row] = "unreadable picture", str(error)
    posts["image"] = pd.Series(images, dtype=object)
    posts[FLAGS] = flags
    return posts


DATASET = Own
