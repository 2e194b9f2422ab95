"""Encoders made of Hugging Face checkpoints: CLIP, SigLIP, ViT, BERT, DeBERTa and whatever AutoModel can load."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from PIL import Image
from torch.nn import functional

from engine.encoders.base import Batch, Encoder, Modality, Tokens
from engine.encoders.checkpoints import checkpoint_files, load_module, model_type, reading
from engine.errors import EncoderError

# "mean" over real tokens; "projected": the vector of the space shared with the other encoder.
TextPooling = Literal["mean", "projected"]
ImagePooling = Literal["first", "projected"]

# Encoder classes of aligned checkpoints by model type; their SigLIP vector is `pooler_output`, CLIP's `…_embeds`.
ALIGNED = {
    "clip": ("CLIPVisionModelWithProjection", "CLIPTextModelWithProjection"),
    "siglip": ("SiglipVisionModel", "SiglipTextModel"),
    "siglip2": ("Siglip2VisionModel", "Siglip2TextModel"),
}


def aligned_class(folder: Path, modality: Modality) -> str:
    """transformers class of one side of an aligned checkpoint. Raises EncoderError for another kind of checkpoint."""
    kind = model_type(folder)
    if kind not in ALIGNED:
        raise EncoderError(f"{folder} holds a {kind} model, not one of {', '.join(ALIGNED)}.")
    return ALIGNED[kind][modality == "text"]


def _projected(output: Any) -> torch.Tensor:
    fields = ("image_embeds", "text_embeds", "pooler_output")
    found: torch.Tensor = next(output[name] for name in fields if output.get(name) is not None)
    return found


class TextEncoder(Encoder):
    """A text checkpoint: vectors by the mean of the token states, or in the space shared with a picture encoder.

    `folder` is a checkpoint folder from `find_checkpoint`. A text beyond `max_length` word pieces (never more than the
    checkpoint can read) is cut there; `normalise` scales vectors to length 1. Raises EncoderError when it cannot load.
    """

    modality: Modality = "text"

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        pooling: TextPooling = "mean",
        normalise: bool = False,
        max_length: int = 64,
        **options: Any,
    ) -> None:
        from transformers import AutoTokenizer

        projected = pooling == "projected"
        module = load_module(folder, aligned_class(folder, "text") if projected else "AutoModel", name)
        with reading(name):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self._set_up(
            module,
            tokenizer,
            checkpoint_files(folder),
            name=name,
            pooling=pooling,
            normalise=normalise,
            max_length=max_length,
            **options,
        )

    def _set_up(
        self,
        module: Any,
        tokenizer: Any,
        files: Sequence[Path],
        *,
        pooling: TextPooling = "mean",
        normalise: bool,
        max_length: int,
        **options: Any,
    ) -> None:
        # A tokenizer keeps its padding and truncation as state, which one thread would change under another's hands.
        self._tokenizing = Lock()
        self.tokenizer = tokenizer
        config = module.config
        self._family = config.model_type.removesuffix("_text_model")
        self.pooling = pooling
        self.normalise = normalise
        readable = getattr(config, "max_position_embeddings", None) or max_length
        self.max_length = min(max_length, tokenizer.model_max_length, readable)
        # SigLIP is trained on lower-case texts padded to the full length, with no mask.
        self._siglip = self._family in ("siglip", "siglip2")
        shared = getattr(config, "projection_size" if self._siglip else "projection_dim", None)
        super().__init__(
            module,
            dim=shared if pooling == "projected" and shared else config.hidden_size,
            token_dim=config.hidden_size,
            settings={"pooling": pooling, "normalise": normalise, "max_length": self.max_length},
            files=files,
            **options,
        )

    def tokenize(self, texts: Sequence[str], *, offsets: bool = False) -> Batch:
        """Word pieces of n texts on the CPU: `input_ids`, `attention_mask` (n, tokens), what else the module reads.

        `offsets` adds `offset_mapping` (n, tokens, 2), the characters that each piece stands for. May be called from
        several threads.
        """
        with self._tokenizing:
            return dict(
                self.tokenizer(
                    [text.lower() for text in texts] if self._siglip else list(texts),
                    padding="max_length" if self._siglip else "longest",
                    truncation=True,
                    max_length=self.max_length,
                    return_attention_mask=True,
                    return_offsets_mapping=offsets,
                    return_tensors="pt",
                )
            )

    def prepare(self, items: Sequence[str]) -> Batch:
        return self.tokenize(items)

    def pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean (n, dim) of the states (n, tokens, dim) of real tokens, of length 1 where the encoder normalises."""
        weights = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        return functional.normalize(mean, dim=-1) if self.normalise else mean

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        """As in `Encoder`; `inputs_embeds` may stand in place of `input_ids` where the module takes it."""
        mask = batch["attention_mask"]
        inputs = {key: value for key, value in batch.items() if not (self._siglip and key == "attention_mask")}
        output = self.module(**inputs)
        states = output.last_hidden_state
        if self.pooling == "mean":
            vectors = self.pool(states, mask)
        else:
            vectors = _projected(output)
            vectors = functional.normalize(vectors, dim=-1) if self.normalise else vectors
        return vectors, Tokens(states, mask.bool())


class ImageEncoder(Encoder):
    """A picture checkpoint: vectors from its first token (or the mean of its grid), or in a shared space.

    The whole picture is squashed to the checkpoint's own input, without its centre crop: titles and faces sit at the
    borders of a cover. Tokens are the patches, row by row. `normalise` scales vectors to length 1. Raises
    EncoderError when it cannot load.
    """

    modality: Modality = "image"
    cpu_batch = 8

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        pooling: ImagePooling = "first",
        normalise: bool = False,
        **options: Any,
    ) -> None:
        projected = pooling == "projected"
        module = load_module(folder, aligned_class(folder, "image") if projected else "AutoModel", name)
        config = module.config
        hidden = getattr(config, "hidden_size", None) or config.hidden_sizes[-1]
        self.pooling = pooling
        self.normalise = normalise
        self.processor = self._processor(folder, name)
        super().__init__(
            module,
            name=name,
            dim=getattr(config, "projection_dim", hidden) if projected else hidden,
            token_dim=hidden,
            settings={"pooling": pooling, "normalise": normalise, "crop": False},
            files=checkpoint_files(folder),
            **options,
        )

    @staticmethod
    def _processor(folder: Path, name: str) -> Any:
        from transformers import AutoImageProcessor

        # The torchvision backend does not import beside a CPU build of torch.
        options: dict[str, Any] = {"backend": "pil", "local_files_only": True, "trust_remote_code": False}
        with reading(name):
            processor = AutoImageProcessor.from_pretrained(folder, **options)
            if getattr(processor, "do_center_crop", False):
                size = {"height": processor.crop_size["height"], "width": processor.crop_size["width"]}
                processor = AutoImageProcessor.from_pretrained(folder, do_center_crop=False, size=size, **options)
        return processor

    def normalise_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels 0..255, float (n, 3, height, width), on the scale the network was trained with."""
        mean, spread = (
            torch.tensor(values, device=pixels.device).view(-1, 1, 1)
            for values in (self.processor.image_mean, self.processor.image_std)
        )
        scaled: torch.Tensor = (pixels * self.processor.rescale_factor - mean) / spread
        return scaled

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pixels the module takes. Raises EncoderError when that differs between pictures."""
        size = self.processor.size
        if not size or size.height is None or size.width is None:
            raise EncoderError(f"{self.name} has no fixed picture size.")
        return size.height, size.width

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patches at `size`. Raises EncoderError when the checkpoint does not say."""
        patch = getattr(self.module.config, "patch_size", None)
        if not isinstance(patch, int):
            raise EncoderError(f"{self.name} does not say how it cuts a picture into patches.")
        return self.size[0] // patch, self.size[1] // patch

    def prepare(self, items: Sequence[Image.Image]) -> Batch:
        batch = dict(self.processor([image.convert("RGB") for image in items], return_tensors="pt"))
        return {"pixels": batch.pop("pixel_values"), **batch}

    def forward(self, batch: Batch) -> tuple[torch.Tensor, Tokens]:
        others = {key: value for key, value in batch.items() if key != "pixels"}
        output = self.module(pixel_values=batch["pixels"], **others)
        states = output.last_hidden_state
        if states.ndim == 4:
            states = states.flatten(2).transpose(1, 2)
        patches = states[:, self._extra_tokens(batch, states.shape[1]) :]
        if self.pooling == "projected":
            vectors = _projected(output)
        else:
            vectors = patches.mean(1) if patches.shape[1] == states.shape[1] else states[:, 0]
        vectors = functional.normalize(vectors, dim=-1) if self.normalise else vectors
        mask = batch.get("pixel_attention_mask", patches.new_ones(patches.shape[:2]))
        return vectors, Tokens(patches, mask.bool())

    def _extra_tokens(self, batch: Batch, tokens: int) -> int:
        """How many tokens (class, distillation, registers) stand before the patches."""
        pixels = batch["pixels"]
        patch = getattr(self.module.config, "patch_size", None)
        if pixels.ndim != 4 or not isinstance(patch, int):
            return 0
        return max(tokens - (pixels.shape[2] // patch) * (pixels.shape[3] // patch), 0)
