"""Members of the blend: what turns a post's features into five level probabilities and a score.

Every member answers the views it can, from the same named features, on one scale: the training score as a standard
normal quantile. CatBoost heads read statistics and vectors; network heads read the tokens of both towers; a score head
turns any scalar model into level probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch

from engine.encoders.base import Tokens
from engine.errors import BundleError
from engine.fusion import FusionConfig, FusionNetwork
from engine.prediction import VIEWS, View
from engine.scoring import LEVELS, PERCENTILES

Array = npt.NDArray[np.float64]
Features = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class MemberOutput:
    """Of n posts: `probabilities` (n, 5) in level order, rows summing to 1, and `score` (n,) on the normal scale."""

    probabilities: Array
    score: Array


class Member(Protocol):
    """One model of the blend. `kind` names its class in bundle.json; `views` what it can answer."""

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...

    @property
    def views(self) -> tuple[View, ...]: ...

    def answer(self, view: View, features: Features) -> MemberOutput: ...

    def save(self, folder: Path) -> dict[str, Any]:
        """Write its files into `folder`; return what `load` needs besides, JSON-serialisable."""
        ...


def normal_levels(score: npt.ArrayLike, slope: float, spread: float) -> Array:
    """Level probabilities (n, 5) of a true score that is Normal(slope · score, spread²).

    The cuts are the training percentiles on the normal scale, so a score that says nothing gives 20 % each.
    """
    from scipy.special import ndtr, ndtri

    cuts = ndtri(np.array(PERCENTILES) / 100)
    below = ndtr((cuts - slope * np.asarray(score, dtype=np.float64)[:, None]) / spread)
    edges = np.concatenate([np.zeros((len(below), 1)), below, np.ones((len(below), 1))], axis=1)
    return np.diff(edges, axis=1)


@dataclass(frozen=True)
class ScoreMember:
    """A scalar feature as a member: probabilities by `normal_levels`, fitted by least squares on held-out posts."""

    name: str
    feature: str
    views: tuple[View, ...]
    slope: float = 1.0
    spread: float = 1.0
    kind: ClassVar[str] = "score"

    @classmethod
    def fit(cls, name: str, feature: str, views: tuple[View, ...], score: Array, target: Array) -> "ScoreMember":
        slope = float(score @ target) / max(float(score @ score), 1e-12)
        return cls(name, feature, views, slope, float(np.std(target - slope * score)) or 1.0)

    def answer(self, view: View, features: Features) -> MemberOutput:
        score = features[self.feature].astype(np.float64)
        return MemberOutput(normal_levels(score, self.slope, self.spread), self.slope * score)

    def save(self, folder: Path) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> "ScoreMember":
        return cls(**{**facts, "views": tuple(facts["views"])})


class CatBoostMember:
    """CatBoost for the levels (MultiClass, ordinal order) and for the score, one pair of models a view.

    `columns` maps a view to the names of the features that are put side by side, in that order.
    """

    kind: ClassVar[str] = "catboost"

    def __init__(
        self, name: str, columns: Mapping[View, Sequence[str]], models: Mapping[View, tuple[Any, Any]]
    ) -> None:
        self.name = name
        self.columns = {view: tuple(names) for view, names in columns.items()}
        self.models = dict(models)
        self.views = tuple(view for view in VIEWS if view in self.models)

    def table(self, view: View, features: Features) -> npt.NDArray[np.float32]:
        """The features of a view side by side, (n, columns) float32."""
        parts = [np.asarray(features[name], dtype=np.float32) for name in self.columns[view]]
        return np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], axis=1)

    def answer(self, view: View, features: Features) -> MemberOutput:
        levels, score = self.models[view]
        table = self.table(view, features)
        # Threads cost more than they save on a few rows.
        threads = 1 if len(table) < 256 else -1
        probabilities = np.zeros((len(table), len(LEVELS)))
        found = levels.predict(table, prediction_type="Probability", thread_count=threads)
        probabilities[:, levels.classes_.astype(int)] = found
        return MemberOutput(probabilities, score.predict(table, thread_count=threads))

    def save(self, folder: Path) -> dict[str, Any]:
        for view, (levels, score) in self.models.items():
            levels.save_model(str(folder / f"{self.name}-levels-{view}.cbm"))
            score.save_model(str(folder / f"{self.name}-score-{view}.cbm"))
        return {"name": self.name, "columns": self.columns}

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> "CatBoostMember":
        from catboost import CatBoostClassifier, CatBoostRegressor

        models = {
            view: (
                CatBoostClassifier().load_model(str(folder / f"{facts['name']}-levels-{view}.cbm")),
                CatBoostRegressor().load_model(str(folder / f"{facts['name']}-score-{view}.cbm")),
            )
            for view in facts["columns"]
        }
        return cls(facts["name"], facts["columns"], models)


class NetworkMember:
    """A fusion network over the tokens of a picture encoder and a text encoder, named by their roles in the bundle.

    The projections run with the towers, side by side: features hold `<name>.image` and `<name>.text` with their masks.
    """

    kind: ClassVar[str] = "network"
    views: tuple[View, ...] = VIEWS

    def __init__(self, name: str, network: FusionNetwork, image_encoder: str, text_encoder: str) -> None:
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self.image_encoder, self.text_encoder = image_encoder, text_encoder

    @torch.inference_mode()
    def project(self, side: str, tokens: Tokens) -> Features:
        """Features of one side from its tower's tokens."""
        project = self.network.project_image if side == "image" else self.network.project_text
        projected = project(tokens)
        return {f"{self.name}.{side}": projected.values.numpy(), f"{self.name}.{side}_mask": projected.mask.numpy()}

    def _tokens(self, side: str, features: Features) -> Tokens:
        values = np.ascontiguousarray(features[f"{self.name}.{side}"])
        mask = np.ascontiguousarray(features[f"{self.name}.{side}_mask"])
        return Tokens(torch.from_numpy(values), torch.from_numpy(mask))

    @torch.inference_mode()
    def answer(self, view: View, features: Features) -> MemberOutput:
        image = self._tokens("image", features) if view != "text" else None
        text = self._tokens("text", features) if view != "image" else None
        output = self.network.answer(image, text, views=(view,))[view]
        return MemberOutput(output.logits.softmax(-1).double().numpy(), output.score.double().numpy())

    def save(self, folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        halves = {name: value.half().contiguous() for name, value in self.network.state_dict().items()}
        save_file(halves, folder / f"{self.name}.safetensors")
        return {
            "name": self.name,
            "image_encoder": self.image_encoder,
            "text_encoder": self.text_encoder,
            "config": asdict(self.network.config),
        }

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any]) -> "NetworkMember":
        from safetensors.torch import load_file

        network = FusionNetwork(FusionConfig(**facts["config"]))
        try:
            network.load_state_dict(load_file(folder / f"{facts['name']}.safetensors"))
        except RuntimeError as error:
            raise BundleError(
                f"The weights of {facts['name']} do not fit its configuration; train it again."
            ) from error
        return cls(facts["name"], network, facts["image_encoder"], facts["text_encoder"])


KINDS: dict[str, Any] = {head.kind: head for head in (ScoreMember, CatBoostMember, NetworkMember)}


def load_member(folder: Path, kind: str, facts: Mapping[str, Any]) -> Member:
    """A member from its folder and its facts. Raises BundleError for a kind this version does not know."""
    if kind not in KINDS:
        raise BundleError(f"The bundle has a member of kind “{kind}”, which this version does not know; update it.")
    return KINDS[kind].load(folder, facts)
