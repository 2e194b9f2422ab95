"""The page of the adapters: maps hold the report's posts, and the linear probe stands beside them as the evidence."""

from pathlib import Path

import pandas as pd
import pytest

from dashboard.app_pages.embedding import queries
from dashboard.reports import Report, open_report
from dashboard.scope import Scope
from dashboard.selection import Selection
from tests.dashboard_page import page, texts
from tests.tiny_report import RECIPE, altered

EVERY = Scope(RECIPE, "both", "all")


@pytest.fixture(scope="module")
def report(tiny_report: Path) -> Report:
    return open_report(tiny_report)


def test_a_map_holds_the_posts_outside_of_training(tiny_report: Path, report: Report) -> None:
    posts = pd.read_parquet(tiny_report / "posts.parquet").set_index("post_id")
    found = queries.places(report, "before", 2, EVERY, Selection()).set_index("post_id")
    assert set(found.index) == set(posts.index[posts["split"] != "train"]) and found["chosen"].all()
    assert (found["level"] == posts.loc[found.index, "level"]).all() and found["z"].isna().all()
    test = queries.places(report, "after", 3, Scope(RECIPE, "both", "test"), Selection())
    assert set(test["split"]) == {"test"} and test["z"].notna().all()
    assert queries.count(report, "after", 3, "test") == len(test)
    assert queries.stages(report, 2) == ["before", "after"] and queries.splits(report) == ["test", "validation"]


def test_one_selection_marks_both_maps(report: Report) -> None:
    posts = queries.places(report, "before", 2, EVERY, Selection())["post_id"].tolist()[:3]
    for stage in ("before", "after"):
        found = queries.places(report, stage, 2, EVERY, Selection().pick(posts))
        assert set(found.loc[found["chosen"], "post_id"]) == set(posts)


def test_a_post_that_is_not_predicted_is_on_the_map_but_never_selected(tiny_report: Path, tmp_path: Path) -> None:
    folder = altered(tiny_report, tmp_path / "report", predictions=lambda rows: rows[rows["split"] == "test"])
    found = queries.places(open_report(folder), "before", 2, EVERY, Selection.parse("true:0|1|2|3|4"))
    assert set(found.loc[found["chosen"], "split"]) == {"test"} and "validation" in set(found["split"])


def test_a_map_of_too_many_posts_is_drawn_by_chance(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_DOTS", 10)
    maps = [queries.places(report, stage, 2, EVERY, Selection())["post_id"].tolist() for stage in ("before", "after")]
    assert len(maps[0]) == 10 and maps[0] == maps[1]


def test_the_evidence_is_said_before_the_maps(tiny_report: Path) -> None:
    app = page("embedding", tiny_report).run()
    assert not app.exception and not app.error
    n = len(pd.read_parquet(tiny_report / "posts.parquet").query("split != 'train'"))
    assert "t-SNE map is no evidence" in app.info[0].value
    assert f"+0.050 (+0.040 to +0.060) on {n} posts outside of training: **better**" in app.info[0].value
    table = app.dataframe[0].value.set_index("side")
    assert table.loc["Title", "before"] == "0.040 (0.030 to 0.050)" and table.loc["Picture", "cka"].startswith(
        "0.800 ("
    )
    tile = {metric.label: metric.value for metric in app.metric}
    assert tile["Chosen ratio"] == "0.2"
    app.segmented_control(key="map").set_value(3).run()
    app.segmented_control(key="part").set_value("test").run()
    assert not app.exception and "Drag to turn" in texts(app)


@pytest.mark.parametrize("change", [None, lambda rows: rows.iloc[:0], lambda rows: rows[rows["stage"] == "search"]])
def test_without_a_probe_the_page_says_that_nothing_is_shown(tiny_report: Path, tmp_path: Path, change: object) -> None:
    app = page("embedding", altered(tiny_report, tmp_path / "report", adapter=change)).run()
    assert not app.exception and "no linear probe" in app.info[0].value


@pytest.mark.parametrize("kept", [[], [3]])
def test_maps_may_be_missing(tiny_report: Path, tmp_path: Path, kept: list[int]) -> None:
    folder = altered(tiny_report, tmp_path / "report", embedding=lambda rows: rows[rows["dimensions"].isin(kept)])
    app = page("embedding", folder).run()
    assert not app.exception and ("no such map" in texts(app) or "has no rows" in texts(app))


def test_a_selection_is_listed_on_the_errors_page_too(tiny_report: Path, report: Report) -> None:
    table = queries.places(report, "before", 2, EVERY, Selection())
    posts = table.loc[table["split"] == "test", "post_id"].tolist()[:4]
    app = page("embedding", tiny_report)
    app.query_params["selection"] = str(Selection().pick(posts))
    app.run()
    assert "4 selected posts" in texts(app)
    assert app.session_state["selection_kept"] == str(Selection().pick(posts))
    app = page("errors", tiny_report)
    app.session_state["page_now"] = "embedding"
    app.session_state["selection_kept"] = str(Selection().pick(posts))
    app.run()
    assert "4 selected posts" in texts(app) and app.button(key="chip-post").label == "4 picked posts"


def test_hostile_splits_are_letters(tiny_report: Path, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    folder = altered(
        tiny_report,
        tmp_path / "report",
        embedding=lambda rows: rows.assign(split=rows["split"].replace({"validation": hostile})),
    )
    app = page("embedding", folder).run()
    assert not app.exception
    charts = "".join(str(chart.proto.spec) for chart in app.get("plotly_chart"))
    assert "&lt;img" in charts and "<img" not in charts
