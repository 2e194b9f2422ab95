"""The model page on nested folds and on the grid that validation chose from."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.reports import open_report
from tests.fake_report import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"))


def _script(folder: str) -> None:
    from pathlib import Path

    from dashboard.app_pages import crossvalidation
    from dashboard.reports import open_report

    crossvalidation.render(open_report(Path(folder)))


def page(folder: Path) -> AppTest:
    return AppTest.from_function(_script, args=(str(folder),), default_timeout=60)


def test_folds_are_means_with_their_spread_and_each_on_demand(folder: Path) -> None:
    app = page(folder).run()
    assert not app.exception
    means, folds, _ = (element.value for element in app.dataframe)
    table = pd.read_parquet(folder / "crossvalidation.parquet")
    src = table.query("metric == 'src' and protocol == 'grouped'")["value"]
    assert means["label"].tolist()[0] == "Spearman (SRC)"
    assert means["grouped"].iloc[0] == f"{src.mean():.3f} ± {src.std():.3f}"
    assert len(folds) == 10 and folds["chosen"].tolist()[:2] == ["trees-500-5", "own"]
    assert "Never compare across protocols" in app.caption[0].value


def test_grid_is_depth_by_trees_with_the_chosen_marked(folder: Path) -> None:
    app = page(folder).run()
    wide = app.dataframe[2].value.set_index("depth")
    assert list(wide.columns) == ["50 trees", "100 trees", "250 trees", "311 trees", "500 trees"]
    assert wide.loc[6, "311 trees"].endswith("●") and wide.loc[6, "50 trees"] == ""
    table = pd.read_parquet(folder / "grid.parquet")
    value = table.query("candidate == 'trees-100-14' and metric == 'accuracy'")["value"].iloc[0]
    assert wide.loc[14, "100 trees"] == f"{value:.3f}"
    app.selectbox(key="grid").select("log_loss").run()
    assert not app.exception and app.dataframe[2].value["500 trees"].iloc[0].startswith("1.")
    assert "own" in app.caption[-1].value and "validation posts" in app.caption[-1].value


@pytest.mark.parametrize(("table", "left"), [("grid", 2), ("crossvalidation", 1)])
def test_each_is_shown_without_the_other(folder: Path, tmp_path: Path, table: str, left: int) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "report"))
    (copy / f"{table}.parquet").unlink()
    app = page(copy).run()
    assert not app.exception and len(app.dataframe) == left


def test_tables_without_rows_show_nothing(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "report"))
    for name in ("grid", "crossvalidation"):
        pd.read_parquet(copy / f"{name}.parquet").iloc[:0].to_parquet(copy / f"{name}.parquet")
    app = page(copy).run()
    assert not app.exception and not app.dataframe and not app.subheader


def test_spread_is_that_of_a_sample(folder: Path) -> None:
    found = queries.crossvalidation_means(open_report(folder)).set_index(["protocol", "metric"])
    table = pd.read_parquet(folder / "crossvalidation.parquet")
    values = table[(table["protocol"] == "random") & (table["metric"] == "accuracy")]["value"]
    assert found.loc[("random", "accuracy"), "deviation"] == pytest.approx(values.std())
    assert found.loc[("random", "accuracy"), "folds"] == 5
