"""Files at addresses: read, written and fetched whole, one sentence for what goes wrong, and nothing unasked for."""

import errno
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from engine.__main__ import main
from engine.addresses import ABSENT, Address, located
from engine.batch.score import Summary, score_file
from engine.bundle import MANIFEST, fetch_bundle, folder_of, read_bundle
from engine.errors import BundleError, DataError
from engine.predictor import Predictor
from engine.settings import SHIPPED_BUNDLE
from tests.batch_files import errors, lines, read
from tests.fake_predictor import FakePredictor
from tests.pictures import png
from training.steps.posts import prepare


class Faulty(MemoryFileSystem):
    """A store that says 1,000 bytes more than it has, or refuses, by the name of the bucket."""

    protocol = "faulty"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def info(self, path: str, **options: object) -> dict:
        if "private" in path:
            raise RuntimeError("Unable to locate credentials\n  at line 7")
        found = super().info(path, **options)
        return {**found, "size": found["size"] + 1_000} if "short" in path and found["type"] == "file" else found

    def put_file(self, lpath: str, rpath: str, **options: object) -> None:
        raise PermissionError("Access denied")


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    Faulty.store.clear()


def put(address: str, data: bytes) -> str:
    system, path = fsspec.url_to_fs(address)
    system.pipe_file(path, data)
    return address


def table_of(rows: list[dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


CSV = b"post_id,title,image\na,four,small/a.png\nb,only a title,\n"


def test_names_are_paths_or_addresses(tmp_path: Path) -> None:
    assert located("s3://bucket/in.csv?X-Signature=secret") == Address("s3://bucket/in.csv?X-Signature=secret")
    assert str(located("s3://bucket/in.csv?X-Signature=secret")) == "s3://bucket/in.csv"
    assert located("s3://bucket/in.csv?X-Signature=secret").suffix == ".csv"
    assert located(f"file://{tmp_path}") == located(str(tmp_path)) == tmp_path
    assert located("C:/in.csv") == Path("C:/in.csv")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_elsewhere_give_the_table_that_files_here_give(
    tmp_path: Path, memory: MemoryFileSystem, ending: str
) -> None:
    data = CSV if ending == "csv" else table_of([{"post_id": "a", "title": "four", "image": "small/a.png"}] * 3)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "a.png").write_bytes(png(48))
    (tmp_path / f"in.{ending}").write_bytes(data)
    put("memory://bucket/small/a.png", png(48))
    source = put(f"memory://bucket/in.{ending}", data)
    here = score_file(FakePredictor(), tmp_path / f"in.{ending}", tmp_path / f"out.{ending}")
    there = score_file(FakePredictor(), source, f"memory://bucket/out.{ending}")
    assert here == there and here.failed == 0
    assert memory.cat_file(f"/bucket/out.{ending}") == (tmp_path / f"out.{ending}").read_bytes()
    with pytest.raises(DataError, match="input itself"):
        score_file(FakePredictor(), source, source)


def test_a_picture_is_fetched_only_below_the_named_folder(tmp_path: Path, memory: MemoryFileSystem) -> None:
    put("memory://pictures/a.png", png(48))
    put("memory://secret/a.png", png(48))
    names = ["a.png", "memory://pictures/a.png", "memory://secret/a.png", "../secret/a.png", "/etc/hostname"]
    names += ["http://169.254.169.254/latest", "memory://pictures/../secret/a.png", "C:\\a.png", "absent.png"]
    source = lines(tmp_path / "in.csv", "title,image", *(f"t,{name}" for name in names))
    score_file(FakePredictor(), source, tmp_path / "out.csv", images_root="memory://pictures")
    found = errors(read(tmp_path / "out.csv"))
    assert found[:2] == ["", ""]
    assert all("leads out of its folder" in str(error) for error in found[2:8])
    assert ABSENT.format("memory://pictures/absent.png") in str(found[8])
    # Without a named folder, and on the page, an address is never followed.
    score_file(FakePredictor(), source, tmp_path / "out.csv")
    assert "nothing is fetched" in str(errors(read(tmp_path / "out.csv"))[1])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://bucket/absent.csv", "does not exist"),
        (
            "faulty://private/in.csv",
            "RuntimeError: Unable to locate credentials.*check the address",
        ),
        ("s3://bucket/in.csv", "s3.* cannot be reached: .*install what is missing"),
        ("nowhere://bucket/in.csv", "check how the address begins"),
        ("faulty://short/in.csv", "ends half-way, after [0-9,]+ of [0-9,]+ bytes"),
        ("faulty://short/in.parquet", "ends half-way"),
    ],
)
def test_what_is_wrong_elsewhere_is_one_sentence(
    tmp_path: Path,
    memory: MemoryFileSystem,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    said: str,
) -> None:
    monkeypatch.setattr(Predictor, "load", FakePredictor.load)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    put("faulty://short/in.csv", CSV)
    put("faulty://short/in.parquet", table_of([{"title": "a"}]))
    assert main(["score", address, "-o", str(tmp_path / "out.csv")]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line and "posts/s" not in line]
    assert len(told) == 1 and told[0].startswith("error: ") and told[0].endswith(".")
    assert re.search(said, told[0])
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_put_there_is_one_sentence(tmp_path: Path, memory: MemoryFileSystem) -> None:
    source = lines(tmp_path / "in.csv", "title", "a")
    with pytest.raises(DataError, match="PermissionError: Access denied"):
        score_file(FakePredictor(), source, "faulty://bucket/out.csv")
    assert Faulty.store == {}
    assert score_file(FakePredictor(), source, "memory://bucket/out.csv") == Summary(1, 0)


def published(address: str) -> Address:
    for path in SHIPPED_BUNDLE.rglob("*"):
        if path.is_file():
            put(f"{address}/{path.relative_to(SHIPPED_BUNDLE).as_posix()}", path.read_bytes())
    return Address(address)


def test_a_bundle_elsewhere_is_fetched_once_and_verified(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = published("memory://owner/name")
    folder = fetch_bundle(address, tmp_path)
    assert read_bundle(folder) == read_bundle(SHIPPED_BUNDLE)
    monkeypatch.setattr(Address, "copy", lambda *_: pytest.fail("fetched again"))
    assert fetch_bundle(address, tmp_path) == folder
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path))
    monkeypatch.setenv("FIRST_IMPRESSIONS_BUNDLE", str(address))
    assert folder_of(None) == folder
    monkeypatch.undo()
    # What has come to harm in the cache is fetched anew.
    next(folder.glob("members/*")).write_bytes(b"harmed")
    assert read_bundle(fetch_bundle(address, tmp_path)) == read_bundle(SHIPPED_BUNDLE)
    shutil.rmtree(tmp_path / "bundles")
    member = next(SHIPPED_BUNDLE.glob("members/*")).name
    put(f"memory://owner/name/members/{member}", b"changed")
    with pytest.raises(BundleError, match="was changed"):
        Predictor.load("memory://owner/name")
    put(f"memory://owner/name/{MANIFEST}", b'{"files": {"../outside": "", "members/x": ""}}')
    for bad, said in ((address, "leads out of its folder"), (Address("memory://owner/none"), "does not exist")):
        with pytest.raises(DataError, match=said):
            fetch_bundle(bad, tmp_path)
    assert list((tmp_path / "bundles").iterdir()) == [] and not (tmp_path / "outside").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="FIRST_IMPRESSIONS_CACHE to a folder that can be written"):
        fetch_bundle(published("memory://owner/again"), tmp_path / "file")


def test_a_changed_file_of_the_same_size_is_fetched_again(tmp_path: Path, memory: MemoryFileSystem) -> None:
    for content in (b"one", b"two"):
        put("memory://owner/report/report.json", content)
        assert (Address("memory://owner/report").download(tmp_path) / "report.json").read_bytes() == content


def test_a_folder_that_cannot_be_put_there_is_one_sentence(tmp_path: Path, memory: MemoryFileSystem) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    with pytest.raises(DataError, match=r"^faulty://bucket/models cannot be reached \(PermissionError: Access"):
        Address("faulty://bucket/models?signature=secret").upload_folder(tmp_path)


def test_a_dataset_elsewhere_is_prepared_and_a_broken_download_goes_on(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = [
        {
            "post_id": f"p{row}",
            "title": f"A title {row}",
            "image": png(64 + row),
            "views": 100 + row,
            "likes": row,
            "comments": 1,
        }
        for row in range(6)
    ]
    put("memory://raw/posts.parquet", table_of(posts))
    put("memory://raw/z.txt", b"x" * 10)
    work, copied = tmp_path / "work", Address.copy

    def full(address: Address, target: Path) -> None:
        if address.suffix == ".txt":
            monkeypatch.setattr(shutil, "copyfileobj", _no_space)
        copied(address, target)

    monkeypatch.setattr(Address, "copy", full)
    with pytest.raises(DataError, match=r"No space left on device.*make room"):
        prepare("youtube", "memory://raw", work)
    kept = [path for path in work.rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["posts.parquet"]
    before = kept[0].stat().st_mtime_ns
    monkeypatch.undo()
    prepare("youtube", "memory://raw", work)
    assert pq.read_table(work / "posts.parquet").num_rows == 6
    assert kept[0].stat().st_mtime_ns == before


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
