"""Opening a report: what is older, damaged or impossible becomes one sentence, and nothing else opens in its place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import store
from dashboard.app_pages.dataset import queries
from dashboard.reports import Settings, find_reports, open_report
from engine.errors import DataError
from tests.tiny_report import altered, damaged

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
Change = Callable[[pd.DataFrame], object]


def app() -> AppTest:
    return AppTest.from_file(APP, default_timeout=60)


def put(column: str, value: object) -> Change:
    """The first row gets another value."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object if value is None else table[column].dtype)
        table.loc[0, column] = value
        return table

    return change


def in_place_of_another(table: pd.DataFrame) -> pd.DataFrame:
    return put("post_id", table["post_id"].iloc[1])(table)


def test_a_model_may_answer_some_posts_of_a_split(tiny_report: Path, tmp_path: Path) -> None:
    assert open_report(altered(tiny_report, tmp_path / "report", predictions=lambda table: table[1:])).problems == ()


def test_a_report_that_evaluate_wrote_is_sound(tiny_report: Path) -> None:
    report = open_report(tiny_report)
    assert report.problems == () and report.has("posts", "predictions", "metrics", "cleaning")
    assert report.data["name"] == "youtube" and len(report.data["fingerprint"]) == 64


FAULTS: list[tuple[str, Change, str]] = [
    ("predictions", put("p_low", None), "1 row with nulls"),
    ("predictions", put("p_low", 1.5), "1 row with probabilities outside of 0 to 1"),
    ("predictions", put("score_high", float("inf")), "1 row with scores that are no numbers"),
    ("predictions", put("abstain", None), "1 row with nulls"),
    ("predictions", put("level", 6), "1 row with levels outside of 0 to 4"),
    ("predictions", put("set_low", -1), "1 row with levels outside of 0 to 4"),
    ("predictions", lambda table: pd.concat([table, table[:1]]), "2 rows with the same post more than once"),
    ("predictions", put("post_id", "foreign"), "1 row with posts that posts.parquet lacks"),
    ("predictions", in_place_of_another, "2 rows with the same post more than once"),
    ("posts", put("level", 5), "1 row with levels outside of 0 to 4"),
    ("posts", put("score", float("inf")), "1 row with scores that are no numbers"),
    ("posts", put("split", None), "1 row with nulls"),
    ("posts", lambda table: pd.concat([table, table]), "rows with the same post more than once"),
    ("guard", put("value", 1.5), "1 row with shares outside of 0 to 1"),
    ("guard", put("kind", None), "1 row with nulls"),
    ("guard", lambda table: table.drop(columns="origin"), "lacks origin"),
    ("cleaning", lambda table: table.drop(columns="reason"), "lacks reason"),
    ("signals", put("removed", None), "1 row with nulls"),
    ("signals", put("post_id", "foreign"), "1 row with posts that posts.parquet lacks"),
    ("signals", put("level", 5), "1 row with levels outside of 0 to 4"),
    ("signals", put("popularity", float("inf")), "1 row with popularities that are no numbers"),
    ("consistency", put("bin", 5), "1 row with bins that cannot be"),
    ("consistency", lambda table: table.assign(bin_high=table["bin_low"]), "rows with bins that cannot be"),
    ("consistency", put("low", 9.0), "1 row with intervals that end before they begin"),
    ("consistency", lambda table: pd.concat([table, table[:1]]), "2 rows with a mean more than once"),
    ("trends", put("value", 1.5), "1 row with correlations outside of -1 to 1"),
    ("trends", put("low", 1.0), "1 row with intervals that end before they begin"),
    ("removal", put("value", 1.5), "1 row with shares outside of 0 to 1"),
    ("removal", put("by", "moon"), "1 row with bins that cannot be"),
    ("verdicts", put("verdict", "rises"), "1 row with verdicts of another kind"),
    ("matching", put("value", -0.5), "1 row with shares outside of 0 to 1"),
    ("captions", put("value", -0.5), "1 row with shares outside of 0 to 1"),
    ("caption_examples", put("caption", None), "1 row with nulls"),
    ("adapter", put("ratio", 1.5), "1 row with ratios outside of 0 to 1"),
    ("embedding", put("level", -1), "1 row with levels outside of 0 to 4"),
    ("embedding", put("dimensions", 4), "1 row with dimensions that cannot be"),
    ("embedding", put("x", float("inf")), "1 row with places that are no numbers"),
    ("embedding", put("post_id", "foreign"), "1 row with posts that posts.parquet lacks"),
]


@pytest.mark.parametrize(("table", "change", "said"), FAULTS)
def test_a_table_that_cannot_be_is_left_out_with_one_sentence(
    tiny_report: Path, tmp_path: Path, table: str, change: Change, said: str
) -> None:
    folder = altered(tiny_report, tmp_path / "report", **{table: change})
    report = open_report(folder)
    assert not report.has(table)
    (problem,) = report.problems
    assert problem.startswith(f"{table}.parquet ") and said in problem and problem.endswith("is left out.")


@pytest.mark.parametrize(("table", "change"), {table: change for table, change, _ in FAULTS}.items())
def test_what_is_left_out_is_said_on_the_page(
    tiny_report: Path, tmp_path: Path, table: str, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = altered(tiny_report, tmp_path / "report", **{table: change})
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(folder))
    page = app().run()
    assert not page.exception and len(page.sidebar.warning) == 1


@pytest.mark.parametrize("table", ["posts", "predictions"])
@pytest.mark.parametrize("behind", [False, True])
def test_broken_parquet_is_left_out(tiny_report: Path, tmp_path: Path, table: str, behind: bool) -> None:
    folder = altered(tiny_report, tmp_path / "report")
    if behind:
        damaged(folder, table)
    else:
        (folder / f"{table}.parquet").write_bytes(b"PAR1 not really")
    report = open_report(folder)
    assert not report.has(table) and f"{table}.parquet cannot be read" in report.problems[0]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"format": None}, "written by an older version; run `python -m training evaluate` again"),
        ({"format": 1}, "written by an older version; run `python -m training evaluate` again"),
        ({"format": 3}, "written by a newer version"),
        ({"cuts": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}, "has 7 levels, and the dashboard shows 5"),
        ({"cuts": ["a", "b", "c", "d"]}, "level cuts"),
        ({"cuts": [0.4, 0.3, 0.2, 0.1]}, "level cuts"),
    ],
)
def test_a_report_of_another_kind_is_refused_in_one_sentence(
    tiny_report: Path, tmp_path: Path, facts: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = altered(tiny_report, tmp_path / "report", facts)
    with pytest.raises(DataError, match="report") as refused:
        open_report(folder)
    assert said in str(refused.value)
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(folder))
    page = app().run()
    assert not page.exception and len(page.error) == 1


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "[" * 100_000])
def test_no_report_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(tmp_path))
    page = app().run()
    assert not page.exception
    assert len(page.error) == 1 and "report" in page.error[0].value


def test_a_folder_that_goes_away_is_a_sentence(
    tiny_report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = altered(tiny_report, tmp_path / "report")
    opened = open_report(folder)
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(folder))
    page = app().run()
    shutil.rmtree(folder)
    page.run()
    assert not page.exception and "no report at" in page.error[0].value
    with pytest.raises(DataError, match="cannot be read"):
        queries.removed_posts(opened, limit=7)


def test_the_sidebar_names_recipe_and_data(tiny_report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(tiny_report))
    page = app().run()
    assert not page.exception and page.title[0].value == "Dataset"
    said = page.sidebar.caption[0].value
    assert "tiny" in said and f"youtube {open_report(tiny_report).data['fingerprint'][:12]}" in said


def test_a_report_elsewhere_is_fetched_once_and_what_fails_is_a_sentence(
    tiny_report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = fsspec.filesystem("memory")
    system.put(f"{tiny_report}/", "/bucket/elsewhere/report/", recursive=True)
    cache = tmp_path / "cache"
    monkeypatch.setenv("FIRST_IMPRESSIONS_CACHE", str(cache))
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", "memory://bucket/elsewhere/report")
    try:
        assert not app().run().exception
        system.rm("/bucket", recursive=True)
        assert not app().run().error
        ((name, folder),) = find_reports(Settings()).items()
    finally:
        system.store.clear()
    assert name == "elsewhere" and folder.parent == cache / "reports"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        file.name: file.read_bytes() for file in tiny_report.iterdir()
    }
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", "memory://bucket/nowhere/report")
    page = app().run()
    assert not page.exception and "nowhere/report does not exist" in page.error[0].value
    assert list(cache.glob("reports/*")) == [folder]


@pytest.fixture
def two(tiny_report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("one", "two"):
        altered(tiny_report, tmp_path / name / "report", {"recipe": f"recipe {name}"})
    monkeypatch.setenv("FIRST_IMPRESSIONS_REPORT", str(tmp_path))
    return tmp_path


def test_several_reports_are_offered(two: Path) -> None:
    page = app().run()
    assert page.sidebar.selectbox[0].options == ["one", "two"]
    page.sidebar.selectbox[0].select("two").run()
    assert not page.exception and "recipe two" in page.sidebar.caption[0].value


def test_a_report_that_is_not_there_is_said_and_none_opens_in_its_place(two: Path) -> None:
    page = app()
    page.query_params["report"] = "deleted"
    page.run()
    assert not page.exception and not page.title
    assert "There is no report “deleted”" in page.error[0].value
    links = "".join(element.proto.body for element in page.get("html"))
    assert '<a href="?report=two" target="_self">two</a>' in links


def test_a_page_that_the_report_cannot_fill_says_why(tiny_report: Path, tmp_path: Path) -> None:
    from dashboard.app import missing

    folder = altered(tiny_report, tmp_path / "report", predictions=put("level", 6))
    page = AppTest.from_function(_missing, args=(str(folder),)).run()
    assert not page.exception and "levels outside" in page.info[0].value
    assert callable(missing)


def _missing(folder: str) -> None:
    from pathlib import Path

    from dashboard.app import missing
    from dashboard.reports import open_report

    missing("Errors", open_report(Path(folder)))


def test_reports_are_found_by_setting(tiny_report: Path, two: Path) -> None:
    assert list(find_reports(Settings(report=str(two / "one" / "report")))) == ["one"]
    assert list(find_reports(Settings(report=str(two)))) == ["one", "two"]
    with pytest.raises(DataError, match="no report"):
        open_report(two / "absent")


def test_a_rewritten_report_is_read_anew(tiny_report: Path, tmp_path: Path) -> None:
    folder = altered(tiny_report, tmp_path / "report")
    before = queries.split_sizes(open_report(folder))["posts"].sum()
    pd.read_parquet(folder / "posts.parquet").iloc[1:].to_parquet(folder / "posts.parquet")
    assert queries.split_sizes(open_report(folder))["posts"].sum() == before - 2


def test_the_database_reads_only_the_report(tiny_report: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    connection = store.connect(tiny_report.resolve(), ("posts",))
    with pytest.raises(duckdb.Error):
        connection.execute(f"SELECT * FROM read_csv('{secret}')")
    assert connection.execute("SELECT count(*) > 100 FROM posts").fetchone() == (True,)


def test_a_folder_may_have_any_name(tiny_report: Path, tmp_path: Path) -> None:
    folder = altered(tiny_report, tmp_path / "it's [a] *report?")
    report = open_report(folder)
    assert report.problems == () and queries.split_sizes(report)["posts"].sum() > 0
