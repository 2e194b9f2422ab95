"""Captioners by name: `load_captioner("grid")`, `load_captioner("blip:Salesforce/blip-image-captioning-base")`."""

from functools import lru_cache
from pathlib import Path

from engine.captioners.base import Caption, Captioner
from engine.errors import EncoderError

__all__ = ["Caption", "Captioner", "load_captioner"]

KNOWN = ("grid[:FOLDER]", "blip:Salesforce/blip-image-captioning-base")


@lru_cache(maxsize=4)
def load_captioner(spec: str = "grid", *, device: str = "auto") -> Captioner:
    """The captioner of a spec, loaded once for a process.

    Raises EncoderError for an unknown spec, listing the known ones, and for weights that cannot be had.
    """
    kind, _, argument = spec.strip().partition(":")
    if kind == "grid":
        from engine.captioners.packaged import SHIPPED, GridCaptioner

        return GridCaptioner(Path(argument) if argument else SHIPPED, device=device)
    if kind == "blip" and argument:
        from engine.captioners.huggingface import BlipCaptioner

        return BlipCaptioner(argument, device=device)
    raise EncoderError(f"There is no captioner “{spec}”; known are {', '.join(KNOWN)}.")
