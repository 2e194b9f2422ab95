"""The page for programs: five endpoints, fields of which a title or a picture is enough, answers with a schema.

What "Use via API" shows runs as it is shown.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NotRequired

import gradio as gr
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from engine.scoring import LEVELS
from ui.explanation import METHODS, OWEN
from ui.several import FIELDS, Several
from ui.uploads import altered, as_given, picture_field, pictures_field, take_no_address

if TYPE_CHECKING:
    from ui.compare import Comparing
    from ui.handlers import Page

TITLE = "My cat judges me every morning at 5 a.m."
TITLES = [TITLE, "Quarterly results, part 2"]
CONTEXT: dict[str, Any] = {"type": "object", "additionalProperties": True}

Level = Literal["Very Low", "Low", "Average", "High", "Very High"]
assert Level.__args__ == tuple(LEVELS)  # type: ignore[attr-defined]


class Vote(TypedDict):
    """What one member of the blend says."""

    member: str
    probabilities: dict[str, float]
    log_score: float
    weight: float


class Answer(TypedDict):
    """What `/predict` returns."""

    view: Literal["both", "text", "image"]
    level: Level
    confidence: float
    probabilities: dict[str, float]
    prior: dict[str, float]
    level_set: list[Level]
    expected_level: float
    score: float
    score_low: float
    score_high: float
    percentiles: list[float]
    score_name: str
    score_formula: str
    abstain: bool
    reason: str
    strange: Literal["image", "text"] | None
    note: str
    members: list[Vote]
    categories: NotRequired[dict[str, float]]
    context: NotRequired[dict[str, str | float]]


class Scored(TypedDict):
    """One draft: what `/predict` returns of it, or null and why in one sentence."""

    answer: Answer | None
    error: str | None


class Scores(TypedDict):
    """What `/score_batch` returns: the drafts in their order, how many have errors, and the bundle's name."""

    scored: list[Scored]
    errors: int
    model: str


class Word(TypedDict):
    """A piece of the title, and what it added in levels."""

    text: str
    value: float


class Field(TypedDict):
    """Tags or description, and what they added in levels."""

    field: str
    value: float


class Region(TypedDict):
    """Left, top, right and bottom in shares of the picture's size, and what the region added in levels."""

    box: list[float]
    value: float


class Reasons(TypedDict):
    """What `/explain` returns."""

    method: str
    target: str
    base_value: float
    value: float
    words: list[Word]
    fields: list[Field]
    regions: list[Region]
    picture_share: float
    text_share: float
    completeness_error: float
    seconds: float
    notes: list[str]


class Reading(TypedDict):
    """One signal; where its value is null, its sentence is the reason."""

    name: str
    value: float | None
    percentile: float | None
    sentence: str
    detail: list[str]


class Readings(TypedDict):
    """What `/signals` returns."""

    signals: list[Reading]
    note: str


class Side(TypedDict):
    """What is said of one side of a draft alone; `above` is the share of posts it is ranked above."""

    level: Level
    expected_level: float
    above: float


class Standing(TypedDict):
    """One of the drafts: `picture` counts the different pictures from 0, figures are null where it is withheld."""

    draft: str
    title: str
    picture: int | None
    place: int | None
    best: float | None
    view: Literal["both", "text", "image"]
    level: Level | None
    expected_level: float | None
    score: float | None
    score_low: float | None
    score_high: float | None
    above: float | None
    above_low: float | None
    above_high: float | None
    abstain: bool
    reason: str | None
    title_alone: Side | None
    picture_alone: Side | None


class Duel(TypedDict):
    """Two of the drafts, and the chance that the first does better."""

    first: str
    second: str
    chance: float
    too_close: bool
    difference: str


class Ranking(TypedDict):
    """What `/compare` returns."""

    summary: str
    drafts: list[Standing]
    pairs: list[Duel]
    note: str


def publish(
    page: "Page",
    comparing: "Comparing",
    predict: Mapping[str, Any],
    explain: Mapping[str, Any],
    signals: Mapping[str, Any],
) -> None:
    """Declare the endpoints in fields that nobody sees, with these settings of their queues.

    The last fields name a model, or none for the first, and give a context; calls may end before them.
    """
    with gr.Row(visible=False):
        words = [as_given(field) for field in (text("Title", TITLE), text("Tags"), text("Description"))]
        inputs = [picture_field(label="Picture"), *words]
        method = as_given(gr.Radio(list(METHODS), value=OWEN, label="Method"))
        model, context = text("Model"), context_field()
        gr.Button().click(
            page.api_predict, [*inputs, model, context], answer("Prediction", Answer), api_name="predict", **predict
        )
        gr.Button().click(
            page.api_explain,
            [*inputs, method, model, context],
            answer("Reasons", Reasons),
            api_name="explain",
            **explain,
        )
        gr.Button().click(
            page.api_signals, [*inputs, model], answer("Signals", Readings), api_name="signals", **signals
        )
        several = [texts("Titles", TITLES), pictures_field(gr.File, label="Pictures")]
        gr.Button().click(
            comparing.api_compare,
            [*several, model, context],
            answer("Comparison", Ranking),
            api_name="compare",
            **predict,
        )
        gr.Button().click(
            Several(page).api_score_batch,
            [drafts(), model, context],
            answer("Scores", Scores),
            api_name="score_batch",
            **predict,
        )


def text(label: str, example: str = "") -> gr.Textbox:
    """A field that may be left out; its `example` stands in the snippets."""
    return altered(gr.Textbox("", label=label), example_payload=lambda _: example)


def texts(label: str, example: list[str]) -> gr.JSON:
    """A list of texts that may be left out; its `example` stands in the snippets."""
    kinds = {"type": "array", "items": {"type": "string"}}
    return altered(gr.JSON([], label=label), api_info=lambda _: kinds, example_payload=lambda _: example)


def context_field() -> gr.JSON:
    """When, where, by whom and as what, by the names of a file's columns; it may be left out."""
    field = take_no_address(gr.JSON({}, label="Context"))
    return altered(field, api_info=lambda _: CONTEXT, example_payload=lambda _: {})


def drafts() -> gr.JSON:
    """A list of drafts, each with a picture as text or as gradio_client's file."""
    words: dict[str, Any] = {"type": "string"}
    file = {"type": "object", "additionalProperties": True}
    kinds = dict.fromkeys(FIELDS, words) | {
        "picture": {"anyOf": [words, file, {"type": "null"}]},
        "tags": {"anyOf": [words, {"type": "array", "items": words}]},
    }
    schema = {"type": "array", "items": {"type": "object", "properties": kinds | {"context": CONTEXT}}}
    return altered(
        take_no_address(gr.JSON([], label="Drafts")),
        api_info=lambda _: schema,
        example_payload=lambda _: [{"title": title} for title in TITLES],
    )


def answer(label: str, shape: type) -> gr.JSON:
    """A JSON output whose schema says what is in it."""
    schema = TypeAdapter(shape).json_schema()
    return altered(gr.JSON(label=label), api_info=lambda _: schema)
