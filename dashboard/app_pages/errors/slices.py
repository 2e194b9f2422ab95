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
    # A post whose group is unknown is a group of its own.
    sql = f"""
        WITH evaluated AS (
            SELECT CAST({EXPRESSIONS[field]} AS VARCHAR) AS value, ({condition}) AS hit,
                   coalesce(CAST("group" AS VARCHAR), 'post ' || post_id) AS unit FROM answers WHERE {where}),
        kept AS (SELECT value FROM evaluated GROUP BY value HAVING count(*) >= ? ORDER BY count(*) DESC, value
            LIMIT {MOST_VALUES})
        SELECT k.value, unit, count(*) AS n, count(*) FILTER (hit) AS hits
        FROM evaluated LEFT JOIN kept k USING (value) GROUP BY ALL ORDER BY ALL"""
    table = query(report, sql, (*parameters, *rest, minimum), scope.answers)
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    place, values = pd.factorize(table["value"])
    unit, units = pd.factorize(table["unit"])
    # By group and value; in the last column are the posts of no kept value.
    n, hits = (np.zeros((len(units), len(values) + 1)) for _ in range(2))
    np.add.at(n, (unit, place), table["n"])
    np.add.at(hits, (unit, place), table["hits"])
    inside, outside = _shares(n, hits, np.ones((1, len(units))))[:, 0]
    together = gathered(len(units), MOST_GROUPS)
    own_n, own_hits = (np.zeros((together.max() + 1, n.shape[1])) for _ in range(2))
    np.add.at(own_n, together, n)
    np.add.at(own_hits, together, hits)
    drawn = np.concatenate([_shares(own_n, own_hits, weights) for weights in _draws(len(own_n))], axis=1)
    few = np.minimum(_effective(n), _effective(n.sum(axis=1, keepdims=True) - n)) < FEWEST_GROUPS
    share, apart = (np.array([bounds(column) for column in part.T]) for part in (drawn[0], drawn[0] - drawn[1]))
    found = pd.DataFrame({"field": field, "value": values.astype(object), "n": n[:, :-1].sum(axis=0).astype(int)})
    found["groups"] = (n[:, :-1] > 0).sum(axis=0)
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


def _shares(n: Array, hits: Array, weights: Array) -> Array:
    """Shares of hits inside and outside of every slice for rows of weights (draws, groups): (2, draws, slices).

    `n` and `hits` are posts by group and slice, (groups, slices + 1), those of no slice last; NaN for no posts.
    """
    below, above = weights @ n, weights @ hits
    parts = [(above[:, :-1], below[:, :-1])]
    parts.append(tuple(table.sum(axis=1, keepdims=True) - table[:, :-1] for table in (above, below)))
    found = [np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0) for part, whole in parts]
    return np.stack(found)


def _effective(n: Array) -> Array:
    """For each slice, how many equal groups would say as much (Kish): the square of the sum over the sum of squares."""
    n = n[:, :-1]
    return n.sum(axis=0) ** 2 / np.maximum((n**2).sum(axis=0), 1)
