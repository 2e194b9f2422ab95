"""A picture and a text encoder in one space, trained here on photos with captions and covers with titles.

`EfficientNetLite` and `MiniLM` with a projection each; `python -m training align` trains both and writes the folder
that these read. `SHIPPED` is the one that comes with the project. Not CLIP: it has seen a few thousand pairs; how well
it matches stands in the report. Among them are the training posts' own, so it is there for signals and no recipe learns
from what it says.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from engine.encoders.base import Batch, Tokens
from engine.encoders.packaged import EfficientNetLite, MiniLM, cells, moments
from engine.errors import EncoderError

SHIPPED = Path(__file__).parent / "weights" / "alignment"
CONFIG, IMAGE, TEXT = "alignment.json", "image.safetensors", "text.safetensors"
PROJECTION = "projection"
# Blocks of EfficientNet-Lite2 whose input is read too, and layers of MiniLM whose states are beside the last ones.
EARLIER, LAYERS = (16, 20), (3, 4, 5)
# Of pictures as they are seen: larger than the tower's own, for what is small in them counts.
SIZE = (352, 352)


class Projection(nn.Module):
    """Pooled vectors (n, channels) to vectors (n, width) of length 1: one linear layer, or two around `hidden` units.

    Inputs come in `parts` of so many channels, each brought to a length of √channels / 4 first, around which the layers
    were tuned. Attention over cells or word pieces in its place learned the few thousand training pairs by heart.
    """

    def __init__(self, parts: Sequence[int], width: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.parts, channels = list(parts), sum(parts)
        layers = [nn.Linear(channels, hidden), nn.GELU(), nn.Dropout(dropout)] if hidden else []
        self.layers = nn.Sequential(nn.Dropout(dropout), *layers, nn.Linear(hidden or channels, width))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        parts = [functional.normalize(part, dim=-1) * part.shape[1] ** 0.5 / 4 for part in vectors.split(self.parts, 1)]
        found: torch.Tensor = self.layers(torch.cat(parts, dim=1))
        return functional.normalize(found, dim=-1)


def read_config(folder: Path) -> dict[str, Any]:
    """Widths of an alignment's layers. Raises EncoderError when the folder holds no alignment."""
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return {"width": int(found["width"]), "hidden": int(found["hidden"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(
            f"{folder} holds no alignment; name a folder that `python -m training align` wrote."
        ) from error


class AlignedImage(EfficientNetLite):
    """EfficientNet-Lite2 into the shared space; untrained without a folder.

    The projection reads roots of the pooled channels, for a root tames the few that shout, and of three maps the
    mean and the spread of each channel, which say more of places and textures than the pooled ones do.
    """

    def __init__(
        self, folder: Path | None, *, width: int = 512, hidden: int = 1024, dropout: float = 0.0, **options: Any
    ) -> None:
        super().__init__("lite2", size=SIZE, **options)
        config = read_config(folder) if folder else {"width": width, "hidden": hidden}
        net: Any = self.module
        early = sum(net._blocks[block]._block_args.input_filters for block in EARLIER) + net._conv_head.in_channels
        self.head = Projection((self.token_dim, 2 * early), **config, dropout=dropout).to(self.device)
        self.module.add_module(PROJECTION, self.head.eval().requires_grad_(False))
        self.name, self.dim = "aligned-image", config["width"]
        self.settings |= {"earlier": EARLIER, **config}
        self._name_weights(self._files)
        if folder:
            self.aligned, self.saw_posts = str(folder), True
            self.load_weights(folder / IMAGE)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        seen, tokens = self.seen(batch["pixels"])
        return self.head(seen), tokens

    def seen(self, pixels: torch.Tensor) -> tuple[torch.Tensor, Tokens]:
        """What the projection reads of `preprocess`ed pixels, (n, channels), and their tokens, those of `features`."""
        kept = []
        for place, maps in enumerate(self.maps(pixels), start=1):
            if place in EARLIER:
                kept.append(moments(maps))
        kept.append(moments(maps))
        tokens = cells(self.last_map(maps))
        means, spreads = zip(*kept, strict=True)
        return torch.cat([tokens.values.float().mean(1).clamp(min=0).sqrt(), *means, *spreads], dim=1), tokens


class AlignedText(MiniLM):
    """MiniLM into the shared space; untrained without a folder.

    The projection reads the sentence vector and, made alike, those of earlier layers, which are nearer to the words.
    """

    def __init__(self, folder: Path | None, *, width: int = 512, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        width = read_config(folder)["width"] if folder else width
        parts = (self.token_dim,) * (1 + len(LAYERS))
        self.head = Projection(parts, width, dropout=dropout).to(self.device)
        self.module.add_module(PROJECTION, self.head.eval().requires_grad_(False))
        self.name, self.dim = "aligned-text", width
        self.settings |= {"layers": LAYERS, "width": width}
        self._name_weights(self._files)
        if folder:
            self.aligned, self.saw_posts = str(folder), True
            self.load_weights(folder / TEXT)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        read, tokens = self.read(batch)
        return self.head(read), tokens

    def read(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        """What the projection reads of tokenized texts, (n, channels), and their tokens."""
        output, mask = self.module(**batch, output_hidden_states=True), batch["attention_mask"]
        states = (output.last_hidden_state, *(output.hidden_states[layer] for layer in LAYERS))
        return torch.cat([self.pool(some, mask) for some in states], dim=1), Tokens(states[0], mask.bool())
