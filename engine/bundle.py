"""A bundle: the folder with all that a prediction needs, each file under its hash. Saved whole, verified on load.

No file of it is ever unpickled: weights are safetensors or CatBoost's own format, the rest is JSON.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import BundleError
from engine.prediction import View

MANIFEST = "bundle.json"
CARD = "README.md"
FORMAT = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EncoderEntry(_Strict):
    """A tower: how `load_encoder` names it, and a file of fine-tuned tensors to put over its own."""

    spec: str
    weights: str | None = None


class MemberEntry(_Strict):
    """A member of the blend: its class in `engine.members.KINDS`, its name, and what its `load` needs."""

    kind: str
    name: str
    facts: dict[str, Any]


class ViewFit(_Strict):
    """How one view's answers are blended and calibrated; every figure fitted on validation posts.

    Probabilities are pooled log-linearly with `probability_weights`, scores linearly with `score_weights`; the log
    engagement score is `intercept` + `slope` · blended score.
    """

    probability_weights: dict[str, float]
    score_weights: dict[str, float]
    slope: float
    intercept: float
    temperature: dict[str, Any]
    level_sets: dict[str, Any]
    interval: dict[str, Any]
    abstention: dict[str, Any]


class Bundle(_Strict):
    """The manifest, bundle.json. `facts` are figures of the report, `notes` sentences to show with every figure."""

    format: Literal[1] = 1
    name: str
    recipe: str
    created: str
    score_formula: str
    cuts: tuple[float, float, float, float]
    prior: tuple[float, float, float, float, float]
    text_fields: tuple[str, ...]
    encoders: dict[str, EncoderEntry]
    ngrams: str | None
    alignment: str | None
    members: tuple[MemberEntry, ...]
    views: dict[View, ViewFit]
    data: dict[str, Any]
    facts: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    files: dict[str, str] = {}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(manifest: Bundle) -> bytes:
    """The manifest as stored: JSON with the hash of its own other fields, so that no byte of it can change unseen."""
    fields = manifest.model_dump(mode="json")
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    sealed = {**fields, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return (json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST
    )


def save_bundle(target: Path, manifest: Bundle, write: Callable[[Path], None]) -> Bundle:
    """Make a bundle at `target`: `write` fills a folder, hashes are taken, and the folder is moved there.

    A bundle that was there is replaced at the end; until then, and after any error, it stays as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        write(staging)
        complete = manifest.model_copy(update={"files": {name: _digest(staging / name) for name in _files(staging)}})
        (staging / MANIFEST).write_bytes(_seal(complete))
        staging.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            os.replace(target, old / "bundle")
            os.replace(staging, target)
            shutil.rmtree(old)
        else:
            os.replace(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return complete


def amend_bundle(folder: Path, **changes: Any) -> Bundle:
    """Replace manifest fields (facts, notes) of a bundle after its evaluation; weights stay under their hashes."""
    manifest = read_bundle(folder).model_copy(update=changes)
    temporary = folder / f".{MANIFEST}.tmp"
    temporary.write_bytes(_seal(manifest))
    os.replace(temporary, folder / MANIFEST)
    return manifest


def read_bundle(folder: Path) -> Bundle:
    """The manifest of a bundle, after checking it and every file against their hashes.

    Raises BundleError, naming the file, when one is missing, added or changed.
    """
    path = folder / MANIFEST
    again = "fetch or train the bundle again"
    if not path.is_file():
        raise BundleError(f"There is no bundle at {folder}; give a folder that holds {MANIFEST}, or train one.")
    stored = path.read_bytes()
    try:
        fields = json.loads(stored)
        fields.pop("sha256")
        if fields.get("format") != FORMAT:
            raise BundleError(f"The bundle {folder} has format {fields.get('format')}, not {FORMAT}; {again}.")
        manifest = Bundle.model_validate(fields)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise BundleError(f"{MANIFEST} of the bundle {folder} cannot be read; {again}.") from error
    if _seal(manifest) != stored:
        raise BundleError(f"{MANIFEST} of the bundle {folder} was changed; {again}.")
    found = _files(folder)
    for name in sorted(set(manifest.files) | set(found)):
        if name not in found:
            raise BundleError(f"The bundle {folder} lacks {name}; {again}.")
        if name not in manifest.files:
            raise BundleError(f"The bundle {folder} has a file that is not its own, {name}; remove it.")
        if _digest(folder / name) != manifest.files[name]:
            raise BundleError(f"{name} of the bundle {folder} was changed; {again}.")
    return manifest
