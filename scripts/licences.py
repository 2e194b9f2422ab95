"""Licences of everything `requirements.txt` pulls in, as the installed wheels state them: name, version, licence.

python scripts/licences.py [requirements.txt]
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def read_requirements(path: Path) -> Iterator[Requirement]:
    """The requirements of a file; comments and options are left out."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-"):
            yield Requirement(text)


def closure(requirements: Iterator[Requirement]) -> dict[str, Distribution]:
    """Installed distributions by name: the requirements and, in turn, what they need on this system."""
    found: dict[str, Distribution] = {}
    seen: defaultdict[str, set[str]] = defaultdict(set)
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for extra in {"", *requirement.extras} - seen[name]:
            seen[name].add(extra)
            needed = map(Requirement, found[name].requires or ())
            waiting += [one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]
    return found


def licence(found: Distribution) -> str:
    """The licence as a wheel states it: its expression, else classifiers, free text, or its licence file's heading."""
    stated = {name: found.metadata.get_all(name) or [] for name in ("License-Expression", "License", "Classifier")}
    if stated["License-Expression"]:
        return stated["License-Expression"][0]
    classifiers = [line for line in stated["Classifier"] if line.startswith("License :: ")]
    if names := [line.rpartition(" :: ")[2] for line in classifiers if not line.endswith("OSI Approved")]:
        return ", ".join(names)
    if (text := heading("".join(stated["License"]))) not in ("", "UNKNOWN"):
        return text
    texts = [file.read_text() for file in found.files or () if file.name.upper().startswith(("LICEN", "COPYING"))]
    return "; ".join(f"{heading(text)} (its licence file)" for text in texts) or "not stated"


def heading(text: str) -> str:
    """The first line of a text; some wheels carry a whole licence in the field for its name."""
    return text.strip().partition("\n")[0].strip()


def main() -> None:
    """Print one line a package, sorted by name."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "requirements.txt")
    rows = [(name, found.version, licence(found)) for name, found in sorted(closure(read_requirements(path)).items())]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, version, stated in rows:
        print(f"{name:<{widths[0]}}  {version:<{widths[1]}}  {stated}")


if __name__ == "__main__":
    main()
