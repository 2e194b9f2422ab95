"""The network members of a predictor as one differentiable function of pixels and word embeddings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from engine.encoders.base import Tokens
from engine.errors import FirstImpressionsError
from engine.features.encoder_tokens import EncoderTokens
from engine.members import NetworkMember
from engine.posts import Post
from engine.prediction import View

if TYPE_CHECKING:
    from engine.predictor import Predictor


@dataclass(frozen=True)
class EmbeddedText:
    """One text as word embeddings (1, t, d), before positions are added, with its attention mask (1, t).

    `tokens` has t names; `offsets` t pairs (start, end) of characters in the title, (0, 0) for a special token and
    for a token of another field. `baseline` (1, t, d) has the padding or mask token's embedding at every token but
    the special ones.
    """

    embeddings: torch.Tensor
    baseline: torch.Tensor
    mask: torch.Tensor
    tokens: list[str]
    offsets: list[tuple[int, int]]


class DifferentiableNetworks:
    """Expected level of the network members, pooled log-linearly with their weights and the view's temperature.

    Members share the encoder of a side: that of the first which has the side is used, and all must name the same;
    it is None where no member sees that side. A side that the post lacks is given as None. Raises
    FirstImpressionsError when no member has gradients.
    """

    def __init__(self, predictor: "Predictor") -> None:
        self._bundle = predictor.bundle
        self._networks = [member for member in predictor.members if isinstance(member, NetworkMember)]
        if not self._networks:
            raise FirstImpressionsError("No member of this model has gradients; ask for Owen values.")
        image, text = (
            next((self._tokens(predictor, name) for name in names if name is not None), None)
            for names in zip(*((member.image, member.text) for member in self._networks), strict=True)
        )
        self._fields = text.text_fields if text else ()
        self.image_encoder: Any = image.encoder if image else None
        self.text_encoder: Any = text.encoder if text else None

    @staticmethod
    def _tokens(predictor: "Predictor", name: str) -> EncoderTokens:
        feature = predictor.extractor.features[name]
        assert isinstance(feature, EncoderTokens)
        return feature

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """The picture as the encoder's input, (1, 3, h, w), float32."""
        pixels: torch.Tensor = self.image_encoder.preprocess([image]).to(self.image_encoder.device)
        return pixels

    def embeddings(self, post: Post) -> EmbeddedText:
        """The post's text as the encoder's word embeddings."""
        encoder, tokenizer = self.text_encoder, self.text_encoder.tokenizer
        encoded = encoder.tokenize([post.text(self._fields)], offsets=True)
        identifiers = encoded["input_ids"].to(encoder.device)
        special = torch.isin(identifiers, torch.tensor(tokenizer.all_special_ids, device=encoder.device))
        neutral = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.pad_token_id
        table = encoder.module.get_input_embeddings()
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
            mask=encoded["attention_mask"].to(encoder.device),
            tokens=tokenizer.convert_ids_to_tokens(encoded["input_ids"][0].tolist()),
            offsets=offsets,
        )

    def __call__(
        self, pixels: torch.Tensor | None, embeddings: torch.Tensor | None, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Expected level (n,) of n posts; gradients flow to pixels and embeddings."""
        image = text = None
        if pixels is not None:
            image = self.image_encoder.forward({"pixels": pixels})[1]
        if embeddings is not None and mask is not None:
            mask = mask.expand(len(embeddings), -1)
            text = self.text_encoder.forward({"inputs_embeds": embeddings, "attention_mask": mask})[1]
        view: View = "both" if image and text else "text" if text else "image"
        fit = self._bundle.views[view]
        answering = [member for member in self._networks if view in member.reads]
        weights = [fit.probability_weights.get(member.name, 0.0) for member in answering]
        # A blend in which networks have no say still has a gradient to look at: their own, at full weight.
        weights = weights if any(weights) else [1.0] * len(answering)
        logs = torch.stack(
            [
                weight * member.network(_float(image), _float(text), views=(head,))[head].logits.log_softmax(-1)
                for member, weight in zip(answering, weights, strict=True)
                for head in (member.head(view),)
            ]
        ).sum(0)
        total = sum(weights)
        probabilities = (logs / total / fit.temperature["value"]).softmax(-1)
        expected: torch.Tensor = probabilities @ torch.arange(
            probabilities.shape[-1], dtype=probabilities.dtype, device=logs.device
        )
        return expected


def _float(tokens: Tokens | None) -> Tokens | None:
    return Tokens(tokens.values.float(), tokens.mask.bool()) if tokens is not None else None
