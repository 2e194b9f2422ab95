"""Every page of the dashboard on a made-up report: it renders, its filters act, and damage becomes a sentence."""

import shutil
from itertools import permutations
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tests.fake_report import write_report

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
PAGES = ("dataset", "model", "ablations", "errors")
TIMEOUT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"))


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "report"))


def _script(name: str, folder: str) -> None:
    from importlib import import_module
    from pathlib import Path

    from dashboard.app import show
    from dashboard.reports import open_report

    show(import_module(f"dashboard.app_pages.{name}"), open_report(Path(folder)))


def page(name: str, folder: Path) -> AppTest:
    return AppTest.from_function(_script, args=(name, str(folder)), default_timeout=TIMEOUT)


def texts(app: AppTest) -> str:
    elements = (*app.markdown, *app.caption, *app.subheader, *app.info, *app.warning, *app.success, *app.error)
    return "\n".join(str(element.value) for element in elements)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_renders(folder: Path, name: str) -> None:
    app = page(name, folder).run()
    assert not app.exception and not app.error
    assert app.title[0].value.lower() == name


def test_the_app_opens_on_the_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(folder))
    app = AppTest.from_file(APP, default_timeout=TIMEOUT).run()
    assert not app.exception
    assert app.title[0].value == "Dataset"
    assert "fake" in app.sidebar.caption[0].value


def test_several_reports_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        write_report(tmp_path / name / "report", n=100)
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(tmp_path))
    app = AppTest.from_file(APP, default_timeout=TIMEOUT).run()
    assert app.sidebar.selectbox[0].options == ["one", "two"]
    app.sidebar.selectbox[0].select("two").run()
    assert not app.exception and app.title[0].value == "Dataset"


@pytest.mark.parametrize("content", [None, "", "{", "[1]"])
def test_no_report_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(tmp_path))
    app = AppTest.from_file(APP, default_timeout=TIMEOUT).run()
    assert not app.exception
    assert len(app.error) == 1 and "report" in app.error[0].value


def test_missing_tables_leave_pages_out(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (damaged / "metrics.parquet").unlink()
    (damaged / "posts.parquet").write_bytes(b"nothing")
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(damaged))
    app = AppTest.from_file(APP, default_timeout=TIMEOUT).run()
    assert not app.exception
    assert app.title[0].value == "Ablations"
    assert len(app.sidebar.warning) == 2


def test_a_report_without_any_table_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report.json").write_text("{}")
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(tmp_path))
    app = AppTest.from_file(APP, default_timeout=TIMEOUT).run()
    assert not app.exception and "no table" in app.error[0].value


@pytest.mark.parametrize("name", PAGES)
def test_optional_tables_may_be_absent(damaged: Path, name: str) -> None:
    for table in ("cleaning", "reliability", "curves", "comparisons", "attribution", "attribution_summary"):
        (damaged / f"{table}.parquet").unlink()
    (damaged / "hardware.json").unlink()
    app = page(name, damaged).run()
    assert not app.exception and not app.error


@pytest.mark.parametrize("name", PAGES)
def test_tables_without_rows_are_no_error(damaged: Path, name: str) -> None:
    for path in damaged.glob("*.parquet"):
        pd.read_parquet(path).iloc[:0].to_parquet(path)
    app = page(name, damaged).run()
    assert not app.exception


@pytest.mark.parametrize(("name", "table"), [("dataset", "posts"), ("errors", "predictions"), ("model", "metrics")])
def test_damage_behind_a_good_footer_is_a_sentence(damaged: Path, name: str, table: str) -> None:
    path = damaged / f"{table}.parquet"
    content = bytearray(path.read_bytes())
    # The footer at the end stays whole, so the damage shows only when rows are read.
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(bytes(content))
    app = page(name, damaged).run()
    assert not app.exception
    assert app.error and "cannot be read" in app.error[0].value


def test_dataset_states_fifths_and_cuts(folder: Path) -> None:
    app = page("dataset", folder).run()
    assert "About 20%" in app.success[0].value
    assert "likes" in texts(app)
    app.toggle(key="log").set_value(False).run()
    assert not app.exception
    app.segmented_control(key="histogram").set_value("test").run()
    assert not app.exception


def test_dataset_warns_when_cuts_and_labels_disagree(damaged: Path) -> None:
    posts = pd.read_parquet(damaged / "posts.parquet")
    posts["level"] = 0
    posts.to_parquet(damaged / "posts.parquet")
    app = page("dataset", damaged).run()
    assert "disagree" in texts(app) and not app.success


def test_model_keeps_the_leak_apart_and_warns_of_random_splits(folder: Path) -> None:
    app = page("model", folder).run()
    tables = [element.value for element in app.dataframe]
    assert "leak" not in set(tables[0]["kind"])
    assert set(tables[1]["kind"]) == {"leak"}
    assert "not a result" in texts(app)
    app.segmented_control(key="protocol").set_value("random").run()
    assert not app.exception and "flatter" in app.warning[0].value
    app.pills(key="views").set_value(["text"]).run()
    assert not app.exception
    assert app.dataframe[0].value["name"].str.contains("title only").all()


@pytest.mark.parametrize("metric", ["brier", "conformal_coverage", "class_mae"])
def test_model_charts_any_metric(folder: Path, metric: str) -> None:
    app = page("model", folder).run()
    app.selectbox(key="metric").select(metric).run()
    assert not app.exception


def test_model_reliability_of_every_level(folder: Path) -> None:
    app = page("model", folder).run()
    for level in range(-1, 5):
        app.selectbox(key="reliability").select(level).run()
        assert not app.exception
    app.selectbox(key="model").select("picture grid").run()
    assert not app.exception


def test_model_judges_explanations(folder: Path, damaged: Path) -> None:
    app = page("model", folder).run()
    assert "point at what matters" in texts(app) and "Area difference: the area under insertion" in texts(app)
    charts = {chart.proto.id: chart.proto.spec for chart in app.get("plotly_chart")}
    (curves,) = [spec for spec in charts.values() if "Share of the parts removed or added" in spec]
    assert "Expected level (0 to 4)" in curves and "Probability" not in curves
    (table,) = [element.value for element in app.dataframe if "area_difference" in element.value]
    assert table["method"].tolist() == [
        "Integrated Gradients",
        "random order",
        "Integrated Gradients − random order",
    ]
    assert table["area_difference"].iloc[2] == "0.400 [0.250, 0.550]"
    assert table["seconds"].tolist() == ["1.2 [1.1, 1.3]", "", ""]
    (damaged / "attribution_summary.parquet").unlink()
    app = page("model", damaged).run()
    assert not app.exception and "point at what matters" in texts(app) and "Area difference:" not in texts(app)


def test_model_shows_speed_as_a_table(folder: Path) -> None:
    app = page("model", folder).run()
    (table,) = [element.value for element in app.dataframe if "ratio" in element.value]
    assert table["ratio"].tolist() == [1.234] and table["figures"].tolist() == ["prediction 41.0 ms"]
    assert table["machine"].tolist() == ["a made-up processor"]
    assert "torch 2" in texts(app)


@pytest.mark.parametrize(
    "content",
    ["[1]", "{", "{}", '{"machine": "x"}', '{"a": {"ratio": 1}, "b": 2}', '{"a": {"ratio": "?"}}'],
)
def test_model_survives_any_hardware_file(damaged: Path, content: str) -> None:
    (damaged / "hardware.json").write_text(content)
    app = page("model", damaged).run()
    assert not app.exception and not app.error


def test_ablations_mark_what_is_not_clear(folder: Path) -> None:
    app = page("ablations", folder).run()
    table = app.dataframe[0].value
    ends = table["between"].str.split(" to ", expand=True).astype(float)
    crossing = (ends[0] <= 0) & (ends[1] >= 0)
    assert crossing.any()
    assert (table.loc[crossing, "verdict"] == "no clear difference").all()
    assert not set(table["family"]) & {"Leak", "Controls"}
    app.pills(key="families").set_value(["leak"]).run()
    assert set(app.dataframe[0].value["family"]) == {"Leak"}
    app.segmented_control(key="family").set_value("head").run()
    assert not app.exception
    app.selectbox(key="head-second").select(app.selectbox(key="head-first").value).run()
    assert not app.exception and "different" in texts(app)


@pytest.mark.parametrize("family", ["fusion", "head"])
def test_any_two_of_a_family_are_compared_and_the_page_says_how(folder: Path, family: str) -> None:
    app = page("ablations", folder).run()
    app.segmented_control(key="family").set_value(family).run()
    names = app.selectbox(key=f"{family}-first").options
    reference = app.selectbox(key=f"{family}-second").value
    assert len(names) == 3 and reference == names[-1]
    for first, second in permutations(names, 2):
        app.selectbox(key=f"{family}-first").select(first)
        app.selectbox(key=f"{family}-second").select(second).run()
        assert not app.exception
        table = app.dataframe[1].value
        assert table["between"].str.contains(" to ").all() and len(table) == 3
        compared = reference in (first, second)
        assert ("over the seeds alone" in texts(app)) == (not compared)
        assert not (compared and table["verdict"].str.contains("seeds only").any())


def test_ablations_zoom_in_where_one_dwarfs_the_rest(folder: Path) -> None:
    app = page("ablations", folder).run()
    app.pills(key="families").set_value(["modality", "signal", "statistic", "leak"]).run()
    app.toggle(key="zoom").set_value(True).run()
    assert not app.exception
    app.pills(key="families").set_value(["signal"]).run()
    assert not app.exception and not app.toggle


def test_errors_selection_from_the_url(folder: Path) -> None:
    app = page("errors", folder)
    app.query_params["selection"] = "true:2,pred:2"
    app.run()
    assert not app.exception
    chips = [button for button in app.button if button.key and button.key.startswith("chip-")]
    assert [chip.label for chip in chips] == ["True level\\: Average", "Predicted\\: Average"]
    chips[0].click().run()
    assert app.query_params["selection"] == "pred:2"
    app.button(key="clear").click().run()
    assert "selection" not in app.query_params


def test_errors_adds_and_pages(folder: Path) -> None:
    app = page("errors", folder).run()
    app.number_input(key="page").set_value(2).run()
    assert not app.exception
    next(button for button in app.button if button.key == "add-source-list A").click().run()
    assert app.query_params["selection"] == "source:list%20A"
    assert app.number_input(key="page").value == 1
    app.number_input(key="least").set_value(5000).run()
    assert "Lower the number" in texts(app)


def test_errors_selection_ends_with_the_back_button_and_outlives_other_pages(folder: Path) -> None:
    app = page("errors", folder)
    app.query_params["selection"] = "true:2"
    app.run()
    app.query_params.clear()
    app.session_state["page_now"] = "model"
    app.run()
    assert app.query_params["selection"] == "true:2"
    app.query_params.clear()
    app.run()
    assert "selection" not in app.query_params and not [key for key in app.button if str(key.key).startswith("chip-")]


def test_errors_survive_any_url(folder: Path) -> None:
    app = page("errors", folder)
    app.query_params["selection"] = "true:9,<script>:1,source:%3Cb%3E"
    app.run()
    assert not app.exception
    assert "No post meets every filter" in texts(app)


def test_errors_show_titles_of_a_mounted_dataset(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    posts = pd.read_parquet(folder / "posts.parquet")
    hostile = "<img src=x onerror=alert(1)>"
    pd.DataFrame({"post_id": posts["post_id"], "title": hostile, "image": None}).to_parquet(tmp_path / "posts.parquet")
    monkeypatch.setenv("FIRST_IMPRESSIONS_DATA", str(tmp_path))
    app = page("errors", folder).run()
    assert not app.exception
    html = "".join(element.proto.body for element in app.get("html"))
    assert "&lt;img src=x" in html and hostile not in html
