"""Faces of pictures: an astronaut's out of scikit-image, at any size, tilt and place; and the detector's sums."""

import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from engine import faces as reading
from engine.faces import DETECTOR_SIDE, FaceReader, blended, candidates, faces, overlap, windows
from engine.features.base import PLAIN
from engine.features.faces import COLUMNS, Faces
from engine.posts import Post
from tests.pictures import pair, photograph

pytestmark = pytest.mark.skipif(bool(reading.READER.unavailable), reason=reading.READER.unavailable)
# Of the face on the whole photograph.
BOX = (0.354, 0.140, 0.529, 0.347)


def row(picture: Image.Image) -> dict[str, float]:
    values = Faces().compute([Post(image=picture)], {})[0]
    return dict(zip(COLUMNS, values.tolist(), strict=True))


@pytest.mark.parametrize("side", [512, 256, 120])
def test_a_smiling_face_is_found_at_any_size(side: int) -> None:
    found = faces(photograph().resize((side, side)))
    assert len(found) == 1 and found[0].presence > 0.99
    assert found[0].box == pytest.approx(BOX, abs=0.015)
    assert found[0].smile > 0.7 and found[0].open_mouth < 0.1


def test_columns_say_what_is_there() -> None:
    found = row(photograph())
    left, top, right, bottom = BOX
    assert found["count"] == 1
    assert found["area"] == pytest.approx((right - left) * (bottom - top), rel=0.05)
    assert found["x"] == pytest.approx((left + right) / 2, abs=0.01)
    assert found["y"] == pytest.approx((top + bottom) / 2, abs=0.01)
    assert found["smile"] > 0.85 and found["open_mouth"] < 0.1


@pytest.mark.parametrize("degrees", [-45, 20, 90])
def test_a_tilted_face_smiles_as_well(degrees: int) -> None:
    found = faces(photograph().rotate(degrees))
    assert len(found) == 1 and found[0].smile > 0.75


def test_in_the_mirror_it_is_the_same_face() -> None:
    face, mirrored = (faces(picture)[0] for picture in (photograph(), ImageOps.mirror(photograph())))
    assert mirrored.box[0] == pytest.approx(1 - face.box[2], abs=0.01)
    assert mirrored.smile == pytest.approx(face.smile, abs=0.1)


@pytest.mark.parametrize("size", [(1280, 720), (320, 180)])
def test_small_faces_of_a_wide_cover_are_found_the_largest_first(size: tuple[int, int]) -> None:
    right, left = faces(pair().resize(size))
    assert 0.75 < right.box[0] < right.box[2] < 0.9 and 0.1 < left.box[0] < left.box[2] < 0.25
    assert right.area > left.area > 0.005
    assert min(right.smile, left.smile) > 0.8
    assert row(pair().resize(size))["count"] == 2


def test_a_tall_picture_is_searched_as_well() -> None:
    assert len(faces(pair().transpose(Image.Transpose.ROTATE_90).rotate(-90, expand=True))) == 2
    tall = Image.new("RGB", (400, 900))
    tall.paste(photograph().crop((130, 30, 330, 230)).resize((330, 330)), (40, 500))
    assert len(faces(tall)) == 1 and faces(tall)[0].box[1] > 0.55


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_cups_cats_and_rockets_have_no_faces(name: str) -> None:
    assert faces(photograph(name)) == () and not any(row(photograph(name)).values())
    assert Faces().why_null(Post(image=photograph(name))) == ""


def test_windows_cover_a_cover() -> None:
    assert windows(640, 360) == [(0, -140, 640), (0, 0, 360), (140, 0, 360), (280, 0, 360)]
    assert windows(360, 640) == [(-140, 0, 640), (0, 0, 360), (0, 140, 360), (0, 280, 360)]
    assert windows(512, 500) == [(0, -6, 512)]
    assert len(windows(1000, 50)) == 1 + reading.MOST_TILES


def test_candidates_are_decoded_beside_their_anchors() -> None:
    scores, raw = np.full(896, -20, np.float32), np.zeros((896, 16), np.float32)
    # The first anchor of the cell in row 3 and column 5 of 16: eyes 16 pixels apart in a box of 32, 4 further right.
    place = (3 * 16 + 5) * 2
    scores[place], raw[place, :8] = 0.0, (4, 0, 32, 32, -8, -4, 8, -4)
    found = candidates(scores, raw, (100, 0, DETECTOR_SIDE), (640, DETECTOR_SIDE))
    x, y = 100 + 5.5 * 8 + 4, 3.5 * 8
    np.testing.assert_allclose(found, [[0.5, x - 16, y - 16, x + 16, y + 16, 16, 0]], rtol=1e-5)
    # Of 6 anchors a cell of the coarse grid, at the right end of the window: cut off, unless the picture ends there.
    scores[place], scores[512 + 7 * 6 + 2] = -20, 3.0
    raw[512 + 7 * 6 + 2, 2:4] = 32
    assert candidates(scores, raw, (100, 0, DETECTOR_SIDE), (640, DETECTOR_SIDE)).shape == (0, 7)
    assert candidates(scores, raw, (100, 0, DETECTOR_SIDE), (228, DETECTOR_SIDE)).shape == (1, 7)
    raw[512 + 7 * 6 + 2, 2:4] = -32
    assert candidates(scores, raw, (100, 0, DETECTOR_SIDE), (228, DETECTOR_SIDE)).shape == (0, 7)


def test_overlapping_candidates_are_blended_by_their_scores() -> None:
    found = np.array(
        [
            *([0.6, 4, 0, 14, 10, 1, 0], [0.9, 1, 0, 11, 10, 1, 3]),
            *([0.7, 50, 50, 60, 60, 1, 0],),
        ],
        dtype=np.float32,
    )
    assert overlap(found[0, 1:5], found[:, 1:5]) == pytest.approx([1, 70 / 130, 0])
    one, other = blended(found)
    np.testing.assert_allclose(one, [0.9, 2.2, 0, 12.2, 10, 1, 1.8], rtol=1e-5)
    np.testing.assert_allclose(other, found[2])
    assert blended(found[:0]).shape == (0, 7)


def test_a_value_is_missing_exactly_where_a_sentence_says_why() -> None:
    posts = [Post(image=picture) for picture in (photograph(), photograph("coffee"), PLAIN)]
    feature = Faces()
    values, said = feature.compute(posts, {}), [feature.why_null(post) for post in posts]
    assert said == ["", "", "The picture shows a single colour."]
    assert np.isfinite(values[:2]).all() and np.isnan(values[2]).all()
    assert feature.why_null(Post("no picture")) == "There is no picture."
    assert feature.blank().shape == (1, len(COLUMNS)) and np.isnan(feature.blank()).all()


def test_a_broken_file_costs_its_own_values_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reader = FaceReader()
    reader.paths = [tmp_path / "broken.task"]
    with zipfile.ZipFile(reader.paths[0], "w") as archive:
        archive.writestr("face_detector.tflite", b"nothing")
    monkeypatch.setattr(Faces, "reader", reader)
    feature, post = Faces(), Post(image=photograph())
    with caplog.at_level(logging.WARNING):
        assert np.isnan(feature.compute([post], {})).all()
    assert "do not load; reinstall them: pip install" in feature.unavailable == feature.why_null(post)
    assert "does not load" in caplog.text


def test_the_identity_follows_sizes_and_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = Faces().fingerprint
    assert Faces.load(tmp_path, "another", Faces().config, (), "cpu").fingerprint == before
    monkeypatch.setattr(reading, "PICTURE_SIDE", 320)
    assert Faces().fingerprint != before
    monkeypatch.undo()
    assert Faces().fingerprint == before
    reader = FaceReader()
    reader.paths = [tmp_path / "other.task"]
    reader.paths[0].write_bytes(b"other")
    monkeypatch.setattr(Faces, "reader", reader)
    assert Faces().fingerprint != before
