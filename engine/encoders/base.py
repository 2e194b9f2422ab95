"""What every encoder does alike, whatever it was made of: batches, precision, identity, fine-tuned weights.

A subclass says how items become tensors (`prepare`) and tensors become features (`forward`). `forward` can be
differentiated and runs in the weights' precision; `encode`, `tokens` and `encode_with_tokens` run it frozen, under
inference mode, and return float32 on the CPU.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from PIL import Image
from torch import nn

from engine import threads
from engine.encoders.packing import unpack
from engine.encoders.runtime import autocast, pick_device, pick_dtype, short_hash
from engine.errors import BundleError, EncoderError

Modality = Literal["image", "text"]
Batch = dict[str, torch.Tensor]
GPU_BATCH = 128

Items = Sequence[Image.Image] | Sequence[str]


@dataclass(frozen=True)
class Tokens:
    """Token-level features of n items: `values` (n, tokens, dim) and `mask` (n, tokens), True where a token is real.

    A picture's tokens are its grid cells or patches, row by row; a text's are its word pieces.
    """

    values: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def real(cls, values: torch.Tensor) -> Self:
        """Tokens of which each is real."""
        return cls(values, values.new_ones(values.shape[:2], dtype=torch.bool))


def squashed(images: Sequence[Image.Image], size: tuple[int, int]) -> torch.Tensor:
    """Pixels 0..255 of whole pictures at a size (height, width), float (n, 3, height, width)."""
    # Shrinking by whole factors first makes large photographs cheap and changes no visible detail.
    small = [
        np.asarray(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=3.0))
        for image in images
    ]
    # The permuted view is channels-last already, the layout in which convolutions are fastest.
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float()


class Encoder(ABC):
    """A torch module with its preprocessing: pictures or texts in, vectors and tokens out.

    `module` is the bare network: in evaluation mode and without gradients until a trainer asks for them.
    `identity` names weights and preprocessing: equal identities give equal vectors up to `dtype`, the precision, which
    differs from machine to machine. `aligned` is the name of the shared space when image and text vectors of it may be
    compared by cosine, else None. `device` and `dtype` are names as `pick_device` and `pick_dtype` take them. Raises
    EncoderError for those that cannot be had.
    """

    modality: Modality
    aligned: str | None = None
    # Whether pictures and words of posts were shown to it side by side. Of these it says what it will not of new ones:
    # no model may learn from that.
    saw_posts = False
    # Whether dtype="auto" may mean bfloat16 on a CPU that has it.
    bfloat16_on_cpu = False
    # Items a forward pass takes on a CPU, where activations that stay in the cache are faster than larger batches.
    cpu_batch = 32
    # Whether a file of fine-tuned weights holds all of them, packed, so that it stands on its own.
    keeps_all = False

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        dim: int,
        token_dim: int,
        settings: Mapping[str, Any],
        files: Sequence[Path],
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        self.name = name
        self.dim = dim
        self.token_dim = token_dim
        place = pick_device(device)
        self.batch_size = self.cpu_batch if place.type == "cpu" else GPU_BATCH
        self.dtype = pick_dtype(dtype, place, on_cpu=self.bfloat16_on_cpu)
        # Not the name: the same weights in another folder give the same vectors.
        self.settings = {"class": type(self).__name__, **settings}
        self.module = module.eval().requires_grad_(False).to(place)
        self._files = list(files)
        self._name_weights(self._files)

    def _name_weights(self, files: Sequence[Path]) -> None:
        self.identity = short_hash(self.settings, files)

    @property
    def device(self) -> torch.device:
        """Where the weights are now, so that `encoder.module.to(…)` moves the whole encoder."""
        return next(self.module.parameters()).device

    @abstractmethod
    def prepare(self, items: Sequence[Any]) -> Batch:
        """Inputs of the module on the CPU, first dimension n."""

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        """Vectors (n, dim) and tokens of one prepared batch on the encoder's device; differentiable."""

    def load_weights(self, file: Path) -> None:
        """Put a safetensors file of fine-tuned tensors over the module's own and rename the encoder after it.

        Tensors that the file lacks, such as frozen embeddings, stay as they were, but for an encoder that `keeps_all`.
        Raises BundleError when the file is missing, broken, or of another module.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = unpack(load_file(file)) if self.keeps_all else load_file(file)
            missing, extra = self.module.load_state_dict(tensors, strict=False)
            if extra or (missing and self.keeps_all):
                raise RuntimeError(f"{(extra or missing)[0]} is in one of them alone")
            if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
                raise RuntimeError("they are not finite numbers")
        except (OSError, SafetensorError, RuntimeError) as error:
            raise BundleError(
                f"The weights {file.name} do not fit {self.name}: {str(error).splitlines()[0]}"
            ) from error
        self._name_weights([file] if self.keeps_all else [*self._files, file])

    def encode(self, items: Items) -> torch.Tensor:
        """Pooled vectors, float32 on the CPU, shape (n, dim)."""
        if not items:
            return torch.zeros(0, self.dim)
        order, parts = self._run(items, with_tokens=False)
        return torch.cat([vectors for vectors, _ in parts])[order.argsort()]

    def tokens(self, items: Items) -> Tokens:
        """Token-level features, float32 on the CPU: values (n, tokens, token_dim), mask (n, tokens)."""
        return self.encode_with_tokens(items)[1]

    def encode_with_tokens(self, items: Items) -> tuple[torch.Tensor, Tokens]:
        """Vectors and token-level features of one forward pass; as `encode` and `tokens` give them."""
        if not items:
            return torch.zeros(0, self.dim), Tokens(torch.zeros(0, 0, self.token_dim), torch.zeros(0, 0).bool())
        order, parts = self._run(items, with_tokens=True)
        back = order.argsort()
        longest = max(tokens.mask.shape[1] for _, tokens in parts)
        values = torch.zeros(len(items), longest, self.token_dim)
        mask = torch.zeros(len(items), longest, dtype=torch.bool)
        start = 0
        for _, tokens in parts:
            count, length = tokens.mask.shape
            values[start : start + count, :length] = tokens.values
            mask[start : start + count, :length] = tokens.mask
            start += count
        return torch.cat([vectors for vectors, _ in parts])[back], Tokens(values[back], mask[back])

    def _run(self, items: Items, *, with_tokens: bool) -> tuple[torch.Tensor, list[tuple[torch.Tensor, Tokens]]]:
        """Results of slices of `batch_size` items, computed side by side, and the order the items were taken in."""
        if isinstance(items, str | Image.Image):
            raise EncoderError(f"{self.name} takes a list of items, not a single one.")
        # Texts of like length share a slice: little padding to compute.
        order = torch.tensor([len(item) if isinstance(item, str) else 0 for item in items]).argsort(stable=True)

        # Inference mode and autocast are a thread's own.
        @torch.inference_mode()
        def run(indices: torch.Tensor) -> tuple[torch.Tensor, Tokens]:
            batch = self.prepare([items[index] for index in indices.tolist()])
            with autocast(self.device, self.dtype):
                vectors, tokens = self.forward({name: value.to(self.device) for name, value in batch.items()})
            values = tokens.values.float().cpu() if with_tokens else tokens.values[:0]
            return vectors.float().cpu(), Tokens(values, tokens.mask.cpu())

        return order, list(threads.in_order(run, order.split(self.batch_size)))
