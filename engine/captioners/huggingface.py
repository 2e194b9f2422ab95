"""Captioners made of Hugging Face checkpoints, such as BLIP (Li et al. 2022)."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from engine.captioners.base import Caption, Captioner
from engine.encoders.checkpoints import checkpoint_files, find_checkpoint, load_module, reading
from engine.encoders.runtime import autocast, pick_device, pick_dtype, short_hash

BEAMS, LENGTH = 4, 30
BATCH = 8


class BlipCaptioner(Captioner):
    """A BLIP checkpoint by name or folder. Raises EncoderError when it cannot be had."""

    def __init__(self, checkpoint: str, *, device: str = "auto") -> None:
        from transformers import AutoTokenizer, BlipImageProcessorPil

        self.name = f"blip:{checkpoint}"
        folder = find_checkpoint(checkpoint)
        module: Any = load_module(folder, "BlipForConditionalGeneration", self.name)
        place = pick_device(device)
        self.module = module.eval().requires_grad_(False).to(place)
        self.dtype = pick_dtype("auto", place, on_cpu=False)
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        with reading(self.name):
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            self.processor = BlipImageProcessorPil.from_pretrained(folder, **options)
        self.identity = short_hash({"beams": BEAMS, "length": LENGTH}, checkpoint_files(folder))

    @torch.inference_mode()
    def captions(self, images: Sequence[Image.Image]) -> list[Caption]:
        found: list[Caption] = []
        for start in range(0, len(images), BATCH):
            pictures = [image.convert("RGB") for image in images[start : start + BATCH]]
            pixels = self.processor(pictures, return_tensors="pt")["pixel_values"].to(self.module.device)
            with autocast(self.module.device, self.dtype):
                out = self.module.generate(
                    pixel_values=pixels,
                    num_beams=BEAMS,
                    max_new_tokens=LENGTH,
                    return_dict_in_generate=True,
                    output_scores=True,
                )
            texts = self.tokenizer.batch_decode(out.sequences, skip_special_tokens=True)
            scores = out.sequences_scores.float().cpu().tolist()
            found += [Caption(text.strip(), score) for text, score in zip(texts, scores, strict=True)]
        return found
