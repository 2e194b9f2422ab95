"""The engine's command line: `python -m engine score posts.csv -o predictions.parquet`."""

# What is heavy to import is imported where it is used, so that --help and a wrong argument answer at once.
import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

DESCRIPTION = """\
Predict the engagement level of every post of a file.

The input is .csv, .jsonl, .ndjson or .parquet with any of the columns post_id, title, tags, description and image, at
least title or image among them; other columns are ignored. An image is a path (in Parquet also the picture's bytes).
The output is .parquet or .csv by its ending: one row for each row of the input, in the same order. A row that cannot
be predicted says why in its column error; the others go on.
"""


class Stopped(BaseException):
    """A signal asked for the end. No Exception, so that nothing on the way takes it for a fault of a row."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 not possible (one sentence on stderr), 130 stopped."""
    options = _parser().parse_args(arguments)
    try:
        with _stopped_by_signals():
            return _score(options)
    except Stopped:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="First Impressions without a browser.")
    commands = parser.add_subparsers(required=True, metavar="command")
    score = commands.add_parser(
        "score",
        help="predict every post of a file",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    score.add_argument("source", metavar="IN", type=Path, help="file of posts: .csv, .jsonl, .ndjson or .parquet")
    score.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="table: .parquet or .csv")
    score.add_argument("--bundle", metavar="PATH", type=Path, help="folder of the bundle (default: the shipped one)")
    score.add_argument("--batch-size", metavar="N", type=_batch_size, default=32, help="posts at a time (default: 32)")
    score.add_argument("--images-root", metavar="DIR", type=Path, help="where image paths start (default: IN's folder)")
    return parser


def _batch_size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError("give a whole number from 1 to 1024")
    return int(text)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Within the block, signals that ask for the end raise Stopped, so that what was begun is cleaned away."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    # nohup, or a shell's background, has had some of them ignored: that stays.
    listened = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in listened:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in listened.items():
            signal.signal(number, handler)


def _score(options: argparse.Namespace) -> int:
    from engine.batch.score import check_files, score_file
    from engine.errors import FirstImpressionsError

    try:
        check_files(options.source, options.output)
        from engine.predictor import Predictor

        summary = score_file(
            Predictor.load(options.bundle),
            options.source,
            options.output,
            batch_size=options.batch_size,
            images_root=options.images_root,
            progress=True,
        )
    except FirstImpressionsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(summary, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
