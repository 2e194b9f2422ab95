"""The report of many posts that the dashboard is timed on is a sound one, and the pages' choices are still there."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.dashboard import CHANGES, REPORTS, enlarge, measure
from dashboard.app import PAGES
from dashboard.reports import open_report


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return enlarge(REPORTS["youtube"], tmp_path_factory.mktemp("large"), 12_000)


def test_a_report_grows_by_whole_copies_under_other_names(large: Path) -> None:
    report = open_report(large)
    assert report.problems == ()
    shipped, posts = (pd.read_parquet(folder / "posts.parquet") for folder in (REPORTS["youtube"], large))
    assert len(posts) == 12_000 and posts["post_id"].is_unique and not set(posts["post_id"]) & set(shipped["post_id"])
    first = posts[posts["group"] <= shipped["group"].max()]
    assert first["level"].tolist() == shipped.sort_values("split", kind="stable", key=_first)["level"].tolist()
    predictions = pd.read_parquet(large / "predictions.parquet").merge(posts, on="post_id", suffixes=("", "_of_post"))
    assert (predictions["split"] == predictions["split_of_post"]).all()
    for table, keys in ((posts, ["split"]), (predictions, ["model", "view", "split"])):
        assert table.groupby(keys, sort=False).ngroup().is_monotonic_increasing


def _first(values: pd.Series) -> pd.Series:
    """The order in which each value first appears."""
    return pd.Series(pd.factorize(values)[0], index=values.index)


def test_every_page_is_timed() -> None:
    assert set(CHANGES) == {page.__name__.split(".")[-2] for page in PAGES}


def test_a_page_and_its_choices_are_timed(large: Path) -> None:
    found = measure("embedding", large, REPORTS["youtube"])
    assert len(found["changes"]) == len(CHANGES["embedding"]) and found["memory"] > 0.05
    for clock, processor in (found["open"], found["first"], *found["changes"].values()):
        assert clock > 0 and processor > 0
