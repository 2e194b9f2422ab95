"""The ablation page: the shipped model first, what the others are variants of, and nothing said that was not tested."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd

from dashboard.app_pages.ablations import queries
from dashboard.app_pages.ablations.charts import forest, small_reach
from dashboard.reports import open_report
from dashboard.text import markdown
from tests.dashboard_page import page, texts
from tests.tiny_report import altered


def test_the_shipped_model_s_picture_comes_first_and_the_reference_is_named(folder: Path) -> None:
    app = page("ablations", folder).run()
    assert app.subheader[0].value == "What does the picture earn in the shipped model?"
    assert app.metric[0].value == "+0.050"
    assert ":blue[**better**]" in next(element.value for element in app.markdown if ":small[" in element.value)
    metrics = pd.read_parquet(folder / "metrics.parquet").query(
        "model == 'tiny' and view == 'both' and split == 'test' and metric == 'src'"
    )
    ablations = pd.read_parquet(folder / "ablations.parquet").query("metric == 'src' and split == 'test'")
    reference = ablations.query("reference == 'all features'")["reference_value"].mean()
    (said,) = [element.value for element in app.markdown if "Not the shipped model" in element.value]
    assert f"Spearman (SRC) {reference:.3f}, mean of 2 seeds, 43 test posts" in said
    assert f"The shipped model **tiny** is another: Spearman (SRC) {metrics['value'].iloc[0]:.3f} [" in said
    assert "CatBoost on every feature of the frozen encoders" in said


def test_a_report_without_the_gain_says_so(folder: Path, tmp_path: Path) -> None:
    assert "no differences.parquet" in texts(page("ablations", altered(folder, tmp_path / "a", differences=None)).run())
    copy = altered(folder, tmp_path / "b", differences=lambda rows: rows[rows["reference"] != "tiny"])
    assert "does not say" in texts(page("ablations", copy).run())


def test_what_is_not_clear_is_marked_and_leaks_wait_to_be_asked_for(folder: Path) -> None:
    app = page("ablations", folder).run()
    table = app.dataframe[0].value
    ends = table["between"].str.split(" to ", expand=True).astype(float)
    crossing = (ends[0] <= 0) & (ends[1] >= 0)
    assert crossing.any()
    assert (table["verdict"] == "no clear difference").tolist() == crossing.tolist()
    assert not set(table["family"]) & {"Leak", "Controls"}
    app.pills(key="families").set_value(["leak"]).run()
    assert set(app.dataframe[0].value["family"]) == {"Leak"}
    assert "counts as inputs (leak)" in str(app.get("plotly_chart")[0].proto)
    app.segmented_control(key="family").set_value("leak").run()
    assert not app.exception


def test_what_the_report_did_not_test_is_not_tested(folder: Path, tmp_path: Path) -> None:
    app = page("ablations", folder).run()
    app.selectbox(key="metric").select("class_mae").run()
    table = app.dataframe[0].value
    assert set(table["verdict"]) == {"not tested"} and set(table["between"]) == {""}
    assert table["spread"].str.contains(" to ").all() and "was not tested" in texts(app)
    app = page("ablations", altered(folder, tmp_path / "report", comparisons=None)).run()
    assert set(app.dataframe[0].value["verdict"]) == {"not tested"} and "none of these" in app.warning[0].value
    validation = altered(folder, tmp_path / "other", ablations=lambda rows: rows[rows["split"] == "validation"])
    app = page("ablations", validation).run()
    assert not app.exception and set(app.dataframe[0].value["verdict"]) == {"not tested"}


def test_any_two_of_a_family_are_compared(folder: Path) -> None:
    app = page("ablations", folder).run()
    names = app.selectbox(key="fusion-first").options
    assert len(names) == 3 and app.selectbox(key="fusion-second").value == "concat"
    for first, second in permutations(names, 2):
        app.selectbox(key="fusion-first").select(first)
        app.selectbox(key="fusion-second").select(second).run()
        assert not app.exception
        table = app.dataframe[1].value.set_index("name")
        assert table.loc["Class MAE (lower is better)", "verdict"] == "not tested"
        assert table.loc["Spearman (SRC) (higher is better)", "verdict"] != "not tested"
    app.selectbox(key="fusion-second").select(first).run()
    assert not app.exception and "different" in texts(app)


def test_small_differences_are_zoomed_in_on_where_one_dwarfs_them(folder: Path, tmp_path: Path) -> None:
    def dwarfed(rows: pd.DataFrame) -> pd.DataFrame:
        large = rows["ablation"] == "without text"
        return rows.assign(**{name: np.where(large, -5.0, rows[name]) for name in ("delta", "low", "high")})

    app = page("ablations", altered(folder, tmp_path / "report", comparisons=dwarfed)).run()
    app.toggle(key="zoom").set_value(True).run()
    assert not app.exception
    app.pills(key="families").set_value(["feature"]).run()
    assert not app.exception and not app.toggle


def test_head_to_head_turns_the_bootstrap_round(folder: Path) -> None:
    report = open_report(folder)
    forth = queries.head_to_head(report, "fusion", "gated", "concat", "test").set_index("metric")
    back = queries.head_to_head(report, "fusion", "concat", "gated", "test").set_index("metric")
    assert np.allclose(forth["delta"], -back["delta"]) and forth["low"].notna().any()
    assert np.allclose(forth["low"], -back["high"], equal_nan=True)


def test_an_untested_difference_is_paired_by_seed(folder: Path, tmp_path: Path) -> None:
    copy = altered(folder, tmp_path / "report", comparisons=None)
    table = queries.differences(open_report(copy), "macro_f1", "test")
    assert np.allclose(table["delta"], table["value"] - table["reference_value"])
    assert table["low"].isna().all() and (table["least"] <= table["delta"]).all()
    pair = queries.head_to_head(open_report(copy), "fusion", "gated", "cross-attention", "test").set_index("metric")
    raw = pd.read_parquet(copy / "ablations.parquet").query("family == 'fusion' and split == 'test'")
    values = raw.pivot(index=["metric", "seed"], columns="ablation", values="value")
    apart = (values["gated"] - values["cross-attention"]).groupby("metric")
    assert np.allclose(pair["delta"], apart.mean()) and (pair["seeds"] == 2).all()
    assert np.allclose(pair["least"], apart.min()) and np.allclose(pair["most"], apart.max())


def test_a_difference_is_that_from_its_own_reference(folder: Path, tmp_path: Path) -> None:
    def doubled(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([rows, rows.assign(reference="another", delta=9.0, low=8.0, high=10.0)])

    copy = altered(folder, tmp_path / "report", comparisons=doubled)
    one, other = (queries.differences(open_report(path), "src", "test") for path in (folder, copy))
    pd.testing.assert_frame_equal(one, other)


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


def test_what_each_member_earns_is_shown_with_its_verdict(folder: Path, tmp_path: Path) -> None:
    assert "each member" not in texts(page("ablations", folder).run())
    copy = altered(folder, tmp_path / "a")
    gains = {"ngrams": (0.02, 0.01, 0.03), "cover": (0.004, -0.002, 0.01)}
    rows = [
        {"view": view, "member": member, "metric": name, "delta": sign * delta, "low": low, "high": high, "n": 240}
        for view in ("both", "image")
        for member, values in gains.items()
        for name, sign in (("src", 1), ("log_loss", -1))
        for delta, low, high in [values if sign > 0 else (values[0], -values[2], -values[1])]
    ]
    pd.DataFrame(rows).to_parquet(copy / "contributions.parquet")
    app = page("ablations", copy).run()
    assert "What does each member earn in the shipped model?" in texts(app) and "240 posts outside of test" in texts(
        app
    )
    table = next(found.value for found in app.dataframe if "member" in found.value)
    assert table["member"].tolist() == ["ngrams", "cover"]
    assert table["verdict"].tolist() == ["better", "no clear difference"]
    app.selectbox(key="member-metric").set_value("log_loss").run()
    table = next(found.value for found in app.dataframe if "member" in found.value)
    assert table["member"].tolist() == ["ngrams", "cover"] and table["verdict"].tolist()[0] == "better"
    # A blend of one member of one side has nothing to be left out.
    empty = page("ablations", altered(copy, tmp_path / "empty", contributions=lambda rows: rows.iloc[:0])).run()
    assert not empty.exception and "What does each member earn" not in texts(empty)


def test_ablations_of_an_earlier_run_say_of_when_they_are(folder: Path, tmp_path: Path) -> None:
    assert "another run" not in texts(page("ablations", folder).run())
    copy = altered(folder, tmp_path / "a", {"apart": {"ablations": "2026-01-02T03:04:05+00:00"}})
    assert f"another run on the same posts and split ({markdown('2026-01-02')})" in texts(page("ablations", copy).run())
