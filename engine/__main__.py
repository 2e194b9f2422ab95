"""The engine's command line: `python -m engine score|features posts.csv -o table.parquet`."""

# What is heavy to import is imported where it is used, so that --help and a wrong argument answer at once.
import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.addresses import located
from engine.commands import outcome

if TYPE_CHECKING:
    from engine.predictor import Predictor

INPUT = """
The input is .csv, .jsonl, .ndjson or .parquet with any of the columns post_id, title, tags, description and image, at
least title or image among them, and of category, published_at, latitude, longitude and author.* what is known; other
columns are ignored. An image is a path (in Parquet also the picture's bytes).
The output is .parquet or .csv by its ending: one row for each row of the input, in the same order. A row that cannot
be used says why in its column error; the others go on. A row that gives no post_id is called by its number, as in
"row 4". Files, bundle and DIR may be addresses that fsspec knows, such as s3://bucket/posts.csv; a picture is fetched
only where it lies below DIR.
"""
SCORE = f"Predict the engagement level of every post of a file.\n{INPUT}"
FEATURES = f"""Write what a model reads off every post of a file.
{INPUT}
A feature of one number is a column of its name, one of several has a column <feature>.<column> for each. What belongs
to a side that a post lacks is empty.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 not possible (one sentence on stderr), 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m engine", description="First Impressions without a browser.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add(commands, "score", "predict every post of a file", SCORE, _score)
    features = _add(commands, "features", "write what a model reads off every post of a file", FEATURES, _features)
    features.add_argument(
        "--embeddings", action="store_true", help="also the pooled vectors of encoders, where the model reads any"
    )
    options = parser.parse_args(arguments)
    return outcome(lambda: options.run(options), "Stopped; nothing was written.")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    help_text: str,
    description: str,
    run: Callable[[argparse.Namespace], None],
) -> argparse.ArgumentParser:
    """A sub-command that makes one table of one file of posts."""
    parser = commands.add_parser(
        name, help=help_text, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="IN", type=located, help="file of posts: .csv, .jsonl, .ndjson or .parquet")
    parser.add_argument("-o", "--output", metavar="OUT", type=located, required=True, help="table: .parquet or .csv")
    parser.add_argument(
        "--bundle",
        metavar="PATH",
        type=located,
        help="folder of the bundle (default: FIRST_IMPRESSIONS_BUNDLE, else the shipped one)",
    )
    parser.add_argument("--batch-size", metavar="N", type=_batch_size, default=32, help="posts at a time (default: 32)")
    parser.add_argument(
        "--images-root", metavar="DIR", type=located, help="where image paths start (default: IN's folder)"
    )
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="ray: on a cluster, see requirements-ray.txt"
    )
    parser.add_argument(
        "--ray-address", metavar="HOST:PORT", help="head of the cluster, or auto (default: one on this machine alone)"
    )
    parser.set_defaults(run=run)
    return parser


def _score(options: argparse.Namespace) -> None:
    from engine.batch.score import score_file

    with _loaded(options) as (predictor, how):
        print(score_file(predictor, options.source, options.output, **how), file=sys.stderr)


def _features(options: argparse.Namespace) -> None:
    with _loaded(options) as (predictor, how):
        from engine.batch.features import NO_VECTORS, has_vectors, write_features

        if options.embeddings and not has_vectors(predictor):
            print(NO_VECTORS, file=sys.stderr)
        summary = write_features(predictor, options.source, options.output, embeddings=options.embeddings, **how)
    print(f"{summary.scored:,} written, {summary.failed:,} with errors", file=sys.stderr)


@contextmanager
def _loaded(options: argparse.Namespace) -> Iterator[tuple["Predictor", dict[str, Any]]]:
    """The predictor, and how a file is worked through and where; a cluster is there within the block."""
    from engine.batch.ray_data import chosen
    from engine.batch.score import check_files

    check_files(options.source, options.output, options.images_root)
    from engine.predictor import Predictor

    how = {"batch_size": options.batch_size, "images_root": options.images_root, "progress": True}
    with chosen(options.engine, options.ray_address) as engine:
        yield Predictor.load(options.bundle), how | engine


def _batch_size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError("give a whole number from 1 to 1024")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
