"""What a recipe is: one experiment, whole, with the figures it is expected to reach."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from engine.encoders import Modality
from engine.errors import DataError
from engine.features.base import FeatureSettings
from engine.fusion import FusionKind

Target = Literal["score", "popularity", "popularity_with_views"]
Tuning = Literal["frozen", "finetuned", "lora"]
DRIFT = 0.02
# What a recipe says of itself, and encoders that were not taken: no part of the experiment.
WORDS = ("name", "summary", "expects", "embedded", "embedded_expects")


@dataclass(frozen=True)
class Ngrams:
    """Ridge on hashed word and character n-grams of the text."""

    name: str = "ngrams"
    alpha: float = 3.0


@dataclass(frozen=True)
class CatBoost:
    """Boosted trees on named features (`engine.features`; an encoder's role names its vector), or on all that are no
    encoder's, which is what None means.

    With `early_stopping` the number of trees is found on held-out groups of the training split, never on validation;
    otherwise exactly `iterations` are grown. `border_count` is how many thresholds a column may be split at, `rsm` the
    share of the columns, drawn anew, that each split is chosen among: deep trees on thousands of columns need both low.
    """

    name: str = "catboost"
    features: tuple[str, ...] | None = None
    iterations: int = 1500
    depth: int = 6
    learning_rate: float = 0.03
    subsample: float = 0.8
    l2_leaf_reg: float = 3.0
    early_stopping: int | None = 60
    border_count: int = 254
    rsm: float = 1.0
    blank: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Teacher:
    """A network that teaches another of the same `side` and answers nobody else.

    `encoder` is what `load_encoder` takes, the rest as in `Network`.
    """

    name: str
    side: Modality
    encoder: str
    settings: dict = field(default_factory=dict)
    shape: dict = field(default_factory=dict)
    pictures: bool = False


@dataclass(frozen=True)
class Network:
    """A fusion network on the two encoders of the recipe, frozen or fine-tuned; `settings` go to `NetworkConfig`.

    With one encoder (the other None) it sees that side alone. It is trained `replicates` times from the same first
    weights, and their weights averaged (`model_soup`). One that sees pictures alone also learns from the `pictures` of
    the work folder, where there are any and this says so: of them only a class of likes per view is known. With
    `teachers`, a share `taught` of what it learns of a post is what these say of it, out of fold (`teaching`).
    """

    name: str = "network"
    fusion: FusionKind = "cross_attention"
    image_encoder: str | None = "picture"
    text_encoder: str | None = "words"
    settings: dict = field(default_factory=dict)
    shape: dict = field(default_factory=dict)
    replicates: int = 1
    pictures: bool = False
    teachers: tuple[Teacher, ...] = ()
    taught: float = 0.5

    @property
    def encoders(self) -> dict[Modality, str]:
        """Role of the encoder of each side that it sees."""
        roles: dict[Modality, str | None] = {"image": self.image_encoder, "text": self.text_encoder}
        return {side: role for side, role in roles.items() if role is not None}


@dataclass(frozen=True)
class Heads:
    """A category head and a score head on the vector of a picture encoder, with a branch for numbers of the context.

    `settings` go to `HeadsTraining`, `shape` to `HeadsConfig`. `numbers` names the feature that the branch reads, None
    leaves it out. `counts` are inputs known only after publication: with any of them the member is a leak, which no
    bundle can hold and which `evaluate --demonstrate-leak` alone fits.
    """

    name: str = "heads"
    encoder: str = "picture"
    numbers: str | None = "numbers"
    counts: tuple[str, ...] = ()
    settings: dict = field(default_factory=dict)
    shape: dict = field(default_factory=dict)


Member = Ngrams | CatBoost | Network | Heads


@dataclass(frozen=True)
class Recipe:
    """One experiment. `encoders` maps roles to what `load_encoder` takes; `embedded` replaces them where no hub is.

    `grid` holds alternatives of the first member, which is CatBoost then: training posts set apart choose among them.
    `options` are settings of single features by name. `junk` is the share of the training posts that members also see
    under a made-up title (`training.data.junk`). With `folds` every post outside of test is answered out of fold, blend
    and calibration are fitted on those answers, and members refitted on all of these posts (`training.modeling.train`).
    Baselines read the frozen vectors of the roles in `baseline_vectors`, ablations those or, where none is named, all.
    `expects` states the validation figures that the recipe reached when it was written, `embedded_expects` those on
    its embedded encoders; `evaluate` warns when a run is off by more than `DRIFT`.
    """

    name: str
    summary: str
    members: tuple[Member, ...]
    grid: tuple[CatBoost, ...] = ()
    encoders: dict[str, str] = field(default_factory=dict)
    embedded: dict[str, str] = field(default_factory=dict)
    text_fields: tuple[str, ...] = ("title",)
    target: Target = "score"
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    junk: float = 0.0
    folds: int = 0
    baseline_vectors: tuple[str, ...] = ()
    expects: dict[str, float] = field(default_factory=dict)
    embedded_expects: dict[str, float] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """The whole recipe as JSON-serialisable values."""
        return {**asdict(self), "members": [{"kind": type(spec).__name__, **asdict(spec)} for spec in self.members]}

    @property
    def frozen_roles(self) -> tuple[str, ...]:
        """Roles of the encoders whose frozen vectors ablations read."""
        return self.baseline_vectors or tuple(self.encoders)

    @property
    def pictures(self) -> bool:
        """Whether a network also learns from further pictures."""
        return any(isinstance(spec, Network) and spec.pictures for spec in self.members)

    @property
    def features(self) -> FeatureSettings:
        """What its features share."""
        alphas = {spec.name: {"alpha": spec.alpha} for spec in self.members if isinstance(spec, Ngrams)}
        return FeatureSettings(self.encoders, self.text_fields, {**self.options, **alphas})


def experiment(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recipe's `config`, what decides the outcome."""
    return {name: value for name, value in config.items() if name not in WORDS}


def with_encoders(
    recipe: Recipe,
    choice: Literal["recipe", "embedded"] | Mapping[str, str] = "recipe",
    *,
    tuning: Tuning | None = None,
) -> Recipe:
    """The recipe on other encoders: its `embedded` ones, or those of a mapping from roles to encoder specs.

    `tuning` says how its networks treat them. A recipe that takes its `embedded` encoders says so in its name, and so
    in its run's folder, bundle and report. Raises DataError for another word, or a role that the recipe lacks.
    """
    if isinstance(choice, str) and choice not in ("recipe", "embedded"):
        raise DataError(f"“{choice}” is no choice of encoders; use recipe or embedded.")
    named = choice if isinstance(choice, Mapping) else recipe.embedded if choice == "embedded" else {}
    if unknown := sorted(set(named) - set(recipe.encoders)):
        raise DataError(
            f"The recipe {recipe.name} has no encoder {', '.join(unknown)}; its own are {', '.join(recipe.encoders)}."
        )
    members = tuple(
        replace(spec, settings={**spec.settings, "tuning": tuning})
        if tuning and isinstance(spec, Network | Heads)
        else spec
        for spec in recipe.members
    )
    recipe = replace(recipe, encoders={**recipe.encoders, **named}, members=members)
    if choice != "embedded" or not named:
        return recipe
    summary = f"{recipe.summary} Here {' and '.join(named.values())} stand in for the recipe's own encoders."
    return replace(recipe, name=f"{recipe.name}_embedded", summary=summary, expects=recipe.embedded_expects)
