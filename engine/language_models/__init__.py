"""Causal language models by name: `load_language_model("smollm2")`, `load_language_model("gpt2:FOLDER")`.

Importing this package loads neither transformers nor any weights, and naming a model loads none either: that is put off
until the first text comes.
"""

from contextlib import nullcontext
from functools import lru_cache

from engine.errors import EncoderError
from engine.language_models.causal import LanguageModel, Surprise

__all__ = ["LanguageModel", "Surprise", "load_language_model"]

KNOWN = ("smollm2", "gpt2:openai-community/gpt2", "causal:ANY-CHECKPOINT")


@lru_cache(maxsize=4)
def load_language_model(spec: str = "smollm2", *, device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """The language model of a spec, one for a process: `smollm2`, or a checkpoint's name or folder after its kind.

    Raises EncoderError for an unknown spec, listing the known ones, and for weights that cannot be had.
    """
    kind, _, argument = spec.strip().partition(":")
    if kind == "smollm2" and not argument:
        from engine.language_models.packaged import smollm2

        return smollm2(device=device, dtype=dtype)
    if kind in ("gpt2", "causal") and argument:
        from engine.encoders.checkpoints import checkpoint_files, find_checkpoint

        folder = find_checkpoint(argument)
        return LanguageModel(
            f"{kind}:{argument}",
            lambda: nullcontext(folder),
            checkpoint_files(folder),
            script="LATIN" if kind == "gpt2" else "",
            device=device,
            dtype=dtype,
        )
    raise EncoderError(f"There is no language model “{spec}”; known are {', '.join(KNOWN)}.")
