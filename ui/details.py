"""Behind an answer: each member's vote, the machine-readable record, what the model is and what it cannot know."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from math import exp
from typing import TYPE_CHECKING, Any

from engine.prediction import VIEWS, Prediction, View
from engine.scoring import LEVELS
from ui import languages
from ui.bars import percent, vote_bars
from ui.scale import Scale, scale_of

if TYPE_CHECKING:
    from engine.bundle import Bundle

VIEW_NAMES = {"both": "picture and title", "text": "title only", "image": "picture only"}
FIGURES = (
    ("src", "rank correlation (Spearman)", False),
    ("pairwise_accuracy", "picks the better of two", True),
    ("accuracy", "exact level", True),
    ("within_one_accuracy", "at most one level off", True),
    ("conformal_coverage", "true level within the set shown", True),
)
OFTEN = "These often matter more than picture and title, so treat the answer as one opinion, not as a promise."
BLIND = (
    "It sees the draft and nothing else: not who publishes it, how many follow them, when, or what is in the news. "
    f"{OFTEN}"
)
SEES_MORE = (
    "It sees the draft and what you fill in under “What else the model reads”, and nothing else: not who follows "
    f"you, or what is in the news. {OFTEN}"
)

SAW_TEST = (
    " The test posts are among them: the figures below are those of the same model before it learned from them too."
)


def record(prediction: Prediction, scale: Scale, context: Mapping[str, object] | None = None) -> dict[str, Any]:
    """The prediction as plain data, levels by name, with what its score is, and the context that it was given.

    It holds no words and no picture.
    """
    data = asdict(prediction)
    data.pop("post_id")
    categories = dict(data.pop("categories"))
    return {
        **data,
        **({"categories": {name: round(share, 4) for name, share in categories.items()}} if categories else {}),
        "level": prediction.level_name,
        "confidence": round(prediction.confidence, 4),
        "probabilities": _by_level(prediction.probabilities),
        "prior": _by_level(prediction.prior),
        "level_set": [LEVELS[level] for level in prediction.level_set],
        "members": [{**asdict(vote), "probabilities": _by_level(vote.probabilities)} for vote in prediction.members],
        "score_name": scale.name,
        "score_formula": scale.formula,
        **({"context": dict(context)} if context else {}),
    }


def members_table(prediction: Prediction, scale: Scale) -> str:
    """HTML table of the members' votes before blending."""
    total = sum(vote.weight for vote in prediction.members)
    if not total or prediction.strange is not None:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(vote.member)}</th><td>{vote_bars(vote.probabilities)}</td>'
        f"<td>{_leaning(vote.probabilities)}</td>"
        f"<td>{scale.number(exp(vote.log_score))}</td><td>{percent(vote.weight / total)}</td></tr>"
        for vote in prediction.members
    )
    return (
        '<section class="fi-card"><h3>How the members of the blend voted</h3>'
        '<div class="fi-scroll" tabindex="0"><table>'
        '<thead><tr><th scope="col">Member</th><th scope="col">Levels</th><th scope="col">Leans to</th>'
        f'<th scope="col">{scale.unit.capitalize()}</th><th scope="col">Share</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def model_facts(bundle: "Bundle", views: Sequence[View] = VIEWS, *, sees_more: bool = False) -> str:
    """HTML of what the model was trained on, how well it did on posts it had never seen, and what it cannot know.

    It answers these `views`; one that `sees_more` reads a context too.
    """
    notes = "".join(f"<li>{escape(str(note))}</li>" for note in bundle.notes)
    scale = scale_of(bundle)
    formula = scale.formula.removeprefix(scale.name).strip()
    return (
        f'<section class="fi-card"><h3>About this model</h3>{_origin(bundle, "text" in views)}'
        f"<p>{SEES_MORE if sees_more else BLIND}</p>"
        f"{_figures(bundle, views)}"
        f"{f'<ul>{notes}</ul>' if notes else ''}"
        f'<p class="fi-small">Bundle {escape(bundle.name)}, recipe {escape(bundle.recipe)}, '
        f"created {escape(bundle.created[:10])}. {scale.name.capitalize()} score {escape(formula)}.</p></section>"
    )


def _origin(bundle: "Bundle", reads_text: bool) -> str:
    data = bundle.data
    if "training_posts" not in data:
        return ""
    source = escape(str(data.get("description") or data.get("name") or "an unnamed dataset"))
    spoken = languages.told(bundle.languages) if reads_text else ""
    saw_test = SAW_TEST if data.get("saw_test") else ""
    return f"<p>Trained on {data['training_posts']:,} posts of {source}.{spoken}{saw_test}</p>"


def _figures(bundle: "Bundle", answered: Sequence[View]) -> str:
    """Table of test figures by view that is answered, each with its 95 % interval, read from the bundle's facts."""
    test: Mapping[str, Mapping[str, Mapping[str, float]]] = bundle.test_metrics.get("test", {})
    views = [view for view in VIEWS if view in answered and test.get(view)]
    if not views:
        return ""
    head = "".join(f'<th scope="col">{VIEW_NAMES[view]}</th>' for view in views)
    rows = ""
    for metric, label, is_share in FIGURES:
        if any(metric in test[view] for view in views):
            guess = f" (guessing: {escape(percent(max(bundle.prior)))})" if metric == "accuracy" else ""
            cells = "".join(f"<td>{_figure(test[view].get(metric), is_share)}</td>" for view in views)
            rows += f'<tr><th scope="row">{label}{guess}</th>{cells}</tr>'
    posts = bundle.test_metrics.get("test_posts")
    tested = f"{posts:,} test posts" if posts else "test posts"
    never = "that it had not learned from yet" if bundle.data.get("saw_test") else "it never saw"
    return (
        f'<div class="fi-scroll" tabindex="0"><table>'
        f"<caption>On {tested} {never}, with 95&nbsp;% intervals</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _figure(figure: Mapping[str, float] | None, is_share: bool) -> str:
    if figure is None:
        return "–"
    value, low, high = (
        escape(percent(figure[key])) if is_share else f"{figure[key]:.2f}" for key in ("value", "low", "high")
    )
    return f'{value} <small class="fi-small">{low} to {high}</small>'


def _leaning(probabilities: tuple[float, ...]) -> str:
    """The likeliest level; a dash for a vote that is nearly flat."""
    if max(probabilities) - min(probabilities) < 0.02:
        return "–"
    return LEVELS[probabilities.index(max(probabilities))]


def _by_level(shares: tuple[float, ...]) -> dict[str, float]:
    return {name: round(share, 4) for name, share in zip(LEVELS, shares, strict=True)}
