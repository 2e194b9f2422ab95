"""Answers and explanations of the example drafts, worked out beforehand: the first click waits for no model.

    python -m ui.prepared      # or: make examples

`prepared.json` lies beside this file. Its key hangs on the bundle and on the code behind an answer; under any other key
the examples are answered live, like every draft.
"""

import base64
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from engine.addresses import Address
from engine.bundle import Bundle, fingerprint, read_bundle
from engine.context import cells_of
from engine.errors import BundleError, DataError
from engine.explain.base import Explanation
from engine.files import write_bytes
from engine.images import pixel_hash
from engine.posts import Post
from engine.prediction import Prediction
from engine.settings import Settings
from ui.examples import EXAMPLES, Example, available
from ui.uploads import read_draft

if TYPE_CHECKING:
    from engine.predictor import Predictor

FILE = Path(__file__).with_name("prepared.json")
ENGINE = Path(__file__).parents[1] / "engine"
# What decides an answer beyond what the bundle's fingerprint holds; rendering is none of it, for that is done live.
ANSWERS = ("predictor", "prediction", "guard", "members", "fusion", "blending", "calibration", "abstention")
CODE = (Path(__file__), *(ENGINE / f"{name}.py" for name in ANSWERS), *sorted(ENGINE.glob("explain/*.py")))
PREPARED = "This draft is one of the page's examples: its answer was worked out beforehand, by this model."
# Characters of a draft's identity that are of its words, and of its pixels.
HALF = 32
NUMBERS = ("segment_values", "pixel_values", "half_widths")

log = logging.getLogger("first_impressions.app")
predictions = TypeAdapter(Prediction)


@dataclass(frozen=True)
class Known:
    """What is known of a draft; an answer that is withheld has no explanation."""

    prediction: Prediction
    explanation: Explanation | None
    bundle: Bundle


class Prepared:
    """What is known of drafts before the model is there; of none, without arguments."""

    def __init__(self, known: Mapping[str, Known] | None = None) -> None:
        self._known = dict(known or {})
        self._worded = {name[:HALF] for name in self._known}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, post: Post) -> Known | None:
        """What is known of a draft with these very words and pixels."""
        # Nearly every draft has other words, and hashing the pixels of a large picture takes as long as an answer.
        return self._known.get(identity(post)) if _words(post) in self._worded else None


def identity(post: Post) -> str:
    """Hash of all that the model may read of a draft: of its words and context, then of its pixels."""
    pixels = pixel_hash(post.image) if post.image is not None else ""
    return _words(post) + pixels[:HALF]


def _words(post: Post) -> str:
    told = json.dumps([post.title, post.description, *post.tags, *filter(None, [cells_of(post)])])
    return hashlib.sha256(told.encode()).hexdigest()[:HALF]


def key_of(bundle: Bundle) -> str:
    """Hash of all that decides the answers: the bundle, and the code."""
    digest = hashlib.sha256(fingerprint(bundle).encode())
    for path in CODE:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load_prepared(path: Path = FILE) -> Prepared:
    """What is known of the examples by the bundle that the settings name; of none where the key is another."""
    place = Settings().bundle
    if isinstance(place, Address):
        # The page does not wait until it is fetched.
        return Prepared()
    try:
        bundle = read_bundle(place)
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] != key_of(bundle):
            return Prepared()
        return Prepared({name: _known(entry, bundle) for name, entry in stored["drafts"].items()})
    except BundleError:
        # Whoever asks the model next is told.
        return Prepared()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s cannot be read (%s), so examples are answered live.", path.name, type(error).__name__)
        return Prepared()


def answer(predictor: "Predictor", example: Example) -> tuple[str, dict[str, Any]]:
    """The identity of an example, and what is stored of it."""
    # It pulls in torch, which the page does not wait for.
    from engine.explain import owen

    post = read_draft(str(example.path) if example.path else None, example.title)
    prediction = predictor.predict([post])[0]
    # However long it takes: so it comes out alike on machines of any speed.
    reasons = None if prediction.strange else owen.explain(predictor, post, seconds=None)
    return identity(post), {
        "prediction": predictions.dump_python(prediction, mode="json"),
        "explanation": _stored(reasons) if reasons else None,
    }


def _stored(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON: arrays as lists, the map of regions as a picture."""
    data = {field.name: getattr(explanation, field.name) for field in fields(explanation)}
    for name in NUMBERS:
        data[name] = None if data[name] is None else np.asarray(data[name], np.float64).tolist()
    if explanation.segments is not None:
        file = BytesIO()
        Image.fromarray(explanation.segments.astype(np.uint8)).save(file, "PNG", optimize=True)
        data["segments"] = base64.b64encode(file.getvalue()).decode("ascii")
    return data


def _known(entry: dict[str, Any], bundle: Bundle) -> Known:
    prediction = predictions.validate_python(entry["prediction"])
    if entry["explanation"] is None:
        return Known(prediction, None, bundle)
    data = dict(entry["explanation"])
    data |= {name: None if data[name] is None else np.array(data[name]) for name in NUMBERS}
    data |= {name: tuple((text, value) for text, value in data[name]) for name in ("words", "fields")}
    data["notes"] = (*data["notes"], PREPARED)
    if data["segments"] is not None:
        data["segments"] = np.asarray(Image.open(BytesIO(base64.b64decode(data["segments"]))), np.int64)
    return Known(prediction, Explanation(**data), bundle)


def main() -> None:
    """Work out every example with the bundle that the settings name, and write them down."""
    from engine.predictor import Predictor

    if len(available()) < len(EXAMPLES):
        raise DataError("Some example pictures are not installed; install scikit-image as requirements.txt has it.")
    began = time.perf_counter()
    predictor = Predictor.load()
    drafts = dict(answer(predictor, example) for example in EXAMPLES)
    text = json.dumps({"key": key_of(predictor.bundle), "drafts": drafts}, indent=0, ensure_ascii=False) + "\n"
    write_bytes(FILE, text.encode())
    print(f"{FILE.name}: {len(drafts)} examples, {len(text) / 1000:.0f} kB, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
