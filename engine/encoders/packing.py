"""A network's weights in eight bits, unpacked when it loads: a quarter of the size.

Each row of a matrix is stored as whole numbers −127..127 and the factor that gives them back (symmetric quantisation
by row, Jacob et al. 2018, weights alone); what has one dimension stays as it is.
"""

from collections.abc import Mapping

import torch

FACTOR = ".factor"
MOST = 127


def pack(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights by name as they are stored: int8 (rows, …) and float32 factors (rows,) for what has two dimensions."""
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        values = tensor.detach().float().cpu()
        if values.ndim == 2:
            factor = (values.abs().amax(dim=1) / MOST).clamp(min=torch.finfo(torch.float32).tiny)
            packed[name + FACTOR] = factor
            values = (values / factor.unsqueeze(1)).round().to(torch.int8)
        packed[name] = values.contiguous()
    return packed


def unpack(packed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights by name, float32, that `pack` stored."""
    return {
        name: values.float() * packed[name + FACTOR].unsqueeze(1) if name + FACTOR in packed else values
        for name, values in packed.items()
        if not name.endswith(FACTOR)
    }
