"""The tab "Similar posts": the real posts nearest to a draft, how they did, and how little that proves.

Titles are not kept here and covers are other people's, so a post is its blurred preview, its figures and its link; the
cover is fetched from its public address by whoever asks to see it, and by nobody else.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.addresses import Address
from engine.memory import released
from engine.posts import Post
from engine.previews import thumbhash_url
from engine.scoring import LEVELS
from ui.chooser import Models
from ui.model import sentence, zero_gpu
from ui.scale import Scale, scale_of
from ui.verdict import NOTHING

if TYPE_CHECKING:
    from engine.bundle import Bundle
    from engine.evidence.index import Manifest
    from engine.evidence.nearest import Evidence, Nearest, Neighbour
    from engine.prediction import View

WORKING = '<section class="fi-card fi-quiet" aria-busy="true"><p>Looking for posts that are like it …</p></section>'
FAILED = '<section class="fi-card fi-quiet"><p>{}</p></section>'
BY = {"both": "words and picture", "text": "words", "image": "picture"}
# From which share of real posts on, that have no other as near to them, a neighbour is said to be how near.
NEARNESS = ((0.75, "very close"), (0.25, "close"), (0.02, "loosely alike"), (0.0, "hardly alike"))
KEY = (
    "Very close: nearer to the draft than 3 of 4 real posts have any post unrelated to them; close: than 1 of 4; "
    "loosely alike: than 1 of 50; hardly alike: than next to none."
)
NO_PROOF = (
    "Likeness is no cause: the same words and picture from another channel may do quite otherwise. The model has "
    "learned from these very posts, so where they agree with it that is no second opinion."
)
ON_CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-cover]');
  if (!button) return;
  const picture = new Image();
  picture.referrerPolicy = 'no-referrer';
  picture.alt = button.dataset.alt;
  picture.tabIndex = -1;
  picture.onerror = () => {
    const gone = document.createElement('span');
    gone.setAttribute('role', 'status');
    gone.textContent = 'There is no cover at its address now.';
    picture.replaceWith(gone);
  };
  picture.src = button.dataset.cover;
  button.replaceWith(picture);
  picture.focus();
});
"""

Loader = Callable[[Path | Address, "Bundle"], "Evidence | None"]


def load_evidence(place: Path | Address, bundle: "Bundle") -> "Evidence | None":
    """The index beside a bundle; None where there is none, or where the bundle was fetched, which is all that is.

    Raises BundleError when it does not fit.
    """
    if isinstance(place, Address):
        return None
    from engine.evidence.index import FOLDER
    from engine.evidence.nearest import Evidence

    folder = place.parent / FOLDER
    # A lent GPU is there for a prediction only.
    return Evidence.load(folder, bundle, "cpu" if zero_gpu() else "auto") if folder.is_dir() else None


class SimilarPosts:
    """What the tab shows, for each model that a visitor may choose. Nothing of a draft stays here."""

    def __init__(self, models: Models, loader: Loader = load_evidence) -> None:
        self._models, self._loader = models, loader
        self._found: dict[Path | Address, Evidence | None] = {}
        self._lock = Lock()

    def describe(self, model: str | None = "") -> dict[str, Any]:
        """Whether the tab is there: where the model has an index that fits it."""
        try:
            return gr.update(visible=self._evidence(model) is not None)
        except Exception as error:
            sentence(error)
            return gr.update(visible=False)

    def show(self, post: Post | None, model: str | None = "") -> Iterator[str]:
        """HTML of the posts nearest to the draft that was predicted last; "" without an index."""
        try:
            evidence = self._evidence(model)
            if post is None or evidence is None:
                yield NOTHING.format("compare") if evidence is not None else ""
                return
            yield WORKING
            with released():
                found = evidence.nearest(post)
            yield panel(found, evidence.manifest, self._models.get(model).bundle)
        except Exception as error:
            # The verdict stands without it.
            yield FAILED.format(escape(sentence(error)))

    def _evidence(self, model: str | None) -> "Evidence | None":
        predictor, place = self._models.get(model), self._models.bundle(model)
        with self._lock:
            if place not in self._found:
                self._found[place] = None
                # One that does not fit now will not fit later either: it is said once, and left alone.
                self._found[place] = self._loader(place, predictor.bundle)
            return self._found[place]


def panel(found: Sequence["Nearest"], manifest: "Manifest", bundle: "Bundle") -> str:
    """HTML of the nearest posts by all that a draft has, one way to compare at a time, with what they are worth."""
    scale = scale_of(bundle)
    chosen = "".join(
        f'<label><input type="radio" name="fi-by" value="{near.by}"{" checked" * (place == 0)}>{BY[near.by]}</label>'
        for place, near in enumerate(found)
    )
    ways = f'<fieldset class="fi-by"><legend>Alike by</legend>{chosen}</fieldset>' if len(found) > 1 else ""
    parts = "".join(
        f'<div class="fi-near" data-by="{near.by}">{_near(near, manifest, bundle.prior, scale)}</div>' for near in found
    )
    return (
        f'<section class="fi-card fi-evidence"><h3>Real posts like this one, and how they did</h3>{ways}{parts}'
        f'<p class="fi-small">{NO_PROOF}</p><p class="fi-small">{KEY}</p></section>'
    )


def _near(near: "Nearest", manifest: "Manifest", prior: Sequence[float], scale: Scale) -> str:
    twin = (
        f'<p class="fi-note">Left out: {near.left_out} real post{"s" * (near.left_out > 1)} that '
        f"{'are' if near.left_out > 1 else 'is'} practically this draft.</p>"
        if near.left_out
        else ""
    )
    if not near.shown:
        return f"<p>There is no real post to set beside this draft.</p>{twin}"
    posts = "".join(_post(neighbour, place) for place, neighbour in enumerate(near.shown, start=1))
    return (
        f"<p>{escape(spread_of(near, scale))}</p>{_strip(near.levels, prior)}{twin}"
        f'<ol class="fi-posts">{posts}</ol><p class="fi-small">{escape(worth_of(near.by, manifest, prior))}</p>'
    )


def spread_of(near: "Nearest", scale: Scale) -> str:
    """How the nearest posts did, in two sentences."""
    count, most = sum(near.levels), max(near.levels)
    levels = [name for name, number in zip(LEVELS, near.levels, strict=True) if number == most]
    each = f"{most} each were {', '.join(levels[:-1])} and " if len(levels) > 1 else f"{most} were "
    low, high = (scale.number(score) for score in near.middle)
    far = "" if near.shown[0].closeness >= NEARNESS[-2][0] else " None of them is really like this draft."
    return (
        f"Of the {count} {scale.crowd} nearest by {BY[near.by]}, {each}{levels[-1]}, the most of any level. "
        f"The middle half earned {low} to {high} {scale.unit}.{far}"
    )


def worth_of(by: "View", manifest: "Manifest", prior: Sequence[float]) -> str:
    """How well neighbours foretell, as it was measured."""
    figures = manifest.figures[by]
    same, better = figures["same_level"], figures["pairwise_accuracy"]
    count = manifest.neighbours
    chance = round(count * sum(share**2 for share in prior))
    return (
        f"How much that tells, measured on {manifest.asked:,} posts and their {count} nearest of other channels by "
        f"{BY[by]}: {count * same.value:.0f} of the {count} shared the post's level ({chance} by chance), and their "
        f"mean level picked the better of two posts {100 * better.value:.0f} times in 100 (95 % interval "
        f"{100 * better.low:.0f} to {100 * better.high:.0f}; a coin: 50)."
    )


def nearness(closeness: float) -> str:
    """How near a post is, in words."""
    return next(words for least, words in NEARNESS if closeness >= least)


def _strip(levels: Sequence[int], prior: Sequence[float]) -> str:
    """Five columns of as many posts as there are on each level, with a tick where chance would end them."""
    most = max(*levels, *(share * sum(levels) for share in prior))
    columns = "".join(
        f'<span><b>{count}</b><span class="fi-column">'
        f'<i class="fi-level-{level}" style="height:{100 * count / most:.0f}%"></i>'
        f'<u style="bottom:{100 * prior[level] * sum(levels) / most:.0f}%"></u></span>{LEVELS[level]}</span>'
        for level, count in enumerate(levels)
    )
    spoken = ", ".join(f"{LEVELS[level]} {count}" for level, count in enumerate(levels))
    return (
        f'<div class="fi-spread" role="img" aria-label="Levels of the nearest posts: {spoken}">{columns}</div>'
        '<p class="fi-legend" aria-hidden="true"><span><i class="fi-key-tick"></i>as many as by chance</span></p>'
    )


def _post(neighbour: "Neighbour", place: int) -> str:
    """One post: preview, level, rates, how near, and where to see it."""
    preview = thumbhash_url(neighbour.thumbhash)
    style = f' style="background-image:url({preview})"' if preview else ""
    button = (
        f'<button type="button" data-cover="{escape(neighbour.picture_address)}" data-alt="Cover of post {place}" '
        f'aria-label="Show the cover of post {place}">Show cover</button>'
        if neighbour.picture_address
        else ""
    )
    link = (
        f' · <a href="{escape(neighbour.post_address)}" target="_blank" rel="noopener noreferrer" '
        f'aria-label="See post {place} in a new tab">see\u00a0it\u00a0↗</a>'
        if neighbour.post_address
        else ""
    )
    return (
        f'<li><div class="fi-cover"{style}>{button}</div>'
        f'<p class="fi-outcome"><i class="fi-level-{neighbour.level}" aria-hidden="true"></i>'
        f"<b>{LEVELS[neighbour.level]}</b></p><p>{_rates(neighbour)}</p>"
        f'<p class="fi-small">{nearness(neighbour.closeness)}{link}</p></li>'
    )


def _rates(neighbour: "Neighbour") -> str:
    known = [
        f"{100 * rate:.{2 if rate < 0.01 else 1}f} {name}"
        for name, rate in (("likes", neighbour.likes_per_view), ("comments", neighbour.comments_per_view))
        if rate is not None
    ]
    return f'{", ".join(known)} <span class="fi-small">per 100 views</span>' if known else ""
