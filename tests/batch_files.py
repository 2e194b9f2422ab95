"""Files of posts for the tests of batch scoring, and what comes of them."""

import csv
from pathlib import Path

import pyarrow.parquet as pq

from engine.batch.score import score_file
from tests.fake_predictor import FakePredictor


def score(source: Path, target: Path | None = None, **options: object) -> list[dict[str, object]]:
    """Rows of the table that scoring `source` writes."""
    target = target or source.with_name("out.parquet")
    score_file(FakePredictor(), source, target, **options)
    assert [path.name for path in target.parent.glob(".*.tmp")] == []
    return read(target)


def read(target: Path) -> list[dict[str, object]]:
    if target.suffix == ".parquet":
        return pq.read_table(target).to_pylist()
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines(path: Path, *texts: str | bytes) -> Path:
    path.write_bytes(b"".join((text if isinstance(text, bytes) else text.encode()) + b"\n" for text in texts))
    return path


def errors(table: list[dict[str, object]]) -> list[object]:
    return [row["error"] for row in table]
