"""hardware.json: benchmarks put their entries beside one another, and spoil nothing."""

import json
from pathlib import Path

import pytest

from benchmarks import hardware
from engine.errors import DataError
from engine.settings import SHIPPED_BUNDLE


def test_entries_are_merged_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report" / "hardware.json"
    hardware.keep(path, "startup", {"ratio": 1.1})
    hardware.keep(path, "single_post", {"ratio": 1.2})
    hardware.keep(path, "startup", {"ratio": 1.3})
    hardware.keep(None, "startup", {"ratio": 1.4})
    assert json.loads(path.read_text()) == {"single_post": {"ratio": 1.2}, "startup": {"ratio": 1.3}}
    assert [found.name for found in path.parent.iterdir()] == ["hardware.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "hardware.json"
    path.write_text(content)
    with pytest.raises(DataError, match="remove it"):
        hardware.keep(path, "startup", {"ratio": 1.1})
    assert path.read_text() == content


def test_an_entry_says_where_it_was_measured(tmp_path: Path) -> None:
    found = hardware.entry("this, against that", 1.23456, 1.3, {"this": (12.3456, "ms"), "that": (10.0, "ms")}, 60)
    assert (found["ratio"], found["target"], found["rounds"]) == (1.235, 1.3, 60)
    assert found["figures"][0] == {"name": "this", "value": 12.3, "unit": "ms"}
    assert found["better"] == "lower" and "bundle" not in found
    path = tmp_path / "hardware.json"
    options = hardware.parser("made up", bundle=True).parse_args(["--json", str(path)])
    for name, answered in (("named", True), ("nameless", False)):
        hardware.note(options, name, "this", 1.0, 1.0, {}, 1, answered=answered)
    kept = json.loads(path.read_text())
    assert kept["named"]["bundle"] == hardware.identity(SHIPPED_BUNDLE) and "bundle" not in kept["nameless"]
    assert found["threads"] >= 1 and "core" in found["machine"]
    assert set(found["versions"]) == {"Python", *hardware.VERSIONS}
    hardware.keep(path, "this", found)
    assert json.loads(path.read_text())["this"] == found


def test_the_processor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "PROCESSORS", tmp_path / "cpuinfo")
    assert hardware.machine()
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Made Up 3000\n")
    assert hardware.machine().startswith("Made Up 3000, ")
