"""The README tells the truth: its figures are the shipped report's, its commands exist, a Space can read its header."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement

from engine.errors import DataError
from tests.fake_report import write_report
from training.evaluation.readme import BEGIN, END, figures, update_readme

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
REPORT = ROOT / "models" / "youtube" / "report"
CODE = "\n".join(re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE))
COMMANDS = [line.split("  #")[0].strip() for line in CODE.splitlines() if line.startswith(("make ", "python -m "))]


def requirement(name: str) -> Requirement:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return next(Requirement(line) for line in lines if re.match(rf"{name}\b", line))


def test_the_header_is_one_that_a_space_can_read() -> None:
    header = yaml.safe_load(README.split("---\n")[1])
    assert {"title", "emoji", "colorFrom", "colorTo", "tags"} <= set(header)
    assert header["sdk"] == "gradio"
    assert header["sdk_version"] in requirement("gradio").specifier
    assert header["python_version"] == "3.12"
    assert (ROOT / header["app_file"]).is_file()
    assert len(header["short_description"]) <= 60


def test_zero_gpu_has_a_torch_that_the_requirements_allow() -> None:
    assert "2.11.0" in requirement("torch").specifier


def test_there_are_commands() -> None:
    assert {"make app", "make dashboard", "make check"} <= set(COMMANDS)
    assert any(command.startswith("python -m training train ") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE)
        return
    name, rest = words[2], words[3:]
    step = []
    if (ROOT / name.replace(".", "/") / "__main__.py").is_file():
        name, step = f"{name}.__main__", rest[:1]
    monkeypatch.setattr(sys, "argv", [name, *step, "--help"])
    with pytest.raises(SystemExit) as stopped:
        import_module(name).main()
    assert stopped.value.code in (0, None)
    told = capsys.readouterr().out
    assert all(option in told for option in rest if option.startswith("-"))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_files_and_targets_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    paths = re.findall(r"`((?:engine|training|dashboard|tests|models|docs|requirements)[-\w/]*(?:/|\.\w+))`", text)
    assert linked or paths
    assert [name for name in linked + paths if not (ROOT / name).exists()] == []
    targets = set(re.findall(r"`make ([a-z-]+)[ `]", text))
    assert [name for name in targets if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)] == []


def test_the_screenshot_is_small() -> None:
    assert (ROOT / "docs" / "screenshot.png").stat().st_size <= 300_000


def test_the_figures_are_those_of_the_shipped_report() -> None:
    assert README.split(BEGIN)[1].split(END)[0].strip() == figures(REPORT)


def test_figures_replace_what_stood_between_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    report = write_report(tmp_path / "report")
    for _ in range(2):
        update_readme(report, readme)
        text = readme.read_text(encoding="utf-8")
        assert text == f"before\n{BEGIN}\n{figures(report)}\n{END}\nafter\n"
    text, recipes = text.split("Other recipes")
    table = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    assert len({len(row) for row in table}) == 1
    names = [row[1].strip() for row in table[2:]]
    assert names[:3] == ["**blend**"] * 3
    assert [row[2].strip() for row in table[2:5]] == ["picture and title", "title", "picture"]
    assert names[-1] == "counts as inputs (leak)"
    assert names.count("shuffled labels (control)") == 1
    assert "fine-tuned title" not in names
    assert "<sub>" not in "".join(next(row for row in table if "shuffled labels" in row[1]))
    others = [line.split("|") for line in recipes.splitlines() if line.startswith("|")]
    assert [row[1].strip() for row in others[2:]] == ["trees", "reach"]
    assert [row[2].strip() for row in others[2:]] == ["engagement", "popularity"]
    assert others[2][3].strip() == ".40 <sub>.35–.45</sub>"


def test_the_paired_differences_come_first_and_runs_that_are_one_are_named(tmp_path: Path) -> None:
    report = write_report(tmp_path / "report")
    rows = [("src", 0.008, 0.001, 0.017), ("accuracy", -0.004, -0.031, 0.017)]
    table = pd.DataFrame(rows, columns=["metric", "delta", "low", "high"])
    names = {"model": "blend", "view": "both", "reference": "blend", "reference_view": "text", "n": 60}
    table.assign(**names).to_parquet(report / "differences.parquet")
    recipes = pd.read_parquet(report / "recipes.parquet")
    recipes["same_as"] = np.where(recipes["recipe"] == "trees", "shrubs", "")
    recipes.to_parquet(report / "recipes.parquet")
    text = figures(report)
    first = next(line for line in text.splitlines() if line.startswith("| **blend**"))
    cells = [cell.strip() for cell in first.split("|")[1:-1]]
    assert cells[:2] == ["**blend**, picture and title", "blend, title"]
    assert cells[2:] == ["+.008 <sub>+.001 to +.017</sub>", "−.004 <sub>−.031 to +.017</sub>", "–"]
    assert "| trees (the same run: shrubs) |" in text
    heads = [line for line in text.splitlines() if line.endswith(":")]
    assert len(heads) == 3 and all("test posts" in line for line in heads)


def test_what_is_no_report_or_no_place_for_figures_is_said(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers", encoding="utf-8")
    with pytest.raises(DataError, match="needs one line"):
        update_readme(write_report(tmp_path / "report"), readme)
    with pytest.raises(DataError, match="no readable report"):
        figures(tmp_path / "nothing")
    assert readme.read_text(encoding="utf-8") == "no markers"
