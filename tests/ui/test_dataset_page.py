"""The dataset page: its counts agree with pandas over the same report, and damage becomes a sentence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.app_pages.dataset import queries
from dashboard.reports import Report, open_report
from tests.dashboard_page import page, texts
from tests.tiny_report import altered


@pytest.fixture(scope="module")
def report(tiny_report: Path) -> Report:
    return open_report(tiny_report)


@pytest.fixture(scope="module")
def posts(tiny_report: Path) -> pd.DataFrame:
    return pd.read_parquet(tiny_report / "posts.parquet")


def test_cuts_are_of_the_posts_that_levels_are_learned_from(report: Report) -> None:
    assert report.cut_on == ("train",)
    assert replace(report, facts={"config": {"folds": 3}}).cut_on == ("train", "validation")


def test_training_levels_are_fifths(report: Report, posts: pd.DataFrame) -> None:
    shares = queries.level_shares(report)
    train = shares[shares["split"] == "train"]["share"]
    assert len(train) == 5 and np.allclose(train, 0.2, atol=0.01)
    assert shares[shares["split"] == "all"]["n"].sum() == len(posts)


@pytest.mark.parametrize("log", [True, False])
def test_histogram_counts_every_post_in_bins_common_to_all_splits(
    report: Report, posts: pd.DataFrame, log: bool
) -> None:
    every = queries.histogram(report, "score", None, log=log)
    parts = [queries.histogram(report, "score", split, log=log) for split in queries.SPLITS]
    assert every["n"].sum() == len(posts)
    assert (sum(part["n"] for part in parts) == every["n"]).all()
    assert np.allclose(every["high"].iloc[:-1], every["low"].iloc[1:])


def test_whole_bins_have_whole_edges(report: Report, posts: pd.DataFrame, tiny_report: Path, tmp_path: Path) -> None:
    # Between the shortest title and all others lies the least percentile.
    uneven = [5, *[7 + row % 9 for row in range(len(posts) - 1)]]
    other = altered(tiny_report, tmp_path / "report", posts=lambda rows: rows.assign(title_characters=uneven))
    for one in (report, open_report(other)):
        table = queries.histogram(one, "title_characters", None, bins=40, whole=True)
        assert table["n"].sum() == len(posts)
        assert (table["low"] % 1 == 0).all() and (table["high"] % 1 == 0).all()


def test_posts_that_all_have_one_score_are_one_bin(tiny_report: Path, posts: pd.DataFrame, tmp_path: Path) -> None:
    alike = altered(tiny_report, tmp_path / "report", posts=lambda rows: rows.assign(score=0.0))
    assert queries.histogram(open_report(alike), "score", None)["n"].tolist() == [len(posts)]
    app = page("dataset", alike).run()
    assert not app.exception and not app.error


def test_what_is_rare_is_counted_in_one_row(report: Report, posts: pd.DataFrame) -> None:
    whole = posts["title_characters"].astype(str).value_counts()
    found = queries.counts_by(report, "title_characters", 3)
    assert found["value"].tolist()[3:] == [f"{len(whole) - 3:,} others"]
    assert found["n"].tolist() == [*whole.iloc[:3], whole.iloc[3:].sum()]
    assert found["share"].sum() == pytest.approx(1)
    assert len(queries.counts_by(report, "title_characters", len(whole) - 1)) == len(whole)


def test_groups_straddle_only_the_random_split(report: Report, posts: pd.DataFrame) -> None:
    found = {protocol: queries.straddling_groups(report, protocol) for protocol in queries.PROTOCOLS}
    assert found["grouped"] == 0
    assert found["random"] == (posts.groupby("group")["random_split"].nunique() > 1).sum() > 0


def test_what_cleaning_removed_keeps_posts_without_a_picture_apart(tiny_report: Path, report: Report) -> None:
    reasons = queries.cleaning_reasons(report).set_index(["pictured", "reason"])
    assert reasons["n"].to_dict() == {
        (True, "likes hidden"): 3,
        (False, "likes hidden"): 3,
        (True, "duplicate picture"): 1,
        (False, "missing title"): 1,
    }
    read = report.data["posts_read"]["read"]
    assert reasons.loc[(True, "likes hidden"), "share"] == pytest.approx(3 / read)
    assert reasons.loc[False, "share"].isna().all()
    assert len(queries.removed_posts(report, limit=3)) == 3
    app = page("dataset", tiny_report).run()
    assert not app.exception
    assert {tile.label: tile.value for tile in app.metric}["Removed by cleaning"] == "4"
    assert "never had a picture" in texts(app) and "4 were removed: likes hidden 3, missing title 1" in texts(app)


def test_the_page_states_fifths_and_cuts(tiny_report: Path) -> None:
    app = page("dataset", tiny_report).run()
    assert not app.exception and not app.error
    assert "About 20%" in app.success[0].value and "likes" in texts(app)
    app.toggle(key="log").set_value(False).run()
    app.segmented_control(key="histogram").set_value("test").run()
    assert not app.exception


def test_a_warning_where_cuts_and_labels_disagree(tiny_report: Path, tmp_path: Path) -> None:
    folder = altered(tiny_report, tmp_path / "report", posts=lambda posts: posts.assign(level=0))
    app = page("dataset", folder).run()
    assert "disagree" in texts(app) and not app.success


@pytest.mark.parametrize("change", [None, lambda table: table.iloc[:0]])
def test_cleaning_may_be_absent_or_empty(tiny_report: Path, tmp_path: Path, change: object) -> None:
    app = page("dataset", altered(tiny_report, tmp_path / "report", cleaning=change)).run()
    assert not app.exception and not app.error


def test_without_rows_it_says_so(tiny_report: Path, tmp_path: Path) -> None:
    app = page("dataset", altered(tiny_report, tmp_path / "report", posts=lambda posts: posts.iloc[:0])).run()
    assert not app.exception and "no rows" in app.info[0].value
