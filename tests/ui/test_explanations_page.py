"""The page on explanations and speed: what the curves come to, and which benchmark misses its target."""

from pathlib import Path

import pandas as pd
import pytest

from tests.dashboard_page import page, texts
from tests.tiny_report import altered


def test_explanations_are_judged(folder: Path, tmp_path: Path) -> None:
    app = page("explanations", folder).run()
    assert "**tiny**, 3 test posts" in texts(app) and "Area under insertion" in texts(app)
    charts = {chart.proto.id: chart.proto.spec for chart in app.get("plotly_chart")}
    (curves,) = [spec for spec in charts.values() if "Share of the parts removed or added" in spec]
    assert "Expected level (0 to 4)" in curves and "Probability" not in curves
    raw = pd.read_parquet(folder / "attribution_summary.parquet").query("metric == 'area_difference'")
    table = app.dataframe[0].value
    assert table["method"].tolist() == raw["method"].tolist()
    first = raw.iloc[0]
    assert table["area_difference"].iloc[0] == f"{first['value']:.3f} [{first['low']:.3f} to {first['high']:.3f}]"
    assert table["seconds"].iloc[-1] == ""
    app = page("explanations", altered(folder, tmp_path / "report", attribution_summary=None)).run()
    assert not app.exception and "Area under insertion" not in texts(app)


def test_a_benchmark_that_misses_its_target_is_flagged(folder: Path) -> None:
    app = page("explanations", folder).run()
    table = app.dataframe[1].value.set_index("what")
    assert table["verdict"].tolist() == [
        "⚠ misses its target",
        "meets its target",
        "⚠ misses its target",
        "no target",
    ]
    assert table["target"].tolist() == ["at most 1.3", "at most 1.5", "at least 0.8", ""]
    assert "one prediction" in app.warning[0].value and "until the page" not in app.warning[0].value
    assert table["figures"].iloc[0] == "prediction 41.0 ms" and "torch 2" in texts(app)
    assert table["model"].tolist() == ["⚠ another", "this one", "", ""]
    assert "another model" in app.warning[1].value and "one prediction" in app.warning[1].value


def test_a_report_that_never_shipped_says_nothing_of_whose_figures_they_are(folder: Path, tmp_path: Path) -> None:
    app = page("explanations", altered(folder, tmp_path / "report", {"bundle": None})).run()
    assert set(app.dataframe[1].value["model"]) == {""} and len(app.warning) == 1


@pytest.mark.parametrize(
    "content",
    [
        "[1]",
        "{",
        '{"machine": "x"}',
        '{"a": {"ratio": 1}, "b": 2}',
        '{"a": {"ratio": "?"}}',
        '{"a": {"ratio": 1, "target": "?"}}',
    ],
)
def test_any_hardware_file_is_survived(folder: Path, tmp_path: Path, content: str) -> None:
    copy = altered(folder, tmp_path / "report")
    (copy / "hardware.json").write_text(content)
    app = page("explanations", copy).run()
    assert not app.exception and not app.error
