"""The network members of a predictor as one differentiable function of pixels and word embeddings."""

from collections.abc import Sequence
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

    Members share one picture encoder; each text encoder that some member reads has word embeddings of its own, in the
    order of `text_encoders`. A side that no member sees has no encoder, and one that the post lacks is given as None.
    Raises FirstImpressionsError when no member has gradients.
    """

    def __init__(self, predictor: "Predictor") -> None:
        self._bundle = predictor.bundle
        self._networks = [member for member in predictor.members if isinstance(member, NetworkMember)]
        if not self._networks:
            raise FirstImpressionsError("No member of this model has gradients; ask for Owen values.")
        image = next((member.image for member in self._networks if member.image is not None), None)
        names = dict.fromkeys(member.text for member in self._networks if member.text is not None)
        self._texts = {name: self._tokens(predictor, name) for name in names}
        self._fields = next((text.text_fields for text in self._texts.values()), ())
        self.image_encoder: Any = self._tokens(predictor, image).encoder if image is not None else None
        self.text_encoders: tuple[Any, ...] = tuple(text.encoder for text in self._texts.values())

    @staticmethod
    def _tokens(predictor: "Predictor", name: str) -> EncoderTokens:
        feature = predictor.extractor.features[name]
        assert isinstance(feature, EncoderTokens)
        return feature

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """The picture as the encoder's input, (1, 3, h, w), float32."""
        pixels: torch.Tensor = self.image_encoder.prepare([image])["pixels"].to(self.image_encoder.device)
        return pixels

    def embeddings(self, post: Post) -> tuple[EmbeddedText, ...]:
        """The post's text as the word embeddings of each text encoder."""
        return tuple(self._embedded(encoder, post) for encoder in self.text_encoders)

    def _embedded(self, encoder: Any, post: Post) -> EmbeddedText:
        tokenizer = encoder.tokenizer
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
            embeddings=table(identifiers).float(),
            baseline=table(torch.where(special, identifiers, torch.full_like(identifiers, neutral))).float(),
            mask=encoded["attention_mask"].to(encoder.device),
            tokens=tokenizer.convert_ids_to_tokens(encoded["input_ids"][0].tolist()),
            offsets=offsets,
        )

    def __call__(
        self, pixels: torch.Tensor | None, embeddings: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Expected level (n,) of n posts; gradients flow to pixels and embeddings, none of these for no text."""
        image = None if pixels is None else self.image_encoder.forward({"pixels": pixels})[1]
        texts = {
            name: encoder.forward({"inputs_embeds": found, "attention_mask": mask.expand(len(found), -1)})[1]
            for name, encoder, found, mask in zip(self._texts, self.text_encoders, embeddings, masks, strict=False)
        }
        view: View = "both" if image and texts else "text" if texts else "image"
        fit = self._bundle.views[view]
        answering = [member for member in self._networks if view in member.reads]
        weights = [fit.probability_weights.get(member.name, 0.0) for member in answering]
        # A blend in which networks have no say still has a gradient to look at: their own, all with one weight.
        weights = weights if any(weights) else [1 / len(answering)] * len(answering)
        logs = torch.stack(
            [
                weight * member.network(_float(image), words, views=(head,))[head].logits.log_softmax(-1)
                for member, weight in zip(answering, weights, strict=True)
                for head, words in ((member.head(view), _float(texts.get(member.text or ""))),)
            ]
        ).sum(0)
        probabilities = (logs / fit.temperature["value"]).softmax(-1)
        expected: torch.Tensor = probabilities @ torch.arange(
            probabilities.shape[-1], dtype=probabilities.dtype, device=logs.device
        )
        return expected


def _float(tokens: Tokens | None) -> Tokens | None:
    return Tokens(tokens.values.float(), tokens.mask.bool()) if tokens is not None else None
