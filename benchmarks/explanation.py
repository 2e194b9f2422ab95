"""What an explanation costs beyond the forward passes it cannot do without: one ratio, near 1 is good.

    python -m benchmarks.explanation [--bundle models/youtube/bundle] [--rounds 5] [--json FILE]

Reference: the encoders that members read alone, on as many picture and text variants as the explanation before it
encoded, in batches as full as its own, side by side: how many there is time for differs. Both run in turns in one
process, and the ratio is that of the medians. Everything the explanation adds is in it: superpixels, masks, heads,
calibration and bookkeeping.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import hardware
from engine import threads
from engine.commands import outcome
from engine.explain import owen, regions
from engine.explain.game import VARIANTS_PER_CALL
from engine.explain.words import split_title
from engine.features.encoder_vector import EncoderVector
from engine.posts import Post
from engine.predictor import Predictor

TARGET = 1.3
TITLE = "I tried to make coffee like a barista for 30 days and it went wrong"


def example() -> Post:
    """A photograph that comes with scikit-image, under a title written for the project."""
    from skimage import data

    return Post(title=TITLE, image=Image.fromarray(data.coffee()))


def picture_variants(image: Image.Image, count: int) -> list[Image.Image]:
    """Different pictures of the size and kind that the explanation encodes."""
    small = regions.shrink(image)
    segments = regions.find_regions(small)
    keep = np.random.default_rng(0).random((count, int(segments.max()) + 1)) < 0.5
    return list(regions.mask_regions(small, segments, keep, regions.baseline_picture(small)))


def text_variants(title: str, count: int) -> list[Post]:
    """Different titles with about half of the words, as the explanation encodes them."""
    pieces = split_title(title)
    keep = np.random.default_rng(1).random((count, len(pieces))) < 0.5
    return [Post(title="".join(np.array(pieces)[row]).strip() or pieces[0]) for row in keep]


def forward(predictor: Predictor, pictures: list[Image.Image], texts: list[Post]) -> float:
    """Seconds of the members' encoders alone: a guard's looks at the whole post, not at what is left of it."""
    read = [predictor.extractor.features[name] for name in predictor.reads]
    encoders = {feature.role: feature.encoder for feature in read if isinstance(feature, EncoderVector)}
    started = time.perf_counter()
    for encoder in encoders.values():
        words = [text.text(predictor.text_fields) for text in texts]
        items: Sequence[Any] = pictures if encoder.modality == "image" else words
        parts = [items[part] for part in threads.shares(len(items), VARIANTS_PER_CALL)]
        list(threads.in_order(encoder.encode, parts))
    return time.perf_counter() - started


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True, rounds=5)
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    post = example()
    assert post.image is not None
    rounds = []
    for number in range(options.rounds + 1):
        found = owen.explain(predictor, post, seed=number)
        bare = forward(
            predictor, picture_variants(post.image, found.image_passes), text_variants(post.title, found.text_passes)
        )
        # The first warms up.
        if number:
            rounds.append((found.seconds, bare))
            print(
                f"{found.image_passes} pictures, {found.text_passes} texts, {found.evaluations} coalitions: "
                f"explanation {found.seconds:.2f} s, forward passes alone {bare:.2f} s"
            )
    whole, part = (statistics.median(values) for values in zip(*rounds, strict=True))
    print(f"medians: explanation {whole:.2f} s, forward passes alone {part:.2f} s")
    figures = {"explanation": (whole, "s"), "forward passes": (part, "s")}
    what = "one explanation (Owen values), against the forward passes it cannot do without"
    hardware.note(options, "explanation", what, whole / part, TARGET, figures, options.rounds)


if __name__ == "__main__":
    sys.exit(outcome(main))
