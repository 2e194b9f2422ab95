"""Shares of slices of posts, each set against the posts outside of it, with whole groups drawn (cluster bootstrap).

A slice that a few channels fill tells of those channels: such a one is not tested. A difference is paired, both sides
taken from the same draws.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from dashboard.app_pages.errors.queries import MEASURES, SHARE_SELECTED
from dashboard.reports import Report
from dashboard.scope import Scope
from dashboard.selection import EXPRESSIONS, OUTCOMES, Selection
from dashboard.store import query
from engine.intervals import bounds, cluster_weights, gathered

FIELDS = ("source", "language", "title", "picture", "set")
# Fewer groups, those of many posts counting less, say little of any other group.
FEWEST_GROUPS = 10
# More groups than this are drawn several together, so that an answer does not take the longer the larger a report is.
MOST_GROUPS = 2000
MOST_VALUES = 40
BELOW, ABOVE, SAME, FEW = "below the rest", "above the rest", "no clear difference", "too few groups to test"
COLUMNS = (
    "field", "value", "n", "groups", "share", "low", "high", "rest", "difference", "difference_low", "difference_high",
    "verdict",
)  # fmt: skip

Array = npt.NDArray[np.float64]


@st.cache_data(
    max_entries=100, show_spinner=False, hash_funcs={Report: lambda report: (str(report.folder), report.stamp)}
)
def slices(report: Report, scope: Scope, selection: Selection, measure: str, minimum: int) -> pd.DataFrame:
    """A share per slice of `minimum` posts or more, and of the rest: `COLUMNS`, the largest slice of a field first.

    A slice and its rest answer to the filters on the other fields, not to their own, and not to the outcome filters,
    except that `SHARE_SELECTED` measures how often posts meet those. Intervals are null where groups are too few.
    """
    parts = [_of_field(report, scope, selection, measure, minimum, field) for field in FIELDS]
    return pd.concat(parts, ignore_index=True)


def _of_field(
    report: Report, scope: Scope, selection: Selection, measure: str, minimum: int, field: str
) -> pd.DataFrame:
    if measure == SHARE_SELECTED:
        condition, parameters = selection.only(*OUTCOMES).where()
    else:
        condition, parameters = MEASURES[measure], ()
    where, rest = selection.without(*OUTCOMES, field).where()
    sql = f"""
        WITH evaluated AS (
            SELECT CAST({EXPRESSIONS[field]} AS VARCHAR) AS value, ({condition}) AS hit, unit
            FROM answers WHERE {where}),
        kept AS (SELECT value FROM evaluated GROUP BY value HAVING count(*) >= ? ORDER BY count(*) DESC, value
            LIMIT {MOST_VALUES})
        SELECT k.value, unit, count(*) AS n, count(*) FILTER (hit) AS hits
        FROM evaluated LEFT JOIN kept k USING (value) GROUP BY ALL"""
    table = query(report, sql, (*parameters, *rest, minimum), scope.answers)
    # Posts of no kept value stand in the last place.
    place, values = pd.factorize(table["value"], sort=True)
    if not len(values):
        return pd.DataFrame(columns=COLUMNS)
    place = np.where(place < 0, len(values), place)
    units, unit = np.unique(table["unit"].to_numpy(), return_inverse=True)
    n, hits = (table[name].to_numpy(dtype=np.float64) for name in ("n", "hits"))
    together = gathered(len(units), MOST_GROUPS)
    shape = int(together.max()) + 1, len(values) + 1
    cell = together[unit] * shape[1] + place
    # Posts, and hits among them, by what is drawn and by value.
    counts: Array = np.hstack(
        [np.bincount(cell, some, minlength=shape[0] * shape[1]).reshape(shape) for some in (n, hits)]
    )
    inside, outside = _shares(counts, np.ones((1, shape[0])))[:, 0]
    drawn = np.concatenate([_shares(counts, weights) for weights in _draws(shape[0])], axis=1)
    few = _effective(unit, place, n)[: len(values)] < FEWEST_GROUPS
    share, apart = (np.array([bounds(column) for column in part.T]) for part in (drawn[0], drawn[0] - drawn[1]))
    found = pd.DataFrame({"field": field, "value": values.astype(object)})
    found["n"], found["groups"] = (
        np.bincount(place, some, minlength=shape[1])[:-1].astype(int) for some in (n, np.ones(len(n)))
    )
    found["share"], found["rest"], found["difference"] = inside, outside, inside - outside
    found[["low", "high"]] = np.where(few[:, None], np.nan, share.reshape(-1, 2))
    found[["difference_low", "difference_high"]] = np.where(few[:, None], np.nan, apart.reshape(-1, 2))
    found["verdict"] = np.select(
        [few, found["difference_low"] > 0, found["difference_high"] < 0], [FEW, ABOVE, BELOW], SAME
    )
    # A slice of all posts has nothing to be set against.
    found = found[found["n"] < n.sum()]
    return found.sort_values("n", ascending=False, kind="stable")


@lru_cache(maxsize=4)
def _draws(count: int) -> list[Array]:
    return list(cluster_weights(np.arange(count)))


def _shares(counts: Array, weights: Array) -> Array:
    """Shares of hits inside and outside of every slice for rows of weights (draws, groups): (2, draws, slices).

    `counts` are posts, and beside them hits, by group and slice, (groups, 2 · (slices + 1)), those of no slice last;
    NaN for no posts.
    """
    below, above = np.split(weights @ counts, 2, axis=1)
    parts = [(above[:, :-1], below[:, :-1])]
    parts.append(tuple(table.sum(axis=1, keepdims=True) - table[:, :-1] for table in (above, below)))
    found = [np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0) for part, whole in parts]
    return np.stack(found)


def _effective(unit: npt.NDArray[np.int64], place: npt.NDArray[np.int64], n: Array) -> Array:
    """How many equal groups would say as much as those inside of each slice or, if fewer, outside of it (Kish): the
    square of a sum of posts over the sum of their squares. `n` posts are of the group `unit` and the slice `place`.
    """
    own = np.bincount(unit, n)
    inside, squares, both = (np.bincount(place, values) for values in (n, n**2, n * own[unit]))
    outside, others = own.sum() - inside, (own**2).sum() - 2 * both + squares
    effective: Array = np.minimum(inside**2 / np.maximum(squares, 1), outside**2 / np.maximum(others, 1))
    return effective
