"""What titles cost a language model one by one and together: one ratio, the more above 1 the better.

    python -m benchmarks.perplexity [--model smollm2] [--titles 64] [--rounds 5] [--json FILE]

Measured: titles a second of `LanguageModel.surprise` when all are given at once, warm. Reference: the same titles, one
call each, as when visitors come. Both run in turns, and the ratio is that of the medians. The time of a single title is
printed with its target, and that of loading the model, which the first title waits for.
"""

import statistics
import sys

import numpy as np

from benchmarks import hardware
from benchmarks.made_up import WORDS
from benchmarks.single_post import seconds
from engine import threads
from engine.commands import outcome
from engine.language_models import load_language_model

TARGET = 4.0
# Milliseconds of a single title.
TARGET_SINGLE = 150


def main() -> None:
    parser = hardware.parser(__doc__, rounds=5)
    parser.add_argument("--model", default="smollm2", help="what load_language_model takes")
    parser.add_argument("--titles", type=int, default=64, help="titles in each round")
    options = parser.parse_args()
    threads.configure()
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, generator.integers(3, 16))) for _ in range(options.titles)]
    model = load_language_model(options.model)
    loading = seconds(lambda: model.surprise(texts[:1]))
    single, together = [], []
    for number in range(options.rounds + 1):
        times = [seconds(lambda text=text: model.surprise([text])) for text in texts]  # type: ignore[misc]
        whole = seconds(lambda: model.surprise(texts))
        if number:
            single += times
            together.append(whole / len(texts))
    one, each = 1000 * statistics.median(single), 1000 * statistics.median(together)
    print(f"{model.name} in {str(model.dtype).removeprefix('torch.')}, loaded in {loading:.1f} s")
    print(f"a single title {one:.1f} ms (target ≤ {TARGET_SINGLE} ms), of {len(texts)} at once {each:.1f} ms a title")
    figures = {"a single title": (one, "ms"), "one of many": (each, "ms"), "loading": (loading, "s")}
    what = "titles a second of the language model when many come at once, against one by one"
    hardware.note(options, "perplexity", what, one / each, TARGET, figures, options.rounds, "higher", answered=False)


if __name__ == "__main__":
    sys.exit(outcome(main))
