"""From raw dumps to a verified bundle: `python -m training prepare|split|extract|train|evaluate|… --help`.

Steps are resumable and write whole files or none. The dataset's folder is given by --data or FIRST_IMPRESSIONS_DATA.
"""

import sys
import time

from engine.commands import outcome
from training.steps import models, posts, studies

STEPS = {
    step.__name__: step
    for step in (
        *(posts.prepare, posts.split, posts.extract),
        *(models.train, models.refit, models.evaluate, models.crossvalidate, models.explain),
        *(studies.ablate, studies.learn, studies.compare, studies.classify),
        *(studies.align, studies.caption, studies.consistency),
        *(models.ship, models.guard, models.evidence, models.figures),
    )
}
# As they are typed.
SWITCHES = {
    "--as-published": "--as_published=true",
    "--demonstrate-leak": "--leak=true",
    "--ray-address": "--ray_address",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one step; 0 when done, 2 for a mistake that one sentence explains, 130 when interrupted."""
    words = (word.partition("=") for word in (sys.argv[1:] if arguments is None else arguments))
    given = [f"{SWITCHES.get(name, name)}{equals}{value}" for name, equals, value in words]
    return outcome(lambda: _step(given), "stopped; run the same command again to go on")


def _step(given: list[str]) -> None:
    from jsonargparse import auto_cli

    began = time.monotonic()
    auto_cli(STEPS, args=given, as_positional=False)  # type: ignore[arg-type]
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
