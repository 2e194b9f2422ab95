"""The page on recipes and folds: every section says whose figures it shows."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dashboard.app_pages.recipes import queries
from dashboard.reports import open_report
from dashboard.text import markdown
from tests.dashboard_page import page, texts
from tests.tiny_report import altered


def test_recipes_stand_beside_one_another_with_their_target(folder: Path, tmp_path: Path) -> None:
    def more(rows: pd.DataFrame) -> pd.DataFrame:
        reach = rows[rows["recipe"] == "tiny"].assign(recipe="reach", target="popularity", summary="Of another target.")
        return pd.concat([reach, rows])

    app = page("recipes", altered(folder, tmp_path / "report", recipes=more)).run()
    table = app.dataframe[0].value
    assert table["recipe"].tolist() == ["tiny (shipped)", "tiny_trees", "reach"]
    assert table["target"].tolist() == ["engagement score", "engagement score", "popularity score"]
    src = pd.read_parquet(folder / "recipes.parquet").query("recipe == 'tiny' and view == 'both' and metric == 'src'")
    low, value, high = src[["low", "value", "high"]].iloc[0]
    assert table["src"].iloc[0] == f"{value:.3f} [{low:.3f} to {high:.3f}]"
    assert "A made\\-up grid of trees\\." in texts(app) and "43 test posts" in texts(app)
    bare = altered(folder, tmp_path / "bare", recipes=lambda rows: rows.assign(low=None, high=None))
    assert page("recipes", bare).run().dataframe[0].value["src"].iloc[0] == f"{value:.3f}"


def test_figures_of_another_protocol_split_or_view_stay_out(folder: Path, tmp_path: Path) -> None:
    others = {"protocol": "random", "split": "validation", "view": "text"}

    def more(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([rows, *(rows.assign(**{name: value}) for name, value in others.items())])

    copy = altered(folder, tmp_path / "a", recipes=more)
    one, other = (queries.recipes(open_report(path)) for path in (folder, copy))
    assert len(one)
    pd.testing.assert_frame_equal(one, other)


def test_folds_and_grid_name_the_recipe_they_are_of(folder: Path, tmp_path: Path) -> None:
    app = page("recipes", folder).run()
    said = [caption.value for caption in app.caption if caption.value.startswith("**tiny\\_trees**")]
    assert len(said) == 2 and all("not the shipped model's recipe (tiny)" in words for words in said)
    assert any(caption.value.startswith("**tiny**, the shipped") for caption in app.caption)
    copy = altered(folder, tmp_path / "report", grid=lambda rows: rows.drop(columns="recipe"))
    assert "A recipe that the report does not name" in texts(page("recipes", copy).run())
    double = {name: lambda rows: pd.concat([rows, rows.assign(recipe="tiny")]) for name in ("grid", "crossvalidation")}
    app = page("recipes", altered(folder, tmp_path / "double", **double)).run()
    assert not app.exception and len(app.dataframe) == 7
    assert len([caption for caption in app.caption if caption.value.startswith("**tiny**, the shipped")]) == 3


def test_one_run_under_two_names_is_one_row_that_says_so(folder: Path, tmp_path: Path) -> None:
    assert "same_as" not in page("recipes", folder).run().dataframe[0].value
    copy = altered(folder, tmp_path / "report", recipes=lambda rows: rows.assign(same_as="another"))
    assert set(page("recipes", copy).run().dataframe[0].value["same_as"]) == {"another"}


def test_what_a_recipe_ranks_better_than_the_shipped_one_is_shown(folder: Path, tmp_path: Path) -> None:
    app = page("recipes", folder).run()
    told = dict(app.dataframe[0].value[["recipe", "gain"]].to_numpy())
    table = pd.read_parquet(folder / "recipes.parquet").query("metric == 'src' and view == 'both'").set_index("recipe")
    gain = table.loc["tiny_trees", "value"] - table.loc["tiny", "value"]
    assert told["tiny (shipped)"] == "" and told["tiny_trees"].startswith(f"{gain:+.3f} [")
    before = altered(folder, tmp_path / "report", recipes=lambda rows: rows.drop(columns="gain"))
    assert "gain" not in page("recipes", before).run().dataframe[0].value


def test_folds_are_means_with_their_spread_and_each_on_demand(folder: Path, tmp_path: Path) -> None:
    app = page("recipes", folder).run()
    means, folds = (element.value for element in app.dataframe[1:3])
    table = pd.read_parquet(folder / "crossvalidation.parquet")
    src = table.query("metric == 'src' and protocol == 'grouped'")["value"]
    assert means["label"].tolist()[0] == "Spearman (SRC)" and means["direction"].tolist()[0] == "Higher is better"
    assert means["grouped"].iloc[0] == f"{src.mean():.3f} ± {src.std():.3f}"
    assert len(folds) == 4 and "Never compare across protocols" in texts(app)
    one = altered(folder, tmp_path / "report", crossvalidation=lambda rows: rows[rows["fold"] == 0])
    assert page("recipes", one).run().dataframe[1].value["grouped"].iloc[0].endswith("(one fold)")


def test_grid_is_depth_by_trees_with_the_chosen_marked(folder: Path) -> None:
    app = page("recipes", folder).run()
    wide = app.dataframe[3].value.set_index("depth")
    table = pd.read_parquet(folder / "grid.parquet").query("metric == 'accuracy'").set_index("candidate")
    assert list(wide.columns) == ["10 trees", "15 trees"] and wide.loc[2, "10 trees"] == ""
    for candidate, row in table.iterrows():
        cell = wide.loc[row["depth"], f"{row['iterations']} trees"]
        assert cell.startswith(f"{row['value']:.3f}") and cell.endswith("●") == row["chosen"], candidate
    app.selectbox(key="grid").select("log_loss").run()
    assert not app.exception and app.dataframe[3].value["10 trees"].iloc[1].startswith(("1.", "2."))


def test_curves_say_whose_posts_they_are(folder: Path) -> None:
    assert queries.curves(open_report(folder))["epoch"].min() == 1
    app = page("recipes", folder).run()
    assert "the training posts that chose the epoch" in app.caption[-1].value
    app.pills(key="curve").set_value("loss").run()
    assert not app.exception and "the training posts it learned from" in app.caption[-1].value


@pytest.mark.parametrize(("table", "left"), [("grid", 3), ("crossvalidation", 2), ("recipes", 3)])
def test_each_is_shown_without_the_others(folder: Path, tmp_path: Path, table: str, left: int) -> None:
    app = page("recipes", altered(folder, tmp_path / "report", **{table: None})).run()
    assert not app.exception and len(app.dataframe) == left


def test_what_more_posts_brought_is_said_of_the_last_doubling(folder: Path, tmp_path: Path) -> None:
    assert "more posts" not in texts(page("recipes", folder).run())
    copy = altered(folder, tmp_path / "report")
    figures = {100: (0.5, None, None, None), 200: (0.53, 0.03, 0.01, 0.05)}
    names = ("value", "gain", "gain_low", "gain_high")
    rows = [
        {"view": view, "member": member, "posts": posts, "metric": "src", "low": 0.4, "high": 0.6, "n": 150}
        | dict(zip(names, values, strict=True))
        for view in ("both", "image")
        for member in ("ngrams", "blend")
        for posts, values in figures.items()
    ]
    pd.DataFrame(rows).to_parquet(copy / "learning_curve.parquet")
    app = page("recipes", copy).run()
    said = texts(app)
    assert "What would more posts bring?" in said and "the same 150 other posts" in said
    assert "From 100 to 200 posts Spearman (SRC) of the blend moved by +0.030 [+0.010 to +0.050]: better." in said
    assert {line["name"] for line in json.loads(app.get("plotly_chart")[0].proto.spec)["data"]} == {"ngrams", "blend"}
    app.segmented_control(key="size-view").set_value("image").run()
    assert not app.exception and "another run of the recipe" not in said
    single = altered(copy, tmp_path / "single", learning_curve=lambda rows: rows[rows["posts"] == rows["posts"].max()])
    app = page("recipes", single).run()
    assert not app.exception and "What would more posts bring?" in texts(app) and "of the blend moved" not in texts(app)
    former = altered(copy, tmp_path / "former", {"apart": {"the learning curve": "2026-01-02T03:04:05+00:00"}})
    assert f"another run of the recipe ({markdown('2026-01-02')}), whose members may differ" in texts(
        page("recipes", former).run()
    )
