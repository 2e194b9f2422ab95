"""A causal language model and how surprised it is by texts."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from engine import threads
from engine.encoders.checkpoints import load_module, reading
from engine.encoders.runtime import autocast, pick_device, pick_dtype, short_hash
from engine.errors import EncoderError

# Tokens of a text that are read; what follows is left out of every figure. Five hundred characters of English are 130.
MAX_TOKENS = 256
# Tokens of a forward pass with its padding: every one of them has a logit for each of some 50,000 word pieces.
CPU_TOKENS, GPU_TOKENS = 512, 8192

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Surprise:
    """Of n texts, each (n,): the surprise in nats, in total, and how many tokens and characters it is the surprise of.

    A text without any token has a surprise of 0.
    """

    nats: npt.NDArray[np.float64]
    tokens: Counts
    characters: Counts


class LanguageModel:
    """A causal language model, whose weights are loaded when the first text comes; may be used by several threads.

    `source` gives the checkpoint's folder while it is read, `files` are what decides its weights. `start` is the token
    put before each text so that its first word is a surprise too, by default the tokenizer's beginning of a sequence,
    or its end where it has none. `script` is the script that it reads, as Unicode names begin ("LATIN"), "" for any.
    Equal identities give equal values up to `dtype`. Raises EncoderError for a device or precision that cannot be had,
    and, with the first text, for weights that cannot be loaded.
    """

    def __init__(
        self,
        name: str,
        source: Callable[[], AbstractContextManager[Path]],
        files: Sequence[Path],
        *,
        start: str = "",
        script: str = "",
        max_tokens: int = MAX_TOKENS,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        self.name, self.script = name, script
        self.device = pick_device(device)
        self.dtype = pick_dtype(dtype, self.device, on_cpu=True)
        self._source, self._files, self._start, self._max_tokens = source, list(files), start, max_tokens
        self._loading = Lock()
        # A tokenizer keeps its truncation as state, which one thread would change under another's hands.
        self._tokenizing = Lock()
        self._parts: tuple[Any, Any, int] | None = None

    @cached_property
    def identity(self) -> str:
        """Hash of weights and settings; reads the files, and loads nothing."""
        return short_hash({"start": self._start, "max_tokens": self._max_tokens}, self._files)

    def surprise(self, texts: Sequence[str]) -> Surprise:
        """How surprised it is by n texts, each of them alone and read up to `max_tokens`."""
        if isinstance(texts, str):
            raise EncoderError(f"{self.name} takes a list of texts, not a single one.")
        if not texts:
            return Surprise(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))
        module, tokenizer, start = self._loaded()
        pieces, characters = self._tokenize(tokenizer, texts, module.config)
        nats = np.zeros(len(texts))

        # Inference mode and autocast are a thread's own.
        @torch.inference_mode()
        def run(rows: list[int]) -> list[float]:
            batch = [[start, *pieces[row]] for row in rows]
            length = max(map(len, batch))
            ids = torch.tensor([[*one, *[start] * (length - len(one))] for one in batch], device=self.device)
            mask = torch.tensor([[1] * len(one) + [0] * (length - len(one)) for one in batch], device=self.device)
            with autocast(self.device, self.dtype):
                # Sums over the layers in float32: in bfloat16 they would add a tenth of a nat to every token.
                words = module.get_input_embeddings()(ids).float()
                logits = module(inputs_embeds=words, attention_mask=mask, use_cache=False).logits
            # One text at a time, for the memory that logits in float32 take.
            return [
                functional.cross_entropy(
                    logits[row, : len(one) - 1].float(), ids[row, 1 : len(one)], reduction="sum"
                ).item()
                for row, one in enumerate(batch)
            ]

        batches = self._batches([len(part) for part in pieces])
        for rows, found in zip(batches, threads.in_order(run, batches), strict=True):
            nats[rows] = found
        return Surprise(nats, np.array([len(part) for part in pieces], np.int64), np.array(characters, np.int64))

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Rows of like length together, as many as a forward pass may have tokens; rows without any are left out."""
        most = CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS
        batches: list[list[int]] = []
        for row in sorted((row for row, length in enumerate(lengths) if length), key=lambda row: lengths[row]):
            # Sorted, so that this row is the longest of its batch.
            if batches and (len(batches[-1]) + 1) * (lengths[row] + 1) <= most:
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches

    def _tokenize(self, tokenizer: Any, texts: Sequence[str], config: Any) -> tuple[list[list[int]], list[int]]:
        """Tokens of each of n texts, and how many of its characters they stand for."""
        readable = getattr(config, "max_position_embeddings", None) or self._max_tokens + 1
        most = min(self._max_tokens, readable - 1)
        # What Python reads from a broken file may hold halves of characters, which no tokenizer takes.
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        with self._tokenizing:
            found = tokenizer(
                texts,
                add_special_tokens=False,
                # “<|endoftext|>” in a title is what somebody wrote, not the end of it.
                split_special_tokens=True,
                truncation=True,
                max_length=most,
                return_offsets_mapping=True,
            )
        pieces: list[list[int]] = found["input_ids"]
        # Spaces that are part of no token still are characters of a text that was read to its end.
        ends = (
            offsets[-1][1] if len(offsets) == most else len(text)
            for text, offsets in zip(texts, found["offset_mapping"], strict=True)
        )
        return pieces, list(ends)

    def _loaded(self) -> tuple[Any, Any, int]:
        """The module on its device, the tokenizer, and the token put before each text."""
        from transformers import AutoTokenizer

        tokenizer: Any
        with self._loading:
            if self._parts is None:
                with self._source() as folder:
                    module = load_module(folder, "AutoModelForCausalLM", self.name)
                    with reading(self.name):
                        tokenizer = AutoTokenizer.from_pretrained(
                            folder, local_files_only=True, trust_remote_code=False
                        )
                if not tokenizer.is_fast:
                    raise EncoderError(
                        f"The tokenizer of {self.name} cannot say where its tokens stand; add a tokenizer.json."
                    )
                if self._start:
                    start = tokenizer.convert_tokens_to_ids(self._start)
                else:
                    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
                if start is None:
                    raise EncoderError(f"The tokenizer of {self.name} has no token to begin with; set its bos_token.")
                for parameter in module.parameters():
                    # Biases and norms are small, and lose most by rounding.
                    if parameter.ndim > 1:
                        parameter.data = parameter.data.to(self.dtype)
                self._parts = module.eval().requires_grad_(False).to(self.device), tokenizer, int(start)
            return self._parts
