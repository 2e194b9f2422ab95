"""Members of the blend: what turns a post's features into five level probabilities and a score.

Every member answers the views it can, from the features that it names, on one scale: the training score as a standard
normal quantile. CatBoost reads columns and vectors; a network reads the tokens of both encoders; a score member turns
any scalar feature into level probabilities; heads (`engine.heads`) also say the category.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch

from engine.encoders.runtime import pick_device
from engine.errors import BundleError
from engine.features.base import Values
from engine.features.encoder_tokens import to_tokens
from engine.fusion import FusionConfig, FusionNetwork
from engine.heads import HeadsMember, levels_of
from engine.networks import with_weights
from engine.prediction import VIEWS, Array, MemberOutput, View
from engine.scoring import LEVELS, PERCENTILES
from engine.trees import save_trees


class Member(Protocol):
    """One model of the blend. `kind` names its class in bundle.json, `reads` the features of each view it answers."""

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> Mapping[View, tuple[str, ...]]: ...

    def predict(self, view: View, features: Mapping[str, Values]) -> MemberOutput: ...

    def save(self, folder: Path) -> dict[str, Any]:
        """Write its files into `folder`; return what `load` needs besides, JSON-serialisable."""
        ...


def normal_levels(score: npt.ArrayLike, slope: float, spread: float) -> Array:
    """Level probabilities (n, 5) of a true score that is Normal(slope · score, spread²).

    The cuts are the training percentiles on the normal scale, so a score that says nothing gives 20 % each.
    """
    from scipy.special import ndtri

    return levels_of(np.asarray(score, dtype=np.float64), ndtri(np.array(PERCENTILES) / 100), slope, spread)


@dataclass(frozen=True)
class ScoreMember:
    """A scalar feature as a member: probabilities by `normal_levels`, fitted by least squares on held-out posts."""

    name: str
    feature: str
    views: tuple[View, ...]
    slope: float = 1.0
    spread: float = 1.0
    kind: ClassVar[str] = "score"

    @property
    def reads(self) -> dict[View, tuple[str, ...]]:
        return {view: (self.feature,) for view in self.views}

    @classmethod
    def fit(
        cls, name: str, feature: str, views: tuple[View, ...], score: npt.ArrayLike, target: npt.ArrayLike
    ) -> "ScoreMember":
        """From n held-out scores and targets, (n,) each."""
        found, wanted = (np.asarray(values, dtype=np.float64) for values in (score, target))
        slope = float(found @ wanted) / max(float(found @ found), 1e-12)
        return cls(name, feature, views, slope, float(np.std(wanted - slope * found)) or 1.0)

    def predict(self, view: View, features: Mapping[str, Values]) -> MemberOutput:
        score = features[self.feature].astype(np.float64)[:, 0]
        return MemberOutput(normal_levels(score, self.slope, self.spread), self.slope * score)

    def save(self, folder: Path) -> dict[str, Any]:
        return {field: value for field, value in asdict(self).items() if field != "name"}

    @classmethod
    def load(cls, folder: Path, name: str, config: Mapping[str, Any], device: str) -> "ScoreMember":
        found = cls(name, **{**config, "views": tuple(config["views"])})
        if not (np.isfinite(found.slope) and np.isfinite(found.spread) and found.spread > 0):
            raise BundleError(f"The member {name} is not of finite numbers.")
        return found


class CatBoostMember:
    """CatBoost for the levels (MultiClass, ordinal order) and for the score, one pair of models a view.

    `reads` maps a view to the names of the features that are put side by side, in that order.
    """

    kind: ClassVar[str] = "catboost"

    def __init__(self, name: str, reads: Mapping[View, Sequence[str]], models: Mapping[View, tuple[Any, Any]]) -> None:
        self.name = name
        self.reads = {view: tuple(reads[view]) for view in VIEWS if view in reads}
        self.models = dict(models)

    def table(self, view: View, features: Mapping[str, Values]) -> Values:
        """The features of a view side by side, (n, columns) float32."""
        return np.concatenate([np.asarray(features[name], dtype=np.float32) for name in self.reads[view]], axis=1)

    def predict(self, view: View, features: Mapping[str, Values]) -> MemberOutput:
        from catboost import Pool

        levels, score = self.models[view]
        # One thread: batches are computed side by side (`engine.threads`), and pools would multiply.
        table = Pool(self.table(view, features), thread_count=1)
        probabilities = np.zeros((table.num_row(), len(LEVELS)))
        found = levels.predict(table, prediction_type="Probability", thread_count=1)
        probabilities[:, levels.classes_.astype(int)] = found
        return MemberOutput(probabilities, score.predict(table, thread_count=1))

    def save(self, folder: Path) -> dict[str, Any]:
        for view, (levels, score) in self.models.items():
            save_trees(levels, folder / f"{self.name}-levels-{view}.cbm")
            save_trees(score, folder / f"{self.name}-score-{view}.cbm")
        return {"reads": {view: list(names) for view, names in self.reads.items()}}

    @classmethod
    def load(cls, folder: Path, name: str, config: Mapping[str, Any], device: str) -> "CatBoostMember":
        from catboost import CatBoostClassifier, CatBoostRegressor

        models = {
            view: (
                CatBoostClassifier().load_model(str(folder / f"{name}-levels-{view}.cbm")),
                CatBoostRegressor().load_model(str(folder / f"{name}-score-{view}.cbm")),
            )
            for view in config["reads"]
        }
        leaves = [model.get_leaf_values() for pair in models.values() for model in pair]
        if not all(np.isfinite(values).all() for values in leaves):
            raise BundleError(f"The trees of {name} are not of finite numbers.")
        return cls(name, config["reads"], models)


class NetworkMember:
    """A fusion network over the tokens of a picture encoder and a text encoder, named by their features.

    One of a single side, whose other name is None, gives posts with both sides the answer to its own.
    """

    kind: ClassVar[str] = "network"

    def __init__(self, name: str, network: FusionNetwork, image: str | None, text: str | None) -> None:
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self.image, self.text = image, text

    @property
    def reads(self) -> dict[View, tuple[str, ...]]:
        both = tuple(name for name in (self.image, self.text) if name is not None)
        alone: dict[View, str | None] = {"text": self.text, "image": self.image}
        return {"both": both, **{view: (name,) for view, name in alone.items() if name is not None}}

    def head(self, view: View) -> View:
        """The view whose head answers a view in `reads`."""
        return view if view in self.network.heads else self.network.config.views[0]

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @torch.inference_mode()
    def predict(self, view: View, features: Mapping[str, Values]) -> MemberOutput:
        image, text = (
            to_tokens(features[name], self.device) if name in self.reads[view] else None
            for name in (self.image, self.text)
        )
        head = self.head(view)
        output = self.network(image, text, views=(head,))[head]
        return MemberOutput(output.logits.softmax(-1).double().cpu().numpy(), output.score.double().cpu().numpy())

    def save(self, folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        halves = {name: value.half().contiguous().cpu() for name, value in self.network.state_dict().items()}
        save_file(halves, folder / f"{self.name}.safetensors")
        return {"image": self.image, "text": self.text, "config": asdict(self.network.config)}

    @classmethod
    def load(cls, folder: Path, name: str, config: Mapping[str, Any], device: str) -> "NetworkMember":
        from safetensors.torch import load_file

        tensors = {key: value.float() for key, value in load_file(folder / f"{name}.safetensors").items()}
        shape = FusionConfig(**config["config"])
        dims = {"image": shape.image_dim, "text": shape.text_dim}
        if not shape.views or any((config[side] is not None) != (dim > 0) for side, dim in dims.items()):
            raise BundleError(f"The sides of {name} are not those that its weights see; train it again.")
        network = with_weights(lambda: FusionNetwork(shape), tensors, name)
        return cls(name, network.to(pick_device(device)), config["image"], config["text"])


KINDS: dict[str, Any] = {member.kind: member for member in (ScoreMember, CatBoostMember, NetworkMember, HeadsMember)}


def load_member(folder: Path, kind: str, name: str, config: Mapping[str, Any], device: str = "auto") -> Member:
    """A member from its folder and its configuration. Raises BundleError for a kind this version does not know."""
    if kind not in KINDS:
        raise BundleError(f"The bundle has a member of kind “{kind}”, which this version does not know; update it.")
    member: Member = KINDS[kind].load(folder, name, config, device)
    return member
