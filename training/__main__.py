"""From raw dumps to a verified bundle: `python -m training prepare|split|extract|train|evaluate|… --help`.

Steps are resumable and write whole files or none. The dataset's folder is given by --data or FIRST_IMPRESSIONS_DATA.
"""

import sys
import time

from engine.errors import FirstImpressionsError
from engine.stopping import Stopped, stopped_by_signals
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
    from jsonargparse import auto_cli

    words = (word.partition("=") for word in (sys.argv[1:] if arguments is None else arguments))
    given = [f"{SWITCHES.get(name, name)}{equals}{value}" for name, equals, value in words]
    began = time.monotonic()
    try:
        with stopped_by_signals():
            auto_cli(STEPS, args=given, as_positional=False)  # type: ignore[arg-type]
    except FirstImpressionsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        advice = "mend that and run the same command again"
        print(f"error: A file cannot be read or written ({reason}); {advice}.", file=sys.stderr)
        return 2
    except Stopped:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
