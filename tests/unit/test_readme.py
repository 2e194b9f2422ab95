"""The README tells the truth: its figures are the shipped report's, its commands exist, a Space can read its header."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import fsspec
import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement
from PIL import Image

from engine.errors import DataError
from tests.tiny_report import altered
from training.__main__ import main
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


def test_contributors_are_told_every_target() -> None:
    [targets] = re.findall(r"^\.PHONY: help (.+)$", MAKEFILE, re.MULTILINE)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [name for name in targets.split() if f"`make {name}`" not in text] == []


def test_the_documents_ask_for_the_python_that_the_project_does() -> None:
    [lowest] = re.findall(r'^requires-python = ">=([\d.]+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for name in ("README.md", "CONTRIBUTING.md"):
        assert f"Python {lowest} or newer" in (ROOT / name).read_text(encoding="utf-8")


def test_the_screenshot_is_small() -> None:
    assert (ROOT / "docs" / "screenshot.png").stat().st_size <= 300_000


def test_the_tour_moves_and_is_not_too_large() -> None:
    path = ROOT / "docs" / "tour.webp"
    assert "](docs/tour.webp)" in README and path.stat().st_size <= 1_500_000
    with Image.open(path) as tour:
        assert getattr(tour, "n_frames", 1) >= 10


def test_the_figures_are_those_of_the_shipped_report() -> None:
    assert README.split(BEGIN)[1].split(END)[0].strip() == figures(REPORT)


def test_the_figures_of_a_report_elsewhere_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(tmp_path / "cache"))
    system = fsspec.filesystem("memory")
    system.put(f"{REPORT}/", "/bucket/report/", recursive=True)
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\nformer figures\n{END}\n", encoding="utf-8")
    try:
        assert main(["figures", "--report", "memory://bucket/report", "--readme", str(readme)]) == 0
    finally:
        system.store.clear()
    assert readme.read_text(encoding="utf-8").strip().removesuffix(END) in README


def tables(text: str) -> list[list[list[str]]]:
    """The Markdown tables of a text, as rows of cells."""
    blocks = [[line for line in block.splitlines() if line.startswith("|")] for block in text.split("\n\n")]
    return [[[cell.strip() for cell in line.split("|")[1:-1]] for line in block] for block in blocks if block]


def test_figures_replace_what_stood_between_the_markers(tiny_report: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        update_readme(tiny_report, readme)
        assert readme.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{figures(tiny_report)}\n{END}\nafter\n"


def test_the_model_stands_first_and_the_leak_last(tiny_report: Path, tmp_path: Path) -> None:
    def again(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([rows, rows[rows["model"] == "shuffled labels"]])

    text = figures(altered(tiny_report, tmp_path / "report", metrics=again, differences=None, recipes=None))
    (table,) = tables(text)
    assert len({len(row) for row in table}) == 1
    names = [row[0] for row in table[2:]]
    assert names[:3] == ["**tiny**"] * 3
    assert [row[1] for row in table[2:5]] == ["picture and title", "title", "picture"]
    assert names[-1] == "engagement rate as input (leak)"
    assert "trees" not in names and "network" not in names
    # Over several seeds there is a mean, without an interval.
    assert names.count("shuffled labels (control)") == 1
    assert "<sub>" not in "".join(table[2 + names.index("shuffled labels (control)")])


def test_the_paired_differences_come_first_and_runs_that_are_one_are_named(tiny_report: Path, tmp_path: Path) -> None:
    def changed(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows[rows["metric"] != "macro_f1"]
        first = rows["view"].eq("both") & rows["reference_view"].eq("text") & rows["reference"].eq("tiny")
        for metric, found in {"src": (0.008, 0.001, 0.017), "accuracy": (-0.004, -0.031, 0.017)}.items():
            rows.loc[first & rows["metric"].eq(metric), ["delta", "low", "high"]] = found
        return rows

    def more(rows: pd.DataFrame) -> pd.DataFrame:
        trees = rows[rows["recipe"] == "tiny_trees"]
        reach = trees.assign(recipe="reach", target="popularity", value=0.4, low=0.35, high=0.45, same_as="")
        better = trees.assign(recipe="better", value=0.99, same_as="shrubs")
        return pd.concat([rows, reach, better])

    text = figures(altered(tiny_report, tmp_path / "report", differences=changed, recipes=more))
    gains, _, recipes = tables(text)
    assert gains[2][:2] == ["**tiny**, picture and title", "tiny, title"]
    assert gains[2][2:] == ["+.008 <sub>+.001 to +.017</sub>", "−.004 <sub>−.031 to +.017</sub>", "–"]
    assert [row[0] for row in recipes[2:]] == ["better (the same run: shrubs)", "tiny_trees", "reach"]
    assert [row[1] for row in recipes[2:]] == ["engagement", "engagement", "popularity"]
    assert recipes[-1][2] == ".40 <sub>.35–.45</sub>"
    heads = [line for line in text.splitlines() if line.endswith(":")]
    assert len(heads) == 3 and all("test posts" in line for line in heads)


def test_what_is_no_report_or_no_place_for_figures_is_said(tiny_report: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers", encoding="utf-8")
    with pytest.raises(DataError, match="needs one line"):
        update_readme(tiny_report, readme)
    with pytest.raises(DataError, match="no readable report"):
        figures(tmp_path / "nothing")
    assert readme.read_text(encoding="utf-8") == "no markers"
