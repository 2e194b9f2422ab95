"""Networks out of a bundle: the weights of a file in a module of a stated shape, or one sentence."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import nn

from engine.errors import BundleError

Network = TypeVar("Network", bound=nn.Module)


def with_weights(make: Callable[[], Network], tensors: Mapping[str, torch.Tensor], name: str) -> Network:
    """The module that `make` gives, with these tensors for weights; `name` is the member's.

    Raises BundleError for tensors that are not finite or do not fit.
    """
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise BundleError(f"The weights of {name} are not finite numbers; fetch or train the bundle again.")
    # Nothing is allocated for a configuration: the tensors of the file become the weights, or do not fit.
    with torch.device("meta"):
        network = make()
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise BundleError(f"The weights of {name} do not fit its configuration; train it again.") from error
    return network
