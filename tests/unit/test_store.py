"""The feature store and the extract step: order, resumption, damage, work done once."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from engine.encoders.base import Tokens
from engine.errors import DataError, EncoderError
from training.features.extract import Extraction, extract, image_hashes, run_extract, text_hash
from training.features.store import FeatureStore, FeatureTable

GRID = (4, 6)


class FakeEncoder:
    """Vectors made of the items' own content; what was encoded is counted, and written to `diary` when one is given."""

    name, dim, token_dim, identity, fingerprint, aligned, grid = "fake", 3, 2, "i", "f", None, GRID

    def __init__(self, modality: str = "text", diary: Path | None = None, pause: float = 0.0) -> None:
        self.modality, self.diary, self.pause = modality, diary, pause
        self.seen: Counter = Counter()

    def number(self, item: str | Image.Image) -> float:
        return float(item.split()[-1]) if isinstance(item, str) else float(item.getpixel((0, 0))[0])

    def encode(self, items: Sequence) -> torch.Tensor:
        numbers = [self.number(item) for item in items]
        self.seen.update(numbers)
        time.sleep(self.pause)
        if self.diary:
            with self.diary.open("a") as file:
                file.writelines(f"{number:.0f}\n" for number in numbers)
        return torch.tensor([[number, number + 0.25, -number] for number in numbers])

    def tokens(self, items: Sequence) -> Tokens:
        if self.modality == "image":
            values = torch.stack([torch.full((24, 2), self.number(item)) for item in items])
            return Tokens(values, torch.ones(len(items), 24, dtype=torch.bool))
        lengths = torch.tensor([int(self.number(item)) % 5 + 1 for item in items])
        mask = torch.arange(8) < lengths[:, None]
        values = torch.stack([torch.full((8, 2), self.number(item)) for item in items])
        return Tokens(values.masked_fill(~mask[..., None], 99.0), mask)

    def encode_with_tokens(self, items: Sequence) -> tuple[torch.Tensor, Tokens]:
        return self.encode(items), self.tokens(items)


def picture(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 12), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write_posts(work: Path, images: Sequence[bytes | str | None], titles: Sequence[str | None] | None = None) -> None:
    titles = titles or [f"title {number}" for number in range(len(images))]
    columns = {"post_id": [f"p{row}" for row in range(len(images))], "title": titles, "image": images}
    frame = pd.DataFrame(columns).assign(description=None, tags=None)
    frame.to_parquet(work / "posts.parquet")


def table_of(work: Path, encoder: FakeEncoder, **options) -> FeatureTable:
    return FeatureStore(work / "features").table(encoder, **options)


def test_vectors_come_in_the_order_asked(tmp_path: Path) -> None:
    table = table_of(tmp_path, FakeEncoder())
    with table.writing():
        table.append([("a", np.array([1, 2, 3])), ("b", np.array([4, 5, 6]))])
        table.append([("c", np.array([7, 8, 9]))])
    again = table_of(tmp_path, FakeEncoder())
    assert len(again) == 3 and again.missing(["c", "x", "a", "x"]) == ["x"]
    expected = np.array([[7, 8, 9], [1, 2, 3], [7, 8, 9], [4, 5, 6]], dtype=np.float32)
    np.testing.assert_array_equal(again.get(["c", "a", "c", "b"]), expected)
    assert again.get([]).shape == (0, 3)
    with pytest.raises(DataError, match=r"no features of 1 .* `python -m training extract`"):
        again.get(["a", "x"])


def test_tokens_keep_their_lengths(tmp_path: Path) -> None:
    write_posts(tmp_path, [None] * 7)
    encoder = FakeEncoder()
    extract(tmp_path, encoder, kind="tokens")
    numbers = [6, 0, 3]
    tokens = table_of(tmp_path, encoder, kind="tokens").get_tokens([text_hash(f"title {number}") for number in numbers])
    assert tokens.values.dtype == torch.float16
    assert tokens.mask.sum(1).tolist() == [2, 1, 4] and tokens.values.shape == (3, 4, 2)
    for row, number in enumerate(numbers):
        assert (tokens.values[row][tokens.mask[row]] == number).all()
        assert (tokens.values[row][~tokens.mask[row]] == 0).all()


def test_picture_tokens_are_pooled_to_a_grid(tmp_path: Path) -> None:
    write_posts(tmp_path, [picture(5), picture(9)])
    encoder = FakeEncoder("image")
    found = extract(tmp_path, encoder, kind="tokens", pool=(2, 3))
    assert found.folder.name == "f-tokens-2x3"
    tokens = table_of(tmp_path, encoder, kind="tokens", pool=(2, 3)).get_tokens(image_hashes(tmp_path))
    assert tokens.values.shape == (2, 6, 2) and tokens.values[:, 0, 0].tolist() == [5, 9]


def test_pooling_keeps_rows_and_columns_apart() -> None:
    from training.features.extract import _pooled

    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    grid = torch.stack([rows, columns], dim=-1).flatten(0, 1)[None]
    pooled = _pooled(grid, (4, 6), (2, 3))
    expected = [[0.5, 0.5], [0.5, 2.5], [0.5, 4.5], [2.5, 0.5], [2.5, 2.5], [2.5, 4.5]]
    torch.testing.assert_close(pooled[0], torch.tensor(expected))


def test_an_encoder_without_a_grid_is_not_pooled(tmp_path: Path) -> None:
    write_posts(tmp_path, [picture(5)])
    encoder = FakeEncoder("image")
    encoder.grid = None  # type: ignore[assignment]
    with pytest.raises(DataError, match="no grid"):
        extract(tmp_path, encoder, kind="tokens", pool=(2, 2))


def test_each_distinct_picture_is_encoded_once(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "two.png").write_bytes(picture(2))
    write_posts(tmp_path, [picture(1), picture(2), picture(1), picture(3)])
    encoder = FakeEncoder("image")
    first = extract(tmp_path, encoder, batch_size=2)
    assert (first.wanted, first.kept, first.encoded) == (3, 0, 3) and set(encoder.seen.values()) == {1}
    # A picture kept as a file is the same picture.
    write_posts(tmp_path, ["images/two.png", "images/none.png"])
    second = extract(tmp_path, encoder)
    assert (second.wanted, second.kept, second.encoded) == (1, 1, 0)
    assert second.unreadable == [("p1", "The picture's file is missing.")]
    assert table_of(tmp_path, encoder).get(image_hashes(tmp_path)[:1])[0, 0] == 2


def test_an_unreadable_picture_is_listed(tmp_path: Path) -> None:
    write_posts(tmp_path, [picture(1), b"no picture", picture(2), None])
    found = extract(tmp_path, FakeEncoder("image"))
    assert found.encoded == 2 and [post_id for post_id, _ in found.unreadable] == ["p1", "p3"]
    assert "left out p1: This file is no picture" in str(found)
    listed = pd.read_parquet(found.folder / "unreadable.parquet")
    assert listed["post_id"].tolist() == ["p1", "p3"] and listed["reason"].notna().all()


def test_texts_of_both_tables_are_encoded_once(tmp_path: Path) -> None:
    write_posts(tmp_path, [None] * 3, ["a 1", None, "a 1"])
    pd.DataFrame({"title": ["a 1", "b 2"], "description": None, "tags": None}).to_parquet(tmp_path / "texts.parquet")
    encoder = FakeEncoder()
    encoder.number = lambda text: float(len(text))  # type: ignore[method-assign]
    assert extract(tmp_path, encoder).encoded == 3
    assert not table_of(tmp_path, encoder).missing([text_hash(text) for text in ("a 1", "", "b 2")])


def test_a_recipe_composes_its_own_text(tmp_path: Path) -> None:
    write_posts(tmp_path, [None], ["title 4"])
    encoder = FakeEncoder()
    extract(tmp_path, encoder, compose=lambda posts: ["again " + title for title in posts["title"]])
    assert not table_of(tmp_path, encoder).missing([text_hash("again title 4")])


def test_a_torn_file_is_removed_and_a_damaged_part_made_again(tmp_path: Path) -> None:
    write_posts(tmp_path, [None] * 6)
    extract(tmp_path, FakeEncoder(), flush_rows=2, batch_size=2)
    folder = tmp_path / "features" / "f"
    parts = sorted(folder.glob("part-*.parquet"))
    assert len(parts) == 3
    (folder / ".part-00009.parquet.tmp").write_bytes(b"PAR1 torn")
    # One part loses its end, one a bit of a vector.
    parts[0].write_bytes(parts[0].read_bytes()[:-40])
    content = bytearray(parts[1].read_bytes())
    content[content.find(np.float32(2.25).tobytes())] ^= 1
    parts[1].write_bytes(content)

    hashes = [text_hash(f"title {number}") for number in range(6)]
    reader = table_of(tmp_path, FakeEncoder())
    assert reader.missing(hashes) == hashes[:2]
    with pytest.raises(DataError, match="damaged"):
        reader.get(hashes[2:4])

    encoder = FakeEncoder()
    assert extract(tmp_path, encoder).encoded == 4
    assert encoder.seen == Counter([0.0, 1.0, 2.0, 3.0])
    assert not list(folder.glob(".*.tmp"))
    np.testing.assert_array_equal(table_of(tmp_path, encoder).get(hashes)[:, 0], np.arange(6))


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, FakeEncoder())
    with table.writing(), pytest.raises(DataError, match="not finite"):
        table.append([("a", np.array([1, np.nan, 3]))])
    assert not list(table.folder.glob("part-*"))


def test_what_is_encoded_survives_an_error(tmp_path: Path) -> None:
    write_posts(tmp_path, [None] * 10)

    class Failing(FakeEncoder):
        def encode(self, items: Sequence) -> torch.Tensor:
            if sum(self.seen.values()) >= 6:
                raise KeyboardInterrupt
            return super().encode(items)

    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path, Failing(), batch_size=2)
    encoder = FakeEncoder()
    assert extract(tmp_path, encoder).encoded == 4
    assert len(table_of(tmp_path, encoder)) == 10


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    one, other = table_of(tmp_path, FakeEncoder()), table_of(tmp_path, FakeEncoder())
    with one.writing(), pytest.raises(DataError, match="Another process"), other.writing():
        pass
    with other.writing():
        pass


def test_a_folder_of_other_features_is_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, FakeEncoder())
    manifest = json.loads((table.folder / "manifest.json").read_text())
    assert manifest["encoder"] == "fake" and manifest["dim"] == 3
    assert FeatureStore(tmp_path / "features").manifests() == [manifest]
    (table.folder / "manifest.json").write_text(json.dumps({**manifest, "dim": 4}))
    with pytest.raises(DataError, match="not of fake"):
        table_of(tmp_path, FakeEncoder())
    (table.folder / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        table_of(tmp_path, FakeEncoder())


def test_an_unprepared_folder_says_what_to_run(tmp_path: Path) -> None:
    for modality in ("image", "text"):
        with pytest.raises(DataError, match=r"run .python -m training|run the step that writes it"):
            extract(tmp_path, FakeEncoder(modality))


KILLED_RUN = """
import sys
from pathlib import Path
from tests.unit.test_store import FakeEncoder
from training.features.extract import extract

work = Path(sys.argv[1])
extract(work, FakeEncoder("image", work / "diary", pause=0.02), batch_size=4, flush_rows=12)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_without_loss_or_double_work(tmp_path: Path) -> None:
    count = 200
    write_posts(tmp_path, [picture(value) for value in range(count)])
    diary = tmp_path / "diary"
    persisted: set[int] = set()
    lost = 0
    for _ in range(2):
        already = len(diary.read_text().split()) if diary.exists() else 0
        run = subprocess.Popen(
            [sys.executable, "-c", KILLED_RUN, str(tmp_path)],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": "."},
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and (not diary.exists() or len(diary.read_text().split()) < already + 30):
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait()
        encoded = [int(number) for number in diary.read_text().split()][already:]
        assert encoded and not persisted & set(encoded), "what was written is not encoded again"
        table = table_of(tmp_path, FakeEncoder("image"))
        hashes = image_hashes(tmp_path)
        persisted = {value for value in range(count) if not table.missing([hashes[value]])}
        lost += len(set(encoded) - persisted)
    assert 30 <= len(persisted) < count and lost <= 2 * 16
    encoder = FakeEncoder("image")
    last = extract(tmp_path, encoder)
    assert last.encoded == count - len(persisted)
    np.testing.assert_array_equal(table_of(tmp_path, encoder).get(hashes)[:, 0], np.arange(count))


def test_run_extract_takes_encoders_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_posts(tmp_path, [picture(1), picture(2)], ["A first title", "Another one"])
    done = run_extract(tmp_path, ["embedded", "minilm"], device="cpu")
    assert [found.encoder for found in done] == ["lite2", "minilm"] and all(
        isinstance(found, Extraction) for found in done
    )
    assert [found.encoded for found in done] == [2, 2]
    assert "minilm: 2 encoded" in capsys.readouterr().out
    pooled = run_extract(tmp_path, ["lite2", "minilm"], kind="tokens", pool=(4, 7), device="cpu")
    assert [found.folder.name.split("-", 1)[1] for found in pooled] == ["tokens-4x7", "tokens"]
    with pytest.raises(EncoderError, match="There is no encoder"):
        run_extract(tmp_path, ["resnet"])
