"""Encoders by name. `load_encoder("lite2")`, `load_encoder("clip-image:openai/clip-vit-base-patch32")`.

Importing this package loads neither transformers nor any weights.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.encoders.base import Encoder, Modality, Tokens
from engine.errors import EncoderError

__all__ = ["Encoder", "Modality", "Tokens", "known_encoders", "load_encoder"]

# Those of which a fine-tuned one has all its weights in its own file, and needs no others.
KEEP_ALL = ("mpnet6",)


def _size(kind: str, argument: str) -> tuple[int, int] | None:
    """Height and width of HEIGHTxWIDTH; None where nothing is said."""
    if not argument:
        return None
    height, _, width = argument.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise EncoderError(f"“{argument}” is no picture size; write {kind}:HEIGHTxWIDTH, such as {kind}:192x320.")
    return int(height), int(width)


def _lite(kind: str, argument: str, options: dict[str, Any]) -> Encoder:
    from engine.encoders.moments import MomentsLite
    from engine.encoders.packaged import EfficientNetLite
    from engine.encoders.styled import StyledLite

    build = {"": EfficientNetLite, "style": StyledLite, "moments": MomentsLite}[kind.partition("-")[2]]
    return build("lite0" if kind.startswith("lite0") else "lite2", size=_size(kind, argument), **options)


def _scratch(kind: str, argument: str, options: dict[str, Any]) -> Encoder:
    from engine.encoders.scratch import FLAT, POOLED, ScratchViT

    shape = FLAT if kind == "scratch-vit-flat" else POOLED
    if size := _size(kind, argument):
        shape = replace(shape, height=size[0], width=size[1])
    return ScratchViT(shape, name=f"{kind}:{shape.height}x{shape.width}", **options)


def _length(kind: str, argument: str) -> int:
    # Two are signs around every text; where a tokenizer has room for no more, it cuts nothing, or leaves nothing.
    if argument and not (argument.isdecimal() and int(argument) > 2):
        raise EncoderError(f"“{argument}” is no number of word pieces; write {kind}:LENGTH, such as {kind}:128.")
    return int(argument or 64)


def _minilm(kind: str, argument: str, options: dict[str, Any]) -> Encoder:
    from engine.encoders.moments import MomentsMiniLM
    from engine.encoders.packaged import MiniLM

    build = MomentsMiniLM if kind == "minilm-moments" else MiniLM
    return build(max_length=_length(kind, argument), **options)


def _mpnet(kind: str, argument: str, options: dict[str, Any]) -> Encoder:
    from engine.encoders.mpnet import MPNet

    return MPNet(max_length=_length(kind, argument), **options)


def _aligned(kind: str, argument: str, options: dict[str, Any]) -> Encoder:
    from engine.encoders.aligned import SHIPPED, AlignedImage, AlignedText

    folder = Path(argument) if argument else SHIPPED
    return AlignedImage(folder, **options) if kind == "aligned-image" else AlignedText(folder, **options)


def _checkpoint(modality: Modality, pooling: Any, **settings: Any) -> Callable[[str, str, dict[str, Any]], Encoder]:
    def build(kind: str, argument: str, options: dict[str, Any]) -> Encoder:
        from engine.encoders import huggingface
        from engine.encoders.checkpoints import find_checkpoint

        if not argument:
            raise EncoderError(f"Name a checkpoint or its folder after “{kind}:”.")
        encoder_class = huggingface.ImageEncoder if modality == "image" else huggingface.TextEncoder
        encoder: Encoder = encoder_class(
            find_checkpoint(argument), name=f"{kind}:{argument}", pooling=pooling, **settings, **options
        )
        encoder.aligned = argument if pooling == "projected" else None
        return encoder

    return build


KINDS: dict[str, tuple[str, Callable[[str, str, dict[str, Any]], Encoder]]] = {
    "lite0": ("lite0[:HEIGHTxWIDTH]", _lite),
    "lite2": ("lite2[:HEIGHTxWIDTH]", _lite),
    "lite0-style": ("lite0-style[:HEIGHTxWIDTH]", _lite),
    "lite2-style": ("lite2-style[:HEIGHTxWIDTH]", _lite),
    "lite0-moments": ("lite0-moments[:HEIGHTxWIDTH]", _lite),
    "scratch-vit": ("scratch-vit[:HEIGHTxWIDTH]", _scratch),
    "scratch-vit-flat": ("scratch-vit-flat[:HEIGHTxWIDTH]", _scratch),
    "minilm": ("minilm[:LENGTH]", _minilm),
    "minilm-moments": ("minilm-moments[:LENGTH]", _minilm),
    "mpnet6": ("mpnet6[:LENGTH]", _mpnet),
    "aligned-image": ("aligned-image[:FOLDER]", _aligned),
    "aligned-text": ("aligned-text[:FOLDER]", _aligned),
    "clip-image": ("clip-image:openai/clip-vit-base-patch32", _checkpoint("image", "projected", normalise=True)),
    "clip-text": ("clip-text:…", _checkpoint("text", "projected", normalise=True, max_length=77)),
    "siglip-image": ("siglip-image:google/siglip2-base-patch16-224", _checkpoint("image", "projected", normalise=True)),
    "siglip-text": ("siglip-text:…", _checkpoint("text", "projected", normalise=True)),
    "vit": ("vit:google/vit-base-patch16-224", _checkpoint("image", "first")),
    "image": ("image:ANY-CHECKPOINT", _checkpoint("image", "first")),
    "bert": ("bert:bert-base-uncased", _checkpoint("text", "mean")),
    "deberta": ("deberta:microsoft/deberta-v3-base", _checkpoint("text", "mean")),
    "text": ("text:ANY-CHECKPOINT", _checkpoint("text", "mean")),
}


def known_encoders() -> list[str]:
    """How each known encoder is written."""
    return [example for example, _ in KINDS.values()]


def _load(spec: str, device: str, dtype: str, tuned: bool = False) -> Encoder:
    kind, _, argument = spec.strip().partition(":")
    if kind not in KINDS:
        raise EncoderError(f"There is no encoder “{spec}”; known are {', '.join(known_encoders())}.")
    bare = {"pretrained": False} if tuned and kind in KEEP_ALL else {}
    return KINDS[kind][1](kind, argument, {"device": device, "dtype": dtype, **bare})


_load_shared = lru_cache(maxsize=8)(_load)


def load_encoder(
    spec: str, *, device: str = "auto", dtype: str = "auto", weights: Path | None = None, shared: bool = True
) -> Encoder:
    """The encoder a spec names: `kind` or `kind:argument`, the argument a size, a checkpoint, or a checkpoint's folder.

    A shared encoder is loaded once for a process and stays frozen; ask for `shared=False` before training one.
    `weights` is a safetensors file of a fine-tuned module to put in place (such an encoder is never shared).
    Raises EncoderError for an unknown spec, listing the known ones, and for weights that cannot be had; BundleError
    for a file that does not fit.
    """
    if weights is None and shared:
        return _load_shared(spec, device, dtype)
    encoder = _load(spec, device, dtype, tuned=weights is not None)
    if weights is not None:
        encoder.load_weights(weights)
    return encoder
