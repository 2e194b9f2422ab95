"""The Dockerfile, which no test can build: what it copies is there and enough, and what it runs asks nobody's hub."""

import ast
import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
STEPS = [tuple(line.split(maxsplit=1)) for line in LINES if re.match("[A-Z]+ ", line)]
COPIED = [source for word, rest in STEPS if word == "COPY" for source in rest.split()[:-1]]


def last(word: str) -> str:
    return [rest for found, rest in STEPS if found == word][-1]


def modules() -> list[Path]:
    """Every Python file that is copied."""
    places = [ROOT / source for source in COPIED]
    return [path for place in places for path in ([place] if place.suffix == ".py" else place.rglob("*.py"))]


def test_all_that_is_copied_is_there_and_reaches_docker() -> None:
    let_through = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    assert all((ROOT / source).exists() for source in COPIED)
    assert sorted(COPIED) == sorted(let_through)
    assert not any(fnmatch(source, "*training*") for source in COPIED)


def test_no_room_that_is_copied_needs_one_that_is_not() -> None:
    own = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    needed = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            needed |= {name.partition(".")[0] for name in names} & own
    assert {"ui", "engine", "app"} <= needed <= {Path(source).stem for source in COPIED}


def test_requirements_are_installed_before_the_code_is_copied() -> None:
    installing = next(number for number, (word, rest) in enumerate(STEPS) if word == "RUN" and "pip install" in rest)
    named = set(re.findall(r"requirements[\w-]*\.txt", STEPS[installing][1]))
    copied = {source for word, rest in STEPS[:installing] if word == "COPY" for source in rest.split()[:-1]}
    assert named == copied == {source for source in COPIED if source.startswith("requirements")}


def test_what_reads_the_language_model_is_installed_with_it() -> None:
    """Transformers asks for accelerate beside gguf, unseen where the tools of training brought it."""
    lines = (ROOT / "requirements-signals.txt").read_text(encoding="utf-8").splitlines()
    assert {"gguf", "accelerate"} <= {re.split("[<>=]", line)[0] for line in lines}


def test_it_runs_as_nobody_special_and_offline() -> None:
    made = next(rest for word, rest in STEPS if word == "RUN" and "useradd" in rest)
    assert last("USER") == made.split()[-1] != "root"
    assert STEPS.index(("USER", last("USER"))) < STEPS.index(("CMD", last("CMD")))
    settings = dict(setting.split("=", 1) for setting in shlex.split(last("ENV")))
    assert settings["HF_HUB_OFFLINE"] == settings["TRANSFORMERS_OFFLINE"] == "1"
    assert settings["GRADIO_SERVER_PORT"] == last("EXPOSE") and settings["GRADIO_SERVER_NAME"] == "0.0.0.0"


def test_its_command_and_its_probe_name_what_there_is() -> None:
    command = json.loads(last("CMD"))
    assert command[0] == "python" and command[1] in COPIED
    probe = json.loads(last("HEALTHCHECK").split("CMD ", 1)[1])
    assert f"http://127.0.0.1:{last('EXPOSE')}/health" in probe[-1]
    compile(probe[-1], "probe", "exec")
