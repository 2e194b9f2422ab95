"""Where and how precisely an encoder runs, and the short hashes that name it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from engine.errors import EncoderError
from engine.files import file_digest

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(device: str) -> torch.device:
    """The torch device of a name; "auto" takes a CUDA GPU when there is one. Raises EncoderError for another name."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise EncoderError(f"“{device}” is no device; use auto, cpu, cuda or cuda:N.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise EncoderError(f"The device {device} was asked for, but there is no usable GPU here; use auto or cpu.")
    return chosen


@lru_cache
def fast_bfloat16(kind: str) -> bool:
    """Whether a device kind ("cpu", "cuda", …) multiplies bfloat16 in hardware; an emulation is slower than float32."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older torch cannot tell what the CPU has: float32 is the safe answer there.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return kind == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def pick_dtype(dtype: str, device: torch.device, *, on_cpu: bool) -> torch.dtype:
    """The precision of matrix products: "float32", "bfloat16", or "auto" for bfloat16 where the hardware has it.

    `on_cpu` says whether "auto" may choose bfloat16 on a CPU. Raises EncoderError for another name.
    """
    if dtype == "auto":
        allowed = on_cpu or device.type != "cpu"
        return torch.bfloat16 if allowed and fast_bfloat16(device.type) else torch.float32
    if dtype not in DTYPES:
        raise EncoderError(f"“{dtype}” is no precision; use auto, {' or '.join(DTYPES)}.")
    return DTYPES[dtype]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Context in which matrix products run in `dtype` while the weights stay float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


@lru_cache(maxsize=256)
def _digest(path: str, _modified: int, _size: int) -> str:
    return file_digest(Path(path))


def known_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; read again only when its time or size changed. Raises OSError."""
    facts = path.stat()
    return _digest(str(path.resolve()), facts.st_mtime_ns, facts.st_size)


def short_hash(facts: Mapping[str, Any], files: Iterable[Path] = ()) -> str:
    """Sixteen hexadecimal digits that change with any fact or with the content (not name or place) of any file."""
    contents = sorted(known_digest(file) for file in files)
    text = json.dumps({"facts": facts, "files": contents}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
