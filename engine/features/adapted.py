"""Adapted vectors: small adapters on a frozen picture and a frozen text vector, trained for the target.

CLIP-Adapter (Gao et al. 2021): a residual bottleneck, v' = r · A(v) + (1 − r) · v with A two layers, for each side; a
linear map of both adapted vectors answers. What is kept are the adapted vectors, both sides behind one another.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from engine.encoders.base import Modality
from engine.errors import DataError
from engine.features.base import Feature, FeatureSettings, FittedFeature, Values, sides_of
from engine.posts import Post

REDUCTION = 4
EPOCHS, BATCH = 30, 256
RATE, DECAY = 1e-3, 0.05
DROPOUT = 0.3


class Adapter(nn.Module):
    """Vectors (n, image), (n, text), each of length 1, to their adapted forms; `answer` gives the score (n,)."""

    def __init__(self, image: int, text: int, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.sides = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, width // REDUCTION), nn.ReLU(), nn.Linear(width // REDUCTION, width), nn.ReLU()
            )
            for width in (image, text)
        )
        self.answer = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(image + text, 1))

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = [
            self.ratio * adapter(side) + (1 - self.ratio) * side
            for adapter, side in zip(self.sides, (image, text), strict=True)
        ]
        return found[0], found[1]


def unit(vectors: npt.NDArray[np.floating]) -> torch.Tensor:
    """Vectors (n, d) at length √d, so that a linear layer meets numbers around 1 whatever the encoder's scale is."""
    array = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    scaled: torch.Tensor = functional.normalize(array, dim=1) * array.shape[1] ** 0.5
    return scaled


class Adapted(FittedFeature):
    """Values (n, d_image + d_text): the adapted vectors of the first encoder of each side.

    `ratio` is the share of the adapter, 0..1; `options` may name another: `{"adapted": {"ratio": 0.4}}`.
    """

    kind: ClassVar[str] = "adapted"
    by_default: ClassVar[bool] = False
    modalities: tuple[Modality, ...] = ("image", "text")

    def __init__(
        self, name: str | None, image: Feature, text: Feature, ratio: float = 0.2, adapter: Adapter | None = None
    ) -> None:
        super().__init__(name)
        self.upstream, self.ratio, self.adapter = (image, text), ratio, adapter

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, *sides_of("Adapted vectors need", settings, need), **settings.options.get(name, {}))

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(
            f"{side}_{number}"
            for side, above in zip(self.modalities, self.upstream, strict=True)
            for number in range(len(above.columns))
        )

    def fitted(self, posts: Sequence[Post], upstream: Mapping[str, Values], target: npt.NDArray[np.float64]) -> Self:
        image, text = (unit(upstream[feature.name]) for feature in self.upstream)
        wanted = torch.from_numpy(target.astype(np.float32))
        generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            adapter = Adapter(image.shape[1], text.shape[1], self.ratio)
            optimiser = torch.optim.AdamW(adapter.parameters(), lr=RATE, weight_decay=DECAY)
            steps = EPOCHS * -(-len(wanted) // BATCH)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
            for _ in range(EPOCHS):
                for rows in torch.randperm(len(wanted), generator=generator).split(BATCH):
                    answer = adapter.answer(torch.cat(adapter(image[rows], text[rows]), 1))[:, 0]
                    loss = functional.huber_loss(answer, wanted[rows])
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    schedule.step()
        return type(self)(
            self.name, self.upstream[0], self.upstream[1], self.ratio, adapter.eval().requires_grad_(False)
        )

    @torch.inference_mode()
    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        if self.adapter is None:
            raise DataError("The adapters were not fitted; train the bundle again.")
        image, text = (unit(upstream[feature.name]) for feature in self.upstream)
        found: Values = torch.cat(self.adapter(image, text), 1).numpy()
        return found

    def blank(self) -> Values:
        return np.zeros((1, len(self.columns)), dtype=np.float32)

    @property
    def config(self) -> dict[str, Any]:
        return {"ratio": self.ratio}

    @property
    def weights(self) -> str:
        if self.adapter is None:
            return ""
        parts = (value.numpy().tobytes() for value in self.adapter.state_dict().values())
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        if self.adapter is not None:
            save_file(self.adapter.state_dict(), folder / f"{self.name}.safetensors")

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        from safetensors.torch import load_file

        sizes = [len(above.columns) for above in upstream]
        adapter = Adapter(sizes[0], sizes[1], config["ratio"]).eval().requires_grad_(False)
        adapter.load_state_dict(load_file(folder / f"{name}.safetensors"))
        return cls(name, upstream[0], upstream[1], config["ratio"], adapter)


FEATURE = Adapted
