"""This process among those of `accelerate launch`."""

from datetime import timedelta

import torch
from accelerate import PartialState


def own_process() -> PartialState:
    """This process among those of `accelerate launch`; it has a GPU of its own where there are any.

    Others wait up to a day while the first fits what is no network.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=1))
