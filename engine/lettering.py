"""The words that are written in a picture, read by PP-OCRv6 out of RapidOCR's wheel; nothing is downloaded.

Whoever makes a picture decides what is read there, so the text is as hostile as any upload: it is bounded, and holds no
control characters.
"""

import math
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine import threads
from engine.readers import PictureReader

# Long side in pixels of every picture, so that nothing depends on its size: four times that of the smallest covers.
PICTURE_SIDE = 480
# Long side of what the detector sees, a multiple of 32. A larger one finds small print too, at twice the time.
DETECTOR_SIDE = 320
LEAST_CONFIDENCE = 0.5
MOST_LINES = 64
MOST_CHARACTERS = 200
# RapidOCR turns a region by 90 degrees that is so many times higher than wide, and reads it sideways.
SIDEWAYS = 1.5


@dataclass(frozen=True)
class Line:
    """One line of lettering.

    `confidence` runs 0..1; `box` is left, top, right, bottom, `height` that of the lettering itself, however tilted,
    and `area` that of the tilted box: all as shares of the picture's width, height or area.
    """

    text: str
    confidence: float
    box: tuple[float, float, float, float]
    height: float
    area: float


def cleaned(text: str) -> str:
    """Text in compatibility form (NFKC), without control, format, private and unassigned characters, bounded."""
    plain = unicodedata.normalize("NFKC", text[:MOST_CHARACTERS])
    kept = "".join(character if unicodedata.category(character)[0] != "C" else " " for character in plain)
    return " ".join(kept.split())[:MOST_CHARACTERS]


def _line(text: str, confidence: float, corners: npt.NDArray[np.float64], size: tuple[int, int]) -> Line:
    """A line from its corners (4, 2) in pixels, clockwise from its top left, in a picture of `size`."""
    width, height = size
    left, top = corners.min(axis=0) / size
    right, bottom = corners.max(axis=0) / size
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    along, across = float(sides[[0, 2]].mean()), float(sides[[1, 3]].mean())
    x, y = corners.T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return Line(
        text=text,
        confidence=float(np.clip(confidence, 0.0, 1.0)),
        box=(float(left), float(top), float(right), float(bottom)),
        height=min(1.0, (along if across >= SIDEWAYS * along else across) / height),
        area=min(1.0, area / (width * height)),
    )


class LetteringReader(PictureReader[tuple[Line, ...]]):
    """Lines of lettering in reading order."""

    subject: ClassVar[str] = "The lettering"
    command: ClassVar[str] = "pip install -r requirements-signals.txt"
    packages: ClassVar[tuple[str, ...]] = ("rapidocr", "onnxruntime", "cv2")
    files: ClassVar[tuple[tuple[str, str], ...]] = (
        ("rapidocr", "models/PP-OCRv6_det_small.onnx"),
        ("rapidocr", "models/PP-OCRv6_rec_small.onnx"),
    )

    @property
    def config(self) -> dict[str, Any]:
        return {"picture": PICTURE_SIDE, "detector": DETECTOR_SIDE, "confidence": LEAST_CONFIDENCE}

    def load(self, files: list[Path]) -> Any:
        import cv2
        import onnxruntime
        from rapidocr import RapidOCR

        # Its remarks on the machine's devices; errors still show.
        onnxruntime.set_default_logger_severity(3)
        inside = threads.cores() // threads.workers()
        cv2.setNumThreads(inside)
        detector, recogniser = map(str, files)
        # Without paths of models RapidOCR would look for them on the web; its own log goes to the console in colours.
        return RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.text_score": LEAST_CONFIDENCE,
                "Det.model_path": detector,
                "Det.limit_type": "max",
                "Det.limit_side_len": DETECTOR_SIDE,
                "Det.max_candidates": MOST_LINES,
                "Rec.model_path": recogniser,
                "EngineConfig.onnxruntime.intra_op_num_threads": inside,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def look(self, network: Any, picture: Image.Image) -> tuple[Line, ...]:
        scale = PICTURE_SIDE / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))
        # OpenCV's order of colours.
        found = network(np.ascontiguousarray(pixels[:, :, ::-1]))
        if found.txts is None or found.boxes is None:
            return ()
        parts = zip(map(cleaned, found.txts), found.scores, np.asarray(found.boxes, dtype=np.float64), strict=True)
        lines = [_line(text, score, corners, size) for text, score, corners in parts if text and math.isfinite(score)]
        return tuple(lines[:MOST_LINES])


READER = LetteringReader()


def lines(picture: Image.Image) -> tuple[Line, ...]:
    """What is written in an RGB picture, in reading order; () where nothing is, or where it cannot be read."""
    return READER.read(picture).found or ()
