"""The index of real posts on the disk: what is derived of each of them, never its words or its picture.

    models/<name>/evidence/
      evidence.json        `Manifest`: what it was made from, what is near, how well neighbours foretell, hashes
      vectors.safetensors  by side the tensors of a `Space`, such as “text.bytes”
      posts.parquet        `POSTS`, in the same order

It hangs on the dataset and on two frozen encoders, so it outlives bundles that are trained again on the same posts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, FiniteFloat, StringConstraints
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from engine.bundle import UNREADABLE, Side, Strict, seal, stored_fields
from engine.errors import BundleError
from engine.evidence.space import TENSORS, Space
from engine.files import file_digest, replacing_folder
from engine.prediction import View

FOLDER, MANIFEST, VECTORS, TABLE = "evidence", "evidence.json", "vectors.safetensors", "posts.parquet"
AGAIN = "run `python -m training evidence` again"
# Packaged and frozen: no training of a bundle changes them.
ENCODERS: Mapping[Side, str] = {"text": "minilm:48", "image": "lite0:96x160"}
# What is shown of a post: its score, and rates of its counts (null where they are not known).
POSTS = pa.schema(
    [
        ("post_id", pa.string()),
        ("score", pa.float32()),
        ("likes_per_view", pa.float32()),
        ("comments_per_view", pa.float32()),
        ("thumbhash", pa.binary()),
    ]
)

# A public address with a place for the post's id; "" where the source has none.
Address = Annotated[str, StringConstraints(pattern=r"^(https://[^{}\s\"'<>]+\{post_id\}[^{}\s\"'<>]*)?$")]
# Of the likeness of posts to their nearest one of another group: 0, 5, … 100 % of them lie below.
Quantiles = Annotated[tuple[FiniteFloat, ...], Field(min_length=21, max_length=21)]


class Encoded(Strict):
    """An encoder as `load_encoder` takes it, and the fingerprint of the feature that it makes here."""

    spec: str
    fingerprint: str


class Figure(Strict):
    """A value with its 95 % interval: whole groups of posts were drawn."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class Manifest(Strict):
    """evidence.json.

    `data` is the dataset's fingerprint. `removed` posts are nearly identical to another that stayed. `spread` is the
    standard deviation of the likeness of posts taken at random, by side. `figures` say, by what is compared, how well
    the levels of a post's `neighbours` nearest posts of other groups foretell its own, among `asked` posts outside of
    the grouped test part: `same_level` is the mean share of them on its own level, the others are metrics of a report.
    """

    format: Literal[1] = 1
    name: str
    data: str
    score_formula: str
    created: str
    encoders: dict[Side, Encoded]
    post_address: Address = ""
    picture_address: Address = ""
    posts: int
    removed: int
    neighbours: int = Field(ge=1)
    spread: dict[Side, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    nearest: dict[View, Quantiles]
    asked: int
    figures: dict[View, dict[str, Figure]]
    files: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Index:
    """The index in memory: `spaces` by side and the table `posts` have their n rows in the same order."""

    manifest: Manifest
    spaces: Mapping[Side, Space]
    posts: pa.Table


def save_index(folder: Path, index: Index) -> Manifest:
    """Write the index whole in the place of what is in `folder`; returns the manifest with the files' hashes."""
    with replacing_folder(folder) as staging:
        tensors = {
            f"{side}.{name}": tensor for side, space in index.spaces.items() for name, tensor in space.tensors().items()
        }
        (staging / VECTORS).write_bytes(save(tensors))
        pq.write_table(index.posts.cast(POSTS), staging / TABLE, compression="zstd")
        files = {name: file_digest(staging / name) for name in (VECTORS, TABLE)}
        complete = index.manifest.model_copy(update={"files": files})
        (staging / MANIFEST).write_bytes(seal(complete.model_dump(mode="json")))
    return complete


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an index. Raises BundleError when it is missing, changed, or of another format."""
    try:
        fields, stored = stored_fields(folder / MANIFEST)
        if seal(fields) != stored:
            raise ValueError("changed")
        return Manifest.model_validate(fields)
    except UNREADABLE as error:
        raise BundleError(f"{folder} holds no sound index of real posts; {AGAIN}.") from error


def read_index(folder: Path) -> Index:
    """The index in `folder`, after checking its files against their hashes.

    Raises BundleError when one is missing, changed, or does not fit the others.
    """
    manifest = read_manifest(folder)
    for name in (VECTORS, TABLE):
        path = folder / name
        if path.is_symlink() or not path.is_file() or file_digest(path) != manifest.files.get(name):
            raise BundleError(f"{name} of {folder} is missing or was changed; {AGAIN}.")
    try:
        tensors = load_file(folder / VECTORS)
        spaces = {side: Space.load({name: tensors[f"{side}.{name}"] for name in TENSORS}) for side in manifest.encoders}
        posts = pq.read_table(folder / TABLE, schema=POSTS)
        if {len(posts), *(len(space.rows) for space in spaces.values())} != {manifest.posts}:
            raise ValueError("files of other posts")
    except (OSError, ValueError, KeyError, SafetensorError, pa.ArrowException) as error:
        raise BundleError(f"The index of real posts in {folder} is broken; {AGAIN}.") from error
    return Index(manifest, spaces, posts)
