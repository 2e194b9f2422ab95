"""EfficientNet-Lite that says how a picture is drawn: by the style of its maps.

Style is the mean and the spread of each channel of a map (Huang & Belongie 2017): colours, textures and lettering are
in them, of which the last map, made to tell objects apart, keeps little. The layers that read them start at zero and
are there to be fine-tuned; until then the encoder says what EfficientNet-Lite does.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from engine.encoders.packaged import EfficientNetLite, Variant, moments

# The first block whose maps are read.
FIRST = 2
# Means and spreads differ among pictures by about a half and a quarter of a channel's unit: these make it about one.
MEANS, SPREADS = 2.0, 4.0
# Of an input, in either direction.
MOST = 5.0
HIDDEN, DROPOUT = 192, 0.5


class Style(nn.Module):
    """Moments of maps, (n, channels) each, to one vector (n, width).

    A channel's unit is its own: what mean and spread it has over places and pictures is known to its batch norms, from
    ImageNet. They are taken as they are before fine-tuning.
    """

    centres: torch.Tensor
    scales: torch.Tensor

    def __init__(self, blocks: nn.ModuleList, width: int) -> None:
        super().__init__()
        centres, scales = zip(*list(_units(blocks))[FIRST:], strict=True)
        self.register_buffer("centres", torch.cat(centres), persistent=False)
        self.register_buffer("scales", torch.cat(scales), persistent=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first, last = nn.Linear(2 * sum(map(len, centres)), HIDDEN), nn.Linear(HIDDEN, width)
        for weights in last.parameters():
            nn.init.zeros_(weights)
        self.layers = nn.Sequential(nn.Dropout(DROPOUT), first, nn.GELU(), last)

    def forward(self, means: torch.Tensor, spreads: torch.Tensor) -> torch.Tensor:
        inputs = [MEANS * (means - self.centres) / self.scales, SPREADS * (spreads / self.scales - 1)]
        found: torch.Tensor = self.layers(torch.cat(inputs, dim=1).clamp(-MOST, MOST))
        return found


def _units(blocks: nn.ModuleList) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and spread, (channels,) each, that the maps behind each block have by its last batch norm, and by those of
    the blocks before to which it adds."""
    mean = variance = torch.zeros(())
    block: Any
    for block in blocks:
        norm, shape = block._bn2, block._block_args
        centre, square = norm.bias.detach(), norm.weight.detach().square()
        adds = shape.stride == 1 and shape.input_filters == shape.output_filters
        mean, variance = (mean + centre, variance + square) if adds else (centre, square)
        yield mean.clone(), variance.sqrt()


class StyledLite(EfficientNetLite):
    """Its tokens are the grid cells of EfficientNet-Lite with the picture's style added to each."""

    def __init__(self, variant: Variant = "lite0", **options: Any) -> None:
        super().__init__(variant, **options)
        net: Any = self.module
        net.add_module("style", Style(net._blocks, self.token_dim).to(self.device).eval().requires_grad_(False))
        self.name = self.name.replace(variant, f"{variant}-style", 1)
        self.settings |= {"first": FIRST, "units": [MEANS, SPREADS, MOST]}
        self._name_weights(self._files)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        net: Any = self.module
        seen = []
        for place, maps in enumerate(self.maps(pixels)):
            if place >= FIRST:
                seen.append(moments(maps))
        means, spreads = (torch.cat(parts, dim=1) for parts in zip(*seen, strict=True))
        style: torch.Tensor = net.style(means, spreads)
        return self.last_map(maps) + style[:, :, None, None]
