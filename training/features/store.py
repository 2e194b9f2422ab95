"""Features on disk, keyed by the hash of what they were read off and by the feature's own key.

`features/<cache key>/part-*.parquet` hold post_hash and values, one row a distinct content. A row's values are the
bytes of its numbers, for lists of numbers take Parquet many times as long. A part is put in place whole, every page
with its checksum, so a run killed at any moment loses only what it had not written yet.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from filelock import FileLock, Timeout

from engine.errors import DataError
from engine.features.base import Feature, Values
from engine.features.encoder_vector import EncoderVector
from engine.files import replacing, write_json

MANIFEST = "manifest.json"
# Not the name, which two recipes may give otherwise.
IDENTITY = ("kind", "fingerprint", "precision", "width", "numbers")
AGAIN = "run `python -m training extract` again"

log = structlog.get_logger()


class FeatureTable:
    """The stored values of one feature. Raises DataError when its folder holds something else."""

    def __init__(self, folder: Path, feature: Feature) -> None:
        self.feature = feature
        self.folder = folder / feature.cache_key
        self.folder.mkdir(parents=True, exist_ok=True)
        # Columns, not the shape: texts are stored without the places they do not use.
        self.width = len(feature.columns)
        manifest = {
            "name": feature.name,
            "kind": feature.kind,
            "fingerprint": feature.fingerprint,
            "precision": feature.precision,
            "width": self.width,
            "numbers": np.dtype(feature.stored_as).str,
        }
        path = self.folder / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except ValueError:
            found = {}
        if found is None:
            write_json(path, manifest)
        elif not isinstance(found, dict) or any(found.get(key) != manifest[key] for key in IDENTITY):
            raise DataError(f"{self.folder} is not of the feature {feature.name}; delete it and {AGAIN}.")
        self._where: dict[str, tuple[Path, int]] = {}
        self._scan()

    def __len__(self) -> int:
        return len(self._where)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _scan(self, *, repair: bool = False) -> None:
        self._where.clear()
        for part in self._parts():
            try:
                table = pq.read_table(part, columns=None if repair else ["post_hash"], page_checksum_verification=True)
            except (OSError, pa.ArrowException) as error:
                log.warning("damaged features, to be made again", part=str(part), reason=str(error).splitlines()[0])
                if repair:
                    part.unlink()
                continue
            for row, post_hash in enumerate(table.column("post_hash").to_pylist()):
                self._where.setdefault(post_hash, (part, row))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to append, of one process at a time; damaged parts are removed first.

        Raises DataError when another process is writing these features.
        """
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                self._scan(repair=True)
                yield
        except Timeout as error:
            raise DataError(f"Another process is writing {self.folder}; wait until it has finished.") from error

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """Those of `hashes` without values, each once, in order."""
        return [post_hash for post_hash in dict.fromkeys(hashes) if post_hash not in self._where]

    def append(self, hashes: Sequence[str], values: Iterable[npt.NDArray[np.floating]]) -> None:
        """Add the values of n contents, each of the feature's shape, as one part; only inside `writing`.

        Raises DataError for an infinite number, and for one that an encoder could not compute: it runs in too low a
        precision, or is broken.
        """
        if not len(hashes):
            return
        # A number beyond half precision becomes an infinite one, which is looked for below.
        with np.errstate(over="ignore"):
            arrays = [_trimmed(row).astype(self.feature.stored_as) for row in values]
        for post_hash, array in zip(hashes, arrays, strict=True):
            failed = isinstance(self.feature, EncoderVector) and (np.isnan(array).any() or not len(array))
            if failed or np.isinf(array).any():
                raise DataError(f"{self.feature.name} gave numbers that are not finite for the content {post_hash}.")
        number = int(self._parts()[-1].stem[5:]) + 1 if self._parts() else 0
        part = self.folder / f"part-{number:05d}.parquet"
        columns = [pa.array(hashes, pa.string()), pa.array([array.tobytes() for array in arrays], pa.large_binary())]
        with replacing(part) as temporary:
            plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
            pq.write_table(pa.table(columns, ["post_hash", "values"]), temporary, write_page_checksum=True, **plain)
        for place, post_hash in enumerate(hashes):
            self._where.setdefault(post_hash, (part, place))

    def get(self, hashes: Sequence[str]) -> Values:
        """Values (n, *shape) in the order asked, in the precision they are stored in; unused places are NaN.

        Raises DataError when one is missing or damaged.
        """
        absent = self.missing(hashes)
        if absent:
            raise DataError(f"{self.feature.name} is missing for {len(absent)} of these posts; {AGAIN}.")
        wanted: dict[Path, list[tuple[int, int]]] = {}
        for place, post_hash in enumerate(hashes):
            part, row = self._where[post_hash]
            wanted.setdefault(part, []).append((place, row))
        tokens = len(self.feature.shape) > 1
        rows: list[Any] = [None] * len(hashes)
        for part, pairs in wanted.items():
            try:
                column = pq.read_table(part, columns=["values"], page_checksum_verification=True).column(0)
            except (OSError, pa.ArrowException) as error:
                raise DataError(f"{part} is damaged; {AGAIN}, which makes its features anew.") from error
            for place, row in pairs:
                stored = np.frombuffer(column[row].as_buffer(), self.feature.stored_as)
                rows[place] = stored.reshape(-1, self.width)
        if not tokens:
            return np.concatenate([np.zeros((0, self.width), self.feature.stored_as), *rows])
        longest = max((len(row) for row in rows), default=0)
        values = np.full((len(rows), longest, self.width), np.nan, dtype=self.feature.stored_as)
        for place, row in enumerate(rows):
            values[place, : len(row)] = row
        return values


def _trimmed(row: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """A row of tokens (places, channels) without the unused places at its end; any other row as it is."""
    if row.ndim == 1:
        return row
    used = np.flatnonzero(~np.isnan(row).all(axis=1))
    return row[: used[-1] + 1] if len(used) else row[:0]
