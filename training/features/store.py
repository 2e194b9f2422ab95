"""Features on disk, keyed by the hash of what was encoded and by the encoder's fingerprint.

`features/<fingerprint>/part-*.parquet` hold content_hash and vector; `features/<fingerprint>-tokens[-HxW]/` hold the
token features. A part is written under a temporary name and put in place whole, every page with its checksum, so a
run killed at any moment loses only what it had not written yet.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
import torch
from filelock import FileLock, Timeout

from engine.encoders.base import Encoder, Tokens
from engine.errors import DataError

Kind = Literal["vector", "tokens"]
Grid = tuple[int, int]

MANIFEST = "manifest.json"
AGAIN = "run `python -m training extract` again"

log = structlog.get_logger()


def _put_in_place(temporary: Path, final: Path) -> None:
    """Rename a finished file, both it and its name safe on the disk before this returns."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    if os.name != "posix":
        return
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class FeatureTable:
    """The features of one encoder. Vectors are kept as float32, tokens as float16.

    Raises DataError when the folder belongs to other features.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        folder.mkdir(parents=True, exist_ok=True)
        self._check_manifest()
        self._where: dict[str, tuple[Path, int]] = {}
        self._scan()

    def _check_manifest(self) -> None:
        path = self.folder / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            text = json.dumps(self.manifest, indent=2, ensure_ascii=False)
            (self.folder / f".{MANIFEST}.tmp").write_text(text + "\n", encoding="utf-8")
            _put_in_place(self.folder / f".{MANIFEST}.tmp", path)
            return
        except ValueError as error:
            raise DataError(f"{path} is damaged; delete {self.folder} and {AGAIN}.") from error
        # Not the encoder's name, which may be a folder: the fingerprint says what it is.
        if any(found.get(fact) != self.manifest[fact] for fact in ("fingerprint", "kind", "dim", "pool")):
            raise DataError(f"{self.folder} is not of {self.manifest['encoder']}; delete it and {AGAIN}.")
        self.manifest = found

    @property
    def kind(self) -> Kind:
        return self.manifest["kind"]

    @property
    def dim(self) -> int:
        """Channels of a vector or a token."""
        return self.manifest["dim"]

    def __len__(self) -> int:
        return len(self._where)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _scan(self) -> None:
        self._where.clear()
        for part in self._parts():
            try:
                hashes = pq.read_table(part, columns=["content_hash"], page_checksum_verification=True)
            except (OSError, pa.ArrowException) as error:
                log.warning("damaged features, left out", part=str(part), reason=str(error).splitlines()[0])
                continue
            for row, content_hash in enumerate(hashes.column(0).to_pylist()):
                self._where.setdefault(content_hash, (part, row))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to append, of one process at a time; what a killed run left torn is removed first.

        Raises DataError when another process is writing these features.
        """
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                self._repair()
                yield
        except Timeout as error:
            raise DataError(f"Another process is writing {self.folder}; wait until it has finished.") from error

    def _repair(self) -> None:
        for torn in self.folder.glob(".*.tmp"):
            torn.unlink()
        for part in self._parts():
            try:
                pq.read_table(part, page_checksum_verification=True)
            except (OSError, pa.ArrowException) as error:
                reason = str(error).splitlines()[0]
                log.warning("damaged features, removed to be made again", part=str(part), reason=reason)
                part.unlink()
        self._scan()

    def missing(self, hashes: Sequence[str]) -> list[str]:
        """Those of `hashes` without features, each once, in order."""
        return [content_hash for content_hash in dict.fromkeys(hashes) if content_hash not in self._where]

    def append(self, rows: Sequence[tuple[str, npt.NDArray[Any]]]) -> None:
        """Add (hash, features) as one part: vectors (dim,), or real tokens (tokens, dim); only inside `writing`.

        Raises DataError when a number is not finite: an encoder in too low a precision, or a broken one.
        """
        if not rows:
            return
        hashes = [content_hash for content_hash, _ in rows]
        precision = np.float32 if self.kind == "vector" else np.float16
        arrays = [np.asarray(row, dtype=precision).reshape(-1) for _, row in rows]
        for content_hash, values in zip(hashes, arrays, strict=True):
            if not np.isfinite(values).all():
                raise DataError(f"{self.manifest['encoder']} gave numbers that are not finite for {content_hash}.")
        flat = pa.array(np.concatenate(arrays))
        if self.kind == "vector":
            column = pa.FixedSizeListArray.from_arrays(flat, self.dim)
        else:
            ends = np.cumsum([0, *(len(values) for values in arrays)], dtype=np.int64)
            column = pa.LargeListArray.from_arrays(pa.array(ends), flat)
        name = f"part-{int(self._parts()[-1].stem[5:]) + 1 if self._parts() else 0:05d}.parquet"
        table = pa.table({"content_hash": pa.array(hashes, pa.string()), "vector": column})
        pq.write_table(
            table, self.folder / f".{name}.tmp", compression="none", use_dictionary=False, write_page_checksum=True
        )
        _put_in_place(self.folder / f".{name}.tmp", self.folder / name)
        for row, content_hash in enumerate(hashes):
            self._where.setdefault(content_hash, (self.folder / name, row))

    def _read(self, hashes: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], Any, npt.NDArray[np.int64]]]:
        """For each part needed: places in `hashes`, the vector column, and the rows of those places in it."""
        absent = self.missing(hashes)
        if absent:
            raise DataError(f"{self.manifest['encoder']} has no features of {len(absent)} of these posts; {AGAIN}.")
        wanted: dict[Path, list[tuple[int, int]]] = {}
        for place, content_hash in enumerate(hashes):
            part, row = self._where[content_hash]
            wanted.setdefault(part, []).append((place, row))
        for part, pairs in wanted.items():
            try:
                table = pq.read_table(part, columns=["vector"], page_checksum_verification=True)
            except (OSError, pa.ArrowException) as error:
                raise DataError(f"{part} is damaged; {AGAIN}, which makes its features anew.") from error
            places, rows = np.array(pairs, dtype=np.int64).T
            yield places, table.column(0).combine_chunks(), rows

    def get(self, hashes: Sequence[str]) -> npt.NDArray[np.float32]:
        """Vectors (n, dim), float32, in the order asked. Raises DataError when one is missing or damaged."""
        vectors = np.zeros((len(hashes), self.dim), dtype=np.float32)
        for places, column, rows in self._read(hashes):
            vectors[places] = column.flatten().to_numpy().reshape(-1, self.dim)[rows]
        return vectors

    def get_tokens(self, hashes: Sequence[str]) -> Tokens:
        """Tokens in the order asked: float16 values (n, longest, dim), mask (n, longest).

        Raises DataError when one is missing or damaged.
        """
        found: list[npt.NDArray[np.float16]] = [np.zeros((0, self.dim), dtype=np.float16)] * len(hashes)
        for places, column, rows in self._read(hashes):
            flat, ends = column.values.to_numpy(), column.offsets.to_numpy()
            for place, row in zip(places, rows, strict=True):
                found[place] = flat[ends[row] : ends[row + 1]].reshape(-1, self.dim)
        lengths = torch.tensor([len(values) for values in found])
        longest = int(lengths.max()) if len(found) else 0
        values = np.zeros((len(found), longest, self.dim), dtype=np.float16)
        for row, tokens in enumerate(found):
            values[row, : len(tokens)] = tokens
        return Tokens(torch.from_numpy(values), torch.arange(longest) < lengths[:, None])


class FeatureStore:
    """The features of a work folder, one table an encoder (and, for tokens, a grid they are pooled to)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, encoder: Encoder, *, kind: Kind = "vector", pool: Grid | None = None) -> FeatureTable:
        """The table of an encoder's vectors, or of its tokens, averaged down to the grid `pool` = (rows, columns)."""
        pooled = f"-{pool[0]}x{pool[1]}" if pool else ""
        manifest = {
            "encoder": encoder.name,
            "fingerprint": encoder.fingerprint,
            "identity": encoder.identity,
            "modality": encoder.modality,
            "kind": kind,
            "dim": encoder.dim if kind == "vector" else encoder.token_dim,
            "pool": list(pool) if pool else None,
            "settings": getattr(encoder, "settings", {}),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        name = encoder.fingerprint if kind == "vector" else f"{encoder.fingerprint}-tokens{pooled}"
        return FeatureTable(self.folder / name, manifest)

    def manifests(self) -> list[dict[str, Any]]:
        """What the tables of this folder hold, by encoder name."""
        found = [json.loads(path.read_text(encoding="utf-8")) for path in self.folder.glob(f"*/{MANIFEST}")]
        return sorted(found, key=lambda manifest: (manifest["encoder"], manifest["kind"], manifest["created"]))
