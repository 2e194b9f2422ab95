"""hardware.json of a report: the figures of each benchmark, with the machine, threads and versions they belong to."""

import argparse
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import engine.bundle
from engine import threads
from engine.bundle import folder_of, read_bundle
from engine.errors import DataError
from engine.files import write_json

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("torch", "transformers", "captum", "catboost", "gradio")
PROCESSORS = Path("/proc/cpuinfo")

Figures = Mapping[str, tuple[float, str]]
Better = Literal["higher", "lower"]


def entry(
    what: str, ratio: float, target: float, figures: Figures, rounds: int, better: Better = "lower", bundle: str = ""
) -> dict[str, Any]:
    """What a benchmark found: `what` names the measured and its reference, `figures` maps names to (median, unit).

    `better` says on which side of the target a ratio is good: those of times are at most that, of rates at least.
    `bundle` is the `identity` of the one that answered, where one did.
    """
    import torch

    return {
        "what": what,
        "ratio": round(ratio, 3),
        "target": target,
        "better": better,
        **({"bundle": bundle} if bundle else {}),
        "figures": [
            {"name": name, "value": float(f"{value:.3g}"), "unit": unit} for name, (value, unit) in figures.items()
        ],
        "rounds": rounds,
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "versions": {"Python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def identity(place: str | Path | None) -> str:
    """Which bundle lies there, or would be loaded where None."""
    return engine.bundle.identity(read_bundle(folder_of(place)))


def machine() -> str:
    """Processor, cores that may be used, GPU if any, and system, in words."""
    import torch

    cores = threads.cores()
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    return ", ".join(
        [_processor(), f"{cores} core{'s' * (cores > 1)}", *gpu, f"{platform.system()} {platform.machine()}"]
    )


def _processor() -> str:
    """The processor's own name, which Python gives on few systems."""
    if PROCESSORS.exists():
        for line in PROCESSORS.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "unnamed processor"


def parser(doc: str | None, *, bundle: bool = False, rounds: int = 0) -> argparse.ArgumentParser:
    """What reads a benchmark's command line, with the file for `keep` and, where one is measured, for a `bundle`.

    `doc` is the module's docstring; so many `rounds` are measured by default, 0 where there are none.
    """
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--json", type=Path, help="a report's hardware.json, to put the figures into")
    if bundle:
        made.add_argument("--bundle", help="folder of a bundle; the shipped one by default")
    if rounds:
        made.add_argument("--rounds", type=int, default=rounds, help="measured rounds, after those that warm up")
    return made


def keep(path: Path | None, name: str, found: Mapping[str, Any]) -> None:
    """Put a benchmark's entry into the file, which is made if need be; entries of other names stay as they were.

    Nothing is kept without a file. Raises DataError when there is a file that is no JSON object, and leaves it alone.
    """
    if path is None:
        return
    known: Any = {}
    if path.exists():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is no JSON file; remove it, or name another.") from error
        if not isinstance(known, dict):
            raise DataError(f"{path} holds no JSON object; remove it, or name another.")
    write_json(path, dict(sorted({**known, name: dict(found)}.items())))


def note(
    options: argparse.Namespace,
    name: str,
    what: str,
    ratio: float,
    target: float,
    figures: Figures,
    rounds: int,
    better: Better = "lower",
    *,
    answered: bool = True,
) -> None:
    """Print the ratio that a benchmark found, and put what it found, see `entry`, into the file of its `options`.

    Where a bundle `answered`, it is that of the `options`, or the shipped one.
    """
    print(f"ratio {ratio:.3f} (target {'≥' if better == 'higher' else '≤'} {target})")
    bundle = identity(getattr(options, "bundle", None)) if answered else ""
    keep(options.json, name, entry(what, ratio, target, figures, rounds, better, bundle))


def ran(command: Sequence[str], **settings: Any) -> str:
    """What a new process printed, in this repository's folder. Raises SystemExit, with its errors, where it fails."""
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **settings)
    if found.returncode:
        raise SystemExit(f"The measured process failed:\n{found.stderr}")
    return found.stdout
