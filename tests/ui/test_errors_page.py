"""The errors page: counts agree with pandas over the same report, filters act, slices are set against their rest."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard import text
from dashboard.app_pages.errors import charts, queries
from dashboard.app_pages.errors.charts import UNDIRECTED
from dashboard.app_pages.errors.queries import SHARE_SELECTED
from dashboard.app_pages.errors.slices import ABOVE, BELOW, FEW, FEWEST_GROUPS, SAME, _effective, slices
from dashboard.charts import ACCENT
from dashboard.reports import Report, open_report
from dashboard.scope import Scope
from dashboard.selected import ORDERS, selected_count, selected_posts, selected_table
from dashboard.selection import Selection
from tests.dashboard_page import page, texts
from tests.tiny_report import RECIPE, altered
from training.metrics.predictions import PROBABILITIES

SCOPE = Scope(RECIPE, "both", "test")
EVERY = 400


def _scope_of(folder: Path, scope: Scope = SCOPE) -> pd.DataFrame:
    table = pd.read_parquet(folder / "predictions.parquet")
    table = table[(table["model"] == scope.model) & (table["view"] == scope.view) & (table["split"] == scope.split)]
    posts = pd.read_parquet(folder / "posts.parquet").rename(columns={"score": "true_score"})
    return table.merge(posts.drop(columns=["level", "split"]), on="post_id")


@pytest.fixture(scope="module")
def report(tiny_report: Path) -> Report:
    return open_report(tiny_report)


@pytest.fixture(scope="module")
def predictions(tiny_report: Path) -> pd.DataFrame:
    return _scope_of(tiny_report)


@pytest.fixture(scope="module")
def large(tiny_report: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 400 test posts in 100 groups; where the language is "ko", two channels make up all but one post."""
    posts, predictions = (pd.read_parquet(tiny_report / f"{name}.parquet") for name in ("posts", "predictions"))
    generator = np.random.default_rng(0)
    posts = pd.concat([posts.iloc[[0]]] * EVERY, ignore_index=True)
    group = np.arange(EVERY) % 100
    korean = np.arange(EVERY) >= EVERY - 34
    group[korean] = 100 + (np.arange(34) == 0) + 2 * (np.arange(34) == 1)
    easy = group % 2 == 0
    posts = posts.assign(
        post_id=[f"p{number}" for number in range(EVERY)],
        split="test",
        group=group,
        source=np.where(easy, "easy", "hard"),
        language=np.where(korean, "ko", np.where(generator.random(EVERY) < 0.5, "en", "es")),
    )
    predictions = pd.concat([predictions.iloc[[0]]] * EVERY, ignore_index=True).assign(
        model=RECIPE, view="both", split="test", post_id=posts["post_id"], level=2
    )
    hit = generator.random(EVERY) < np.where(korean, 0.0, np.where(easy, 0.8, 0.3))
    predictions["predicted_level"] = np.where(hit, 2, 3).astype("int8")
    posts["level"] = predictions["level"]
    folder = tmp_path_factory.mktemp("large") / "report"
    return altered(tiny_report, folder, posts=lambda _: posts, predictions=lambda _: predictions)


def found(folder: Path, selection: str = "", measure: str = "Exact level", minimum: int = 10) -> pd.DataFrame:
    table = slices(open_report(folder), SCOPE, Selection.parse(selection), measure, minimum)
    return table.set_index(["field", "value"])


def test_a_slice_is_set_against_the_posts_outside_of_it(large: Path) -> None:
    posts = _scope_of(large)
    hit = posts["level"] == posts["predicted_level"]
    table = found(large)
    row = table.loc[("source", "easy")]
    easy = posts["source"] == "easy"
    assert row["n"] == easy.sum() and row["groups"] == posts.loc[easy, "group"].nunique()
    assert row["share"] == pytest.approx(hit[easy].mean()) and row["rest"] == pytest.approx(hit[~easy].mean())
    assert row["difference"] == pytest.approx(row["share"] - row["rest"])
    assert row["low"] < row["share"] < row["high"]
    assert row["verdict"] == ABOVE and row["difference_low"] > 0
    assert table.loc[("source", "hard"), "verdict"] == BELOW
    assert table.loc[("source", "hard"), "difference"] == pytest.approx(-row["difference"])
    assert table.loc[("language", "en"), "verdict"] == SAME
    drawn = {label: str(charts.slices(table.reset_index(), set(), label)) for label in ("Exact level", *UNDIRECTED)}
    assert [ACCENT in figure for figure in drawn.values()] == [True, False, False]


def test_intervals_draw_whole_groups(large: Path, tmp_path: Path) -> None:
    posts = pd.read_parquet(large / "posts.parquet")
    alone = altered(large, tmp_path / "alone", posts=lambda posts: posts.assign(group=np.arange(EVERY)))
    together = altered(large, tmp_path / "together", posts=lambda posts: posts.assign(group=np.arange(EVERY) // 16))

    # Neighbours get the same outcome, so that a group of 16 says little more than one post.
    def same(predictions: pd.DataFrame) -> pd.DataFrame:
        return predictions.assign(predicted_level=np.where(np.arange(EVERY) // 16 % 2, 2, 3).astype("int8"))

    widths = []
    for folder in (alone, together):
        table = found(altered(folder, folder.with_name(folder.name + "-same"), predictions=same))
        row = table.loc[("language", "en")]
        widths.append(row["high"] - row["low"])
    assert len(posts) == EVERY and widths[1] > 2 * widths[0]
    row = found(alone).loc[("source", "easy")]
    binomial = 1.96 * np.sqrt(row["share"] * (1 - row["share"]) / row["n"])
    assert row["high"] - row["low"] == pytest.approx(2 * binomial, rel=0.15)


def test_many_groups_are_drawn_several_together(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = altered(large, tmp_path / "alone", posts=lambda posts: posts.assign(group=np.arange(EVERY)))
    exact = found(alone)
    monkeypatch.setattr("dashboard.app_pages.errors.slices.MOST_GROUPS", 150)
    slices.clear()
    table = found(alone)
    assert (table[["n", "groups", "share", "rest"]] == exact[["n", "groups", "share", "rest"]]).all(axis=None)
    row, own = table.loc[("source", "easy")], exact.loc[("source", "easy")]
    assert row["low"] != own["low"] and row["high"] - row["low"] == pytest.approx(own["high"] - own["low"], rel=0.2)


def test_a_slice_that_few_groups_fill_is_not_tested(large: Path) -> None:
    row = found(large).loc[("language", "ko")]
    assert row["n"] == 34 and row["groups"] == 3 < FEWEST_GROUPS
    assert row["verdict"] == FEW and np.isnan([row["low"], row["high"], row["difference_low"]]).all()
    app = page("errors", large).run()
    assert not app.exception and "is not tested" in texts(app)


def test_groups_inside_and_outside_of_a_slice_count_the_less_the_more_posts_they_have() -> None:
    posts = np.random.default_rng(0).integers(1, 9, (40, 3)).astype(float)
    # The rest of the first slice is of five groups.
    posts[5:, 1:] = 0
    unit, place = np.nonzero(posts)
    found = _effective(unit, place, posts[unit, place])
    for own, groups in zip(posts.T, found, strict=True):
        rest = posts.sum(axis=1) - own
        assert groups == pytest.approx(min(part.sum() ** 2 / (part**2).sum() for part in (own, rest)))


def test_a_filtered_slice_is_not_set_against_itself(large: Path) -> None:
    free, filtered = found(large), found(large, "source:easy")
    for name in ("share", "rest", "difference", "verdict"):
        assert filtered.loc[("source", "easy"), name] == free.loc[("source", "easy"), name]
    posts = _scope_of(large)
    english = filtered.loc[("language", "en")]
    inside = posts[posts["source"] == "easy"]
    assert english["n"] == (inside["language"] == "en").sum()
    rest = inside[inside["language"] != "en"]
    assert english["rest"] == pytest.approx((rest["level"] == rest["predicted_level"]).mean())


def test_a_slice_of_all_posts_is_left_out_and_a_small_one_joins_the_rest(large: Path) -> None:
    table = found(large, minimum=40)
    assert "picture" not in table.index.get_level_values("field") and ("language", "ko") not in table.index
    posts = _scope_of(large)
    others = posts[posts["language"] != "en"]
    rest = (others["level"] == others["predicted_level"]).mean()
    assert table.loc[("language", "en"), "rest"] == pytest.approx(rest)
    assert found(large, "true:2,pred:3", SHARE_SELECTED).loc[("source", "easy"), "share"] == pytest.approx(
        1 - found(large).loc[("source", "easy"), "share"]
    )


def test_a_post_whose_group_is_unknown_is_a_group_of_its_own(large: Path, tmp_path: Path) -> None:
    folder = altered(large, tmp_path / "report", posts=lambda posts: posts.assign(group=None))
    assert found(folder).loc[("source", "easy"), "groups"] == found(folder).loc[("source", "easy"), "n"]


def test_confusion_ignores_outcome_filters_and_obeys_facts(report: Report, predictions: pd.DataFrame) -> None:
    language = str(predictions["language"].mode()[0])
    selection = Selection.parse(f"true:3,pred:1,language:{language}")
    cells = queries.confusion(report, SCOPE, selection)
    part = predictions[predictions["language"] == language]
    assert len(cells) == 25 and cells["n"].sum() == len(part)
    chosen = part[(part["level"] == 3) & (part["predicted_level"] == 1)]
    assert selected_count(report, SCOPE, selection) == len(chosen)
    counts = pd.crosstab(part["level"], part["predicted_level"]).reindex(index=range(5), columns=range(5), fill_value=0)
    assert cells["n"].tolist() == counts.to_numpy().ravel().tolist()
    rows = counts.sum(axis=1).to_numpy().repeat(5)
    assert cells["row_n"].tolist() == rows.tolist()
    assert cells["share"].to_numpy() == pytest.approx(counts.to_numpy().ravel() / np.maximum(rows, 1))
    off = (part["predicted_level"] - part["level"]).value_counts().reindex(range(-4, 5), fill_value=0)
    assert queries.off_by(report, SCOPE, selection)["n"].tolist() == off.tolist()


def test_a_filter_counts_as_pandas_does(report: Report, predictions: pd.DataFrame) -> None:
    facts = {
        "true": predictions["level"],
        "pred": predictions["predicted_level"],
        "off": predictions["predicted_level"] - predictions["level"],
        "set": predictions["set_high"] - predictions["set_low"] + 1,
        "abstain": predictions["abstain"].map({True: "yes", False: "no"}),
        "language": predictions["language"],
    }
    for name, values in facts.items():
        for value, count in values.value_counts().items():
            assert selected_count(report, SCOPE, Selection().put(name, [str(value)])) == count, (name, value)


def test_measures_are_those_of_the_predictions(tiny_report: Path, predictions: pd.DataFrame) -> None:
    level, guess = predictions["level"], predictions["predicted_level"]
    score = predictions["true_score"]
    hits = {
        "Exact level": level == guess,
        "Within one level": (level - guess).abs() <= 1,
        "Set holds the true level": (predictions["set_low"] <= level) & (level <= predictions["set_high"]),
        "Score inside its interval": (predictions["score_low"] <= score) & (score <= predictions["score_high"]),
        "Model abstains": predictions["abstain"],
    }
    assert set(hits) == set(queries.MEASURES)
    size = (predictions["set_high"] - predictions["set_low"] + 1).astype(str)
    for measure, hit in hits.items():
        shares = found(tiny_report, "", measure, 1).loc["set", "share"]
        assert len(shares) > 1
        assert shares.to_dict() == pytest.approx(hit.groupby(size).mean().to_dict()), measure


@pytest.mark.parametrize("order", ORDERS)
def test_pages_of_posts_are_disjoint_and_complete(report: Report, predictions: pd.DataFrame, order: str) -> None:
    pages = [selected_posts(report, SCOPE, Selection(), order, 10, start) for start in range(0, 400, 10)]
    ids = pd.concat(pages)["post_id"]
    assert ids.is_unique and len(ids) == len(predictions)
    assert ids.tolist() == selected_table(report, SCOPE, Selection(), order)["post_id"].tolist()


def test_furthest_off_comes_first(report: Report, predictions: pd.DataFrame) -> None:
    first = selected_posts(report, SCOPE, Selection(), "Furthest off", 1, 0).iloc[0]
    worst = (predictions["level"] - predictions["predicted_level"]).abs().max()
    assert abs(first["level"] - first["predicted_level"]) == worst


def test_the_surest_miss_and_the_least_certain_come_first(report: Report, predictions: pd.DataFrame) -> None:
    sure = predictions[[*PROBABILITIES]].max(axis=1).set_axis(predictions["post_id"])
    missed = predictions.loc[predictions["level"] != predictions["predicted_level"], "post_id"]
    for order, most in (("Most confident misses", sure[missed].max()), ("Least certain", sure.min())):
        first = selected_posts(report, SCOPE, Selection(), order, 1, 0).iloc[0]
        assert sure[first["post_id"]] == most, order


def test_a_score_of_zero_can_be_ordered(tiny_report: Path, tmp_path: Path) -> None:
    folder = altered(tiny_report, tmp_path / "report", posts=lambda posts: posts.assign(score=0.0))
    order = "Score furthest outside its interval"
    assert len(selected_posts(open_report(folder), SCOPE, Selection(), order, 5, 0)) == 5


def test_hostile_values_are_parameters(report: Report, predictions: pd.DataFrame) -> None:
    selection = Selection().put("source", ["'; DROP VIEW posts; --"])
    assert selected_count(report, SCOPE, selection) == 0
    assert selected_count(report, SCOPE, Selection()) == len(predictions)


def chips(app) -> list:
    return [button for button in app.button if str(button.key).startswith("chip-")]


def test_selection_from_the_url(tiny_report: Path) -> None:
    app = page("errors", tiny_report)
    app.query_params["selection"] = "true:2,pred:2"
    app.run()
    assert not app.exception and not app.error
    assert [chip.label for chip in chips(app)] == ["True level\\: Average", "Predicted\\: Average"]
    chips(app)[0].click().run()
    assert app.query_params["selection"] == "pred:2"
    app.button(key="clear").click().run()
    assert "selection" not in app.query_params


def test_filters_are_added_and_taken_away_and_pages_turned(tiny_report: Path) -> None:
    app = page("errors", tiny_report).run()
    app.number_input(key="page").set_value(2).run()
    assert not app.exception
    app.pills(key="filter-source").set_value(["list A"]).run()
    assert app.query_params["selection"] == "source:list%20A"
    assert app.number_input(key="page").value == 1
    app.pills(key="filter-source").set_value(["list A", "list B"]).run()
    assert app.query_params["selection"] == "source:list%20A|list%20B"
    chips(app)[0].click().run()
    assert app.pills(key="filter-source").value == ["list B"]
    app.selectbox(key="filter-field").select("pred").run()
    app.pills(key="filter-pred").set_value(["2"]).run()
    assert app.query_params["selection"] == "source:list%20B,pred:2"
    assert not app.exception
    app.number_input(key="least").set_value(5000).run()
    assert "Lower the number" in texts(app)


def test_a_value_that_a_link_names_is_no_markdown(tiny_report: Path) -> None:
    app = page("errors", tiny_report)
    app.query_params["selection"] = "source:![x](https://evil/p.png)"
    shown = [option.content for option in app.run().pills(key="filter-source").proto.options]
    assert text.markdown("![x](https://evil/p.png)") in shown


def test_selection_ends_with_the_back_button_and_outlives_other_pages(tiny_report: Path) -> None:
    app = page("errors", tiny_report)
    app.query_params["selection"] = "true:2"
    app.run()
    app.query_params.clear()
    app.session_state["page_now"] = "results"
    app.run()
    assert app.query_params["selection"] == "true:2"
    app.query_params.clear()
    app.run()
    assert "selection" not in app.query_params and not chips(app)


def test_any_url_is_survived(tiny_report: Path) -> None:
    app = page("errors", tiny_report)
    app.query_params["selection"] = "true:9,<script>:1,source:%3Cb%3E"
    app.run()
    assert not app.exception
    assert "No post meets every filter" in texts(app)


@pytest.mark.parametrize("table", ["posts", "predictions"])
def test_tables_without_rows_are_no_error(tiny_report: Path, tmp_path: Path, table: str) -> None:
    empty = altered(tiny_report, tmp_path / "report", **{table: lambda rows: rows.iloc[:0]})
    assert not page("errors", empty).run().exception


def test_titles_of_a_mounted_dataset_are_shown(
    tiny_report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = pd.read_parquet(tiny_report / "posts.parquet")
    hostile = "<img src=x onerror=alert(1)>"
    pd.DataFrame({"post_id": posts["post_id"], "title": hostile, "image": None}).to_parquet(tmp_path / "posts.parquet")
    monkeypatch.setenv("FIRST_IMPRESSIONS_DATA", str(tmp_path))
    app = page("errors", tiny_report).run()
    assert not app.exception
    html = "".join(element.proto.body for element in app.get("html"))
    assert "&lt;img src=x" in html and hostile not in html
