"""Two heads on a picture's vector and a few numbers: which category it is of, and how large its score will be.

A member (`engine.members`) whose five levels follow from the score: the true one is Normal around what the head says,
and levels lie between the cuts. Its numbers go through a branch of their own: a 1-D convolution, a dense layer and a
batch norm.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from engine.encoders.runtime import pick_device
from engine.errors import BundleError
from engine.features.base import Values
from engine.networks import with_weights
from engine.prediction import Array, CategoryOutput, MemberOutput, View


@dataclass(frozen=True)
class HeadsConfig:
    """Widths of the vector and of the numbers (0: none are read), names of the categories, and the layers between.

    `plain` heads read the vector as it is, for one that comes out of dense layers already.
    """

    vector: int
    numbers: int
    categories: tuple[str, ...]
    width: int = 128
    filters: int = 8
    dropout: float = 0.3
    plain: bool = False


class NumberBranch(nn.Module):
    """Numbers (n, columns) → (n, width)."""

    def __init__(self, columns: int, filters: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, filters, 3, padding=1)
        self.dense = nn.Linear(filters * columns, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        seen = functional.relu(self.convolution(numbers.unsqueeze(1))).flatten(1)
        normed: torch.Tensor = self.norm(functional.relu(self.dense(seen)))
        return normed


class HeadsNetwork(nn.Module):
    """Vectors (n, vector), numbers (n, columns) → category logits (n, categories) and a score (n,)."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        width = config.vector if config.plain else config.width
        self.body = (
            nn.Identity()
            if config.plain
            else nn.Sequential(
                nn.LayerNorm(config.vector),
                nn.Dropout(config.dropout),
                nn.Linear(config.vector, width),
                nn.GELU(),
                nn.Dropout(config.dropout),
            )
        )
        side = config.width // 4
        self.branch = NumberBranch(config.numbers, config.filters, side) if config.numbers else None
        self.category = nn.Linear(width, len(config.categories))
        joined = width + (side if config.numbers else 0)
        self.score = nn.Sequential(
            nn.Linear(joined, config.width), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(config.width, 1)
        )

    def forward(self, vectors: torch.Tensor, numbers: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body(vectors)
        parts = [hidden] if self.branch is None or numbers is None else [hidden, self.branch(numbers)]
        return self.category(hidden), self.score(torch.cat(parts, dim=1)).squeeze(-1)


def levels_of(score: Array, cuts: Array, slope: float, spread: float) -> Array:
    """Probabilities (n, levels) between `cuts` of a true score that is Normal(slope · score, spread²)."""
    from scipy.special import ndtr

    below = ndtr((cuts - slope * score[:, None]) / spread)
    shares: Array = np.diff(below, axis=1, prepend=0.0, append=1.0)
    return shares


@dataclass(frozen=True)
class ScoreScale:
    """From what the score head says to log scores and levels.

    The head says the log score less `mean`, in `deviation`s, or, `raw`, the score itself. On that scale lie the four
    `cuts`, and the true value is Normal(slope · said, spread²). `temperature` divides the category's logits.
    """

    mean: float
    deviation: float
    cuts: tuple[float, float, float, float]
    slope: float = 1.0
    spread: float = 1.0
    temperature: float = 1.0
    raw: bool = False

    def standard(self, said: Array) -> Array:
        """What the head said of n posts on the scale of `cuts`, (n,)."""
        if not self.raw:
            return said
        logs: Array = (np.log(np.maximum(said, 1.0)) - self.mean) / self.deviation
        return logs

    def levels(self, standard: Array) -> Array:
        """Probabilities (n, 5) of the levels."""
        return levels_of(standard, np.array(self.cuts), self.slope, self.spread)


class HeadsMember:
    """The two heads over an encoder's vector and, where `numbers` names it, a feature of numbers."""

    kind: ClassVar[str] = "heads"

    def __init__(self, name: str, network: HeadsNetwork, image: str, numbers: str | None, scale: ScoreScale) -> None:
        self.name, self.image, self.numbers, self.scale = name, image, numbers, scale
        self.network = network.eval().requires_grad_(False)

    @property
    def reads(self) -> Mapping[View, tuple[str, ...]]:
        names = (self.image,) if self.numbers is None else (self.image, self.numbers)
        return {"both": names, "image": names}

    @torch.inference_mode()
    def predict(self, view: View, features: Mapping[str, Values]) -> MemberOutput:
        device = next(self.network.parameters()).device
        vectors, numbers = (
            None if name is None else torch.from_numpy(np.asarray(features[name], dtype=np.float32)).to(device)
            for name in (self.image, self.numbers)
        )
        assert vectors is not None
        logits, said = self.network(vectors, numbers)
        standard = self.scale.standard(said.double().cpu().numpy())
        shares = (logits.double() / self.scale.temperature).softmax(-1).cpu().numpy()
        category = CategoryOutput(self.network.config.categories, shares)
        return MemberOutput(self.scale.levels(standard), standard, category)

    def save(self, folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        save_file(
            {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()},
            folder / f"{self.name}.safetensors",
        )
        config = {"image": self.image, "numbers": self.numbers, "scale": asdict(self.scale)}
        return {**config, "config": asdict(self.network.config)}

    @classmethod
    def load(cls, folder: Path, name: str, config: Mapping[str, Any], device: str) -> "HeadsMember":
        from safetensors.torch import load_file

        tensors = load_file(folder / f"{name}.safetensors")
        scale = ScoreScale(**{**config["scale"], "cuts": tuple(config["scale"]["cuts"])})
        above = (scale.deviation, scale.spread, scale.temperature)
        if not np.isfinite([scale.mean, scale.slope, *scale.cuts, *above]).all() or min(above) <= 0:
            raise BundleError(
                f"The scale of {name} is not finite, or divides by none above 0; fetch or train the bundle again."
            )
        shape = HeadsConfig(**{**config["config"], "categories": tuple(config["config"]["categories"])})
        if (config["numbers"] is None) != (shape.numbers == 0):
            raise BundleError(f"The numbers of {name} are not those that its weights read; train it again.")
        network = with_weights(lambda: HeadsNetwork(shape), tensors, name)
        return cls(name, network.to(pick_device(device)), config["image"], config["numbers"], scale)
