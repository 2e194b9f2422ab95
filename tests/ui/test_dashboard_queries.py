"""The dashboard's queries agree with pandas over the same report; any URL gives a usable selection."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import ablation_queries, error_queries, queries, store
from dashboard.error_queries import ORDERS, SHARE_SELECTED, Scope
from dashboard.metrics import verdict
from dashboard.model_charts import forest, small_reach
from dashboard.reports import Report, Settings, find_reports, open_report
from dashboard.selection import Selection
from engine.errors import DataError
from tests.fake_report import write_report

SCOPE = Scope("blend", "both", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return open_report(folder)


@pytest.fixture(scope="module")
def predictions(folder: Path) -> pd.DataFrame:
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table[(table["model"] == "blend") & (table["view"] == "both") & (table["split"] == "test")]
    posts = pd.read_parquet(folder / "posts.parquet").rename(columns={"score": "true_score"})
    return table.merge(posts.drop(columns=["level", "split"]), on="post_id")


def test_training_levels_are_fifths(report: Report) -> None:
    shares = queries.level_shares(report)
    train = shares[shares["split"] == "train"]["share"]
    assert len(train) == 5 and np.allclose(train, 0.2, atol=0.01)
    assert shares[shares["split"] == "all"]["n"].sum() == 400


@pytest.mark.parametrize("log", [True, False])
def test_histogram_counts_every_post_in_bins_common_to_all_splits(report: Report, log: bool) -> None:
    every = queries.histogram(report, "score", None, log=log)
    parts = [queries.histogram(report, "score", split, log=log) for split in queries.SPLITS]
    assert every["n"].sum() == 400
    assert (sum(part["n"] for part in parts) == every["n"]).all()
    assert np.allclose(every["high"].iloc[:-1], every["low"].iloc[1:])


def test_whole_bins_have_whole_edges(report: Report) -> None:
    table = queries.histogram(report, "title_characters", None, bins=40, whole=True)
    assert table["n"].sum() == 400
    assert (table["low"] % 1 == 0).all()


def test_groups_straddle_only_the_random_split(report: Report, folder: Path) -> None:
    posts = pd.read_parquet(folder / "posts.parquet")
    for protocol, column in queries.PROTOCOLS.items():
        expected = (posts.groupby("group")[column].nunique() > 1).sum()
        assert queries.straddling_groups(report, protocol) == expected


def test_cleaning_shares_are_of_all_posts_read(report: Report) -> None:
    reasons = queries.cleaning_reasons(report)
    removed = reasons["n"].sum()
    assert reasons["share"].sum() == pytest.approx(removed / (removed + 400))
    assert len(queries.removed_posts(report, limit=3)) == 3


def test_removal_by_score_needs_scores_of_removed_posts(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "report"
    shutil.copytree(folder, copy)
    cleaning = pd.read_parquet(copy / "cleaning.parquet")
    cleaning["score"] = 1e9
    cleaning.to_parquet(copy / "cleaning.parquet")
    rates = queries.removal_by_score(open_report(copy))
    assert rates["removed"].tolist() == [0, 0, 0, 0, len(cleaning)]


def test_seeds_become_their_mean(report: Report, folder: Path) -> None:
    table = queries.metric_values(report, "grouped", "test")
    control = table[(table["model"] == "shuffled labels") & (table["metric"] == "accuracy")].iloc[0]
    assert control["seeds"] == 3
    raw = pd.read_parquet(folder / "metrics.parquet").query(
        "model == 'shuffled labels' and metric == 'accuracy' and protocol == 'grouped' and split == 'test'"
    )
    assert control["value"] == pytest.approx(raw["value"].mean())


def test_coverage_and_risk_agree_with_the_predictions(report: Report, predictions: pd.DataFrame) -> None:
    table = queries.coverage(report, "blend", "both", "test").set_index(["kind", "level"])
    held = predictions["level"].between(predictions["set_low"], predictions["set_high"])
    assert table.loc[("set", -1), "share"] == pytest.approx(held.mean())
    inside = predictions["true_score"].between(predictions["score_low"], predictions["score_high"])
    assert table.loc[("interval", 2), "share"] == pytest.approx(inside[predictions["level"] == 2].mean())
    risk = queries.risk_coverage(report, "blend", "both", "test")
    assert risk["coverage"].iloc[-1] == 1
    assert risk["error"].iloc[-1] == pytest.approx((predictions["level"] != predictions["predicted_level"]).mean())
    assert queries.set_sizes(report, "blend", "both", "test")["n"].sum() == len(predictions)


def test_wilson_interval_matches_the_formula(report: Report, predictions: pd.DataFrame) -> None:
    row = error_queries.slices(report, SCOPE, Selection(), "Exact level", 1).query("value == 'list A'").iloc[0]
    z, n, p = 1.96, row["n"], row["hits"] / row["n"]
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert (row["low"], row["high"]) == pytest.approx((center - half, center + half))
    assert row["n"] == (predictions["source"] == "list A").sum()


def test_confusion_ignores_outcome_filters_and_obeys_facts(report: Report, predictions: pd.DataFrame) -> None:
    selection = Selection.parse("true:3,pred:1,language:en")
    cells = error_queries.confusion(report, SCOPE, selection)
    english = predictions[predictions["language"] == "en"]
    assert len(cells) == 25 and cells["n"].sum() == len(english)
    chosen = english[(english["level"] == 3) & (english["predicted_level"] == 1)]
    assert error_queries.selected_count(report, SCOPE, selection) == len(chosen)
    assert error_queries.off_by(report, SCOPE, selection)["n"].sum() == len(english)


def test_slices_obey_minimum_and_other_filters_but_not_their_own(report: Report, predictions: pd.DataFrame) -> None:
    selection = Selection.parse("source:list%20A,true:0")
    table = error_queries.slices(report, SCOPE, selection, "Exact level", 10)
    assert (table["n"] >= 10).all()
    assert table[table["field"] == "source"]["n"].sum() >= table[table["field"] == "language"]["n"].sum()
    shares = error_queries.slices(report, SCOPE, selection, SHARE_SELECTED, 1)
    hits = ((predictions["source"] == "list A") & (predictions["level"] == 0)).sum()
    assert shares[shares["field"] == "language"]["hits"].sum() == hits
    overall = error_queries.overall(report, SCOPE, selection, SHARE_SELECTED)
    assert overall == pytest.approx(hits / (predictions["source"] == "list A").sum())


@pytest.mark.parametrize("order", ORDERS)
def test_pages_of_posts_are_disjoint_and_complete(report: Report, predictions: pd.DataFrame, order: str) -> None:
    pages = [error_queries.selected_posts(report, SCOPE, Selection(), order, 40, start) for start in range(0, 400, 40)]
    ids = pd.concat(pages)["post_id"]
    assert ids.is_unique and len(ids) == len(predictions)
    assert ids.tolist() == error_queries.selected_table(report, SCOPE, Selection(), order)["post_id"].tolist()


def test_furthest_off_comes_first(report: Report, predictions: pd.DataFrame) -> None:
    first = error_queries.selected_posts(report, SCOPE, Selection(), "Furthest off", 1, 0).iloc[0]
    worst = (predictions["level"] - predictions["predicted_level"]).abs().max()
    assert abs(first["level"] - first["predicted_level"]) == worst


def test_a_score_of_zero_can_be_ordered(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "report"
    shutil.copytree(folder, copy)
    posts = pd.read_parquet(copy / "posts.parquet")
    posts.loc[posts["split"] == "test", "score"] = 0.0
    posts.to_parquet(copy / "posts.parquet")
    rows = error_queries.selected_posts(
        open_report(copy), SCOPE, Selection(), "Score furthest outside its interval", 5, 0
    )
    assert len(rows) == 5


def test_head_to_head_turns_the_bootstrap_round(report: Report) -> None:
    forth = ablation_queries.head_to_head(report, "fusion", "concat", "gated", "test").set_index("metric")
    back = ablation_queries.head_to_head(report, "fusion", "gated", "concat", "test").set_index("metric")
    assert {*forth["basis"], *back["basis"]} == {"seeds and posts"}
    assert np.allclose(forth["delta"], -back["delta"])
    assert np.allclose(forth["low"], -back["high"])


@pytest.mark.parametrize("family", ["fusion", "head"])
def test_two_that_the_report_did_not_compare_are_paired_by_seed(report: Report, folder: Path, family: str) -> None:
    first, second = ablation_queries.variants(report, family)[:2]
    pair = ablation_queries.head_to_head(report, family, first, second, "test").set_index("metric")
    assert set(pair["basis"]) == {"seeds"} and (pair["seeds"] == 5).all()
    raw = pd.read_parquet(folder / "ablations.parquet").query("family == @family and split == 'test'")
    values = raw.pivot(index=["metric", "seed"], columns="ablation", values="value")
    apart = (values[first] - values[second]).groupby("metric")
    assert np.allclose(pair["delta"], apart.mean())
    assert (pair["low"] > apart.min() - 1e-12).all() and (pair["high"] < apart.max() + 1e-12).all()
    assert (pair["low"] < pair["delta"]).all() and (pair["delta"] < pair["high"]).all()


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_an_interval_over_seeds_lies_among_their_differences(differences: list[float]) -> None:
    low, high = ablation_queries.over_seeds(differences)
    assert min(differences) - 1e-9 <= low <= high <= max(differences) + 1e-9
    assert (low, high) == ablation_queries.over_seeds(differences)


def test_one_seed_has_no_interval(folder: Path, tmp_path: Path) -> None:
    assert np.isnan(ablation_queries.over_seeds([0.3])).all()
    copy = tmp_path / "report"
    shutil.copytree(folder, copy)
    (copy / "comparisons.parquet").unlink()
    ablations = pd.read_parquet(copy / "ablations.parquet")
    ablations[ablations["seed"] == 0].to_parquet(copy / "ablations.parquet")
    table = ablation_queries.head_to_head(open_report(copy), "fusion", "concat", "gated", "test")
    assert set(table["basis"]) == {"none"} and table["low"].isna().all()


def test_differences_without_comparisons_draw_seeds_alone(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "report"
    shutil.copytree(folder, copy)
    (copy / "comparisons.parquet").unlink()
    table = ablation_queries.differences(open_report(copy), "macro_f1", "test")
    assert np.allclose(table["delta"], table["value"] - table["reference_value"])
    assert set(table["basis"]) == {"seeds"} and (table["low"] <= table["delta"]).all()


def test_a_large_difference_is_told_from_the_small() -> None:
    table = pd.DataFrame(
        {"delta": [0.01, -0.01, 0.0, -0.4], "low": [0.0, -0.02, -0.01, -0.5], "high": [0.02, 0, 0.03, -0.3]}
    )
    assert small_reach(table) == 0.03
    assert small_reach(table[:3]) is None and small_reach(table[:0]) is None
    arrows = [
        mark.text for mark in forest(table.assign(name=list("abcd"), verdict="worse"), "", 0.03).layout.annotations
    ]
    assert arrows[-1] == "◀ -0.400" and len(arrows) == 5


@pytest.mark.parametrize(
    ("name", "delta", "low", "high", "expected"),
    [
        ("src", 0.1, 0.05, 0.15, "better"),
        ("src", -0.1, -0.15, -0.05, "worse"),
        ("class_mae", -0.1, -0.15, -0.05, "better"),
        ("src", 0.1, -0.01, 0.2, "no clear difference"),
        ("src", 0.1, 0.0, 0.2, "no clear difference"),
        ("src", 0.1, float("nan"), float("nan"), "not tested"),
        ("conformal_coverage", 0.1, 0.05, 0.2, "higher"),
    ],
)
def test_verdicts(name: str, delta: float, low: float, high: float, expected: str) -> None:
    assert verdict(name, delta, low, high) == expected
    plain = expected in ("no clear difference", "not tested")
    assert verdict(name, delta, low, high, "seeds") == (expected if plain else f"{expected}, seeds only")


@given(st.text(max_size=200))
def test_any_url_gives_a_usable_selection(written: str) -> None:
    selection = Selection.parse(written)
    assert Selection.parse(str(selection)) == selection
    condition, parameters = selection.where()
    assert condition.count("?") == len(parameters)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5, unique=True))
def test_values_survive_the_url(values: list[str]) -> None:
    selection = Selection().put("source", values)
    assert Selection.parse(str(selection)).values("source") == tuple(values)


def test_selection_drops_what_it_does_not_know() -> None:
    assert not Selection.parse("true:9,pred:x,off:99,drop table:1,source:")
    both = Selection().toggle(true="3", pred="1")
    assert str(both) == "true:3,pred:1"
    assert not both.toggle(true="3", pred="1")
    assert str(both.remove("true", "3")) == "pred:1"


def test_hostile_values_are_parameters(report: Report) -> None:
    selection = Selection().put("source", ["'; DROP VIEW posts; --"])
    assert error_queries.selected_count(report, SCOPE, selection) == 0
    assert queries.split_sizes(report)["posts"].sum() == 800


def test_the_database_reads_only_the_report(report: Report, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    connection = store.connect(folder.resolve(), ("posts",))
    with pytest.raises(duckdb.Error):
        connection.execute(f"SELECT * FROM read_csv('{secret}')")
    assert connection.execute("SELECT count(*) FROM posts").fetchone() == (400,)


def test_a_rewritten_report_is_read_anew(tmp_path: Path) -> None:
    write_report(tmp_path, n=200)
    assert queries.split_sizes(open_report(tmp_path))["posts"].sum() == 400
    write_report(tmp_path, n=240)
    assert queries.split_sizes(open_report(tmp_path))["posts"].sum() == 480


def test_missing_and_damaged_tables_are_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "report"
    shutil.copytree(folder, copy)
    (copy / "metrics.parquet").unlink()
    (copy / "predictions.parquet").write_bytes(b"PAR1 not really")
    pd.DataFrame({"post_id": ["a"]}).to_parquet(copy / "cleaning.parquet")
    opened = open_report(copy)
    assert opened.has("posts") and not opened.has("metrics") and not opened.has("predictions", "posts")
    assert len(opened.problems) == 3
    assert any("lacks reason" in problem for problem in opened.problems)


@pytest.mark.parametrize("content", ["{", "[]", '{"cuts": ["a"]}'])
def test_a_damaged_report_json_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(DataError, match="report"):
        open_report(tmp_path)


def test_reports_are_found_by_setting(tmp_path: Path) -> None:
    one = write_report(tmp_path / "models" / "one" / "report", n=100)
    write_report(tmp_path / "models" / "two" / "report", n=100)
    assert list(find_reports(Settings(report=one))) == ["one"]
    assert list(find_reports(Settings(report=tmp_path / "models"))) == ["one", "two"]
    with pytest.raises(DataError, match="no report"):
        open_report(tmp_path / "absent")
