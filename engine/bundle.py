"""A bundle: the folder with all that a prediction needs, each file under its hash. Saved whole, verified on load.

No file of it is ever unpickled: weights are safetensors or CatBoost's own format, the rest is JSON. The hashes find
accidents, not an author who meant harm: see SECURITY.md.
"""

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

from engine.addresses import Address, Location, located
from engine.errors import BundleError, DataError
from engine.files import file_digest, replacing_folder, write_bytes
from engine.prediction import View
from engine.settings import Settings

MANIFEST = "bundle.json"
CARD = "README.md"
FORMAT = 4
FEATURES, MEMBERS, GUARDS = "features", "members", "guards"
# Far above any real manifest; parsing a giant one would only fill the memory.
MOST_BYTES = 20_000_000
# What reading a manifest that is none may raise; RecursionError: brackets nested by the thousand.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)

Name = Annotated[str, StringConstraints(pattern=r"^[\w][\w .+-]{0,99}$")]
Side = Literal["image", "text"]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# Of a signal among the posts of one level, those left out that the signal learned from: what 5, 25, 50, 75 and 95 % of
# them lie below.
Quantiles = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureEntry(Strict):
    """A feature: its kind, the features it is computed from, what its `load` needs, and its identity.

    `fitted_on` is the hash of the training posts, where it was fitted on any; `fingerprint` that of all which decides
    its values, an encoder's weights included, and a bundle is refused where it comes out otherwise.
    """

    kind: Name
    name: Name
    upstream: tuple[Name, ...]
    config: dict[str, Any]
    fitted_on: str
    fingerprint: str


class MemberEntry(Strict):
    """A member of the blend: its class in `engine.members.KINDS`, its name, and what its `load` needs."""

    kind: Name
    name: Name
    config: dict[str, Any]


class ViewFit(Strict):
    """How one view's outputs are blended and calibrated; fitted on posts that its members did not learn from.

    Probabilities are pooled log-linearly with `probability_weights`, scores linearly with `score_weights`; the log
    engagement score is `intercept` + `slope` · blended score.
    """

    probability_weights: dict[str, Share] = Field(min_length=1)
    score_weights: dict[str, Share] = Field(min_length=1)
    slope: FiniteFloat
    intercept: FiniteFloat
    temperature: dict[str, Any]
    level_sets: dict[str, Any]
    interval: dict[str, Any]
    abstention: dict[str, Any]


class GuardFit(Strict):
    """What keeps the model from answering to one side of a post that is unlike what it learned from.

    The feature it looks at, and how strange that may look; `share` of the posts outside of test look stranger.
    """

    feature: Name
    threshold: FiniteFloat
    share: Share


class Bundle(Strict):
    """The manifest, bundle.json. `test_metrics` are figures of the report, `notes` sentences to show with them.

    `score_quantiles` are those of the training posts' log scores, from the lowest to the highest in equal steps.
    `typical` says of signals (`engine.signals`) what is usual at each level, Very Low first; `languages` are the shares
    of the training titles by language, of those of which it can be told.
    """

    format: Literal[4] = 4
    name: str
    recipe: str
    created: str
    score_formula: str
    cuts: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    prior: tuple[Share, Share, Share, Share, Share]
    score_quantiles: tuple[FiniteFloat, ...] = Field(min_length=2)
    text_fields: tuple[str, ...]
    features: tuple[FeatureEntry, ...] = ()
    members: tuple[MemberEntry, ...] = ()
    views: dict[View, ViewFit]
    guards: dict[Side, GuardFit] = {}
    typical: dict[Name, tuple[Quantiles, Quantiles, Quantiles, Quantiles, Quantiles]] = {}
    languages: dict[str, Share] = {}
    data: dict[str, Any]
    test_metrics: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not math.isclose(sum(self.prior), 1.0, abs_tol=1e-6) or list(self.cuts) != sorted(self.cuts):
            raise ValueError("prior or cuts are none")
        if list(self.score_quantiles) != sorted(self.score_quantiles):
            raise ValueError("quantiles are none")
        if any(list(row) != sorted(row) for rows in self.typical.values() for row in rows):
            raise ValueError("quantiles of a signal are none")
        if unknown := {guard.feature for guard in self.guards.values()} - {feature.name for feature in self.features}:
            raise ValueError(f"a guard reads a feature that is not there: {min(unknown)}")
        members = {member.name for member in self.members}
        named = {name for fit in self.views.values() for name in (*fit.probability_weights, *fit.score_weights)}
        if self.members and not named <= members:
            raise ValueError(f"the blend names a member that is not there: {min(named - members)}")
        return self


def seal(fields: dict[str, Any]) -> bytes:
    """A manifest as stored: JSON with the hash of its own other fields, so that no byte of it can change unseen."""
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False)
    sealed = {**fields, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return (json.dumps(sealed, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def stored_fields(path: Path) -> tuple[dict[str, Any], bytes]:
    """The fields of a manifest, their hash left out, and it as it is stored. Raises one of `UNREADABLE`."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError("too large")
    stored = path.read_bytes()
    fields = json.loads(stored)
    fields.pop("sha256")
    return fields, stored


def _files(folder: Path) -> list[str]:
    """Every file but the manifest, as `folder/name` at most. Raises BundleError for links and deeper folders."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or name.count("/") > 1:
            raise BundleError(f"The bundle {folder} holds {name}, a link or a folder in a folder; remove it.")
        if path.is_file() and name != MANIFEST:
            found.append(name)
    return sorted(found)


def save_bundle(target: Path, write: Callable[[Path], Bundle]) -> Bundle:
    """Make a bundle at `target`: `write` fills a folder and gives the manifest, hashes are taken, it moves there.

    A bundle that was there is exchanged with it at the end; until then, and after any error, it stays as it was. Made
    anew it is the same bundle where it answers with the same, with its day and what was measured of it since.
    """
    with replacing_folder(target) as staging:
        manifest = write(staging)
        files = {name: file_digest(staging / name) for name in _files(staging)}
        complete = manifest.model_copy(update={"files": files})
        with suppress(BundleError):
            former = read_bundle(target)
            if fingerprint(complete.model_copy(update={"created": former.created})) == fingerprint(former):
                complete = former
        (staging / MANIFEST).write_bytes(seal(complete.model_dump(mode="json")))
    return complete


def amend_bundle(folder: Path, **changes: Any) -> Bundle:
    """Replace manifest fields (test_metrics, notes, typical, languages) of a bundle after training; its weights stay.

    Raises ValueError for fields that no bundle can have, which stays as it was.
    """
    manifest = Bundle.model_validate({**dict(read_bundle(folder)), **changes})
    # Any other file in the folder would make the bundle refuse itself, also one that a killed run left there.
    write_bytes(folder / MANIFEST, seal(manifest.model_dump(mode="json")), scratch=folder.parent)
    return manifest


def fingerprint(manifest: Bundle) -> str:
    """Hash of what a bundle answers with: its manifest without the figures and notes that are put in later."""
    fields = manifest.model_dump(mode="json", exclude={"test_metrics", "notes", "typical", "languages"})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def identity(manifest: Bundle) -> str:
    """The start of its fingerprint, by which reports and benchmarks name it."""
    return fingerprint(manifest)[:16]


def folder_of(place: str | Location | None) -> Path:
    """The folder of a bundle: None is the one that FIRST_IMPRESSIONS_BUNDLE names, else the shipped one; one that
    lies at an address is fetched. Raises as `fetch_bundle`."""
    found = located(place) if place is not None else Settings().bundle
    return found if isinstance(found, Path) else fetch_bundle(found, Settings().cache)


def fetch_bundle(address: Address, cache: Path) -> Path:
    """A bundle elsewhere as a verified folder below `cache`, named after its manifest, so fetched once.

    Raises BundleError when it is none, or was changed, DataError when it cannot be fetched; no part of it stays then.
    """
    with (address / MANIFEST).open() as file:
        manifest = file.read(MOST_BYTES)
    folder = cache / "bundles" / hashlib.sha256(manifest).hexdigest()[:32]
    with suppress(BundleError):
        read_bundle(folder)
        return folder
    try:
        names = list(json.loads(manifest)["files"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} of the bundle {address} cannot be read; publish the bundle again.") from error
    try:
        with replacing_folder(folder) as staging:
            (staging / MANIFEST).write_bytes(manifest)
            for name in map(str, names):
                (address / name).copy(staging / name)
            read_bundle(staging)
    except OSError as error:
        raise DataError(
            f"The bundle {address} cannot be kept in {cache} ({error.strerror or error}); set FIRST_IMPRESSIONS_CACHE "
            "to a folder that can be written to."
        ) from error
    return folder


def read_bundle(folder: Path) -> Bundle:
    """The manifest of a bundle, after checking it and every file against their hashes.

    Raises BundleError, naming the file, when one is missing, added or changed.
    """
    path = folder / MANIFEST
    again = "fetch or train the bundle again"
    try:
        if not path.is_file():
            if (folder / "bundle" / MANIFEST).is_file():
                raise BundleError(f"There is no bundle at {folder}; did you mean {folder / 'bundle'}?")
            raise BundleError(f"There is no bundle at {folder}; give a folder that holds {MANIFEST}, or train one.")
        fields, stored = stored_fields(path)
        if fields.get("format") != FORMAT:
            raise BundleError(f"The bundle {folder} has format {fields.get('format')}, not {FORMAT}; {again}.")
        if seal(fields) != stored:
            raise BundleError(f"{MANIFEST} of the bundle {folder} was changed; {again}.")
        manifest = Bundle.model_validate(fields)
    except UNREADABLE as error:
        raise BundleError(f"{MANIFEST} of the bundle {folder} cannot be read; {again}.") from error
    found = _files(folder)
    for name in sorted(set(manifest.files) | set(found)):
        if name not in found:
            raise BundleError(f"The bundle {folder} lacks {name}; {again}.")
        if name not in manifest.files:
            raise BundleError(f"The bundle {folder} has a file that is not its own, {name}; remove it.")
        if file_digest(folder / name) != manifest.files[name]:
            raise BundleError(f"{name} of the bundle {folder} was changed; {again}.")
    return manifest
