"""A picture and a text encoder in one space, trained here on photos with captions and covers with titles.

`EfficientNetLite` and `MiniLM` with a projection each; `python -m training align` trains both with the last blocks of
the towers and writes the folder that these read: what it changed, not the towers. `SHIPPED` is the one that comes with
the project. Not CLIP: it has seen a few thousand pairs; how well it matches stands in the report. Among them are the
training posts' own, so it is there for signals and no recipe learns from what it says.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from engine.encoders.base import Batch, Tokens
from engine.encoders.packaged import EfficientNetLite, MiniLM
from engine.errors import EncoderError

SHIPPED = Path(__file__).parent / "weights" / "alignment"
CONFIG, IMAGE, TEXT = "alignment.json", "image.safetensors", "text.safetensors"
PROJECTION = "projection"
# The first block of EfficientNet-Lite2 that is trained. Those before it, whose maps can be kept, cost most of the time.
TUNED_FROM = 20


class Projection(nn.Module):
    """Pooled vectors (n, channels) to vectors (n, width) of length 1: one linear layer, or two around `hidden` units.

    Inputs are brought to a length of √channels / 4 first, around which the layers were tuned. Attention over cells or
    word pieces in its place learned the few thousand training pairs by heart.
    """

    def __init__(self, channels: int, width: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.scale = channels**0.5 / 4
        layers = [nn.Linear(channels, hidden), nn.GELU(), nn.Dropout(dropout)] if hidden else []
        self.layers = nn.Sequential(
            nn.Dropout(dropout if hidden else 0.0), *layers, nn.Linear(hidden or channels, width)
        )

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(functional.normalize(vectors, dim=-1) * self.scale)
        return functional.normalize(found, dim=-1)


def read_config(folder: Path) -> dict[str, Any]:
    """x. Raises EncoderError when the folder holds no alignment."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return {"width": int(found["width"]), "hidden": int(found["hidden"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(
            f"{folder} holds no alignment; name a folder that `python -m training align` wrote."
        ) from error


class AlignedImage(EfficientNetLite):
    """EfficientNet-Lite2 into the shared space, by roots of its pooled channels; untrained without a folder."""

    def __init__(
        self, folder: Path | None, *, width: int = 512, hidden: int = 1024, dropout: float = 0.0, **options: Any
    ) -> None:
        super().__init__("lite2", **options)
        config = read_config(folder) if folder else {"width": width, "hidden": hidden}
        head = Projection(self.token_dim, **config, dropout=dropout).to(self.device)
        self.module.add_module(PROJECTION, head.eval().requires_grad_(False))
        self.name, self.dim = "aligned-image", config["width"]
        self.settings |= {"class": type(self).__name__, **config}
        if folder:
            self.aligned, self.saw_posts = str(folder), True
            self.load_weights(folder / IMAGE)

    @property
    def head(self) -> Projection:
        head: Projection = self.module.get_submodule(PROJECTION)  # type: ignore[assignment]
        return head

    @staticmethod
    def pooled(tokens: Tokens) -> torch.Tensor:
        """What the projection reads of a picture's tokens, (n, channels): a root tames the few channels that shout."""
        return tokens.values.mean(1).clamp(min=0).sqrt()

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        tokens = super().forward(batch)[1]
        return self.head(self.pooled(tokens)), tokens

    def trunk(self, pixels: torch.Tensor) -> torch.Tensor:
        """Maps (n, channels, rows, columns) before the first block that training changes, of `preprocess`ed pixels."""
        net: Any = self.module
        maps = net._swish(net._bn0(net._conv_stem(pixels.contiguous(memory_format=torch.channels_last))))
        for block in net._blocks[:TUNED_FROM]:
            maps = block(maps)
        found: torch.Tensor = maps
        return found

    def tail(self, maps: torch.Tensor) -> Tokens:
        """Tokens of the `trunk`'s maps; `features` of the same pixels gives the same."""
        net: Any = self.module
        maps = maps.contiguous(memory_format=torch.channels_last)
        for block in net._blocks[TUNED_FROM:]:
            maps = block(maps)
        values = net._swish(net._bn1(net._conv_head(maps))).flatten(2).transpose(1, 2)
        return Tokens(values, values.new_ones(values.shape[:2], dtype=torch.bool))

    def tail_modules(self) -> list[nn.Module]:
        """What of the tower `tail` goes through."""
        net: Any = self.module
        return [*net._blocks[TUNED_FROM:], net._conv_head, net._bn1]


class AlignedText(MiniLM):
    """MiniLM into the shared space, by its sentence vector; untrained without a folder."""

    def __init__(self, folder: Path | None, *, width: int = 512, **options: Any) -> None:
        super().__init__(**options)
        width = read_config(folder)["width"] if folder else width
        head = Projection(self.token_dim, width).to(self.device)
        self.module.add_module(PROJECTION, head.eval().requires_grad_(False))
        self.name, self.dim = "aligned-text", width
        self.settings |= {"class": type(self).__name__, "width": width}
        if folder:
            self.aligned, self.saw_posts = str(folder), True
            self.load_weights(folder / TEXT)

    @property
    def head(self) -> Projection:
        head: Projection = self.module.get_submodule(PROJECTION)  # type: ignore[assignment]
        return head

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        pooled, tokens = super().forward(batch)
        return self.head(pooled), tokens
