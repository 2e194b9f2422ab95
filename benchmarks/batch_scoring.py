"""What scoring a file costs beyond its encoders: one ratio, near 1 or above is good.

    python -m benchmarks.batch_scoring [--bundle models/youtube/bundle] [--posts 512] [--rounds 5] [--json FILE]

Measured: posts a second of `engine.batch.score.score_file`, from a Parquet file of made-up posts to a Parquet file of
predictions, warm. Reference: bare forward passes of the bundle's encoders, a batch after the other on tensors that were
prepared before, with as many threads as there are cores. Both run in turns, and the ratio is that of the medians. So
decoding, resizing, tokenizing, statistics, members and the table are in it; and so is that batches are computed side by
side, which is why the same passes side by side are printed as well.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks import hardware
from benchmarks.made_up import write_posts
from benchmarks.single_post import forward, in_turns, prepared
from engine import threads
from engine.batch.rows import read_rows
from engine.batch.score import score_file
from engine.commands import outcome
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor

TARGET = 0.95
BATCH = 32


def batches(source: Path) -> list[list[Post]]:
    """The posts of the file as `score_file` divides them."""
    posts = [Post(row.title, load_image(row.image)) for row in read_rows(source) if row.image is not None]
    return [posts[start : start + BATCH] for start in range(0, len(posts), BATCH)]


def with_threads(count: int, function: Callable[[], object]) -> None:
    """Call, with `count` threads for each operator."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        function()
    finally:
        torch.set_num_threads(before)


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True, rounds=5)
    parser.add_argument("--posts", type=int, default=512, help="posts scored in each round")
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "posts.parquet"), Path(folder, "predictions.parquet")
        write_posts(source, options.posts)
        inputs = [prepared(predictor, posts) for posts in batches(source)]
        runs: dict[str, Callable[[], object]] = {
            "scoring": lambda: score_file(predictor, source, target, batch_size=BATCH),
            "forward passes": lambda: with_threads(threads.cores(), lambda: [forward(batch) for batch in inputs]),
            "forward passes side by side": lambda: list(threads.in_order(forward, inputs)),
        }
        medians = {name: options.posts / taken for name, taken in in_turns(runs, options.rounds).items()}
    ratio = medians["scoring"] / medians["forward passes"]
    print(", ".join(f"{name} {rate:.1f} posts/s" for name, rate in medians.items()))
    print(f"ratio to the passes side by side {medians['scoring'] / medians['forward passes side by side']:.3f}")
    figures = {name: (rate, "posts/s") for name, rate in medians.items()}
    what = "scoring a file, against bare forward passes of its encoders, a batch after the other"
    hardware.note(options, "batch_scoring", what, ratio, TARGET, figures, options.rounds, "higher")


if __name__ == "__main__":
    sys.exit(outcome(main))
