"""Features of posts by name, side by side: what each member of the blend asked for and nothing more."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from PIL import Image

from engine.encoders import Tower
from engine.encoders.base import Tokens
from engine.features.ngrams import NgramRidge
from engine.features.similarity import Alignment, cosine
from engine.features.statistics import picture_statistics, text_statistics
from engine.members import CatBoostMember, Features, Member, NetworkMember, ScoreMember
from engine.posts import Post

__all__ = ["Extractor", "Features"]

# Names of features that no encoder gives. A vector feature is named after its encoder's role.
TEXT_STATISTICS, PICTURE_STATISTICS, NGRAMS, SIMILARITY = (
    "text_statistics",
    "picture_statistics",
    "ngrams",
    "similarity",
)


def wanted_features(members: Iterable[Member]) -> set[str]:
    """Names of the features that some member reads, network tokens apart."""
    wanted: set[str] = set()
    for member in members:
        if isinstance(member, CatBoostMember):
            wanted |= {name for names in member.columns.values() for name in names}
        elif isinstance(member, ScoreMember):
            wanted.add(member.feature)
    return wanted


class Extractor:
    """Towers, n-grams and statistics behind two methods, one a side, and `joined` for what needs both.

    `encoders` maps roles to towers; each tower runs once a side, however many members read it.
    """

    def __init__(
        self,
        encoders: Mapping[str, Tower],
        members: Sequence[Member],
        *,
        text_fields: Sequence[str],
        ngrams: NgramRidge | None = None,
        alignment: Alignment | None = None,
    ) -> None:
        self.encoders = dict(encoders)
        self.networks = [member for member in members if isinstance(member, NetworkMember)]
        self.text_fields = tuple(text_fields)
        self.ngrams = ngrams
        self.alignment = alignment
        self.wanted = wanted_features(members)

    def text(self, posts: Sequence[Post]) -> Features:
        """Features of the words of n posts."""
        features: Features = {}
        texts = [post.text(self.text_fields) for post in posts]
        if TEXT_STATISTICS in self.wanted:
            features[TEXT_STATISTICS] = text_statistics([post.title for post in posts])
        if self.ngrams is not None and NGRAMS in self.wanted:
            features[NGRAMS] = self.ngrams.predict(texts)
        return features | self._encoded("text", texts)

    def image(self, images: Sequence[Image.Image]) -> Features:
        """Features of n pictures."""
        features: Features = {}
        if PICTURE_STATISTICS in self.wanted:
            features[PICTURE_STATISTICS] = picture_statistics(images)
        return features | self._encoded("image", images)

    def _encoded(self, side: str, items: Sequence[str] | Sequence[Image.Image]) -> Features:
        features: Features = {}
        for role, tower in self.encoders.items():
            if tower.modality != side:
                continue
            networks = [head for head in self.networks if role in (head.image_encoder, head.text_encoder)]
            if networks:
                vectors, tokens = tower.encode_with_tokens(items)
                fixed = _fixed_length(tokens, getattr(tower, "max_length", 0)) if side == "text" else tokens
                for head in networks:
                    features |= head.project(side, fixed)
            else:
                vectors = tower.encode(items)
            if role in self.wanted or SIMILARITY in self.wanted:
                features[role] = vectors.numpy()
        return features

    def joined(self, text: Features | None, image: Features | None) -> Features:
        """Features of both sides, with those that need both (the image–text similarity)."""
        features = {**(text or {}), **(image or {})}
        if text is not None and image is not None and SIMILARITY in self.wanted:
            picture = features[self._role("image")]
            words = features[self._role("text")]
            features[SIMILARITY] = (
                self.alignment.similarity(picture, words) if self.alignment else cosine(picture, words)
            )
        return features

    def _role(self, side: str) -> str:
        return next(role for role, tower in self.encoders.items() if tower.modality == side)


def _fixed_length(tokens: Tokens, length: int) -> Tokens:
    """Text tokens padded to one length, so that features of any two posts can stand in one array."""
    count, found, width = tokens.values.shape
    if found >= length:
        return tokens
    values = torch.cat([tokens.values, tokens.values.new_zeros(count, length - found, width)], dim=1)
    return Tokens(values, torch.cat([tokens.mask, tokens.mask.new_zeros(count, length - found)], dim=1))
