"""The pages on the model show whatever a report holds, and a sentence for what it does not: never a traceback."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.app import PAGES as MODULES
from dashboard.app import offered
from dashboard.reports import open_report
from tests.dashboard_page import PAGES, page
from tests.tiny_report import altered, damaged

TABLES = (
    "metrics", "predictions", "posts", "reliability", "coverage", "guard", "differences", "curves", "grid",
    "recipes", "crossvalidation", "ablations", "comparisons", "attribution", "attribution_summary",
)  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_every_page_asks_one_question_in_its_first_line(folder: Path, name: str) -> None:
    app = page(name, folder).run()
    assert not app.exception and not app.error
    assert len(app.title) == 1 and app.caption[0].value.endswith("?")


@pytest.mark.parametrize("name", PAGES)
def test_what_evaluate_writes_today_is_enough(tiny_report: Path, name: str) -> None:
    assert not page(name, tiny_report).run().exception


@pytest.mark.parametrize("name", PAGES)
def test_tables_without_rows_are_no_error(folder: Path, tmp_path: Path, name: str) -> None:
    empty = {table: lambda rows: rows.iloc[:0] for table in TABLES}
    app = page(name, altered(folder, tmp_path / "report", **empty)).run()
    assert not app.exception and not app.error


@pytest.mark.parametrize("name", PAGES)
def test_figures_without_intervals_are_no_error(folder: Path, tmp_path: Path, name: str) -> None:
    def bare(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(low=np.nan, high=np.nan)

    tables = (
        "metrics",
        "reliability",
        "coverage",
        "guard",
        "differences",
        "recipes",
        "comparisons",
        "attribution_summary",
    )
    app = page(name, altered(folder, tmp_path / "report", **dict.fromkeys(tables, bare))).run()
    assert not app.exception and not app.error


@pytest.mark.parametrize("name", PAGES)
def test_one_level_one_seed_one_fold_and_one_model_are_no_error(folder: Path, tmp_path: Path, name: str) -> None:
    copy = altered(
        folder,
        tmp_path / "report",
        predictions=lambda rows: rows[(rows["level"] != 2) & (rows["model"] == "tiny")],
        reliability=lambda rows: rows[rows["level"] != 2],
        coverage=lambda rows: rows[rows["level"] != 2],
        guard=lambda rows: rows[rows["view"] == "image"],
        metrics=lambda rows: rows[rows["model"] == "tiny"],
        ablations=lambda rows: rows[rows["seed"] == 0],
        crossvalidation=lambda rows: rows[rows["fold"] == 0],
        curves=lambda rows: rows[rows["epoch"] == 0],
        grid=lambda rows: rows.head(1).drop(columns="recipe"),
    )
    app = page(name, copy).run()
    assert not app.exception and not app.error
    if name == "calibration":
        app.selectbox(key="reliability").select(2).run()
        assert not app.exception


@pytest.mark.parametrize("table", TABLES)
def test_any_table_may_be_missing(folder: Path, tmp_path: Path, table: str) -> None:
    copy = altered(folder, tmp_path / "report", **{table: None})
    report = open_report(copy)
    for module in MODULES:
        name = module.__name__.split(".")[-2]
        if name in PAGES and offered(module, report):
            app = page(name, copy).run()
            assert not app.exception and not app.error, name


def test_pages_appear_when_their_table_is_there(folder: Path, tmp_path: Path) -> None:
    def shown(report: Path) -> list[str]:
        return [module.URL for module in MODULES if module.URL in PAGES and offered(module, open_report(report))]

    assert shown(folder) == ["results", "calibration", "ablations", "recipes", "explanations"]
    without = {name: None for name in ("metrics", "ablations", "curves", "recipes", "crossvalidation", "attribution")}
    copy = altered(folder, tmp_path / "report", **without)
    assert shown(copy) == ["calibration", "recipes", "explanations"]
    (copy / "grid.parquet").unlink()
    (copy / "hardware.json").unlink()
    assert shown(copy) == ["calibration"]


@pytest.mark.parametrize(
    ("name", "table"), [("results", "metrics"), ("calibration", "predictions"), ("ablations", "ablations")]
)
def test_damage_behind_a_good_footer_is_a_sentence(folder: Path, tmp_path: Path, name: str, table: str) -> None:
    app = page(name, damaged(altered(folder, tmp_path / "report"), table)).run()
    assert not app.exception
    assert app.error and "cannot be read" in app.error[0].value
