"""Which posts a study of picture and words leaves out, and why: the reference system's cleaning, with its rate shown.

Nothing is left out of training. Cleaning removes some levels more than others, so every figure of the study is given
with and without it.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

# The study's language model, captioner and sentence encoder learned English.
LANGUAGE = "en"
LEAST_WORDS = 3
# Letters and spaces among the characters of a title that is more than tags, links and symbols.
LEAST_LETTERS = 0.5
LEAST_SIDE = 64
# Wording odder than that of all but this share of the training posts is taken for noise.
ODDEST = 0.99


def reasons(
    titles: pd.Series, metadata: pd.DataFrame, log_perplexity: npt.NDArray[np.floating], train: npt.NDArray[np.bool_]
) -> npt.NDArray[np.object_]:
    """Why each of n posts is left out, the first reason that holds; "" where it stays.

    `metadata` has language, title_words, image_width and image_height of each; `log_perplexity` (n,) may be NaN.
    """
    length = titles.str.len().clip(lower=1)
    letters = titles.str.count(r"[^\W\d_]|\s") / length
    limit = np.nanquantile(log_perplexity[train], ODDEST) if np.isfinite(log_perplexity[train]).any() else np.inf
    rules = {
        "another language": ~metadata["language"].isin([LANGUAGE, "und"]).to_numpy(),
        f"fewer than {LEAST_WORDS} words": (metadata["title_words"] < LEAST_WORDS).to_numpy(),
        "mostly symbols": (letters < LEAST_LETTERS).to_numpy(),
        "wording not readable": np.isnan(log_perplexity),
        "odd wording": np.nan_to_num(log_perplexity, nan=-np.inf) > limit,
        "tiny picture": (metadata[["image_width", "image_height"]].min(axis=1) < LEAST_SIDE).to_numpy(),
    }
    return np.select([*rules.values()], [*rules], default="").astype(object)
