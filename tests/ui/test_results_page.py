"""The results page: tiles with tested differences, what is no result, and how often test was read."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashboard.app_pages.results import queries
from dashboard.app_pages.results.charts import dots
from dashboard.metrics import metric
from dashboard.reports import open_report
from tests.dashboard_page import page, texts
from tests.tiny_report import altered


def test_tiles_carry_value_interval_and_tested_difference(folder: Path) -> None:
    app = page("results", folder).run()
    row = pd.read_parquet(folder / "metrics.parquet").query(
        "model == 'tiny' and view == 'both' and split == 'test' and metric == 'src'"
    )
    assert app.metric[0].value == f"{row['value'].iloc[0]:.3f}"
    src, accuracy, _, _, kappa, *_ = [element.value for element in app.markdown if ":small[95%" in element.value]
    assert f"95%: {row['low'].iloc[0]:.3f} to {row['high'].iloc[0]:.3f}" in src
    assert "**+0.050** :blue[**better**]" in src and "95%: +0.020 to +0.080" in src
    assert "no clear difference" in accuracy and ":orange[**worse**]" in kappa
    assert "n\\-gram ridge, title only" in texts(app) and "paired by post" in texts(app)
    app.segmented_control(key="against").set_value("itself, title only").run()
    assert not app.exception and "difference to itself, title only" in texts(app)


def test_nothing_untested_is_called_a_difference(folder: Path, tmp_path: Path) -> None:
    copy = altered(folder, tmp_path / "report", differences=lambda rows: rows[rows["metric"] == "src"])
    app = page("results", copy).run()
    assert "difference not tested" in texts(app)
    app.segmented_control(key="split").set_value("validation").run()
    assert not app.exception and "tested on the grouped test posts" in texts(app) and "better**" not in texts(app)
    app = page("results", altered(folder, tmp_path / "without", differences=None)).run()
    assert not app.exception and "no differences.parquet" in texts(app)
    assert "better**" not in texts(app)


def test_it_says_how_often_test_was_read(folder: Path) -> None:
    assert "read 3 times: 2 × evaluate, 1 × ablate" in texts(page("results", folder).run())


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        (None, "does not say how often"),
        ([], "read 0 times"),
        ([{"step": "evaluate", "at": "x", "bundle": "y"}], "read 1 time: 1 × evaluate"),
        ([1, {"step": "a*b"}, {}], "read 2 times: 1 × a\\*b"),
        ("often", "does not say how often"),
    ],
)
def test_a_ledger_may_be_of_any_kind(folder: Path, tmp_path: Path, reads: Any, said: str) -> None:
    app = page("results", altered(folder, tmp_path / "report", {"test_reads": reads})).run()
    assert not app.exception and said in texts(app)


def test_the_leak_stands_apart_and_controls_say_what_they_are(folder: Path) -> None:
    app = page("results", folder).run()
    tables = {name: frame.value for frame in app.dataframe for name in set(frame.value.get("kind", []))}
    assert "leak" not in set(tables["model"]["kind"]) and set(tables["leak"]["kind"]) == {"leak"}
    names = tables["control"].query("kind == 'control'")["name"]
    assert names.str.contains("(control)", regex=False).all()
    assert tables["leak"]["name"].str.contains("(leak)", regex=False).all()
    assert "not a result" in texts(app)


def test_random_splits_are_warned_of_and_views_filter(folder: Path, tmp_path: Path) -> None:
    copy = altered(folder, tmp_path / "report", metrics=lambda rows: pd.concat([rows, rows.assign(protocol="random")]))
    app = page("results", copy).run()
    app.segmented_control(key="protocol").set_value("random").run()
    assert not app.exception and "flatter" in app.warning[0].value
    app.pills(key="views").set_value(["text"]).run()
    (table,) = [frame.value for frame in app.dataframe if "kind" in frame.value and "model" in set(frame.value["kind"])]
    assert table["name"].str.contains("title only").all()


def test_any_metric_is_charted(folder: Path, tmp_path: Path) -> None:
    copy = altered(folder, tmp_path / "report", metrics=lambda rows: rows.replace({"metric": {"r2": "made_up"}}))
    app = page("results", copy).run()
    for name in ("brier", "conformal_coverage", "class_mae", "made_up"):
        app.selectbox(key="metric").select(name).run()
        assert not app.exception


def test_seeds_become_their_mean(folder: Path, tmp_path: Path) -> None:
    def thrice(rows: pd.DataFrame) -> pd.DataFrame:
        found = [rows.assign(seed=seed, value=rows["value"] + seed) for seed in range(3)]
        return pd.concat(found).astype({"seed": "Int64"})

    table = queries.metric_values(
        open_report(altered(folder, tmp_path / "report", metrics=thrice)), "grouped", "test"
    ).merge(queries.metric_values(open_report(folder), "grouped", "test"), on=["model", "view", "metric", "kind"])
    assert set(table["seeds_x"]) == {3}
    assert np.allclose(table["value_x"], table["value_y"] + 1)


def test_an_interval_beside_its_value_is_drawn_whole() -> None:
    row = {"name": "a", "kind": "model", "value": 0.02, "low": 0.03, "high": 0.05, "seeds": 0}
    figure = dots(pd.DataFrame([row]), metric("ece"))
    line = next(trace for trace in figure.data if trace.mode == "lines")
    assert list(line.x[:2]) == [0.03, 0.05]
