"""Finding and reading Hugging Face checkpoints: local folder, local cache, then the hub; safetensors only."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.errors import EncoderError

PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.spm"]
# The same weights for other runtimes, which would only cost time and disk.
OTHER_RUNTIMES = ["onnx/*", "openvino/*", "coreml/*", "flax/*", "tf/*"]


def find_checkpoint(name: str) -> Path:
    """Folder of a checkpoint with safetensors weights.

    `name` is a local folder, or a hub name with an optional revision (`owner/model@revision`); the hub is asked only
    when the local cache does not hold it. Raises EncoderError saying what to do when the weights cannot be had.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _from_hub(name)
    if not any(folder.glob("*.safetensors")):
        raise EncoderError(
            f"{name} holds no safetensors weights, and pickled ones are never loaded; name a revision that has them "
            f"({name.partition('@')[0]}@refs/pr/N) or a folder written by save_pretrained."
        )
    return folder


def _from_hub(name: str) -> Path:
    from httpx import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    wanted: dict[str, Any] = {"revision": revision or None, "allow_patterns": PATTERNS}
    wanted["ignore_patterns"] = OTHER_RUNTIMES
    try:
        with suppress(LocalEntryNotFoundError):
            folder = Path(snapshot_download(repository, local_files_only=True, **wanted))
            if any(folder.glob("*.safetensors")):
                return folder
        return Path(snapshot_download(repository, **wanted))
    except (HTTPError, OSError, ValueError) as error:
        option = f" --revision {revision}" if revision else ""
        raise EncoderError(
            f"The checkpoint {name} is not on this machine and no hub answered for it: run `hf download {repository}"
            f"{option}` on a connected machine, or give a local folder in its place, or use `--encoders embedded`."
        ) from error


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns every way a checkpoint can fail to load into one EncoderError, and quiets the loader."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    progress = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    # The libraries that read such files raise as they please; `tokenizers` raises Exception itself.
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise EncoderError(f"The checkpoint {name} cannot be loaded: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()


def model_type(folder: Path) -> str:
    """`model_type` of the checkpoint's config.json. Raises EncoderError when there is none."""
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{folder} has no config.json that names a model type; it is no checkpoint.") from error


def load_module(folder: Path, class_name: str, name: str) -> Any:
    """The pretrained module of a transformers class, in float32.

    Raises EncoderError when weights are missing: transformers would fill them with random numbers.
    """
    import torch
    import transformers

    options: dict[str, Any] = {}
    with reading(name):
        if class_name.endswith("WithProjection"):
            # A checkpoint of both encoders keeps the width of their space beside the encoders' configurations.
            whole = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            config = whole.vision_config if "Vision" in class_name else whole.text_config
            config.projection_dim = whole.projection_dim
            options["config"] = config
        module, report = getattr(transformers, class_name).from_pretrained(
            folder,
            **options,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    # The pooler on the first token is trained by some checkpoints only; no encoder here reads it.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    wrong = missing + sorted(str(key) for key in report["mismatched_keys"])
    if wrong:
        raise EncoderError(
            f"The checkpoint {name} is no {class_name}: {len(wrong)} weights do not fit, such as {wrong[0]}."
        )
    return module


def checkpoint_files(folder: Path) -> list[Path]:
    """The files that decide a checkpoint's features: weights, configuration, tokenizer, picture processor."""
    return sorted(path for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file())
