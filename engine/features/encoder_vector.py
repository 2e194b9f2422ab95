"""The pooled vector that an encoder makes of a post's picture or text; named after the encoder's role."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from engine.encoders import Encoder, load_encoder
from engine.features.base import Feature, FeatureSettings, Values, digest, pictures_of
from engine.posts import Post


class EncoderVector(Feature):
    """Values (n, dim) of one encoder; `tuned` is a safetensors file of fine-tuned weights over the encoder's own."""

    kind: ClassVar[str] = "encoder_vector"
    by_default: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        spec: str,
        text_fields: Sequence[str] = ("title",),
        *,
        tuned: Path | None = None,
        device: str = "auto",
    ) -> None:
        super().__init__(name)
        self.spec, self.text_fields, self.tuned = spec, tuple(text_fields), tuned
        self.encoder: Encoder = load_encoder(spec, device=device, weights=tuned)
        self.modalities = (self.encoder.modality,)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(map(str, range(self.encoder.dim)))

    @classmethod
    def make(cls, name: str, settings: FeatureSettings, need: Callable[[str], Feature]) -> Self:
        return cls(name, settings.encoders[cls.role_of(name)], settings.text_fields, device=settings.device)

    @staticmethod
    def role_of(name: str) -> str:
        """The role of the encoder behind a feature of this name."""
        return name

    @property
    def role(self) -> str:
        return self.role_of(self.name)

    @property
    def config(self) -> dict[str, Any]:
        fields = {"text_fields": list(self.text_fields)} if self.encoder.modality == "text" else {}
        return {"spec": self.spec, "tuned": self.tuned is not None, **fields}

    @property
    def weights(self) -> str:
        return self.encoder.identity

    @property
    def precision(self) -> str:
        return str(self.encoder.dtype)

    @property
    def fingerprint(self) -> str:
        # Not the spec, which may be a folder: the encoder's identity says what it is.
        fields = self.text_fields if self.encoder.modality == "text" else ()
        return digest([self.kind, self.version, self.columns, fields, self.encoder.identity])

    def items(self, posts: Sequence[Post]) -> Sequence[Any]:
        """What the encoder reads of n posts: pictures, or texts made of `text_fields`."""
        if self.encoder.modality == "image":
            return pictures_of(posts)
        return [post.text(self.text_fields) for post in posts]

    def compute(self, posts: Sequence[Post], upstream: Mapping[str, Values]) -> Values:
        return self.encoder.encode(self.items(posts)).numpy()

    def save(self, folder: Path) -> None:
        if self.tuned is not None:
            (folder / f"{self.name}.safetensors").write_bytes(self.tuned.read_bytes())

    @classmethod
    def load(
        cls, folder: Path, name: str, config: Mapping[str, Any], upstream: tuple[Feature, ...], device: str
    ) -> Self:
        tuned = folder / f"{name}.safetensors" if config["tuned"] else None
        return cls(name, config["spec"], config.get("text_fields", ()), tuned=tuned, device=device)


FEATURE = EncoderVector
