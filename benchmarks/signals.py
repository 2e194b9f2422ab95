"""Is a prediction with all that is read of picture and words there before a visitor waits? A ratio, at most 1 is good.

    python -m benchmarks.signals [--rounds 10] [--json FILE]

Measured: `Predictor.predict` and then `Signals.read` of each pictured example of the page, warm, with a number written
on it as covers bear words, another every time so that nothing is remembered. Reference: what is promised of both
together. The ratio is that of the median over examples and rounds; beside it stand the slowest of them, and the
prediction alone, which the page shows first. Signals whose packages are missing would cost nothing, so all must be
installed.
"""

import statistics
import sys
from functools import partial

from PIL import ImageDraw, ImageFont

from benchmarks import hardware
from benchmarks.single_post import seconds
from engine.commands import outcome
from engine.images import load_image
from engine.posts import Post
from engine.predictor import Predictor
from engine.signals import OFF, Signals
from ui.examples import EXAMPLES

PROMISED = 0.4
WARM_UP = 2


def posts(number: int) -> list[Post]:
    """The pictured examples, each with a title and lettering of its own for every `number`."""
    found = []
    for example in EXAMPLES:
        if example.path is not None:
            image = load_image(example.path)
            font = ImageFont.load_default(image.height / 5)
            ImageDraw.Draw(image).text((image.width / 10, image.height / 2), f"PART {number}", "yellow", font)
            found.append(Post(title=f"{example.title} {number}", image=image))
    return found


def main() -> None:
    parser = hardware.parser(__doc__, rounds=10)
    options = parser.parse_args()
    predictor, signals = Predictor.load(), Signals()
    off = [signal for signal in signals.read(posts(0)[0]).values() if signal.why == OFF]
    if off:
        raise SystemExit(f"Not every signal can be read: {off[0].name}. {off[0].why}")
    alone, whole = [], []
    for number in range(WARM_UP + options.rounds):
        for post in posts(number):
            predicted = seconds(partial(predictor.predict, [post]))
            read = seconds(partial(signals.read, post))
            if number >= WARM_UP:
                alone.append(predicted)
                whole.append(predicted + read)
    median = statistics.median(whole)
    figures = {
        "prediction and signals": (1000 * median, "ms"),
        "slowest": (1000 * max(whole), "ms"),
        "prediction": (1000 * statistics.median(alone), "ms"),
    }
    print(", ".join(f"{name} {value:.0f} {unit}" for name, (value, unit) in figures.items()))
    what = "one prediction with all that is read of picture and words, against what a visitor is promised"
    hardware.note(options, "signals", what, median / PROMISED, 1, figures, len(whole))


if __name__ == "__main__":
    sys.exit(outcome(main))
