"""How good captions are: BLEU-4 against several references (Papineni et al. 2002), by sacrebleu, with intervals.

Texts are plain (`training.data.pairs.plain_caption`): lower case, without punctuation, as the field's tools compare.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.intervals import bounds, cluster_weights


def bleu4(
    captions: Sequence[str], references: Sequence[Sequence[str]], resamples: int = 0
) -> tuple[float, float, float]:
    """BLEU-4 of n captions against the references of each, 0..1, and its 95 % interval over photos.

    The bounds are NaN without resamples.
    """
    from sacrebleu.metrics import BLEU

    metric = BLEU(tokenize="none", effective_order=True)
    scores = [metric.sentence_score(text, list(texts)) for text, texts in zip(captions, references, strict=True)]
    # Of each photo: matching and all n-grams of 1 to 4 words, and the lengths of the caption and the nearest reference.
    counts = np.array([[*found.counts, *found.totals, found.sys_len, found.ref_len] for found in scores])

    def score(total: npt.NDArray[np.floating]) -> float:
        *grams, own, nearest = (round(value) for value in total.tolist())
        return float(BLEU.compute_bleu(grams[:4], grams[4:], own, nearest).score) / 100

    drawn = [score(row @ counts) for weights in cluster_weights(np.arange(len(counts)), resamples) for row in weights]
    return (score(counts.sum(axis=0)), *bounds(np.array(drawn)))
