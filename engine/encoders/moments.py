"""Frozen encoders whose vector is the mean and the spread of what each of their layers makes of an item.

The last layer alone was made to tell what is meant; the ones before keep how it is drawn or spelled, and how usual that
is.
"""

from typing import Any

import torch

from engine.encoders.base import Batch, Tokens
from engine.encoders.packaged import TINY, EfficientNetLite, MiniLM, Variant, cells, moments


class MomentsLite(EfficientNetLite):
    """EfficientNet-Lite: the moments of every channel behind every block, means before spreads."""

    # So small a picture is read no sooner in bfloat16, and float32 says the same on every machine.
    bfloat16_on_cpu = False

    def __init__(self, variant: Variant = "lite0", **options: Any) -> None:
        super().__init__(variant, **options)
        net: Any = self.module
        self.dim = 2 * sum(block._block_args.output_filters for block in net._blocks)
        self.name = self.name.replace(variant, f"{variant}-moments", 1)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        found: list[torch.Tensor] = []
        for maps in self.maps(batch["pixels"]):
            found += moments(maps)
        return torch.cat(found, dim=1), cells(self.last_map(maps))


class MomentsMiniLM(MiniLM):
    """MiniLM: the moments over word pieces of every channel of the embeddings and of every layer, means before spreads.

    An item's own moments: neither mean nor spread counts padding.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        net: Any = self.module
        self.dim = 2 * self.token_dim * (net.config.num_hidden_layers + 1)
        self.name = self.name.replace("minilm", "minilm-moments", 1)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        layers = self.module(**batch, output_hidden_states=True).hidden_states
        mask = batch["attention_mask"]
        # (n, layers, tokens, channels)
        states = torch.stack(layers, dim=1).float()
        weights = (mask / mask.sum(1, keepdim=True))[:, None, :, None]
        means = (states * weights).sum(2)
        spreads = ((states - means[:, :, None]).square() * weights).sum(2).clamp(min=TINY).sqrt()
        return torch.cat([means, spreads], dim=2).flatten(1), Tokens(layers[-1], mask.bool())
