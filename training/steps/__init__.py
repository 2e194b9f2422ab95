"""The steps of `python -m training`: each docstring is what `--help` says, each import waits for its step."""

from pathlib import Path

WORK = Path("work/youtube")
