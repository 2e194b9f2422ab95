"""What scoring costs on a Ray cluster: one ratio, near 1 or above is good, and what a million posts cost.

    python -m benchmarks.ray [--bundle models/youtube/bundle] [--posts 2048] [--price 0.05] [--ray-address HOST:PORT]

Measured: posts a second of `engine.batch.score.score_file` on the cluster, by default one of this machine's cores, from
the first batch written to the last; until the first one the workers load their models, which is printed apart.
Reference: the same on this machine without Ray, in the same run. The ratio is that of posts a second and core; from it
follow the core-hours of a million posts, and at `--price` for one their price.
"""

import sys
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import hardware
from benchmarks.made_up import write_posts
from engine import threads
from engine.batch.ray_data import cluster
from engine.batch.rows import Row
from engine.batch.score import Engine, here, score_file
from engine.batch.table import Record
from engine.commands import outcome
from engine.predictor import Predictor

TARGET = 0.9
MILLION = 1_000_000


@dataclass
class Timed:
    """An engine that notes when it was asked, and when each batch came, in seconds."""

    engine: Engine
    began: float = 0.0
    came: list[tuple[float, int]] = field(default_factory=list)

    def __call__(
        self,
        records_of: Callable[[list[Row]], list[Record]],
        read: Callable[[], Iterable[list[Row]]],
        failed: Callable[[list[Row], str], list[Record]],
    ) -> Generator[list[Record], None, None]:
        self.began = time.perf_counter()
        for records in self.engine(records_of, read, failed):
            self.came.append((time.perf_counter(), len(records)))
            yield records

    @property
    def start(self) -> float:
        """Seconds until the first batch."""
        return self.came[0][0] - self.began

    @property
    def rate(self) -> float:
        """Posts a second after the first batch."""
        return sum(posts for _, posts in self.came[1:]) / (self.came[-1][0] - self.came[0][0])


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True)
    parser.add_argument("--posts", type=int, default=2048, help="posts scored by each")
    parser.add_argument("--price", type=float, default=0.05, help="of a core for an hour, in any currency")
    parser.add_argument("--ray-address", help="head of a cluster; one on this machine by default")
    options = parser.parse_args()
    predictor = Predictor.load(options.bundle)
    local = Timed(here)
    with TemporaryDirectory() as folder:
        source, target = write_posts(Path(folder, "posts.parquet"), options.posts), Path(folder, "predictions.parquet")
        score_file(predictor, source, target, engine=local)
        with cluster(options.ray_address) as engine:
            import ray

            cores = int(ray.cluster_resources()["CPU"])
            there = Timed(engine)
            score_file(predictor, source, target, engine=there)
    ratio = (there.rate / cores) / (local.rate / threads.cores())
    hours = cores * MILLION / there.rate / 3600
    print(f"Ray {there.rate:.1f} posts/s on {cores} cores, here {local.rate:.1f} posts/s on {threads.cores()}")
    print(f"{there.start:.0f} s until the first batch")
    print(f"a million posts: {hours:.1f} core-hours, {hours * options.price:.2f} at {options.price:g} a core-hour")
    figures = {
        "Ray": (there.rate, "posts/s"),
        "without Ray": (local.rate, "posts/s"),
        "cores": (float(cores), ""),
        "until the first batch": (there.start, "s"),
        "a million posts": (hours, "core-hours"),
    }
    what = "scoring a file on a Ray cluster, against scoring it without, per core"
    hardware.note(options, "ray", what, ratio, TARGET, figures, 1, "higher")


if __name__ == "__main__":
    sys.exit(outcome(main))
