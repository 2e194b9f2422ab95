"""What the guard does: how much junk it turns away, and what that costs on the posts of test.

Junk is made up anew, of the kinds that something was learned from and of kinds that nothing was. A junk title is
answered without a picture, a junk picture without a title.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from engine.guard import left_over
from engine.intervals import mean_interval
from engine.posts import Post
from engine.prediction import VIEWS, Prediction, View
from engine.predictor import Predictor
from training.data.junk import LEARNED, UNSEEN, Title, junk_titles
from training.data.junk_pictures import LEARNED_PICTURES, UNSEEN_PICTURES, Picture, junk_pictures
from training.metrics.bootstrap import paired_bootstrap, rank_correlation
from training.metrics.predictions import evaluated, truth_of
from training.modeling.guard import LEFT_OUT
from training.modeling.run import Run

# Not one that anything is fitted with.
SEED = 20
# As far from the prior as every probability may be of an answer that says no more than what is usual.
NEAR = 0.05
ALL = "all"
SHARES = ("withheld", "near_prior", "abstained")
TITLES: Mapping[str, Title] = {**LEARNED, **UNSEEN}
PICTURES: Mapping[str, Picture] = {**LEARNED_PICTURES, **UNSEEN_PICTURES}
KINDS: Mapping[View, Mapping[str, object]] = {"text": TITLES, "image": PICTURES}
# How the sentences about it begin.
NOTES = CAUGHT, LOST = "Of made-up junk the guard turns away", "Of the test posts it turns away"
COLUMNS = ["view", "origin", "kind", "metric", "value", "low", "high", "n"]


def guard_table(
    predictor: Predictor, run: Run, predictions: pd.DataFrame, count: int, resamples: int = 1000
) -> pd.DataFrame:
    """guard.parquet: shares of junk by kind, `count` made up of each, and of the test posts, with 95 % intervals.

    Columns: view, origin (learned | unseen | all | test), kind ("all" for every kind of that origin), metric, value,
    low, high, n. Shares: withheld (by the guard), near_prior (withheld, or every probability within `NEAR` of the
    prior), abstained (withheld, or left unanswered for any other reason). Of test posts also src and src_guarded,
    without and with the guard, and src_difference, paired: a post with one strange side ranks by the other, one with
    none left in the middle. `predictions` are the model's own, without the guard.
    """
    junk = _junk(predictor, run, count)
    parts = [] if junk.empty else [junk, junk.assign(kind=ALL), junk.assign(kind=ALL, origin=ALL)]
    rows = []
    for part in parts:
        for names, answers in part.groupby(["view", "origin", "kind"], sort=False):
            for share in SHARES:
                held = answers[share].to_numpy(dtype=np.float64)
                # The same title may be drawn twice: those are one group.
                interval = mean_interval(held, answers["title"], resamples)
                rows.append((*names, share, held.mean(), *interval, len(held)))
    rows += _price(predictor, run, predictions, resamples)
    return pd.DataFrame(rows, columns=COLUMNS)


def _junk(predictor: Predictor, run: Run, count: int) -> pd.DataFrame:
    """One row a made-up title or picture: view, origin, kind, title (null for a picture), and whether each share holds.

    Words that are shuffled are lent by test posts, so that the guard has not seen these either.
    """
    lent = [run.matrix.posts[row].title for row in run.workspace.rows("test")]
    # The guard is not taught these; members are, where the recipe has them learn from junk.
    left_out = set() if run.recipe.junk else {LEFT_OUT}
    rows = []
    for view, kinds in KINDS.items():
        for number, kind in enumerate(kinds if view in predictor.bundle.views else ()):
            seed = [SEED, number]
            if view == "text":
                posts = [Post(title) for _, title in junk_titles({kind: TITLES[kind]}, count, lent, seed)]
            else:
                posts = [Post(image=picture) for _, picture in junk_pictures({kind: PICTURES[kind]}, count, seed)]
            origin = "learned" if kind in {*LEARNED, *LEARNED_PICTURES} - left_out else "unseen"
            for post, found in zip(posts, predictor.predict(posts), strict=True):
                rows.append((view, origin, kind, post.title or None, *shares_of(found)))
    return pd.DataFrame(rows, columns=["view", "origin", "kind", "title", *SHARES])


def shares_of(found: Prediction) -> tuple[bool, bool, bool]:
    """Whether each of `SHARES` holds of one answer."""
    distance = np.abs(np.subtract(found.probabilities, found.prior)).max()
    withheld = found.strange is not None
    return withheld, bool(withheld or distance <= NEAR), found.abstain


def _price(predictor: Predictor, run: Run, predictions: pd.DataFrame, resamples: int) -> Iterator[tuple[object, ...]]:
    """Rows of the test posts: what is withheld of them, and how well the answers rank them without and with that."""
    test, truth = run.workspace.rows("test"), truth_of(run.workspace, "test")
    known = {guard.fit.feature: run.matrix[guard.fit.feature][test] for guard in predictor.guards.values()}
    predictions = predictions[predictions["split"].eq("test")].set_index("post_id", drop=False)
    answers = {
        view: predictions[predictions["view"].eq(view)].loc[truth["post_id"]].reset_index(drop=True)
        for view in predictor.bundle.views
    }
    for view, own in answers.items():
        strange = predictor.strange(view, known)
        withheld = np.logical_or.reduce([np.zeros(len(test), dtype=bool), *strange.values()])
        for share, held in (("withheld", withheld), ("abstained", withheld | own["abstain"].to_numpy())):
            yield (view, "test", ALL, share, held.mean(), *mean_interval(held, truth["group"], resamples), len(test))
        score = own["score"].mask(withheld, float(np.exp(predictor.usual(view).log_score[0])))
        for side, left in left_over(strange).items() if view == "both" else ():
            score = score.mask(left, answers[side]["score"]) if side in answers else score
        guarded = own.assign(score=score)
        for metric, table in (("src", own), ("src_guarded", guarded)):
            posts = evaluated(table, truth)
            figures = rank_correlation(posts.order, posts.log_truth, posts.cluster, resamples)
            yield (view, "test", ALL, metric, *figures, len(test))
        gain = paired_bootstrap(["src"], guarded, own, truth, resamples)["src"]
        yield (view, "test", ALL, "src_difference", *gain, len(test))


def guard_notes(table: pd.DataFrame) -> list[str]:
    """The sentences about the guard that belong beside every figure: what it catches, and what it costs."""
    totals = {
        (row["view"], row["origin"], row["metric"]): row for row in table[table["kind"] == ALL].to_dict("records")
    }
    caught = [
        f"{totals[view, ALL, 'withheld']['value']:.1%} of the {what} "
        f"({totals[view, 'unseen', 'withheld']['value']:.1%} of kinds that nothing was learned from)"
        for view, what in (("text", "titles"), ("image", "pictures"))
        if (view, ALL, "withheld") in totals
    ]
    # The one that sees most.
    view = next(view for view in VIEWS if (view, "test", "withheld") in totals)
    lost, change = (totals[view, "test", metric] for metric in ("withheld", "src_difference"))
    return [
        f"{CAUGHT} {' and '.join(caught)}.",
        f"{LOST} {lost['value']:.1%}; ranked by their other side, or in the middle, they change the SRC by "
        f"{change['value']:+.3f} (95 % interval {change['low']:+.3f} to {change['high']:+.3f}).",
    ][not caught :]
