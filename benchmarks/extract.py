"""What extraction costs beyond the encoders, and what a plain loop would: two ratios, higher is good.

    python -m benchmarks.extract [--bundle models/youtube/bundle] [--posts 512] [--rounds 3] [--json FILE]

Measured: pictures and titles a second of `training.features.extract`, which `python -m training extract` runs: made-up
posts out of a work folder's posts.parquet, through the bundle's encoders, into a new feature store. References: bare
forward passes of the same encoders, a batch after the other on tensors that were prepared before; and the loop that
one would write, which decodes, prepares and passes on one post after the other in the weights' own precision. All run
in turns, and the ratios are those of the medians. So decoding, resizing, tokenizing and the store are in it; and so are
bfloat16, where an encoder takes it on this processor, and that batches are computed side by side.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import hardware
from benchmarks.batch_scoring import BATCH, with_threads
from benchmarks.made_up import write_posts
from benchmarks.single_post import forward, in_turns, prepared
from engine import threads
from engine.commands import outcome
from engine.features.encoder_vector import EncoderVector
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from training.features.extract import extract, file_hashes

TARGET, LOOP = 0.9, 2.0


def work_folder(folder: Path, count: int) -> list[Post]:
    """Made-up posts as `prepare` leaves them, pictures in posts.parquet; returned are the posts without these."""
    table = pq.read_table(write_posts(folder / "made-up.parquet", count))
    ids = [f"p{number}" for number in range(count)]
    pq.write_table(table.append_column("post_id", pa.array(ids)), folder / "posts.parquet")
    return [Post(title, post_id=post_id) for title, post_id in zip(table["title"].to_pylist(), ids, strict=True)]


def features(predictor: Predictor) -> list[EncoderVector]:
    """What the bundle's encoders give."""
    return [feature for feature in predictor.extractor.features.values() if isinstance(feature, EncoderVector)]


def extracted(work: Path, predictor: Predictor, posts: Sequence[Post]) -> None:
    """All features of the posts, into a store of their own."""
    with TemporaryDirectory(dir=work) as store:
        (Path(store) / "posts.parquet").symlink_to(work / "posts.parquet")
        files = file_hashes(Path(store))
        for feature in features(predictor):
            found = extract(Path(store), feature, posts, files, {})
            if found.computed != len(set(files if feature.modalities == ("image",) else (p.title for p in posts))):
                raise SystemExit(f"Only {found.computed} of {len(posts)} posts were extracted.")


@torch.inference_mode()
def one_by_one(predictor: Predictor, posts: Sequence[Post], images: Sequence[bytes]) -> None:
    """The plain loop: one post at a time, each side through its encoder."""
    for post, data in zip(posts, images, strict=True):
        items = {"image": load_image(data), "text": post.text(predictor.text_fields)}
        for encoder in predictor.encoders.values():
            batch = encoder.prepare([items[encoder.modality]])
            encoder.forward({name: value.to(encoder.device) for name, value in batch.items()})[0].float().cpu()


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True, rounds=3)
    parser.add_argument("--posts", type=int, default=512, help="posts extracted in each round")
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        posts = work_folder(work, options.posts)
        images = pq.read_table(work / "posts.parquet", columns=["image"])["image"].to_pylist()
        shown = [Post(post.title, load_image(data)) for post, data in zip(posts, images, strict=True)]
        inputs = [prepared(predictor, shown[start : start + BATCH]) for start in range(0, len(shown), BATCH)]
        runs: dict[str, Callable[[], object]] = {
            "extraction": lambda: extracted(work, predictor, posts),
            "forward passes": lambda: with_threads(threads.cores(), lambda: [forward(batch) for batch in inputs]),
            "plain loop": lambda: with_threads(threads.cores(), lambda: one_by_one(predictor, posts, images)),
        }
        medians = {name: options.posts / taken for name, taken in in_turns(runs, options.rounds).items()}
    ratio, times = (medians["extraction"] / medians[name] for name in ("forward passes", "plain loop"))
    precisions = ", ".join(f"{role} {encoder.name} in {encoder.dtype}" for role, encoder in predictor.encoders.items())
    print(", ".join(f"{name} {rate:.1f} posts/s" for name, rate in medians.items()), f"({precisions})")
    print(f"ratio to the plain loop {times:.3f} (target ≥ {LOOP})")
    what = "extraction of pictures and titles, against bare forward passes of its encoders, a batch after the other"
    figures = {name: (rate, "posts/s") for name, rate in medians.items()}
    hardware.note(options, "extract", what, ratio, TARGET, figures, options.rounds, "higher")


if __name__ == "__main__":
    sys.exit(outcome(main))
