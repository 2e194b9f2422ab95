"""The models a visitor may choose among: every bundle in the folder of models, loaded when somebody asks for it.

With one model there is nothing to choose, and nothing is shown. A choice is its visitor's own.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from engine.addresses import Address
from engine.bundle import MANIFEST, UNREADABLE, Bundle, stored_fields
from engine.errors import PostError
from engine.settings import SHIPPED_BUNDLE, Settings
from ui.model import Model
from ui.scale import scale_of
from ui.uploads import as_given

if TYPE_CHECKING:
    from engine.predictor import Predictor

# Models kept in memory beside the first one: each brings its own fine-tuned encoders, some hundred megabytes.
KEPT = 1

Loads = Callable[[Path | Address], Callable[[], "Predictor"]]

log = logging.getLogger("first_impressions.app")


@dataclass(frozen=True)
class Choice:
    """A model by the name of its folder, the words it is offered with, and where its bundle lies."""

    name: str
    label: str
    bundle: Path | Address


def models_offered() -> list[Choice]:
    """The models to choose among, the one that answers unasked first; a folder without a sound manifest is left out.

    Where the setting FIRST_IMPRESSIONS_BUNDLE names one, that is the only one. No file but the manifests is read.
    """
    settings = Settings()
    if "bundle" in settings.model_fields_set:
        return [Choice("", "", settings.bundle)]
    folders = sorted(path.parent for path in settings.models.glob(f"*/bundle/{MANIFEST}"))
    shipped = SHIPPED_BUNDLE.parent.name
    first = Choice(shipped, _label(SHIPPED_BUNDLE) or shipped, SHIPPED_BUNDLE)
    # A name is what a program asks for: of two that are alike, the first one's counts.
    others = [folder for folder in folders if folder.parent.name != first.name]
    found = [Choice(folder.parent.name, _label(folder), folder) for folder in others]
    return [first, *(choice for choice in found if choice.label)]


def _label(bundle: Path) -> str:
    """What a bundle answers and what it learned from; "" where its manifest cannot be read."""
    try:
        manifest = Bundle.model_validate(stored_fields(bundle / MANIFEST)[0])
    except UNREADABLE as error:
        log.error("%s cannot be offered: %s", bundle, type(error).__name__)
        return ""
    source = manifest.data.get("description") or manifest.data.get("name") or "an unnamed dataset"
    return f"{scale_of(manifest).name.capitalize()} on {source} ({bundle.parent.name})"


def load_from(bundle: Path | Address) -> Callable[[], "Predictor"]:
    """What loads the predictor of a bundle."""

    def load() -> "Predictor":
        from engine.predictor import Predictor

        return Predictor.load(bundle)

    return load


class Models:
    """The first model, which always stays, and of the others the `KEPT` that were asked for last."""

    def __init__(self, first: Model, offered: Sequence[Choice], loader: Loads | None = None) -> None:
        self._first, self._loader = first, loader or load_from
        self.offered: Mapping[str, Choice] = {choice.name: choice for choice in offered}
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._lock = threading.Lock()

    def is_first(self, name: str | None) -> bool:
        """Whether a name means the first model, as none does."""
        return not name or next(iter(self.offered), None) == name

    def get(self, name: str | None = "") -> "Predictor":
        """The predictor of a name, waiting for it if need be; "" is the first one.

        Raises PostError for an unknown name, and what the loader raises.
        """
        if not name or self.is_first(name):
            return self._first.get()
        if name not in self.offered:
            others = f", or take one of {', '.join(self.offered)}" if self.offered else ""
            raise PostError(f"There is no model of that name here; leave the name out{others}.")
        with self._lock:
            model = self._loaded.pop(name, None) or Model(self._loader(self.offered[name].bundle))
            self._loaded[name] = model
            while len(self._loaded) > KEPT:
                # Who still waits for it, or answers with it, holds it until then.
                self._loaded.popitem(last=False)
        return model.get()

    def bundle(self, name: str | None = "") -> Path | Address:
        """Where the bundle behind a name lies."""
        choice = self.offered.get(name or "") or next(iter(self.offered.values()), None)
        return choice.bundle if choice else Settings().bundle


def choice_field(models: Models) -> gr.Dropdown:
    """The field to choose with; it is there for nobody to see where there is no choice."""
    offered = [(choice.label, choice.name) for choice in models.offered.values()] or [("", "")]
    return as_given(
        gr.Dropdown(
            offered,
            value=offered[0][1],
            label="Answered by",
            info="Another model answers the same draft anew.",
            visible=len(offered) > 1,
            elem_id="model",
        )
    )
