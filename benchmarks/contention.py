"""How much of its fair share `python -m engine score` gets beside other work: one ratio, near 1 is good.

    python -m benchmarks.contention [--bundle models/youtube/bundle] [--posts 600] [--rounds 3] [--json FILE]

Measured: posts a second of the command line, on made-up posts, beside two Python processes that spin. Reference: the
fair share of what it does alone; on 2 cores two threads beside two others are due one half. Both run in turns, and
the ratio is that of the medians. Loading the model is not in it.
"""

import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import hardware
from benchmarks.made_up import write_posts
from engine import threads
from engine.commands import outcome

TARGET = 0.8
NEIGHBOURS = 2
RATE = re.compile(r"([\d.]+) posts/s")


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """`count` processes that keep a core busy each until the block ends."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def posts_a_second(arguments: Sequence[str | Path]) -> float:
    """Rate that the command line shows at its end."""
    command = [sys.executable, "-m", "engine", "score", *arguments]
    ran = subprocess.run(command, cwd=hardware.ROOT, capture_output=True, text=True, timeout=1800)
    rates = RATE.findall(ran.stderr)
    if ran.returncode or not rates:
        raise SystemExit(f"The measured process failed:\n{ran.stderr}")
    return float(rates[-1])


def main() -> None:
    parser = hardware.parser(__doc__, bundle=True, rounds=3)
    parser.add_argument("--posts", type=int, default=600, help="posts scored in each run")
    options = parser.parse_args()
    alone, beside = [], []
    with TemporaryDirectory() as folder:
        source = write_posts(Path(folder, "posts.parquet"), options.posts)
        bundle = ["--bundle", str(Path(options.bundle).resolve())] if options.bundle else []
        arguments: list[str | Path] = [source, "-o", Path(folder, "predictions.parquet"), *bundle]
        posts_a_second(arguments)
        for _ in range(options.rounds):
            alone.append(posts_a_second(arguments))
            with neighbours(NEIGHBOURS):
                beside.append(posts_a_second(arguments))
    quiet, busy = statistics.median(alone), statistics.median(beside)
    share = quiet * threads.cores() / (threads.cores() + NEIGHBOURS)
    print(f"alone {quiet:.1f} posts/s, beside {NEIGHBOURS} busy loops {busy:.1f}, fair share {share:.1f}")
    figures = {name: (value, "posts/s") for name, value in (("alone", quiet), ("beside", busy), ("fair share", share))}
    what = f"scoring a file beside {NEIGHBOURS} busy loops, against its fair share of the quiet rate"
    hardware.note(options, "contention", what, busy / share, TARGET, figures, options.rounds, "higher")


if __name__ == "__main__":
    sys.exit(outcome(main))
