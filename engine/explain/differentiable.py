"""The network members of a predictor as one differentiable function of pixels and word embeddings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from engine.encoders import Tower
from engine.encoders.base import Tokens
from engine.explain.gradients import EmbeddedText
from engine.members import NetworkMember
from engine.posts import Post
from engine.prediction import View

if TYPE_CHECKING:
    from engine.predictor import Predictor


class DifferentiableNetworks:
    """Expected level of the network members, pooled log-linearly with their weights and the view's temperature.

    Members share their towers: those of the first are used, and all must name the same.
    """

    def __init__(self, predictor: "Predictor", heads: Sequence[NetworkMember]) -> None:
        self._bundle = predictor.bundle
        self._heads = heads
        self._fields = predictor.bundle.text_fields
        self.image_tower: Any = predictor.encoders[heads[0].image_encoder]
        self.text_tower: Any = predictor.encoders[heads[0].text_encoder]

    def pixels(self, image: Image.Image) -> torch.Tensor:
        return self.image_tower.preprocess([image]).to(self.image_tower.device)

    def embeddings(self, post: Post) -> EmbeddedText:
        tower: Tower = self.text_tower
        tokenizer = self.text_tower.tokenizer
        encoded = tokenizer(
            post.text(self._fields),
            truncation=True,
            max_length=self.text_tower.max_length,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        identifiers = encoded["input_ids"].to(tower.device)
        special = torch.isin(identifiers, torch.tensor(tokenizer.all_special_ids, device=tower.device))
        neutral = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.pad_token_id
        table = self.text_tower.module.get_input_embeddings()
        # Offsets count from the stripped title, which stands first in the text.
        shift = len(post.title) - len(post.title.lstrip())
        title = len(post.title.strip())
        offsets = [
            (start + shift, end + shift) if start < end <= title else (0, 0)
            for start, end in encoded["offset_mapping"][0].tolist()
        ]
        return EmbeddedText(
            embeddings=table(identifiers),
            baseline=table(torch.where(special, identifiers, torch.full_like(identifiers, neutral))),
            mask=encoded["attention_mask"].to(tower.device),
            tokens=tokenizer.convert_ids_to_tokens(identifiers[0].tolist()),
            offsets=offsets,
        )

    def __call__(
        self, pixels: torch.Tensor | None, embeddings: torch.Tensor | None, mask: torch.Tensor | None
    ) -> torch.Tensor:
        image = text = None
        if pixels is not None:
            image = self.image_tower.forward({"pixels": pixels})[1]
        if embeddings is not None and mask is not None:
            mask = mask.expand(len(embeddings), -1)
            text = self.text_tower.forward({"inputs_embeds": embeddings, "attention_mask": mask})[1]
        view: View = "both" if image and text else "text" if text else "image"
        fit = self._bundle.views[view]
        logs = torch.stack(
            [
                fit.probability_weights.get(head.name, 0.0)
                * head.network(_float(image), _float(text), views=(view,))[view].logits.log_softmax(-1)
                for head in self._heads
            ]
        ).sum(0)
        # A blend in which networks have no say still has a gradient to look at: their own, at full weight.
        total = sum(fit.probability_weights.get(head.name, 0.0) for head in self._heads) or 1.0
        probabilities = (logs / total / fit.temperature["value"]).softmax(-1)
        return probabilities @ torch.arange(probabilities.shape[-1], dtype=probabilities.dtype, device=logs.device)


def _float(tokens: Tokens | None) -> Tokens | None:
    return Tokens(tokens.values.float(), tokens.mask.bool()) if tokens is not None else None
