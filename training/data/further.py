"""Further pictures of a work folder: covers of which only a class of likes per view is known, no words and no counts.

`pictures.parquet` holds them: post_id, image (bytes), file_hash, phash, likes_per_view_low, likes_per_view_high. They
are no posts: of no split, never evaluated, and those that look like a post are left out by whoever learns from them
(`training.modeling.further`).
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DataError
from training.data.metadata import Decoder
from training.data.sources.base import BATCH_ROWS, Dataset
from training.tables import writing_table

PICTURES = "pictures.parquet"
BOUNDS = ("likes_per_view_low", "likes_per_view_high")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("post_id", "file_hash", "phash")),
        *((name, pa.float64()) for name in BOUNDS),
        ("image", pa.binary()),
    ]
)


def take_pictures(
    dataset: Dataset, source: Path, work: Path, decode: Decoder, taken: set[str], limit: int | None, stack: ExitStack
) -> dict[str, Any]:
    """Write the further pictures of a dataset, if it has any; returns how many were read, written and dropped, and why.

    `taken` are ids of posts, of which a picture is left out; `limit` keeps at most so many. Raises
    DataError when the table is none of such pictures.
    """
    path = dataset.picture_table(source)
    if path is None:
        (work / PICTURES).unlink(missing_ok=True)
        return {}
    table = stack.enter_context(writing_table(work / PICTURES, SCHEMA))
    dropped: Counter[str] = Counter()
    seen, read, written = set(taken), 0, 0
    for rows in _read(path):
        read += len(rows)
        kept: list[dict[Any, Any]] = []
        decoded = decode([image or b"" for image in rows["image"]])
        for row, picture in zip(rows.to_dict("records"), decoded, strict=True):
            low, high = (row[name] for name in BOUNDS)
            if isinstance(picture, str):
                dropped["unreadable picture"] += 1
            elif not (np.isfinite(low) and np.isfinite(high) and low < high):
                dropped["no class"] += 1
            elif row["post_id"] in seen or picture.pixel_hash in seen:
                dropped["duplicate"] += 1
            elif limit is not None and written + len(kept) >= limit:
                dropped["beyond the limit"] += 1
            else:
                seen |= {row["post_id"], picture.pixel_hash}
                kept.append({**row, "file_hash": hashlib.sha256(row["image"]).hexdigest(), "phash": picture.phash})
        written += len(kept)
        table.append(pd.DataFrame(kept, columns=SCHEMA.names))
    return {"read": read, "written": written, "dropped": dict(dropped.most_common())}


def _read(path: Path) -> Iterator[pd.DataFrame]:
    schema = pa.schema([SCHEMA.field(name) for name in ("post_id", "image", *BOUNDS)])
    try:
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=schema.names):
            yield batch.select(schema.names).cast(schema).to_pandas()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path} is no table of pictures with a class of likes per view; copy it again.") from error
