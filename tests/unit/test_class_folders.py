"""The command that makes class folders of the trending lists replaces its own, and nothing else."""

from pathlib import Path

import pandas as pd
import pytest

from engine.errors import DataError
from scripts.class_folders import TABLE, class_folders
from tests.made_up import raw_posts
from training.data.sources import load_dataset


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    posts = raw_posts(12).assign(category_id=[10, 17] * 6, description="words", tags=None, published_at="2021-01-01")
    posts["channel_id"] = posts["post_id"]
    posts.to_parquet(tmp_path / "raw" / "posts.parquet")
    return tmp_path / "raw"


def test_it_is_read_as_folders_and_written_anew(tmp_path: Path, source: Path) -> None:
    for _ in range(2):
        table = class_folders(source, tmp_path / "made", 2)
    read = pd.concat(load_dataset("folders").read(tmp_path / "made"), ignore_index=True)
    assert sorted(read["post_id"]) == sorted(table["file"]) and set(read["category"]) == set(table["category"])
    assert read["category"].nunique() == 2 and read["image"].notna().all()


def test_what_is_not_its_own_stays(tmp_path: Path, source: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    for target in (source, tmp_path / "home"):
        before = {path.name: path.read_bytes() for path in target.iterdir()}
        with pytest.raises(DataError, match="holds something else, which would be gone; give another folder with --to"):
            class_folders(source, target, 2)
        assert {path.name: path.read_bytes() for path in target.iterdir()} == before and not (target / TABLE).exists()
