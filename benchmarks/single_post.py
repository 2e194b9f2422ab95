"""What the prediction of one post costs beyond its encoders: one ratio, near 1 is good.

    python -m benchmarks.single_post [--bundle models/youtube/bundle] [--rounds 60] [--json FILE] [--profile]

Measured: `Predictor.predict` of one post with picture and title, warm. Reference: bare forward passes of the bundle's
encoders, one after the other, on tensors that were prepared before. Both run in turns, and the ratio is that of the
medians. So everything that is no forward pass is in it: resizing, tokenising, statistics, n-grams, heads, calibration.
The sides of a post are computed side by side where there is more than one core; the passes side by side are shown too.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from benchmarks import hardware
from engine import threads
from engine.commands import outcome
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


def prepared(predictor: Predictor, posts: Sequence[Post]) -> list[tuple[Encoder, Batch]]:
    """The encoders with the tensors of their slices of some posts, as they divide them themselves."""
    inputs = []
    for encoder in predictor.encoders.values():
        items: list[Any] = [
            post.image if encoder.modality == "image" else post.text(predictor.text_fields) for post in posts
        ]
        if encoder.modality == "text":
            items.sort(key=len)
        slices = [items[start : start + encoder.batch_size] for start in range(0, len(items), encoder.batch_size)]
        inputs += [(encoder, encoder.prepare(part)) for part in slices]
    return inputs


@torch.inference_mode()
def forward(inputs: Iterable[tuple[Encoder, Batch]]) -> None:
    """The encoders alone."""
    for encoder, batch in inputs:
        with autocast(encoder.device, encoder.dtype):
            encoder.forward({name: value.to(encoder.device) for name, value in batch.items()})[0].float().cpu()


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def in_turns(runs: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median seconds of each run over so many rounds, in which they take turns; those that warm up do not count."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm_up + rounds):
        for name, run in runs.items():
            found = seconds(run)
            if number >= warm_up:
                taken[name].append(found)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True, rounds=60)
    parser.add_argument("--profile", action="store_true", help="print where the time of a prediction goes")
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    post = example()
    inputs = prepared(predictor, [post])
    if not inputs:
        raise SystemExit("This bundle has no encoders, so there is nothing to compare with.")
    runs: dict[str, Callable[[], object]] = {
        "prediction": lambda: predictor.predict([post]),
        "forward passes": lambda: forward(inputs),
        "forward passes side by side": lambda: list(threads.in_order(forward, ([pair] for pair in inputs))),
    }
    medians = {name: 1000 * value for name, value in in_turns(runs, options.rounds, WARM_UP).items()}
    ratio = medians["prediction"] / medians["forward passes"]
    print(", ".join(f"{name} {value:.1f} ms" for name, value in medians.items()))
    print(f"encoders: {' and '.join(encoder.name for encoder, _ in inputs)}")
    print(f"ratio to the passes side by side {medians['prediction'] / medians['forward passes side by side']:.3f}")
    figures = {name: (value, "ms") for name, value in medians.items()}
    what = "one prediction, against bare forward passes of its encoders, one after the other"
    hardware.note(options, "single_post", what, ratio, TARGET, figures, options.rounds)
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
    sys.exit(outcome(main))
