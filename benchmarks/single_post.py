"""What the prediction of one post costs beyond its encoders: one ratio, near 1 is good.

    python -m benchmarks.single_post [--bundle models/youtube/bundle] [--rounds 60] [--json FILE] [--profile]

Measured: `Predictor.predict` of one post with picture and title, warm. Reference: bare forward passes of the bundle's
encoders on tensors that were prepared before. Both run in turns, and the ratio is that of the medians. So everything
that is no forward pass is in it: resizing, tokenising, statistics, n-grams, heads, calibration.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import hardware
from engine.encoders import Encoder
from engine.encoders.base import Batch
from engine.encoders.runtime import autocast
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from ui.examples import EXAMPLES

TARGET = 1.3
WARM_UP = 10


def example() -> Post:
    """The first example of the page: a photograph that comes with scikit-image under a title of the project's own."""
    assert EXAMPLES[0].path is not None
    return Post(title=EXAMPLES[0].title, image=load_image(EXAMPLES[0].path))


def prepared(predictor: Predictor, post: Post) -> list[tuple[Encoder, Batch]]:
    """The encoders, each with the tensors of the post's side."""
    items = {"text": post.text(predictor.bundle.text_fields), "image": post.image}
    return [(encoder, encoder.prepare([items[encoder.modality]])) for encoder in predictor.encoders.values()]


@torch.inference_mode()
def forward(inputs: list[tuple[Encoder, Batch]]) -> None:
    """The encoders alone."""
    for encoder, batch in inputs:
        with autocast(encoder.device, encoder.dtype):
            encoder.forward({name: value.to(encoder.device) for name, value in batch.items()})[0].float().cpu()


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", default=None, help="folder of a bundle; the shipped one by default")
    parser.add_argument("--rounds", type=int, default=60, help="measured rounds, after a few that warm up")
    parser.add_argument("--json", type=Path, help="a report's hardware.json, to put the figures into")
    parser.add_argument("--profile", action="store_true", help="print where the time of a prediction goes")
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    post = example()
    inputs = prepared(predictor, post)
    if not inputs:
        raise SystemExit("This bundle has no encoders, so there is nothing to compare with.")
    predicted, bare = [], []
    for number in range(WARM_UP + options.rounds):
        whole, part = seconds(lambda: predictor.predict([post])), seconds(lambda: forward(inputs))
        if number >= WARM_UP:
            predicted.append(whole)
            bare.append(part)
    names = " and ".join(encoder.name for encoder, _ in inputs)
    whole, part = 1000 * statistics.median(predicted), 1000 * statistics.median(bare)
    print(
        f"prediction {whole:.1f} ms, forward passes of {names} alone {part:.1f} ms, {torch.get_num_threads()} threads"
    )
    print(f"ratio {whole / part:.3f} (target ≤ {TARGET})")
    if options.json:
        figures = {"prediction": (whole, "ms"), "forward passes": (part, "ms")}
        what = "one prediction, against bare forward passes of its encoders"
        hardware.merge(options.json, "single_post", hardware.entry(what, whole / part, TARGET, figures, options.rounds))
    if options.profile:
        profile(lambda: predictor.predict([post]), options.rounds)


def profile(function: Callable[[], object], rounds: int) -> None:
    """Print the functions that took most of `rounds` calls."""
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    with profiler:
        for _ in range(rounds):
            function()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats("(engine|catboost|PIL|tokeni|features)", 40)


if __name__ == "__main__":
    main()
