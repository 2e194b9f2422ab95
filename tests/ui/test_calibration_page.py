"""The calibration page: one interval a figure, coverage of each level, reliability, and what models are called."""

from pathlib import Path

import pandas as pd
import pytest

from dashboard.app_pages.calibration import queries
from dashboard.metrics import EDGY
from dashboard.reports import open_report
from dashboard.scope import Scope, predicted_models
from dashboard.store import records
from tests.dashboard_page import page, texts
from tests.tiny_report import altered
from training.evaluation.guard import PICTURES, TITLES
from training.metrics.predictions import PROBABILITIES

SCOPE = Scope("tiny", "both", "test")


def test_a_figure_has_the_interval_of_the_results_page(folder: Path, tmp_path: Path) -> None:
    def promised(low: float, high: float) -> Path:
        own = {"low": low, "high": high}
        return altered(
            folder,
            tmp_path / f"report-{low}",
            metrics=lambda rows: rows.assign(
                **{name: rows[name].mask(rows["metric"] == "interval_coverage", value) for name, value in own.items()}
            ),
        )

    app = page("calibration", promised(0.7, 0.9)).run()
    assert "95%: 0.700 to 0.900" in texts(app) and "promised 80%: inside the interval" in texts(app)
    app = page("calibration", promised(0.6, 0.7)).run()
    assert "promised 80%: :orange[**outside the interval**]" in texts(app)
    app = page("calibration", altered(folder, tmp_path / "bare", metrics=None)).run()
    assert not app.exception and "no calibration figures" in texts(app)


@pytest.mark.parametrize(("abstains", "said"), [(True, "abstains from all of"), (False, "abstains from none of")])
def test_a_model_that_abstains_always_or_never_is_said_to(
    folder: Path, tmp_path: Path, abstains: bool, said: str
) -> None:
    copy = altered(folder, tmp_path / "report", predictions=lambda rows: rows.assign(abstain=abstains))
    assert said in texts(page("calibration", copy).run())


def test_calibration_errors_stand_beside_what_chance_leaves(folder: Path) -> None:
    told = texts(page("calibration", folder).run())
    rows = pd.read_parquet(folder / "metrics.parquet").query("model == 'tiny' and view == 'both' and split == 'test'")
    for name in ("classwise_ece_by_chance", "ece_by_chance"):
        value, low, high = rows.set_index("metric").loc[name, ["value", "low", "high"]]
        assert f"by chance alone {value:.3f} ({low:.3f} to {high:.3f})" in told


def test_coverage_of_each_level_comes_from_the_report(folder: Path, tmp_path: Path) -> None:
    table = queries.coverage(open_report(folder), SCOPE, "conformal_coverage")
    assert table[["level", "share", "low", "high", "n"]].to_numpy().tolist() == [
        [level, 0.8, 0.7, 0.9, 9] for level in range(5)
    ]
    assert "no coverage.parquet" in texts(page("calibration", altered(folder, tmp_path / "r", coverage=None)).run())


def test_reliability_of_every_level_has_the_report_s_intervals(folder: Path, tiny_report: Path) -> None:
    table = queries.reliability(open_report(folder), SCOPE, -1)
    assert (table["high"] - table["low"]).round(6).eq(0.2).all() and len(table) > 2
    app = page("calibration", folder).run()
    for level in range(-1, 5):
        app.selectbox(key="reliability").select(level).run()
        assert not app.exception
    app.selectbox(key="model").select("trees").run()
    assert not app.exception and "no reliability curve" in texts(app)


def test_reliability_without_intervals_says_so(folder: Path, tmp_path: Path) -> None:
    copy = altered(folder, tmp_path / "report", reliability=lambda rows: rows.drop(columns=["low", "high"]))
    assert "no intervals of it" in texts(page("calibration", copy).run())


def test_what_is_not_answered_is_told_by_kind_and_with_its_price(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(folder / "guard.parquet").set_index(["view", "origin", "kind", "metric"]).sort_index()
    app = page("calibration", folder).run()
    assert not app.exception and "What it does not answer" in texts(app)
    shown = {frame.value.columns[0]: frame.value for frame in app.dataframe}
    junk = shown["kind"].set_index(["view", "origin", "kind"])
    assert len(junk) == len(TITLES) + len(PICTURES) + 6
    row = rows.loc[("text", "unseen", "hashes", "withheld")]
    assert junk.loc[("titles", "never seen", "hashes"), "withheld"].startswith(f"{row['value']:.1%} [{row['low']:.1%}")
    assert junk.loc[("pictures", "both", "all together"), "n"] == rows.loc[("image", "all", "all", "withheld"), "n"]
    price = shown["view"].set_index("view")
    assert price.index.tolist() == ["Picture and title", "Title only", "Picture only"]
    change = rows.loc[("both", "test", "all", "src_difference")]
    assert price.loc["Picture and title", "src_difference"].startswith(f"{change['value']:+.4f} [")
    assert price["verdict"].isin(["better", "better" + EDGY, "worse", "worse" + EDGY, "no clear difference"]).all()
    seen = altered(folder, tmp_path / "seen", guard=lambda table: table[table["view"] != "text"])
    app = page("calibration", seen).run()
    (column,) = (own for own in app.columns if any("Made-up pictures" in said.value for said in own.markdown))
    assert column.weight == 1 and "turns away a picture unlike" in texts(app)
    app = page("calibration", altered(folder, tmp_path / "older", guard=None)).run()
    assert not app.exception and "no guard.parquet" in texts(app) and not app.dataframe


def test_leaks_and_controls_say_what_they_are_and_stand_last(folder: Path, tmp_path: Path) -> None:
    app = page("calibration", folder).run()
    options = app.selectbox(key="model").options
    assert options[0] == "tiny"
    assert "(control)" in options[-2] and {o for o in options if "(leak)" in o} == {"engagement rate as input (leak)"}
    marked = [option.endswith((" (leak)", " (control)")) for option in options]
    assert marked == sorted(marked) and sum(marked) == 4
    bare = predicted_models(open_report(altered(folder, tmp_path / "report", metrics=None)))
    assert set(bare["kind"]) == {""}


def test_risk_set_sizes_and_abstention_agree_with_the_predictions(folder: Path) -> None:
    report = open_report(folder)
    rows = pd.read_parquet(folder / "predictions.parquet").query(
        "model == 'tiny' and view == 'both' and split == 'test'"
    )
    risk = queries.risk_coverage(report, SCOPE)
    assert risk["coverage"].iloc[-1] == 1
    assert risk["error"].iloc[-1] == pytest.approx((rows["level"] != rows["predicted_level"]).mean())
    rows = rows.assign(sure=rows[[*PROBABILITIES]].max(axis=1)).sort_values(
        ["sure", "post_id"], ascending=[False, True]
    )
    off = (rows["level"] - rows["predicted_level"]).abs().to_numpy()
    for point in records(risk):
        surest = off[: round(point["coverage"] * len(rows))]
        assert (point["error"], point["distance"]) == pytest.approx(((surest > 0).mean(), surest.mean()))
    size = rows["set_high"] - rows["set_low"] + 1
    held = (rows["set_low"] <= rows["level"]) & (rows["level"] <= rows["set_high"])
    sizes = queries.set_sizes(report, SCOPE).set_index("size")
    assert sizes["n"].to_dict() == size.value_counts().to_dict()
    assert sizes["coverage"].to_dict() == pytest.approx(held.groupby(size).mean().to_dict())
    left = rows["abstain"].to_numpy()
    found = queries.abstained(report, SCOPE).iloc[0]
    assert (found["share"], found["accuracy"]) == pytest.approx((left.mean(), (off == 0).mean()))
    assert found["kept_accuracy"] == pytest.approx((off == 0)[~left].mean())
