"""The repository as others get it: the same bytes on every system."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def git(*arguments: str | Path, folder: Path = ROOT) -> str:
    command = ["git", "-C", str(folder), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_a_clone_on_windows_has_the_same_bytes(tmp_path: Path) -> None:
    """`core.autocrlf=true` is what Git for Windows sets; a bundle of other bytes refuses itself."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--depth=1", "-c", "core.autocrlf=true", ROOT.as_uri(), clone)
    committed = dict(line.split()[2:4] for line in git("ls-tree", "-r", "HEAD", folder=clone).splitlines())
    paths = list(committed.values())
    hashes = git("hash-object", "--no-filters", *paths, folder=clone).split()
    assert [path for found, (blob, path) in zip(hashes, committed.items(), strict=True) if found != blob] == []
    assert "models/youtube/bundle/bundle.json" in paths
