"""The `caption` step whole: train the captioner, then measure it on photos that it never saw, and on covers.

On photos by BLEU-4 against five references. Covers have none, and are out of its domain: there the step asks how many
nouns of a caption stand in the cover's title, and in the titles of other covers, which is what chance gives.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.captioners import Caption, Captioner, load_captioner
from engine.images import load_image
from engine.intervals import RESAMPLES, mean_interval
from training.data.pairs import Pairs, plain_caption, read_covers, read_photos
from training.data.workspace import Workspace
from training.metrics.captions import bleu4
from training.metrics.retrieval import mismatched_rows
from training.modeling.alignment import CAPTIONER, SIGNALS
from training.modeling.captioning import CaptioningConfig, train_captioner
from training.tables import write_table

# Captions of each kind of picture that the report shows.
EXAMPLES = 24


def caption(photos: Path, work: Path, *, epochs: int, minutes: float) -> Path:
    """The folder of the trained captioner; its figures and examples lie beside it."""
    pairs = read_photos(photos)
    folder = train_captioner(pairs, work / CAPTIONER, work / SIGNALS, CaptioningConfig(epochs=epochs), minutes=minutes)
    groups = Workspace(work).posts.set_index("post_id")["group_number"]
    captioner = load_captioner(f"grid:{folder}")
    for name, table in measure(captioner, pairs, read_covers(work), groups).items():
        write_table(work / CAPTIONER / f"{name}.parquet", table)
    return folder


def measure(captioner: Captioner, photos: Pairs, covers: Pairs, groups: pd.Series) -> dict[str, pd.DataFrame]:
    """Tables `captions` and `caption_examples` of test photos and test covers; `groups` by post_id."""
    rows: list[dict[str, Any]] = []
    test = photos.rows("test")
    said = _captions(captioner, photos, test)
    references = [[plain_caption(text) for text in photos.texts[row]] for row in test]
    value, low, high = bleu4([found.text for found in said], references, RESAMPLES)
    rows.append({"dataset": "photos", "metric": "bleu4", "value": value, "low": low, "high": high, "n": len(test)})
    examples = _examples("photos", photos, test, said)
    test = covers.rows("test")
    said = _captions(captioner, covers, test)
    group = groups.reindex([covers.names[row] for row in test]).to_numpy()
    titles = [covers.texts[row][0] for row in test]
    rows += nouns_in_titles([found.text for found in said], titles, group)
    examples += _examples("covers", covers, test, said)
    return {"captions": pd.DataFrame(rows), "caption_examples": pd.DataFrame(examples)}


def _captions(captioner: Captioner, pairs: Pairs, rows: npt.NDArray[np.int64]) -> list[Caption]:
    return [
        found
        for start in range(0, len(rows), 32)
        for found in captioner.captions([load_image(pairs.images[row]) for row in rows[start : start + 32]])
    ]


def _examples(dataset: str, pairs: Pairs, rows: npt.NDArray[np.int64], said: Sequence[Caption]) -> list[dict[str, Any]]:
    """The first so many captions: none is chosen."""
    return [
        {"dataset": dataset, "name": pairs.names[row], "caption": found.text}
        for row, found in zip(rows[:EXAMPLES], said, strict=False)
    ]


@cache
def nouns(text: str) -> frozenset[str]:
    """Nouns of an English sentence in their singular, by TextBlob's tagger."""
    from textblob.en.taggers import PatternTagger

    return frozenset(_singular(word.lower()) for word, tag in PatternTagger().tag(text) if tag.startswith("NN"))


def _singular(word: str) -> str:
    irregular = {"men": "man", "women": "woman", "children": "child", "people": "person"}
    if word in irregular:
        return irregular[word]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def nouns_in_titles(captions: Sequence[str], titles: Sequence[str], groups: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """Share of the captions' nouns that are words of their own title, of other titles, and the paired difference."""
    words = [{_singular(word) for word in re.findall(r"\w+", title.lower())} for title in titles]
    others = mismatched_rows(len(titles), groups)
    found = [nouns(text) for text in captions]
    rows = np.flatnonzero([len(some) > 0 for some in found])
    own = np.array([len(found[row] & words[row]) / len(found[row]) for row in rows])
    elsewhere = [[len(found[row] & words[place]) for place in others[row]] for row in rows]
    other = np.array([np.mean(shared) / len(found[row]) for shared, row in zip(elsewhere, rows, strict=True)])
    return [
        {"dataset": "covers", "metric": metric, "value": float(values.mean())}
        | dict(zip(("low", "high"), mean_interval(values, groups[rows]), strict=True))
        | {"n": len(rows)}
        for metric, values in (("nouns_in_title", own), ("nouns_in_other_title", other), ("difference", own - other))
    ]
