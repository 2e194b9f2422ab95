"""A draft beside an account's own posts: how it is likely to do against what is usual there, and how sure that is.

Of an account only the engagement of its posts is known, not what they showed, so the model cannot answer those posts.
Its answer to the draft is m on the log scale, with an 80 % interval that says how far posts lie off: variance R. Part
of R belongs to the account, which the model does not see, and is the same for all its posts; the rest is each post's.
What is usual for the account, the median of as many posts as one likes, is θ:

    y = m + a + w,   θ = m + a + d,   r = θ + e,   a ~ N(0, A),  w ~ N(0, R − A),  d ~ N(0, D),  e ~ N(0, E)

d says by how much its posts, as the model would answer them, are usually not this draft; r is the median of the n that
are known, off by e, with E = S·π / (2n + π − 2) for posts of variance S (exact for n = 1 and for many). S is that of w
and d together, hence D = S − (R − A). What is asked for is y − θ = w − d, of which z = r − m = a + d + e tells:

    E[y − θ | z] = −D·z / T,   Var[y − θ | z] = R − A + D·(1 − D / T),   T = A + D + E

(the conditional normal; Gelman et al., Bayesian Data Analysis, 5.4). With few posts T is large: then little is said
for or against the draft, and the interval is wide. In the place of T stands z² where that is more: the positive part
of James and Stein (Efron & Morris 1975), by which an account that is nothing like those that the model learned from is
taken as it is, and not for one that this draft would outdo by far. `python -m benchmarks.account` measures the two
shares below, and how often the interval holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.drafts.compare import REACH, span
from engine.prediction import Prediction

Array = npt.NDArray[np.float64]

# Of what the model leaves open (R), the share that posts of one group have in common (A); and of the variance of all
# log scores (`variance_of`), the share within groups (S); more than 1, for the ends are left out of that one. Both are
# of validation posts: those of test measure what comes of it.
OF_ACCOUNT, WITHIN = 0.07, 1.05


@dataclass(frozen=True)
class Against:
    """A draft as a multiple of what is usual: the median, and both ends of the 80 % interval.

    `usual` is the median score of the account's `count` posts, which estimates it.
    """

    middle: float
    low: float
    high: float
    usual: float
    count: int


def variance_of(quantiles: Sequence[float]) -> float:
    """The variance that even quantiles of log scores tell of, both ends left out, which are of single posts."""
    return float(np.var(quantiles[1:-1]))


def against(prediction: Prediction, log_scores: Sequence[float], quantiles: Sequence[float]) -> Against:
    """A draft against the log scores of an account's posts, of which there is at least one.

    `quantiles` are those of the log scores of all posts the model learned from.
    """
    usual, count = float(np.median(log_scores)), len(log_scores)
    found = beside(np.array([span(prediction)]), np.array([usual]), count, variance_of(quantiles))[0]
    middle, low, high = (math.exp(step) for step in found)
    return Against(middle, low, high, math.exp(usual), count)


def beside(spans: Array, usual: Array, count: int, variance: float) -> Array:
    """By how much k drafts are above what is usual for their accounts, with both ends of the 80 % interval, (k, 3).

    In log scores. `spans` (k, 3) are the model's own, as `engine.drafts.compare.span` has them, `usual` (k,) the
    medians of `count` log scores each, `variance` that of all.
    """
    middle, low, high = spans.T
    left_open = np.maximum((high - low) / (2 * REACH), 1e-9) ** 2
    own, within = (1 - OF_ACCOUNT) * left_open, WITHIN * variance
    others = np.maximum(within - own, 0.0)
    distance = usual - middle
    total = OF_ACCOUNT * left_open + others + within * math.pi / (2 * count + math.pi - 2)
    share = others / np.maximum(total, distance**2)
    centre = -share * distance
    wider = np.sqrt((own + others * (1 - share)) / left_open)
    found: Array = np.stack([centre, centre + wider * (low - middle), centre + wider * (high - middle)], axis=1)
    return found
