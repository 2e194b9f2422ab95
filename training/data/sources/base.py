"""What every dataset offers to `prepare`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from engine.errors import DataError
from engine.posts import MAX_TAG, MAX_TAGS
from training.tables import ImageKind

BATCH_ROWS = 512
# Of picture files, as those datasets name them that have one a post.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Dataset(ABC):
    """A published raw format, read in batches.

    A batch is a frame with the columns of posts.parquet, in the source's own words where types are concerned: counts
    may be text, `image` is the file's bytes or an absolute path, `tags` a list; absent is null, and columns that the
    source does not have may be left out. A batch may also carry `drop_reason` and `drop_detail` for rows that the
    dataset itself knows to be unusable (null elsewhere).

    A source without counts gives `popularity` in their place, a log2, and `score_formula` says what it is of; without
    either every row is dropped. `notes` are sentences that belong beside every figure on these posts.

    The templates are public addresses of a post and of its picture, with {post_id} for its id.

    `columns` maps columns of posts.parquet to the names they have in the source, the preferred one first; those in
    `required` must be there.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    image: ClassVar[ImageKind]
    columns: ClassVar[Mapping[str, tuple[str, ...]]]
    required: ClassVar[tuple[str, ...]]
    image_url_template: ClassVar[str | None] = None
    post_url_template: ClassVar[str | None] = None
    score_formula: ClassVar[str | None] = None
    notes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def tables(self, source: Path) -> list[Path]:
        """The table files of `source`. Raises DataError when they are not there."""

    @abstractmethod
    def read(self, source: Path) -> Iterator[pd.DataFrame]:
        """Posts with pictures, at most BATCH_ROWS a batch. Raises DataError when the source cannot be read."""

    def read_texts(self, source: Path) -> Iterator[pd.DataFrame]:
        """Text-only posts, as `read` gives them; none by default."""
        return iter(())

    def picture_table(self, source: Path) -> Path | None:
        """Parquet table of further pictures of which only a class of likes per view is known; none by default.

        Its columns: post_id, image (the file's bytes), likes_per_view_low ≤ rate < likes_per_view_high.
        """
        return None

    def folders(self, source: Path) -> list[Path]:
        """Folders of picture files; none when the pictures are inside the tables."""
        return []

    def pictures_apart(self, source: Path) -> bool:
        """Whether the pictures are files that neither `tables` nor `folders` tell of."""
        return self.image == "path"

    def count(self, source: Path) -> int | None:
        """Number of rows that `read` gives, where that is known without reading them."""
        return None

    def remarks(self, source: Path) -> list[str]:
        """What whoever made the tables may want to know of how their columns were read, a line each."""
        return []


def pick_columns(dataset: type[Dataset] | Dataset, names: Iterable[str], path: Path) -> dict[str, str]:
    """Which of the source's columns holds each column of posts.parquet, by `dataset.columns`.

    Case and spaces around names are ignored. Raises DataError naming the required columns that `path` lacks.
    """
    given = {name.strip().lower(): name for name in names}
    picked = {}
    for column, spellings in dataset.columns.items():
        found = next((given[spelling] for spelling in spellings if spelling in given), None)
        if found is not None:
            picked[column] = found
    missing = [" or ".join(dataset.columns[column]) for column in dataset.required if column not in picked]
    if missing:
        raise DataError(f"{path} lacks {'; '.join(missing)}: it is not a table of {dataset.description}.")
    return picked


def fit_tags(tags: Iterable[str]) -> list[str] | None:
    """Tags as a post can carry them: without blanks, repetitions or overlong ones, the first MAX_TAGS; None if none."""
    kept = dict.fromkeys(tag.strip() for tag in tags)
    return [tag for tag in kept if 0 < len(tag) <= MAX_TAG][:MAX_TAGS] or None
