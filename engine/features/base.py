"""The contract of a feature: anything read off a post before it is published.

A feature is one file in this folder that ends in `FEATURE = <its class>`, named after its `kind`. Training and serving
call the same `compute`; the store, the bundle and every run are keyed by its fingerprint, so nothing stale and nothing
foreign can be taken over. Raise `version` whenever `compute` comes to give other values.
"""

import ast
import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from engine.encoders.base import Modality
from engine.errors import DataError, PostError
from engine.posts import Post

Values = npt.NDArray[np.float32]
# Of n posts by feature name, every array with n rows.
Features = dict[str, Values]

# What stands for a picture that is not there: one grey says nothing of what a picture shows.
PLAIN = Image.new("RGB", (320, 180), (128, 128, 128))
FOLDS = 5
# Steps of 255 between the darkest and the brightest pixel of a channel, up to which a picture is one colour.
PLAIN_SPREAD = 8


@dataclass(frozen=True)
class FeatureSettings:
    """What the features of one model share.

    `encoders` maps roles to what `load_encoder` takes, `text_fields` are the parts of a post that its texts are made
    of, `options` holds settings of single features by name, and `device` is where encoders run.
    """

    encoders: Mapping[str, str] = field(default_factory=dict)
    text_fields: tuple[str, ...] = ("title",)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    device: str = field(default="auto", compare=False)


def digest(content: Any) -> str:
    """Thirty-two hexadecimal digits of JSON-serialisable content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


class Feature(ABC):
    """One thing read off posts: `values` of shape (n, *shape), float32, NaN where there is nothing to say.

    `modalities` are the sides that it reads: it exists for posts that have all of them. One without any reads only the
    context (when, where, by whom, as what), and is there for every post. `upstream` are features it
    is computed from. A member that names no features takes those with `by_default`, which is for readable columns.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    by_default: ClassVar[bool] = True
    modalities: tuple[Modality, ...]
    columns: tuple[str, ...]
    upstream: "tuple[Feature, ...]" = ()
    # Hash of the training posts, where it was fitted on any.
    fitted_on: str = ""
    # A text's tokens by the thousand are kept in half precision.
    stored_as: ClassVar[type[np.floating]] = np.float32

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.kind

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: "Callable[[str], Feature]") -> Self:
        """The feature, not fitted yet; `need` gives the feature of a name, for `upstream`."""
        return cls(name)

    @abstractmethod
    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        """Values of n posts that have its modalities; `upstream` holds those of the features it is computed from."""

    @property
    def context(self) -> Mapping[str, tuple[str, ...]]:
        """Names of a post's context (`engine.context`) that the values hang on, each with the values that it knows.

        None are named where any value will do.
        """
        return {name: known for feature in self.upstream for name, known in feature.context.items()}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one post's values."""
        return (len(self.columns),)

    @property
    def unavailable(self) -> str:
        """One sentence on what to install before it can be computed here; "" where it can. Its values are NaN then."""
        return ""

    def why_null(self, post: Post) -> str:
        """One sentence on why it says nothing of a post, whose values are NaN then; "" where it says something."""
        return ""

    def blank(self) -> Values:
        """One row (1, *shape) of a post with nothing on the sides that this reads: no words, a plain picture."""
        post = [Post(image=PLAIN)]
        return self.compute(post, {feature.name: feature.blank() for feature in self.upstream})

    @property
    def config(self) -> dict[str, Any]:
        """What decides the values beside code, files and upstream; JSON-serialisable, `load` gets it back."""
        return {}

    @property
    def weights(self) -> str:
        """Hash of fitted or pretrained numbers; "" without any."""
        return ""

    @property
    def precision(self) -> str:
        """What changes the values a little from machine to machine, such as the type of matrix products."""
        return ""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides the values up to `precision`: equal fingerprints give equal values."""
        above = [feature.fingerprint for feature in self.upstream]
        return digest([self.kind, self.version, self.columns, self.config, self.weights, self.fitted_on, above])

    @property
    def cache_key(self) -> str:
        """Name of stored values: the fingerprint, the precision, and the code of the feature's file as it stands."""
        above = [feature.cache_key for feature in self.upstream]
        return digest([self.fingerprint, self.precision, code_hash(type(self)), above])

    def save(self, folder: Path) -> None:  # noqa: B027
        """Write its files into `folder`, their names starting with its own; most features have none."""

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: "tuple[Feature, ...]", device: str
    ) -> Self:
        """The feature of a bundle. Raises what goes wrong; `Predictor.load` turns it into BundleError."""
        return cls(name, **config)


class FittedFeature(Feature):
    """A feature with numbers of its own, fitted on training posts.

    `supervised` ones learn the target, and so may be shown titles that nobody publishes; the others learn what
    training posts look like.
    """

    supervised: ClassVar[bool] = True
    # False where what is learnt knows no target, and other posts could give other columns.
    foldwise: ClassVar[bool] = True

    @abstractmethod
    def fitted(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        """A copy with numbers of its own, from n training posts and their target (n,), on the normal scale."""

    def fit(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        """As `fitted`, and the copy knows which posts it saw."""
        copy = self.fitted(posts, upstream, target)
        seen = [[post.post_id, post.title, list(post.tags), post.description] for post in posts]
        copy.fitted_on = digest([seen, target.tolist()])
        return copy

    def out_of_fold(
        self,
        posts: Sequence[Post],
        upstream: Mapping[str, Values],
        target: npt.NDArray[np.float64],
        groups: npt.NDArray[np.int64],
    ) -> Values:
        """Values of the training posts, each by a copy that was fitted without its group (n,).

        A model that stacks the feature so sees it as it will be on new posts. By one copy of all of them where the
        feature is not `foldwise`.
        """
        if not self.foldwise:
            return self.fitted(posts, upstream, target).compute(posts, upstream)
        from sklearn.model_selection import GroupKFold

        found = np.zeros((len(posts), *self.shape), dtype=np.float32)
        folds = min(FOLDS, len(np.unique(groups)))
        for rest, held in GroupKFold(folds).split(target, groups=groups):
            above = {name: values[rest] for name, values in upstream.items()}
            part = self.fitted([posts[row] for row in rest], above, target[rest])
            outside = {name: values[held] for name, values in upstream.items()}
            found[held] = part.compute([posts[row] for row in held], outside)
        return found


@cache
def code_hash(kind: type[Feature]) -> str:
    """Hash of the code in a feature's file, and in those of features it is derived from, without comments."""
    trees = []
    for file in dict.fromkeys(inspect.getfile(found) for found in kind.__mro__ if "kind" in vars(found)):
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        trees.append(ast.dump(tree))
    return digest(trees)


def pictures_of(posts: Sequence[Post]) -> list[Image.Image]:
    """Pictures of n posts. Raises PostError when one has none."""
    images = [post.image for post in posts if post.image is not None]
    if len(images) < len(posts):
        raise PostError("A feature of pictures was asked of a post that has none; leave it out for such posts.")
    return images


def nothing_seen(post: Post) -> str:
    """One sentence on why there is nothing to see in a post's picture; "" where there is."""
    if post.image is None:
        return "There is no picture."
    # Compression leaves a few steps of noise on a plain surface.
    pixels = np.asarray(post.image.convert("RGB").resize((64, 64)))
    spread = int((pixels.max(axis=(0, 1)) - pixels.min(axis=(0, 1))).max())
    return "The picture shows a single colour." if spread <= PLAIN_SPREAD else ""


def sides_of(what: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> tuple[Feature, Feature]:
    """The features of a recipe's first encoders of pictures and of texts. Raises DataError: `what` needs both."""
    vectors = [need(role) for role in settings.encoders]
    image, text = (next((one for one in vectors if side in one.modalities), None) for side in ("image", "text"))
    if image is None or text is None:
        raise DataError(f"{what} an encoder for pictures and one for texts; name both in the recipe.")
    return image, text
